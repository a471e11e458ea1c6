"""The throw-away copy: spoiled at will, returned to the snapshot, and never the user's own tree."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled, EnvironmentProblem, StaleSnapshot
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import FileEdit, Patch, RepoPath, Snapshot
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.orphans import PREFIX
from patchwright_engine.verify.runs import run_tests
from patchwright_engine.verify.workspace import WorkspaceCopy
from patchwright_engine.workspace.snapshot import take_snapshot
from trees import exact_picture, make_awkward, picture


def content(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(root.rglob("*"))
    }


def edit(path: str, before: str, after: str) -> Patch:
    return Patch((FileEdit(RepoPath(path), before, after),))


def test_it_holds_the_snapshot_and_goes_when_closed_where_the_caller_chose_the_place(
    project: Snapshot, tmp_path: Path
) -> None:
    with WorkspaceCopy(project, tmp_path) as copy:
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


# --- what it holds ---


def test_it_equals_a_plain_copy_byte_for_byte(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    plain = tmp_path / "plain"
    shutil.copytree(root, plain, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    with WorkspaceCopy(take_snapshot(root)) as copy:
        assert picture(copy.path) == picture(plain)
        assert copy.changed == ()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_umask_of_the_process_does_not_count(tmp_path: Path, umask: int) -> None:
    root = make_awkward(tmp_path / "project")
    before = os.umask(umask)
    try:
        with WorkspaceCopy(take_snapshot(root)) as copy:
            assert picture(copy.path) == picture(root)
            assert all(copy.path.parents[above].stat().st_mode & 0o077 == 0 for above in (1, 3))
    finally:
        os.umask(before)


def test_unsaved_buffers_come_before_the_disk_and_need_no_file_there(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    (root / "pkg" / "gone.py").write_text("saved\n")
    buffers = {
        RepoPath("plain.py"): "x = 2\r\n",
        RepoPath("pkg/gone.py"): "unsaved\n",
        RepoPath("new/folder/a.py"): "a\n",
        RepoPath("windows.py/inner.py"): "a file on disk is a folder in the editor\n",
    }
    snapshot = take_snapshot(root, buffers)
    (root / "pkg" / "gone.py").unlink()
    user = exact_picture(root)
    with WorkspaceCopy(snapshot) as copy:
        for path, text in buffers.items():
            assert (copy.path / path).read_bytes() == text.encode()
        assert copy.changed == ()
    assert exact_picture(root) == user


def test_large_files_are_restored_like_small_ones(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    with WorkspaceCopy(take_snapshot(root)) as copy:
        before = picture(copy.path)
        for name in ("large.bin", "empty", "same-a", "read-only", os.fsdecode(b"caf\xe9.txt")):
            (copy.path / name).chmod(0o666)
            with (copy.path / name).open("r+b") as file:
                file.write(b"spoiled")
        (root / "large.bin").unlink()
        assert picture(copy.path) != before
        copy.reset()
        assert picture(copy.path) == before


def test_what_the_user_changed_since_the_snapshot_is_named(project: Snapshot) -> None:
    (project.root / "stats/mean.py").write_text("changed = True\n")
    (project.root / "tests/test_other.py").unlink()
    with WorkspaceCopy(project) as copy:
        assert copy.changed == ("stats/mean.py", "tests/test_other.py")
        assert (copy.path / "stats/mean.py").read_text() == "changed = True\n"
        assert not (copy.path / "tests/test_other.py").exists()


def test_a_file_that_has_become_a_way_out_since_the_snapshot_is_not_followed(project: Snapshot, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mean.py").write_text("precious")
    shutil.rmtree(project.root / "stats")
    (project.root / "stats").symlink_to(outside)
    with WorkspaceCopy(project) as copy:
        assert not (copy.path / "stats/mean.py").exists()
        assert RepoPath("stats/mean.py") in copy.changed


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(project: Snapshot) -> None:
    (project.root / "stats/mean.py").unlink()
    os.mkfifo(project.root / "stats/mean.py")
    with WorkspaceCopy(project) as copy:
        assert copy.changed == ("stats/mean.py",)


# --- reset against whatever happened ---


def test_reset_brings_the_first_content_back_though_the_user_edits_meanwhile(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    with WorkspaceCopy(take_snapshot(root)) as copy:
        before = picture(copy.path)
        for path in ("plain.py", "windows.py", "pkg/__init__.py", "large.bin"):
            (root / path).write_text("the user's newer text\n")
            (copy.path / path).write_text("what a test wrote\n")
        shutil.rmtree(root / "tief")
        shutil.rmtree(copy.path / "tief")
        (root / "run.sh").unlink()
        (copy.path / "run.sh").chmod(0)
        copy.reset()
        assert picture(copy.path) == before


def test_reset_sees_a_change_of_the_same_size_right_after_the_last_reset(project: Snapshot) -> None:
    text = project.read_text(RepoPath("stats/mean.py"))
    with WorkspaceCopy(project) as copy:
        before = content(copy.path)
        for _ in range(20):
            copy.apply(edit("stats/mean.py", text, text.replace("+=", "-=")))
            copy.reset()
            with (copy.path / "stats/mean.py").open("r+") as file:
                file.write("fed")
            copy.reset()
            assert content(copy.path) == before


def test_reset_undoes_modes_links_pipes_and_swaps_of_files_and_folders(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    with WorkspaceCopy(take_snapshot(root)) as copy:
        before = picture(copy.path)
        top = copy.path
        (top / "plain.py").chmod(0o777)
        (top / "pkg").chmod(0o700)
        os.link(top / "windows.py", top / "second-name.py")
        os.mkfifo(top / "pipe")
        (top / "empty").unlink()
        os.mkfifo(top / "empty")
        (top / "run.sh").unlink()
        (top / "run.sh" / "inner").mkdir(parents=True)
        (top / "run.sh" / "inner" / "x").write_text("x")
        shutil.rmtree(top / "tief")
        (top / "tief").write_text("a file now")
        (top / "link.py").unlink()
        (top / "link.py").symlink_to("/etc/passwd")
        (top / "linked").unlink()
        (top / "linked").mkdir()
        (top / os.fsdecode(b"new\xff")).write_text("x")
        copy.reset()
        assert picture(copy.path) == before
    assert picture(root) == before


GO_DEEP = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(1100):
    os.mkdir("deep")
    os.chdir("deep")
"""


