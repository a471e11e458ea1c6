"""QuixBugs' layout, on a mirror of the same shape with two programs."""

from pathlib import Path

import pytest

from patchwright_engine.bench.checkout import check_out, find_mirror, to_patch, with_tests
from patchwright_engine.bench.quixbugs import MIRROR, read_quixbugs
from patchwright_engine.errors import EnvironmentProblem
from toy_bug import commit, git, make_mirror

RIGHT = "def {0}(a, b):\n    return a + b\n"
FAULTY = "def {0}(a, b):\n    return a - b\n"
CASES = "[[1, 2], 3]\n"
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
        files[f"json_testcases/{name}.json"] = CASES
        files[f"java_testcases/junit/{name.upper()}_TEST.java"] = "assertEquals(3, gcd(1, 2));\n"
        files[f"correct_java_programs/{name.upper()}.java"] = "return a + b;\n"
    files["tester.py"] = "import correct_python_programs\n"
    commit(tmp_path / "work", files, "all")
    make_mirror(tmp_path / "work", tmp_path / "repos" / MIRROR / "repo")
    return tmp_path / "repos"


def test_one_program_is_faulty_and_nothing_there_tells_its_fix_or_its_cases(repos: Path, tmp_path: Path) -> None:
    gcd, sieve = read_quixbugs(repos)
    assert [gcd.instance_id, sieve.instance_id] == ["quixbugs-gcd", "quixbugs-sieve"]
    tree = tmp_path / "tree"
    check_out(find_mirror(repos, MIRROR, "HEAD"), gcd.base_commit, tree, gcd.replaced)
    files = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.*") if ".git/" not in path.as_posix())
    assert [file for file in files if not file.startswith(".git")] == [
        "json_testcases/sieve.json",
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
    assert (tmp_path / "with/json_testcases/gcd.json").read_text() == CASES


def test_another_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    git(tmp_path / "work", "init", "-q")
    commit(tmp_path / "work", {"a.py": "x = 1\n"}, "other")
    make_mirror(tmp_path / "work", tmp_path / "repos" / MIRROR / "repo")
    with pytest.raises(EnvironmentProblem, match="is not QuixBugs"):
        read_quixbugs(tmp_path / "repos")
