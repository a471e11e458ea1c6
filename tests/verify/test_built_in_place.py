"""A project built in place, with a compiled module and a written version that git ignores, runs in its copy."""

import shutil
from pathlib import Path

import psutil

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.runs import run_tests
from patchwright_engine.verify.workspace import WorkspaceCopy
from patchwright_engine.workspace.snapshot import take_snapshot
from trees import exact_picture, git


def test_what_was_built_in_place_is_imported_in_the_copy_and_stays_as_it_was(
    tmp_path: Path, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> None:
    compiled = next(path for path in Path(psutil.__file__).parent.glob("_psutil_*") if path.suffix in {".so", ".pyd"})
    root = tmp_path / "project"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg/__init__.py").write_text(
        f"from pkg import {compiled.name.partition('.')[0]} as fast\nfrom pkg._version import version\n"
    )
    (root / "test_pkg.py").write_text("import pkg\n\n\ndef test_pkg():\n    assert pkg.fast and pkg.version == 3\n")
    (root / ".gitignore").write_text("*.so\n*.pyd\n_version.py\nkeys.py\n")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    shutil.copy(compiled, root / "pkg")
    (root / "pkg/_version.py").write_text("version = 3\n")
    (root / "keys.py").write_text("KEY = 'secret'\n")
    before = exact_picture(root)
    with WorkspaceCopy(take_snapshot(root)) as copy:
        report = run_tests(sandbox, copy.path, environment, ("test_pkg.py",), cancel)
        assert report.results == {"test_pkg.py::test_pkg": "passed"}, report.run.output
        assert not (copy.path / "keys.py").exists()
    assert exact_picture(root) == before