def test_reset_copes_with_a_tree_deeper_than_paths_and_stacks_reach(project: Snapshot, tmp_path: Path) -> None:
    with WorkspaceCopy(project, tmp_path) as copy:
        before = content(copy.path)
        subprocess.run([sys.executable, "-c", GO_DEEP, copy.path / "tests"], check=True)
        copy.reset()
        assert content(copy.path) == before
        copy.reset()
        assert content(copy.path) == before
        subprocess.run([sys.executable, "-c", GO_DEEP, copy.path], check=True)
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


NESTS = """
import glob, os

def nest(top):
    home = os.getcwd()
    os.chdir(top)
    for _ in range(3000):
        os.mkdir("d")
        os.symlink("/etc", "link")
        os.chdir("d")
    os.mkdir("locked", 0)
    os.chdir(home)

def test_nest():
    for top in (*glob.glob(".patchwright-*"), "tests", "."):
        nest(top)
    os.makedirs("locked/inner")
    os.chmod("locked/inner", 0)
    os.chmod("locked", 0)
    os.chmod("stats", 0)
"""


@pytest.mark.parametrize("parent", [True, False], ids=["for this job", "kept"])
def test_reset_and_close_cope_with_what_a_tested_program_nested_and_locked(
    project: Snapshot,
    tmp_path: Path,
    sandbox: Sandbox,
    environment: TestEnvironment,
    parent: bool,
) -> None:
    held = tmp_path / "held"
    held.mkdir()
    with WorkspaceCopy(project, held if parent else None) as copy:
        place = copy.path.parents[1]
        before = content(copy.path)
        copy.write(RepoPath("test_nest.py"), NESTS)
        run_tests(sandbox, copy.path, environment, ("test_nest.py",), CancelToken())
        assert (copy.path / "tests/d/d/d").is_dir()
        assert not list(copy.path.glob(".patchwright-*"))
        copy.reset()
        assert content(copy.path) == before
        copy.write(RepoPath("test_nest.py"), NESTS)
        run_tests(sandbox, copy.path, environment, ("test_nest.py",), CancelToken())
    assert list(held.iterdir()) == []
    assert not list(place.glob("aside-*"))
    with WorkspaceCopy(project) as copy:
        assert content(copy.path) == before


def test_reset_copes_with_a_root_that_was_locked(project: Snapshot) -> None:
    with WorkspaceCopy(project) as copy:
        before = content(copy.path)
        copy.path.chmod(0)
        copy.reset()
        assert content(copy.path) == before


def test_a_damaged_store_is_noticed_and_the_users_own_file_serves_while_it_is_the_same(project: Snapshot) -> None:
    with WorkspaceCopy(project) as copy:
        before = content(copy.path)
        store = copy.path.parents[1] / "contents"
        store.write_bytes(b"\0" * store.stat().st_size)
        (copy.path / "stats/mean.py").write_text("spoiled")
        copy.reset()
        assert content(copy.path) == before
        (copy.path / "stats/mean.py").write_text("spoiled")
        (project.root / "stats/mean.py").write_text("and changed by the user")
        with pytest.raises(EnvironmentProblem, match=r"stats/mean\.py.*\n.*run the job again"):
            copy.reset()
    with WorkspaceCopy(take_snapshot(project.root)) as copy:  # the next job does not inherit it
        assert content(copy.path) == content(project.root)


def test_writing_replaces_a_link_and_a_read_only_file_and_keeps_modes(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    with WorkspaceCopy(take_snapshot(root)) as copy:
        before = picture(copy.path)
        for name in ("link.py", "read-only", "run.sh", "new/one.py"):
            copy.write(RepoPath(name), "written\n")
            assert (copy.path / name).read_text() == "written\n"
        assert not (copy.path / "link.py").is_symlink()
        assert (copy.path / "plain.py").read_text() == "x = 1\n"
        assert (copy.path / "run.sh").stat().st_mode & 0o777 == 0o755
        copy.reset()
        assert picture(copy.path) == before


def test_copies_of_one_snapshot_can_be_open_side_by_side(project: Snapshot) -> None:
    with WorkspaceCopy(project) as one, WorkspaceCopy(project) as two, WorkspaceCopy(project) as three:
        assert len({one.path, two.path, three.path}) == 3
        two.write(RepoPath("stats/mean.py"), "other\n")
        assert content(one.path) == content(three.path) == content(project.root)
