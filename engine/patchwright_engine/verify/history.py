"""What earlier jobs saw of a project's tests: which files each enters, which caught a wrong patch, how long it took.

Only the order in which tests are run is made of it, and which run side by side. Invariant: what a test file enters
counts only while its text is the one that was seen; a history that cannot be read is an empty one.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from patchwright_engine.config import folders
from patchwright_engine.types import RepoPath, Snapshot

SCHEMA = 2
KEPT_FILES = 5_000
KEPT_SECONDS = 90 * 86_400.0


@dataclass(frozen=True, slots=True)
class SeenTest:
    """One test file as earlier jobs saw it."""

    __test__ = False

    content: str
    """sha256 of its text when `enters` was recorded; '' when it never was."""
    enters: frozenset[RepoPath] = frozenset()
    """Source files of which it entered a function."""
    caught: float = 0.0
    """When a test of it last failed on a patch and only there, Unix time; 0: never."""
    seen: float = 0.0
    seconds: float = 0.0
    """How long its tests took together before any patch; 0: never measured."""

    def covers(self, paths: Iterable[RepoPath], content: str | None) -> bool:
        """Whether it entered one of `paths`, being the same text as now."""
        return self.content == content and not self.enters.isdisjoint(paths)


History = Mapping[RepoPath, SeenTest]


def load_history(root: Path) -> History:
    """The history of the project at `root`; empty when there is none that can be used."""
    try:
        stored = json.loads(_place(root).read_text(encoding="utf-8"))
        if stored["schema"] != SCHEMA:
            return {}
        return {
            RepoPath(path): SeenTest(
                str(content), frozenset(RepoPath(str(p)) for p in enters), float(caught), float(seen), float(seconds)
            )
            for path, (content, enters, caught, seen, seconds) in stored["tests"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def learned(
    history: History,
    snapshot: Snapshot,
    entered: Mapping[str, frozenset[str]],
    caught: Iterable[str],
    now: float | None = None,
    *,
    seconds: Mapping[str, float] | None = None,
) -> History:
    """The history with what one job saw.

    Args:
        history: so far.
        snapshot: what the job ran on.
        entered: test file → files of which it entered a function, as `TestReport.entered`.
        caught: ids of tests that passed before and failed on a candidate.
        now: Unix time; None means the clock.
        seconds: test file → how long its tests took before any patch.
    """
    now = time.time() if now is None else now
    news = dict(history)
    for test, paths in entered.items():
        path, old = RepoPath(test), news.get(RepoPath(test), SeenTest(""))
        enters = frozenset(RepoPath(p) for p in paths) - {path}
        news[path] = replace(old, content=snapshot.files.get(path, ""), enters=enters, seen=now)
    for path in {RepoPath(test.partition("::")[0]) for test in caught}:
        old = news.get(path, SeenTest(""))
        news[path] = replace(old, caught=now, seen=now)
    for test, spent in (seconds or {}).items():
        news[RepoPath(test)] = replace(news.get(RepoPath(test), SeenTest("")), seconds=spent, seen=now)
    fresh = {path: test for path, test in news.items() if now - test.seen < KEPT_SECONDS and path in snapshot.files}
    latest = sorted(fresh, key=lambda path: -fresh[path].seen)[:KEPT_FILES]
    return {path: fresh[path] for path in sorted(latest)}


def save_history(root: Path, history: History) -> None:
    """Keep it for later jobs. A disk that cannot be written costs only the order of later runs."""
    place = _place(root)
    rows = {path: [t.content, sorted(t.enters), t.caught, t.seen, t.seconds] for path, t in history.items()}
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=".part-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"schema": SCHEMA, "tests": rows}, file)
            Path(name).replace(place)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _place(root: Path) -> Path:
    key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return folders().cache / "tests" / f"{key}.json"
