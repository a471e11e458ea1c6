"""Real git: what of submodules, worktrees, repositories inside and links is the workspace, and what is named as not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken, Progress
from patchwright_engine.errors import Cancelled
from patchwright_engine.types import RepoPath, Skipped
from patchwright_engine.workspace.contents import list_contents
from patchwright_engine.workspace.repository import find_repository, head_commit, run_git
from patchwright_engine.workspace.scan import generated_files, scan
from patchwright_engine.workspace.snapshot import take_snapshot
from trees import git

NOT_OURS = "a git repository of its own, no submodule: open it as a workspace"
NOT_THERE = "a submodule that is not checked out: git submodule update --init gets it"


def committed(root: Path, **files: str) -> Path:
    """A repository with these files (`__` stands for a slash, all are Python)."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "--quiet")
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    return root


def add_submodule(root: Path, source: Path, place: str) -> None:
    git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(source), place)
    git(root, "commit", "--quiet", "--message", f"add {place}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a submodule at vendor/lib, which has one of its own at deep."""
    inner = committed(tmp_path / "inner", core="c = 1\n")
    library = committed(tmp_path / "library", src__lib="l = 1\n")
    add_submodule(library, inner, "deep")
    root = committed(tmp_path / "root", main="m = 1\n")
    add_submodule(root, library, "vendor/lib")
    git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive")
    return root


def sources(root: Path) -> list[str]:
    return [path for path in scan(root).files if path.endswith(".py")]


def test_files_of_submodules_belong_to_the_workspace_and_to_its_copies(root: Path) -> None:
    ignored = root / "vendor" / "lib" / "src" / "made.py"
    (root / "vendor" / "lib" / ".gitignore").write_text("made.py\n")
    (root / "vendor" / "lib" / "new.py").write_text("n = 1\n")
    ignored.write_text("generated = 1\n")
    expected = ["main.py", "vendor/lib/deep/core.py", "vendor/lib/new.py", "vendor/lib/src/lib.py"]
    assert sources(root) == expected
    assert scan(root).skipped == ()
    assert {path for path in list_contents(take_snapshot(root)) if path.endswith(".py")} == set(expected)
    before = take_snapshot(root).revision
    (root / "vendor" / "lib" / "deep" / "core.py").write_text("c = 2\n")
    assert take_snapshot(root).revision != before


def test_modules_made_inside_a_submodule_come_along_as_those_of_the_project_do(root: Path) -> None:
    package = root / "vendor" / "lib" / "src"
    (package / "__init__.py").write_text("")
    (package / "_version.py").write_text("version = '1'\n")
    (root / "vendor" / "lib" / ".gitignore").write_text("_version.py\n")
    assert generated_files(root).files == ("vendor/lib/src/_version.py",)


def test_a_submodule_that_is_not_checked_out_is_named(root: Path) -> None:
    git(root, "submodule", "--quiet", "deinit", "--force", "vendor/lib")
    assert sources(root) == ["main.py"]
    assert scan(root).skipped == (Skipped(RepoPath("vendor/lib/"), NOT_THERE),)
    shutil.rmtree(root / "vendor")
    assert scan(root).skipped == (Skipped(RepoPath("vendor/lib/"), NOT_THERE),)


def test_a_link_in_the_place_of_a_submodule_is_not_followed(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "vendor" / "lib")
    (root / "vendor" / "lib").symlink_to(tmp_path / "library", target_is_directory=True)
    assert sources(root) == ["main.py"]
    assert [one.path for one in scan(root).skipped] == ["vendor/lib/"]


def test_a_submodule_whose_git_is_broken_is_named(root: Path) -> None:
    (root / "vendor" / "lib" / ".git").write_text("gitdir: nowhere\n")
    assert sources(root) == ["main.py"]
    assert scan(root).skipped == (Skipped(RepoPath("vendor/lib/"), "a submodule that git cannot read"),)


def test_a_submodule_opened_alone_is_its_own_workspace(root: Path) -> None:
    submodule = root / "vendor" / "lib"
    assert find_repository(submodule / "src") == submodule.resolve()
    assert sources(submodule) == ["deep/core.py", "src/lib.py"]


@pytest.mark.parametrize("with_commit", [True, False])
def test_a_repository_that_merely_lies_inside_is_named_and_not_entered(root: Path, with_commit: bool) -> None:
    if with_commit:
        committed(root / "clone", other="o = 1\n")
    else:
        (root / "clone").mkdir()
        git(root / "clone", "init", "--quiet")
        (root / "clone" / "other.py").write_text("o = 1\n")
    assert "clone/other.py" not in scan(root).files
    assert scan(root).skipped == (Skipped(RepoPath("clone/"), NOT_OURS),)


def test_a_linked_worktree_shows_its_own_branch(root: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(root, "worktree", "add", "--quiet", "-b", "side", str(linked))
    (linked / "side.py").write_text("s = 1\n")
    git(linked, "add", "side.py")
    git(linked, "commit", "--quiet", "--message", "side")
    (linked / "untracked.py").write_text("u = 1\n")
    assert find_repository(linked) == linked.resolve()
    assert sources(linked) == ["main.py", "side.py", "untracked.py"]
    assert sources(root)[0] == "main.py"
    assert "side.py" not in scan(root).files
    assert head_commit(linked) == git(root, "rev-parse", "side").strip() != head_commit(root)
    assert take_snapshot(linked).read_text(RepoPath("side.py")) == "s = 1\n"
    assert [one.reason for one in scan(linked).skipped] == [NOT_THERE]


def test_a_worktree_inside_its_own_repository_is_not_read_twice(root: Path) -> None:
    git(root, "worktree", "add", "--quiet", "-b", "side", str(root / "trees" / "side"))
    assert sources(root) == ["main.py", "vendor/lib/deep/core.py", "vendor/lib/src/lib.py"]
    assert scan(root).skipped == (Skipped(RepoPath("trees/side/"), NOT_OURS),)


def test_a_worktree_whose_repository_is_gone_is_a_plain_folder(root: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(root, "worktree", "add", "--quiet", "-b", "side", str(linked))
    shutil.rmtree(root)
    assert find_repository(linked) == linked.resolve()
    assert scan(linked).files == (".gitmodules", "main.py")


@pytest.mark.parametrize("with_git", [True, False])
def test_links_in_circles_out_of_the_tree_and_into_nothing_are_named(tmp_path: Path, with_git: bool) -> None:
    root = tmp_path / "root"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg" / "a.py").write_text("a = 1\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.py").write_text("s = 1\n")
    for name, target in {
        "pkg/loop": "..",
        "self": ".",
        "one.py": "two.py",
        "two.py": "one.py",
        "dead.py": "nowhere.py",
        "secret.py": "../outside/secret.py",
        "library": "../outside",
        "same": "pkg",
        "same.py": "pkg/a.py",
        "null.py": "/dev/null",
    }.items():
        (root / name).symlink_to(target)
    if with_git:
        git(root, "init", "--quiet")
    assert scan(root).files == ("pkg/a.py", "same.py")
    assert {one.path: one.reason for one in scan(root).skipped} == {
        "one.py": "a link that leads in a circle",
        "two.py": "a link that leads in a circle",
        "dead.py": "a link that leads nowhere",
        "secret.py": "a link out of the workspace",
        "library/": "a link out of the workspace",
        "null.py": "a link out of the workspace",
    }


def test_pipes_and_deep_folders_do_not_stop_a_walk(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    deep = tmp_path
    for _ in range(40):
        deep = deep / ("d" * 50)
        deep.mkdir()
    (deep / "a.py").write_text("a = 1\n")
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1100):  # Deeper than Python recurses.
        os.mkdir("e", dir_fd=folder)
        inner = os.open("e", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("b.py", os.O_CREAT, dir_fd=folder))
    os.close(folder)
    found, snapshot = scan(tmp_path), take_snapshot(tmp_path)
    subprocess.run(["rm", "-rf", tmp_path / "e"], check=True)  # pytest could not
    assert [path.rpartition("/")[2] for path in found.files] == ["a.py", "b.py"]
    assert found.skipped == (Skipped(RepoPath("pipe.py"), "neither a file nor a folder"),)
    assert len(snapshot.files) == 2


UNREADABLE = """
import sys
from pathlib import Path
from patchwright_engine.workspace.snapshot import take_snapshot
snapshot = take_snapshot(Path(sys.argv[1]))
print(sorted(snapshot.files), [(one.path, one.reason) for one in snapshot.skipped])
"""


def test_what_the_user_may_not_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    for name in ("a.py", "private.py", "closed/b.py"):
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / "private.py").chmod(0)
    (tmp_path / "closed").chmod(0)
    command = [sys.executable, "-P", "-c", UNREADABLE, str(tmp_path)]
    if os.geteuid() == 0:
        if shutil.which("bwrap") is None:
            pytest.skip("root may read everything, and there is no bubblewrap to give that up")
        command = ["bwrap", "--dev-bind", "/", "/", "--cap-drop", "ALL", *command]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    finally:
        (tmp_path / "closed").chmod(0o755)
    denied = "cannot be read: Permission denied"
    assert done.stdout == f"['a.py'] [('closed/', '{denied}'), ('private.py', '{denied}')]\n"


def test_a_cancel_ends_git_and_the_walk(root: Path, tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    for work in (lambda: run_git(root, "ls-files", cancel=cancel), lambda: scan(tmp_path / "root", cancel)):
        with pytest.raises(Cancelled):
            work()
    shutil.rmtree(root / ".git")
    with pytest.raises(Cancelled):
        scan(root, cancel)


def test_a_snapshot_tells_how_far_it_is(root: Path) -> None:
    for number in range(300):
        (root / f"m{number}.py").write_text("x = 1\n")
    seen: list[Progress] = []
    take_snapshot(root, progress=seen.append)
    assert len(seen) > 1
    assert (seen[-1].stage, seen[-1].message) == ("index", "read 305 of 305 files")
