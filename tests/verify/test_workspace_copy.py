"""The throw-away copy: spoiled at will, returned to the snapshot, and never the user's own tree."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled, EnvironmentProblem, StaleSnapshot
from patchwright_engine.types import FileEdit, Patch, RepoPath, Snapshot
from patchwright_engine.verify.orphans import PREFIX
from patchwright_engine.verify.workspace import WorkspaceCopy


def content(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(root.rglob("*"))
    }


def edit(path: str, before: str, after: str) -> Patch:
    return Patch((FileEdit(RepoPath(path), before, after),))


def test_it_holds_the_snapshot_and_goes_when_closed(project: Snapshot) -> None:
    with WorkspaceCopy(project) as copy:
        assert content(copy.path) == content(project.root)
        assert copy.path != project.root
        folder = copy.path
    assert not folder.exists()


def test_no_room_for_it_is_an_error_with_a_cure(project: Snapshot) -> None:
    with pytest.raises(EnvironmentProblem, match="TMPDIR"):
        WorkspaceCopy(project, Path("/proc"))


def test_a_cancel_while_it_is_made_leaves_nothing(project: Snapshot, tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        WorkspaceCopy(project, tmp_path, cancel)
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


MAKE_AND_DIE = """
import os, sys
from pathlib import Path
from patchwright_engine.verify.workspace import WorkspaceCopy
from patchwright_engine.workspace.snapshot import take_snapshot
WorkspaceCopy(take_snapshot(Path(sys.argv[1])), Path(sys.argv[2]))
os._exit(9)
"""


def test_a_copy_whose_process_was_killed_goes_with_the_next_one(project: Snapshot, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MAKE_AND_DIE, project.root, tmp_path], check=False)
    (orphan,) = tmp_path.glob(f"{PREFIX}*")
    with WorkspaceCopy(project, tmp_path) as living:  # too young to be told from one that is just being made
        assert orphan.exists()
        for folder in tmp_path.glob(f"{PREFIX}*"):
            os.utime(folder / "owner", (0, 0))
        with WorkspaceCopy(project, tmp_path):
            assert not orphan.exists()
            assert living.path.exists()


def test_reset_undoes_whatever_a_run_did(project: Snapshot) -> None:
    with WorkspaceCopy(project) as copy:
        before = content(copy.path)
        target = copy.path / "stats/mean.py"
        times = target.stat()
        target.write_text("x" * times.st_size)
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
        (copy.path / "tests/test_mean.py").unlink()
        (copy.path / "stats/__pycache__").mkdir()
        (copy.path / "stats/__pycache__/a.pyc").write_bytes(b"x")
        (copy.path / "tests/test_other.py").unlink()
        (copy.path / "tests/test_other.py").mkdir()
        (copy.path / "new.txt").write_text("x")
        copy.reset()
        assert content(copy.path) == before
        copy.reset()
        assert content(copy.path) == before


def test_reset_does_not_follow_a_folder_that_became_a_link(project: Snapshot, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mean.py").write_text("precious")
    with WorkspaceCopy(project) as copy:
        before = content(copy.path)
        (copy.path / "stats").rename(copy.path / "moved")
        (copy.path / "stats").symlink_to(outside)
        copy.reset()
        assert content(copy.path) == before
    assert (outside / "mean.py").read_text() == "precious"


def test_reset_copes_with_folders_that_were_locked(project: Snapshot) -> None:
    with WorkspaceCopy(project) as copy:
        before = content(copy.path)
        (copy.path / "locked/inner").mkdir(parents=True)
        (copy.path / "locked/inner").chmod(0)
        (copy.path / "locked").chmod(0)
        copy.reset()
        assert content(copy.path) == before


def test_applying_changes_the_copy_and_not_the_project(project: Snapshot) -> None:
    user = content(project.root)
    with WorkspaceCopy(project) as copy:
        text = project.read_text(RepoPath("stats/mean.py"))
        copy.apply(edit("stats/mean.py", text, "mean = None\r\n"))
        assert (copy.path / "stats/mean.py").read_bytes() == b"mean = None\r\n"
        copy.reset()
        assert (copy.path / "stats/mean.py").read_text() == text
    assert content(project.root) == user


def test_a_patch_against_other_text_is_stale_and_changes_nothing(project: Snapshot) -> None:
    with WorkspaceCopy(project) as copy:
        before = content(copy.path)
        both = Patch(
            (
                FileEdit(RepoPath("stats/__init__.py"), "", "x = 1\n"),
                FileEdit(RepoPath("stats/mean.py"), "something else", "y = 1\n"),
            )
        )
        with pytest.raises(StaleSnapshot, match=r"stats/mean\.py"):
            copy.apply(both)
        assert content(copy.path) == before
