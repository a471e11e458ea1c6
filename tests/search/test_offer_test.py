"""A reproduction becomes a test file a maintainer would keep: named after the issue, beside the nearest test."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from patchwright_engine.search.offer_test import place_of, slug_of, source_of
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.workspace.snapshot import take_snapshot

CLAIM = "import pytest\nfrom calc import add\nLIMIT = 3\ndef test_issue():\n    assert add(LIMIT, 2) == 5\n"


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("`add(2, 3)` returns -1", "add_2_3_returns_1"),
        ("The parser can't read an empty list of the thing twice", "parser_cant_read_empty_list"),
        ("日本語", "issue"),
        ("", "issue"),
        ("x" * 200, "x" * 50),
    ],
)
def test_names_come_from_the_title(title: str, slug: str) -> None:
    assert slug_of(title) == slug
    assert f"test_{slug}".isidentifier()


def snapshot(*paths: str) -> Snapshot:
    return Snapshot(Path("/"), "r", dict.fromkeys(map(RepoPath, paths), "hash"))


def test_it_lies_beside_the_nearest_test_and_never_on_another_file() -> None:
    assert place_of(snapshot("pkg/tests/test_a.py", "tests/test_b.py"), ("pkg/tests/test_a.py",), "x") == (
        "pkg/tests/test_x.py"
    )
    assert place_of(snapshot("tests/data.txt"), (), "x") == "tests/test_x.py"
    assert place_of(snapshot("a.py"), ("a.py",), "x") == "test_x.py"
    assert place_of(snapshot("test_x.py", "test_x_2.py"), (), "x") == "test_x_3.py"


@pytest.mark.parametrize(
    ("settings", "nearest", "expected"),
    [
        ("python_files = check_*.py", "suite/check_a.py", "suite/check_x.py"),
        ("python_files = *_spec.py test_it.py", "suite/a_spec.py", "suite/x_spec.py"),
        ("python_files = check_*.py test_*.py", "suite/check_a.py", "suite/test_x.py"),
        ("python_files = suite/*.py", "suite/a.py", "suite/test_x.py"),
        ("python_files = [a-z]?.py", "suite/a1.py", "suite/test_x.py"),
        ("testpaths = suite", "suite/tests_a.py", "suite/test_x.py"),
    ],
)
def test_it_is_named_as_the_projects_own_settings_name_tests(
    settings: str, nearest: str, expected: str, make_repository: Callable[[Mapping[str, str]], Path]
) -> None:
    method = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): pass\n"
    root = make_repository({"pytest.ini": f"[pytest]\n{settings}\n", nearest: method, "core.py": ">>> 1\n"})
    assert place_of(take_snapshot(root), ("core.py", nearest), "x") == expected


CASE_CLAIM = (
    "import unittest\nfrom calc import add\nclass IssueTest(unittest.TestCase):\n"
    "    def test_issue(self):\n        self.assertEqual(add(3, 2), 5)\n"
)


@pytest.mark.parametrize(
    ("claim", "as_case"), [(CLAIM, False), (CLAIM, True), (CASE_CLAIM, True)], ids=["function", "made a case", "case"]
)
def test_the_text_runs_under_its_framework(
    claim: str, as_case: bool, make_repository: Callable[[Mapping[str, str]], Path]
) -> None:
    text = source_of(claim, "sums", *(("unittest.TestCase", "import unittest") if as_case else ()))
    root = make_repository({"calc.py": "def add(a, b):\n    return a + b\n", "test_x.py": text})
    assert "def test_sums(" in text
    assert ("class SumsTest(unittest.TestCase)" in text) == as_case
    assert ("self.assertEqual(add(" in text) == as_case
    assert "\n\n\n\n" not in text
    module = "unittest" if as_case else "pytest"
    argv = [sys.executable, "-m", module, "test_x.py"]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 1 test" in done.stderr if as_case else "1 passed" in done.stdout
