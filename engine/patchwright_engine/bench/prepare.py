"""Everything an instance needs before it can be judged: its two trees and its environment, kept for the next time.

The two trees are the user's: `base` as it was when the issue was reported, `tests` with the failing tests written.
Invariant: the hidden tests are in `tests` alone, the fix is in neither.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from patchwright_engine.bench.checkout import check_out, find_mirror, with_tests
from patchwright_engine.bench.environments import build_environment, locked
from patchwright_engine.bench.instances import Instance
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import EnvironmentProblem

_MARK = "complete"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where an instance lies on disk."""

    base: Path
    tests: Path
    python: Path


def prepare(instance: Instance, repos: Path, cache: Path, cancel: CancelToken, say: Callable[[str], None]) -> Prepared:
    """Check out and install, or find what an earlier call left.

    Raises:
        EnvironmentProblem: the mirror, the disk, an install command or the test patch failed.
        Cancelled: what was begun is done anew the next time.
    """
    digest = hashlib.sha256(json.dumps(asdict(instance), sort_keys=True).encode()).hexdigest()[:10]
    name = f"{instance.instance_id}-{digest}"
    folder = cache / "instances" / name
    # The name of the folder is what a project may take for its own name: both trees keep the repository's.
    title = instance.repo.rpartition("/")[2]
    prepared = Prepared(folder / "base" / title, folder / "tests" / title, folder / "venv" / "bin" / "python")
    try:
        with locked(cache / "instances", name, cancel):
            if (folder / _MARK).exists() and prepared.python.exists():
                return prepared
            mirror = find_mirror(repos, instance.mirror, instance.base_commit)
            shutil.rmtree(folder, ignore_errors=True)
            say("checking out")
            check_out(mirror, instance.base_commit, prepared.base, instance.replaced)
            shared = cache / "environments"
            build_environment(instance, prepared.base, folder / "venv", shared=shared, cancel=cancel, say=say)
            with_tests(prepared.base, prepared.tests, instance.test_patch)
            (folder / _MARK).touch()
    except OSError as error:
        raise EnvironmentProblem(f"cannot write to {cache}: {error}", "Free disk space, or move the cache.") from error
    return prepared
