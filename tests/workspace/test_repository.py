"""Finding the workspace root: git's top level, a plain folder of sources, or an error with a cure."""

import subprocess
from pathlib import Path

import pytest

from patchwright_engine.errors import BadInput
from patchwright_engine.workspace.repository import find_repository, head_commit


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg" / "a.py").write_text("x = 1\n")
    (root / ".gitignore").write_text("build/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "start")
    return root


def test_a_folder_inside_a_repository_gives_the_top_level(repository: Path) -> None:
    assert find_repository(repository / "pkg") == repository.resolve()


def test_an_ignored_folder_with_sources_is_its_own_root(repository: Path) -> None:
    inner = repository / "build" / "copy"
    inner.mkdir(parents=True)
    (inner / "b.py").write_text("y = 2\n")
    assert find_repository(inner) == inner.resolve()


def test_a_folder_without_git_counts_when_it_has_sources(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.py").write_text("")
    assert find_repository(tmp_path) == tmp_path.resolve()


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "only data"])
def test_what_is_no_workspace_is_refused_with_a_cure(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "file":
        path.write_text("print(1)")
    elif kind != "missing":
        path.mkdir()
    if kind == "only data":
        (path / "notes.bin").write_bytes(b"\0")
    with pytest.raises(BadInput) as caught:
        find_repository(path)
    assert caught.value.cure


def test_head_commit_is_the_checked_out_one_or_none(repository: Path, tmp_path: Path) -> None:
    assert head_commit(repository) == git(repository, "rev-parse", "HEAD").strip()
    assert head_commit(tmp_path) is None


def test_a_program_named_by_the_repository_is_not_run(repository: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    hook = tmp_path / "monitor.sh"
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(hook))
    from patchwright_engine.workspace.scan import scan

    assert "pkg/a.py" in scan(repository).files
    assert not mark.exists()


def test_asking_git_leaves_the_repository_untouched(repository: Path) -> None:
    (repository / "pkg" / "a.py").touch()
    index = repository / ".git" / "index"
    before = (index.read_bytes(), index.stat().st_mtime_ns, sorted(p.name for p in (repository / ".git").iterdir()))
    find_repository(repository)
    head_commit(repository)
    from patchwright_engine.workspace.snapshot import take_snapshot

    take_snapshot(repository)
    after = (index.read_bytes(), index.stat().st_mtime_ns, sorted(p.name for p in (repository / ".git").iterdir()))
    assert after == before


def test_the_git_environment_of_a_hook_does_not_mislead(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert find_repository(repository / "pkg") == repository.resolve()
    assert head_commit(repository) is not None
