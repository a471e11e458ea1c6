"""Which test an editor's user means: by the cursor, or by a name as seen from the folder that is open."""

import subprocess
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.host.named_test import find_test, seen_from_repository
from patchwright_engine.index import open_index
from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.snapshot import take_snapshot

TESTS = """\
import unittest


def helper():
    return 1


class FirstTest(unittest.TestCase):
    limit = 3

    def test_a(self):
        def inner():
            return 2

        self.assertEqual(inner(), 2)


@decorated
def test_b():
    pass
"""
FILE = RepoPath("tests/test_it.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = (tmp_path / "project").resolve()
    (root / "tests").mkdir(parents=True)
    (root / FILE).write_text(TESTS)
    (root / "plain.py").write_text("def checked():\n    return 1\n\n\nclass Plain:\n    pass\n")
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("def test_a", f"{FILE}::FirstTest::test_a"),
        ("return 2", f"{FILE}::FirstTest::test_a"),
        ("limit = 3", f"{FILE}::FirstTest"),
        ("    pass", f"{FILE}::test_b"),
        ("def test_b", f"{FILE}::test_b"),
        ("return 1", FILE),
        ("import unittest", FILE),
    ],
)
def test_the_test_at_the_cursor_is_the_innermost_one(root: Path, tmp_path: Path, words: str, name: str) -> None:
    with open_index(root, tmp_path / "cache") as index:
        index.refresh(take_snapshot(root), CancelToken())
        line = TESTS[: TESTS.index(words)].count("\n") + 1
        found = find_test(FILE, line, index.symbols(FILE))
    assert found is not None
    assert found[0] == name
    assert found[1] <= line <= max(found[2], line if name == FILE else 0)


@pytest.mark.parametrize("line", [1, 2, 4, 5])
def test_a_file_without_tests_has_none(root: Path, tmp_path: Path, line: int) -> None:
    path = RepoPath("plain.py")
    with open_index(root, tmp_path / "cache") as index:
        index.refresh(take_snapshot(root), CancelToken())
        symbols = index.symbols(path)
    assert {one.name for one in symbols} == {"checked", "Plain"}
    assert find_test(path, line, symbols) is None


@pytest.mark.parametrize(
    ("folder", "command", "seen"),
    [
        ("tests", "test_it.py::test_b", "tests/test_it.py::test_b"),
        ("tests", "pytest -q ./test_it.py", "pytest -q tests/test_it.py"),
        ("tests", "{root}/tests/test_it.py::FirstTest::test_a", "tests/test_it.py::FirstTest::test_a"),
        (".", "tests/test_it.py::test_b", "tests/test_it.py::test_b"),
        ("tests", "python -m unittest test_it.FirstTest", "python -m unittest test_it.FirstTest"),
        ("tests", "missing.py::test_b", "missing.py::test_b"),
        ("tests", "../../outside.py", "../../outside.py"),
        ("tests", "an 'unclosed quote", "an 'unclosed quote"),
    ],
)
def test_names_are_seen_from_the_repository(root: Path, folder: str, command: str, seen: str) -> None:
    (root.parent / "outside.py").write_text("")
    assert seen_from_repository(command.format(root=root), (root / folder).resolve(), root) == seen
