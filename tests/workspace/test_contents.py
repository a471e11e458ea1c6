"""What a copy of a snapshot should hold, as the user's disk and unsaved buffers say."""

import hashlib
import os
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled
from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.contents import Entry, list_contents
from patchwright_engine.workspace.snapshot import take_snapshot
from trees import git, make_awkward, picture


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_it_is_what_is_there(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    assert list_contents(take_snapshot(root)) == picture(root)


def test_unsaved_buffers_count_and_bring_the_mode_of_their_file(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    buffers = {RepoPath("run.sh"): "#!/bin/bash\n", RepoPath("new/deep/one.py"): "n = 1\r\n"}
    entries = list_contents(take_snapshot(root, buffers))
    assert entries["run.sh"] == Entry("file", digest(b"#!/bin/bash\n"), 0o755)
    assert entries["new/deep/one.py"] == Entry("file", digest(b"n = 1\r\n"), 0o644)
    assert entries["new"] == entries["new/deep"] == Entry("folder", "", 0o755)


def test_a_buffer_for_a_link_is_a_file_and_leaves_what_the_link_led_to(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    entries = list_contents(take_snapshot(root, {RepoPath("link.py"): "mine\n"}))
    assert entries["link.py"] == Entry("file", digest(b"mine\n"), 0o644)
    assert entries["plain.py"].content == digest(b"x = 1\n")


def test_a_buffer_below_what_is_a_file_on_disk_makes_it_a_folder(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    entries = list_contents(take_snapshot(root, {RepoPath("plain.py/inner.py"): "x\n"}))
    assert entries["plain.py"].kind == "folder"
    assert entries["plain.py/inner.py"].content == digest(b"x\n")


def test_ignored_files_stay_out_but_for_those_that_imports_need(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    (root / "secret.env").write_text("KEY=secret\n")
    (root / "ignored").mkdir()
    (root / "ignored" / "code.py").write_text("x = 1\n")
    (root / "pkg" / "_version.py").write_text("v = 1\n")
    (root / "pkg" / "fast.so").write_bytes(b"\x7fELF")
    (root / "pkg" / "linked.so").symlink_to("/etc/passwd")
    snapshot = take_snapshot(root)
    known = set(list_contents(snapshot))
    assert known - {*snapshot.files} >= {"pkg/_version.py", "pkg/fast.so"}
    assert not known & {"secret.env", "ignored", "ignored/code.py", "pkg/linked.so", ".git"}


def test_no_link_leads_out(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file.py").write_text("x")
    (root / "out.py").symlink_to(tmp_path / "outside" / "file.py")
    (root / "out").symlink_to(tmp_path / "outside", target_is_directory=True)
    (root / "absolute.py").symlink_to(root / "plain.py")
    (root / "around.py").symlink_to(f"../{root.name}/plain.py")
    entries = list_contents(take_snapshot(root))
    assert not {"out.py", "out"} & set(entries)
    assert entries["absolute.py"] == entries["around.py"] == Entry("link", "plain.py", 0)
    targets = [
        os.path.normpath(f"{path}/../{entry.content}") for path, entry in entries.items() if entry.kind == "link"
    ]
    assert targets
    assert not [target for target in targets if target.startswith("..")]


def test_a_link_to_an_ignored_file_is_the_file_itself(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    (root / "ignored").mkdir()
    (root / "ignored" / "data").write_text("data\n")
    (root / "data").symlink_to("ignored/data")
    assert list_contents(take_snapshot(root))["data"] == Entry("file", digest(b"data\n"), 0o644)


def test_what_vanished_since_the_snapshot_is_still_listed(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    snapshot = take_snapshot(root)
    (root / "plain.py").unlink()
    git(root, "rm", "--quiet", "run.sh")
    entries = list_contents(snapshot)
    assert entries["plain.py"] == Entry("file", snapshot.files[RepoPath("plain.py")], 0o644)
    assert entries["run.sh"].content == snapshot.files[RepoPath("run.sh")]


def test_a_cancelled_token_stops_it(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    snapshot = take_snapshot(root)
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        list_contents(snapshot, cancel)
