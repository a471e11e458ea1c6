"""Commits as git's log tells them: before HEAD only, offline, odd names and messages included."""

import subprocess
from pathlib import Path

import pytest

from patchwright_engine.workspace.history import BATCH, MAX_PATHS, Commit, read_commits, recent_commits


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def commit(folder: Path, message: str, **files: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    return root


def everything(root: Path) -> tuple[Commit, ...]:
    return read_commits(root, recent_commits(root, 100))


def test_commits_come_newest_first_with_their_files(root: Path) -> None:
    first = commit(root, "Add a parser\n\nIt reads words.", parser="1", words="1")
    second = commit(root, "Mend the parser", parser="2")
    assert recent_commits(root, 100) == (second, first)
    assert recent_commits(root, 1) == (second,)
    newest, oldest = everything(root)
    assert (newest.id, newest.message, newest.paths) == (second, "Mend the parser", ("parser",))
    assert (oldest.message, set(oldest.paths)) == ("Add a parser\n\nIt reads words.", {"parser", "words"})
    assert newest.seconds >= oldest.seconds > 1_600_000_000


def test_what_comes_after_head_is_not_seen(root: Path) -> None:
    first = commit(root, "one", a="1")
    commit(root, "two", a="2")
    git(root, "checkout", "-q", "--detach", first)
    assert recent_commits(root, 100) == (first,)


def test_merges_are_left_out(root: Path) -> None:
    commit(root, "one", a="1")
    git(root, "checkout", "-q", "-b", "side")
    commit(root, "side", b="1")
    git(root, "checkout", "-q", "main")
    commit(root, "two", a="2")
    git(root, "merge", "-q", "--no-ff", "-m", "merged", "side")
    assert {one.message for one in everything(root)} == {"one", "side", "two"}


def test_odd_names_and_messages_spoil_no_other_commit(root: Path) -> None:
    commit(root, "plain", a="1")
    commit(root, "ünïcode naïve", **{"ä ö.py": "1"})
    commit(root, "line feed", **{"x\ny": "1", "z": "1"})
    commit(root, "forged \x01\x02\x03 separators", b="1")
    commit(root, "last", c="1")
    told = {one.message: one.paths for one in everything(root)}
    assert told["plain"] == ("a",)
    assert told["ünïcode naïve"] == ("ä ö.py",)
    assert told["line feed"] == ("z",)
    assert told["last"] == ("c",)


def test_a_commit_of_very_many_files_names_none(root: Path) -> None:
    commit(root, "reformat", **{f"f{number}": "1" for number in range(MAX_PATHS + 1)})
    commit(root, "big", **{f"f{number}": "2" for number in range(MAX_PATHS)})
    assert {one.message: len(one.paths) for one in everything(root)} == {"reformat": 0, "big": MAX_PATHS}


def test_more_commits_than_one_command_reads(root: Path) -> None:
    tree = git(root, "write-tree")
    last = ""
    lines = []
    for number in range(BATCH + 5):
        lines.append(f"commit refs/heads/main\nmark :{number + 1}\ncommitter t <t@example.org> {number + 10} +0000\n")
        lines.append(f"data 4\nm{number:03d}\n" + (f"from :{number}\n" if number else ""))
    assert tree
    subprocess.run(["git", "fast-import", "--quiet"], cwd=root, input="".join(lines), text=True, check=True, timeout=60)
    last = git(root, "rev-parse", "main")
    found = read_commits(root, recent_commits(root, 10_000))
    assert len(found) == BATCH + 5
    assert last in {one.id for one in found}


@pytest.mark.parametrize("prepare", ["nothing", "empty repository", "broken repository"])
def test_without_commits_there_is_no_history(tmp_path: Path, prepare: str) -> None:
    if prepare == "empty repository":
        git(tmp_path, "init", "-q")
    elif prepare == "broken repository":
        (tmp_path / ".git").mkdir()
    assert recent_commits(tmp_path, 10) == ()
    assert read_commits(tmp_path, ()) == ()
    assert read_commits(tmp_path, ("0" * 40,)) == ()
