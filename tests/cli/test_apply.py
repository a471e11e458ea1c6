"""`--apply` writes all of a fix or nothing of it, new files included."""

import dataclasses
import io
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from patchwright_engine.cli.apply import apply_fix
from patchwright_engine.errors import EnvironmentProblem, StaleSnapshot
from patchwright_engine.types import Evidence, FileEdit, Fix, Patch, RepoPath

EDIT = FileEdit(RepoPath("a.py"), "a = 1\n", "a = 2\n")
NEW = FileEdit(RepoPath("pkg/new.py"), "", "b = 1\n", created=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = (tmp_path / "project").resolve()
    root.mkdir()
    (root / "a.py").write_text("a = 1\n")
    return root


def fix(*edits: FileEdit, evidence: Evidence = Evidence.REPRODUCED) -> Fix:
    return Fix("id", 1, evidence, 1.0, Patch(edits), "")


def apply(root: Path, *edits: FileEdit) -> str:
    out = io.StringIO()
    assert apply_fix(fix(*edits), root, Console(file=out, width=200))
    return out.getvalue()


def files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_a_new_file_is_made_with_its_folder(project: Path) -> None:
    assert "a.py, pkg/new.py" in apply(project, EDIT, NEW)
    assert files(project) == {"a.py": "a = 2\n", "pkg/new.py": "b = 1\n"}
    assert (project / "pkg/new.py").stat().st_mode & 0o777 == (project / "a.py").stat().st_mode & 0o777


def test_the_diff_of_a_new_file_is_one_that_git_applies(project: Path) -> None:
    subprocess.run(["git", "apply", "-"], input=Patch((EDIT, NEW)).diff.encode(), cwd=project, check=True)
    assert files(project) == {"a.py": "a = 2\n", "pkg/new.py": "b = 1\n"}


def test_its_regression_test_is_added_when_asked_and_only_then(project: Path) -> None:
    test = FileEdit(RepoPath("tests/test_a.py"), "", "def test_a(): ...\n", created=True)
    with_one = dataclasses.replace(fix(EDIT), test=test)
    out = io.StringIO()
    assert apply_fix(with_one, project, Console(file=out, width=200), with_test=True)
    assert "Added its test tests/test_a.py." in out.getvalue()
    assert files(project) == {"a.py": "a = 2\n", "tests/test_a.py": "def test_a(): ...\n"}
    (project / "a.py").write_text("a = 1\n")
    (project / "tests/test_a.py").unlink()
    assert apply_fix(with_one, project, Console(file=io.StringIO()))
    assert files(project) == {"a.py": "a = 2\n"}
    (project / "a.py").write_text("a = 1\n")
    assert apply_fix(fix(EDIT), project, Console(file=out, width=200), with_test=True)
    assert "There is no regression test to add." in out.getvalue()


@pytest.mark.parametrize("evidence", [Evidence.REGRESSION_ONLY, Evidence.PARSES])
def test_what_is_not_verified_is_not_applied(project: Path, evidence: Evidence) -> None:
    assert not apply_fix(fix(EDIT, evidence=evidence), project, Console(file=io.StringIO()))
    assert files(project) == {"a.py": "a = 1\n"}


def test_a_file_made_by_someone_else_meanwhile_is_not_overwritten(project: Path) -> None:
    (project / "pkg").mkdir()
    (project / "pkg/new.py").write_text("precious\n")
    with pytest.raises(StaleSnapshot, match=r"new\.py has been created by someone else"):
        apply(project, EDIT, NEW)
    assert files(project) == {"a.py": "a = 1\n", "pkg/new.py": "precious\n"}


def test_an_empty_file_made_by_someone_else_meanwhile_is_not_taken_for_none(project: Path) -> None:
    (project / "pkg").mkdir()
    (project / "pkg/new.py").touch()
    with pytest.raises(StaleSnapshot, match=r"new\.py has been created by someone else"):
        apply(project, EDIT, NEW)
    assert files(project) == {"a.py": "a = 1\n", "pkg/new.py": ""}


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_file_made_by_someone_else_in_the_last_moment_is_not_overwritten(
    project: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    link, chmod = os.link, Path.chmod

    def late(self: Path, mode: int) -> None:
        chmod(self, mode)
        if self.parent.name == "pkg":
            (project / "pkg/new.py").write_text("precious\n")

    def refused(*_: object, **__: object) -> None:
        raise OSError(1, "no hard links here")

    monkeypatch.setattr(Path, "chmod", late)
    monkeypatch.setattr("os.link", link if hard_links else refused)
    with pytest.raises(EnvironmentProblem, match=r"cannot write pkg/new\.py"):
        apply(project, EDIT, NEW)
    assert files(project) == {"a.py": "a = 1\n", "pkg/new.py": "precious\n"}


@pytest.mark.parametrize("leads", ["inside.py", "../outside.py"])
def test_a_new_file_is_never_made_behind_a_dangling_link(project: Path, leads: str) -> None:
    (project / "pkg").mkdir()
    (project / "pkg/new.py").symlink_to(leads)
    with pytest.raises(StaleSnapshot, match=r"pkg/new\.py (is a link|lies outside)"):
        apply(project, EDIT, NEW)
    assert files(project) == {"a.py": "a = 1\n"}
    assert not (project.parent / "outside.py").exists()


@pytest.mark.parametrize("path", ["../new.py", "away/new.py", "/tmp/patchwright-never/new.py"])
def test_a_new_file_outside_the_project_is_refused(project: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (project / "away").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StaleSnapshot, match="outside the workspace"):
        apply(project, EDIT, FileEdit(RepoPath(path), "", "b = 1\n", created=True))
    assert files(project) == {"a.py": "a = 1\n"}
    assert sorted(one.name for one in tmp_path.rglob("*.py")) == ["a.py"]


def test_nothing_is_written_through_a_link_out_of_the_project(project: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("a = 1\n")
    (project / "a.py").unlink()
    (project / "a.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(StaleSnapshot, match="outside the workspace"):
        apply(project, EDIT)
    assert (tmp_path / "outside.py").read_text() == "a = 1\n"


def test_when_one_file_cannot_be_written_the_others_are_put_back(project: Path) -> None:
    (project / "file").write_text("in the way\n")
    blocked = FileEdit(RepoPath("file/new.py"), "", "b = 1\n", created=True)
    second = FileEdit(RepoPath("first.py"), "", "c = 1\n", created=True)
    with pytest.raises((EnvironmentProblem, StaleSnapshot)) as raised:
        apply(project, EDIT, second, blocked)
    assert "file/new.py" in raised.value.message
    assert files(project) == {"a.py": "a = 1\n", "file": "in the way\n"}


def test_a_write_that_fails_late_names_its_own_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def failing(self: Path, target: Path) -> Path:
        if target.name == "new.py":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    monkeypatch.setattr("os.link", lambda *_, **__: (_ for _ in ()).throw(OSError(1, "no hard links here")))
    with pytest.raises(EnvironmentProblem, match=r"cannot write pkg/new\.py: No space left") as raised:
        apply(project, EDIT, NEW)
    assert "Nothing was changed." in raised.value.cure
    assert files(project) == {"a.py": "a = 1\n"}
    assert [path.name for path in project.iterdir()] == ["a.py"]  # no folder either


def test_what_deserves_a_second_look_is_said_when_it_is_applied(project: Path) -> None:
    out = io.StringIO()
    doubted = replace(fix(EDIT), flags=("swallows every error: `[x]` in a.py",))
    assert apply_fix(doubted, project, Console(file=out, width=200))
    assert "Look closely: the patch swallows every error: `[x]` in a.py" in out.getvalue()
    assert "Look closely" not in apply(project, FileEdit(RepoPath("a.py"), "a = 2\n", "a = 3\n"))
