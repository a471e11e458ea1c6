"""Snapshots: what they hold, when they are stale, and the copy made from them."""

import subprocess
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled
from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.snapshot import check_fresh, take_snapshot, write_copy

A = RepoPath("a.py")
NEW = RepoPath("sub/new.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.py").write_bytes(b"x = 1\r\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    return root


def test_unsaved_text_replaces_the_disk_and_changes_the_revision(root: Path) -> None:
    plain = take_snapshot(root)
    edited = take_snapshot(root, {A: "x = 2\n", NEW: "y = 1\n"})
    assert plain.read_bytes(A) == b"x = 1\r\n"
    assert edited.read_text(A) == "x = 2\n"
    assert set(edited.files) == {"a.py", "run.sh", "sub/new.py"}
    assert plain.revision != edited.revision


def test_equal_content_gives_an_equal_revision(root: Path) -> None:
    saved = take_snapshot(root, {A: "x = 2\n"})
    (root / "a.py").write_bytes(b"x = 2\n")
    assert take_snapshot(root).revision == saved.revision


def test_changed_deleted_and_new_files_are_stale_and_others_are_not(root: Path) -> None:
    snapshot = take_snapshot(root)
    assert check_fresh(snapshot, [A, RepoPath("run.sh"), NEW]) == ()
    (root / "a.py").write_text("changed")
    (root / "run.sh").unlink()
    (root / "sub" / "new.py").write_text("")
    assert check_fresh(snapshot, [A, RepoPath("run.sh"), NEW]) == ("a.py", "run.sh", "sub/new.py")


def test_an_overlay_outside_the_workspace_is_refused(root: Path) -> None:
    with pytest.raises(BadInput):
        take_snapshot(root, {RepoPath("../b.py"): ""})


def test_a_cancelled_token_stops_the_snapshot(root: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        take_snapshot(root, cancel=cancel)


def test_the_copy_holds_overlays_modes_and_inner_links_but_no_git(root: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / "link.py").symlink_to(root / "a.py")
    (root / "linked").symlink_to("sub", target_is_directory=True)
    (root / "sub" / "data.bin").write_bytes(b"\0\1")
    copy = tmp_path / "copy"
    write_copy(take_snapshot(root, {A: "x = 2\n", NEW: "y\n"}), copy)
    assert not (copy / ".git").exists()
    assert (copy / "a.py").read_bytes() == b"x = 2\n"
    assert (copy / "run.sh").stat().st_mode & 0o111
    assert (copy / "link.py").is_symlink()
    assert (copy / "link.py").resolve() == (copy / "a.py").resolve()
    assert (copy / "linked" / "new.py").read_text() == "y\n"
    assert (copy / "sub" / "data.bin").read_bytes() == b"\0\1"
    assert (root / "a.py").read_bytes() == b"x = 1\r\n"


def test_writing_through_the_copy_does_not_reach_the_workspace(root: Path, tmp_path: Path) -> None:
    (root / "link.py").symlink_to(root / "a.py")
    copy = tmp_path / "copy"
    write_copy(take_snapshot(root), copy)
    (copy / "link.py").write_text("broken")
    (copy / "run.sh").write_text("broken")
    assert (root / "a.py").read_bytes() == b"x = 1\r\n"
    assert (root / "run.sh").read_text() == "#!/bin/sh\n"


def test_generated_modules_come_along_though_ignored(root: Path, tmp_path: Path) -> None:
    (root / ".gitignore").write_text("_version.py\n.env\n")
    (root / "sub" / "_version.py").write_text("v = 1\n")
    (root / ".env").write_text("KEY=secret\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    copy = tmp_path / "copy"
    snapshot = take_snapshot(root)
    write_copy(snapshot, copy)
    assert "sub/_version.py" not in snapshot.files
    assert (copy / "sub" / "_version.py").exists()
    assert not (copy / ".env").exists()


def test_a_copy_into_a_folder_with_content_is_refused(root: Path) -> None:
    with pytest.raises(BadInput):
        write_copy(take_snapshot(root), root)
