"""QuixBugs' layout, on a mirror of the same shape with two programs."""

from pathlib import Path

import pytest

from patchwright_engine.bench.checkout import check_out, find_mirror, to_patch, with_tests
from patchwright_engine.bench.quixbugs import MIRROR, read_quixbugs
from patchwright_engine.errors import EnvironmentProblem
from toy_bug import commit, git, make_mirror

RIGHT = "def {0}(a, b):\n    return a + b\n"
FAULTY = "def {0}(a, b):\n    return a - b\n"
TEST = "from python_programs.{0} import {0}\n\n\ndef test_{0}():\n    assert {0}(1, 2) == 3\n"


@pytest.fixture
def repos(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    git(tmp_path / "work", "init", "-q")
    files = {"python_programs/gcd_test.py": "print('no test')\n", "python_testcases/load_testdata.py": "x = 1\n"}
    for name in ("gcd", "sieve"):
        files[f"correct_python_programs/{name}.py"] = RIGHT.format(name)
        files[f"python_programs/{name}.py"] = FAULTY.format(name)
        files[f"python_testcases/test_{name}.py"] = TEST.format(name)
    commit(tmp_path / "work", files, "all")
    make_mirror(tmp_path / "work", tmp_path / "repos" / MIRROR / "repo")
    return tmp_path / "repos"


def test_one_program_is_faulty_and_the_correct_ones_folder_is_gone(repos: Path, tmp_path: Path) -> None:
    gcd, sieve = read_quixbugs(repos)
    assert [gcd.instance_id, sieve.instance_id] == ["quixbugs-gcd", "quixbugs-sieve"]
    tree = tmp_path / "tree"
    check_out(find_mirror(repos, MIRROR, "HEAD"), gcd.base_commit, tree, gcd.replaced)
    files = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.py"))
    assert files == [
        "python_programs/gcd.py",
        "python_programs/sieve.py",
        "python_testcases/load_testdata.py",
        "python_testcases/test_sieve.py",
    ]
    assert (tree / "python_programs/gcd.py").read_text() == FAULTY.format("gcd")
    assert (tree / "python_programs/sieve.py").read_text() == RIGHT.format("sieve")
    assert [edit.after for edit in to_patch(tree, gcd.patch).edits] == [RIGHT.format("gcd")]
    with_tests(tree, tmp_path / "with", gcd.test_patch)
    assert (tmp_path / "with/python_testcases/test_gcd.py").read_text() == TEST.format("gcd")


def test_another_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    git(tmp_path / "work", "init", "-q")
    commit(tmp_path / "work", {"a.py": "x = 1\n"}, "other")
    make_mirror(tmp_path / "work", tmp_path / "repos" / MIRROR / "repo")
    with pytest.raises(EnvironmentProblem, match="is not QuixBugs"):
        read_quixbugs(tmp_path / "repos")
