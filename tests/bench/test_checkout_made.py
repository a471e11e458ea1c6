"""Checkouts hold the files of one commit and nothing of what came after."""

import shutil
from pathlib import Path

import pytest

from patchwright_engine.bench.checkout import (
    check_out,
    check_out_sources,
    find_any_mirror,
    find_mirror,
    to_patch,
    with_tests,
)
from patchwright_engine.errors import BadInput, EnvironmentProblem
from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.snapshot import take_snapshot
from toy_bug import CALC, FIXED, HIDDEN, TESTS, Toy, git


@pytest.fixture
def mirror(toy: Toy) -> Path:
    return find_mirror(toy.repos, "toys+calc", toy.row["base_commit"])


@pytest.fixture
def tree(toy: Toy, mirror: Path, tmp_path: Path) -> Path:
    check_out(mirror, toy.row["base_commit"], tmp_path / "calc")
    return tmp_path / "calc"


def test_a_checkout_holds_the_commits_files_the_ignored_ones_too(tree: Path) -> None:
    snapshot = take_snapshot(tree)
    assert set(snapshot.files) == {"calc.py", "tests/test_calc.py", "build/data.txt", ".gitignore"}
    assert (tree / "calc.py").read_text() == CALC


def test_the_fix_is_nowhere_in_its_history(toy: Toy, tree: Path, mirror: Path) -> None:
    assert git(tree, "rev-list", "--all", "--reflog", "--count").strip() == "1"
    known = set(git(tree, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split())
    for path in ("calc.py", "tests/test_calc.py"):
        blobs = git(mirror, "log", "--all", "--format=", "--raw", "--no-abbrev", "--", path).split("\n")
        after = {line.split()[3] for line in blobs if line and line.split()[4] == "M"}
        assert after
        assert not after & known
    assert toy.fix_commit not in known


def test_the_developers_tests_come_as_the_users_own_tree(toy: Toy, tree: Path, tmp_path: Path) -> None:
    (tree / "build" / "generated.py").write_text("made = True\n")
    with_tests(tree, tmp_path / "tests" / "calc", toy.row["test_patch"])
    assert (tmp_path / "tests/calc/tests/test_calc.py").read_text() == HIDDEN
    assert (tmp_path / "tests/calc/build/generated.py").exists()
    assert (tmp_path / "tests/calc/calc.py").read_text() == CALC
    assert (tree / "tests/test_calc.py").read_text() == TESTS
    assert git(tmp_path / "tests" / "calc", "status", "--porcelain") == ""


def test_a_diff_becomes_a_patch_and_leaves_the_tree_alone(toy: Toy, tree: Path) -> None:
    patch = to_patch(tree, toy.row["patch"])
    assert [(edit.path, edit.before, edit.after) for edit in patch.edits] == [("calc.py", CALC, FIXED)]
    assert (tree / "calc.py").read_text() == CALC


def test_a_diff_may_make_a_file(tree: Path) -> None:
    patch = to_patch(tree, "--- /dev/null\n+++ b/new/one.py\n@@ -0,0 +1 @@\n+x = 1\n")
    assert [(edit.path, edit.after, edit.created) for edit in patch.edits] == [("new/one.py", "x = 1\n", True)]


@pytest.mark.parametrize(
    ("diff", "told"),
    [
        ("--- a/calc.py\n+++ b/calc.py\n@@ -1 +1 @@\n-other text\n+x\n", "does not apply"),
        ("nonsense", "does not apply"),
        ("--- a/.gitignore\n+++ /dev/null\n@@ -1 +0,0 @@\n-build/\n", "deletes or renames .gitignore"),
    ],
)
def test_a_diff_that_cannot_be_a_patch_is_told(tree: Path, diff: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        to_patch(tree, diff)


def test_files_may_be_replaced_and_left_out(toy: Toy, mirror: Path, tmp_path: Path) -> None:
    replaced = {RepoPath("calc.py"): FIXED, RepoPath("tests/test_calc.py"): None}
    check_out(mirror, toy.row["base_commit"], tmp_path / "calc", replaced)
    assert (tmp_path / "calc" / "calc.py").read_text() == FIXED
    assert "tests/test_calc.py" not in take_snapshot(tmp_path / "calc").files


def test_a_missing_mirror_or_commit_is_told_with_its_cure(toy: Toy) -> None:
    with pytest.raises(EnvironmentProblem, match="no mirror") as missing:
        find_mirror(toy.repos, "nobody+nothing", "HEAD")
    assert "git clone --mirror" in missing.value.cure
    with pytest.raises(EnvironmentProblem, match="lacks the commit"):
        find_mirror(toy.repos, "toys+calc", "0" * 40)


def test_sources_come_with_the_history_before_and_nothing_after(toy: Toy, mirror: Path, tmp_path: Path) -> None:
    tree = tmp_path / "calc"
    check_out_sources(mirror, toy.row["base_commit"], tree, lambda path: path.endswith(".py"))
    assert set(take_snapshot(tree).files) == {"calc.py", "tests/test_calc.py"}
    assert (tree / "calc.py").read_text() == CALC
    assert git(tree, "rev-list", "--all", "--reflog", "HEAD").split() == [toy.row["base_commit"]]


def test_files_that_the_mirror_lacks_are_left_out(toy: Toy, mirror: Path, tmp_path: Path) -> None:
    partial = shutil.copytree(mirror, tmp_path / "partial")
    name = git(partial, "rev-parse", f"{toy.row['base_commit']}:tests/test_calc.py").strip()
    (partial / "objects" / name[:2] / name[2:]).unlink()
    check_out_sources(partial, toy.row["base_commit"], tmp_path / "calc")
    assert (tmp_path / "calc" / "calc.py").read_text() == CALC
    assert not (tmp_path / "calc" / "tests").exists()


def test_a_fork_that_holds_the_commit_stands_in(toy: Toy, mirror: Path) -> None:
    assert find_any_mirror(toy.repos, "somebody/calc", toy.row["base_commit"]) == mirror


def test_without_any_mirror_the_projects_own_is_asked_for(toy: Toy) -> None:
    with pytest.raises(EnvironmentProblem, match=r"somebody\+calc"):
        find_any_mirror(toy.repos, "somebody/calc", "0" * 40)
