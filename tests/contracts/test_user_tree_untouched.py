"""A whole verification with hostile tests leaves the user's tree, index, stash, refs and ignored files as they were.

Every entry is compared to the nanosecond: inode, mode, owner, number of links, size, times of change, content.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import SandboxUnavailable
from patchwright_engine.sandbox.select import LEVELS, select_sandbox
from patchwright_engine.types import Evidence, FileEdit, Patch, RepoPath
from patchwright_engine.verify.context import open_verification, try_reproduction, with_reproduction
from patchwright_engine.verify.discovery import find_test_files
from patchwright_engine.verify.environment import discover_environment
from patchwright_engine.verify.evidence import verify_patch
from patchwright_engine.workspace.snapshot import take_snapshot
from trees import exact_picture, git, make_awkward

MEAN = "def mean(values):\n    return sum(values) / len(values)\n"
ISSUE = "mean([]) raises ZeroDivisionError: division by zero. It should return 0 for an empty list."
REPRODUCTION = "from pkg.mean import mean\n\n\ndef test_empty():\n    assert mean([]) == 0\n"
HOSTILE = """\
import os, shutil, subprocess
from pathlib import Path
from pkg.mean import mean

HERE = Path(__file__).resolve().parent
USER = Path({user!r})


def attempt(work, *arguments):
    try:
        work(*arguments)
    except Exception:
        pass


def test_mean():
    assert mean([1, 3]) == 2


def test_that_spoils_all_it_reaches():
    for top in (HERE, USER):
        for path in sorted(top.rglob("*"), reverse=True) + [top / ".git" / "hooks" / "post-commit", top / "new.py"]:
            if path == Path(__file__) or "patchwright" in path.name or path.name == "report.jsonl":
                continue
            attempt(os.utime, path, (0, 0))
            attempt(path.chmod, 0o777)
            attempt(path.write_bytes, b"spoiled")
            attempt(os.link, path, HERE / "second-name")
            if path.name != "__init__.py":
                attempt(path.unlink)
    for command in (["commit", "--allow-empty", "-am", "x"], ["stash", "drop"], ["gc"], ["config", "a.b", "c"]):
        attempt(subprocess.run, ["git", "-C", str(USER), *command])
    attempt(shutil.rmtree, USER)
    assert not (HERE / "windows.py").exists()
"""


def make_user_tree(root: Path) -> Path:
    """A repository in the middle of somebody's work: staged, unstaged, stashed, untracked and ignored changes."""
    root = make_awkward(root)
    (root / "pkg" / "mean.py").write_text(MEAN)
    (root / "test_mean.py").write_text(HOSTILE.format(user=str(root)))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "second")
    git(root, "branch", "other")
    git(root, "tag", "v1")
    (root / "windows.py").write_text("stashed\n")
    git(root, "stash", "push", "--quiet")
    (root / "no-end").write_text("staged\n")
    git(root, "add", "no-end")
    (root / "same-a").write_text("not staged\n")
    (root / "untracked.py").write_text("x = 1\n")
    (root / "secret.env").write_text("KEY=secret\n")
    (root / "ignored").mkdir()
    (root / "ignored" / "cache.bin").write_bytes(b"\0" * 1000)
    (root / "pkg" / "_version.py").write_text("v = 1\n")
    hook = root / ".git" / "hooks" / "post-checkout"
    hook.write_text("#!/bin/sh\ntouch hook-ran\n")
    hook.chmod(0o755)
    return root


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))


def state(root: Path) -> Mapping[str, object]:
    """What git would say, besides every byte and stamp below the root."""
    before = exact_picture(root)
    said = {
        command: git(root, "--no-optional-locks", *command.split())
        for command in ("status --porcelain --ignored", "stash list -p", "for-each-ref", "reflog --all", "ls-files -s")
    }
    assert exact_picture(root) == before  # asking changes nothing, so it may be compared
    return {**before, **said}


@pytest.mark.parametrize("level", LEVELS)
def test_a_verification_leaves_every_byte_and_stamp_of_the_users_tree_alone(tmp_path: Path, level: str) -> None:
    try:
        sandbox = select_sandbox(level)
    except SandboxUnavailable as error:
        pytest.skip(error.message)
    root = make_user_tree(tmp_path / "project")
    before = state(root)
    for job in (1, 2):  # the second works on the copy that the first one left
        snapshot = take_snapshot(root, {RepoPath("unsaved.py"): "u = 1\n", RepoPath("plain.py"): "x = 2\n"})
        path = RepoPath("pkg/mean.py")
        mended = MEAN.replace("sum(values) / len(values)", "sum(values) / len(values) if values else 0")
        with open_verification(
            snapshot,
            sandbox=sandbox,
            environment=discover_environment(root),
            issue_text=ISSUE,
            selection=find_test_files(snapshot),
            cancel=CancelToken(),
            timeout_seconds=60.0,
        ) as context:
            assert context.baseline is not None
            report = context.baseline.report
            assert report.results["test_mean.py::test_that_spoils_all_it_reaches"] == "passed", report.failures
            if job == 2:
                reproduction = try_reproduction(REPRODUCTION, context, CancelToken())
                assert reproduction.valid, reproduction.reason
                patch = Patch((FileEdit(path, MEAN, mended),))
                verification = verify_patch(patch, with_reproduction(context, reproduction), CancelToken())
                assert verification.evidence is Evidence.REPRODUCED, verification.feedback
        assert state(root) == before


def test_the_picture_tells_the_smallest_change(tmp_path: Path) -> None:
    root = make_user_tree(tmp_path / "project")
    before = state(root)
    content = (root / "secret.env").read_bytes()
    (root / "secret.env").write_bytes(content)
    assert state(root) != before
    before = state(root)
    git(root, "stash", "drop", "--quiet")
    assert state(root) != before
