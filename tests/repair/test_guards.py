"""What a patch may not touch."""

import pytest

from patchwright_engine.repair.guards import forbidden, is_judging_file
from patchwright_engine.types import RepoPath


@pytest.mark.parametrize(
    "path",
    [
        "tests/data/x.json", "pkg/tests/util.py", "test/run.py", "Tests/a.py", "pkg/test_a.py", "pkg/a_test.py",
        "app/tests.py", "conftest.py", "pkg/conftest.py", "pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml",
        "noxfile.py", "sitecustomize.py", "x.pth", ".coveragerc",
        "lib/cart_spec.rb", "src/CartTest.php", "src/CartTests.cs", "src/cart_test.cc", "phpunit.xml", "CMakeLists.txt",
    ],
)  # fmt: skip
def test_files_that_judge_are_known(path: str) -> None:
    assert path in (is_judging_file(path) or "")
    assert forbidden(path, None)


@pytest.mark.parametrize(
    "path",
    ["src/a.py", "django/test/client.py", "src/testing.py", "contest.py", "setup.py", "a_test.txt", "src/Latest.cs"],
)
def test_other_files_may_change(path: str) -> None:
    assert is_judging_file(path) is None
    assert forbidden(path, None) is None


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../a.py", "a/../../b.py", "~/a.py", "C:/a.py", "a\\b.py", ".git/hooks/x", ""]
)
def test_no_path_leaves_the_repository(path: str) -> None:
    assert forbidden(path, None)


def test_only_the_files_of_the_task_may_change() -> None:
    assert forbidden("a.py", frozenset({RepoPath("b.py")})) == "a.py is not among the files of this task"
    assert forbidden("b.py", frozenset({RepoPath("b.py")})) is None
