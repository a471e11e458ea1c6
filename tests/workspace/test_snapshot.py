"""Snapshots: what they hold and when they are stale."""

import hashlib
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled
from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.snapshot import check_fresh, take_snapshot

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


def test_more_files_than_one_thread_takes_are_all_hashed(root: Path) -> None:
    for number in range(300):
        (root / "sub" / f"{number}.py").write_text(f"x = {number}\n")
    snapshot = take_snapshot(root)
    assert len(snapshot.files) == 302
    expected = {path: hashlib.sha256((root / path).read_bytes()).hexdigest() for path in snapshot.files}
    assert snapshot.files == expected
    assert list(snapshot.files) == sorted(snapshot.files)


def test_a_file_that_cannot_be_read_and_a_folder_in_its_place_are_left_out(root: Path) -> None:
    (root / "gone.py").symlink_to("nowhere.py")
    (root / "folder.py").mkdir()
    assert set(take_snapshot(root).files) == {"a.py", "run.sh"}
