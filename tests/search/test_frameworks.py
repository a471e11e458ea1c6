"""Each framework's openings and worked examples are files that this framework runs."""

import ast
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from patchwright_engine.model.prompting import load_examples
from patchwright_engine.search.frameworks import PYTEST, UNITTEST, Framework, framework_of
from patchwright_engine.search.nearby_tests import Excerpt
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.workspace.snapshot import take_snapshot

DJANGO = Framework("Django", "from django.test import SimpleTestCase", "SimpleTestCase")
SYMPY = Framework("SymPy", "from sympy.testing.pytest import raises", raises="raises")
ALL = pytest.mark.parametrize("framework", [PYTEST, UNITTEST, DJANGO, SYMPY], ids=lambda framework: framework.name)


@ALL
@pytest.mark.parametrize(("asserting", "rest"), [(False, "{indent}x = add(1, 1)\n"), (True, "{claim}")])
def test_an_opening_goes_on_as_a_test(framework: Framework, asserting: bool, rest: str) -> None:
    claim = "Equal(add(1, 1), 2)" if framework.base else "add(1, 1) == 2"
    indent = "        " if framework.base else "    "
    text = framework.opening("from calc import add", asserting=asserting)
    module = ast.parse(text + rest.format(indent=indent, claim=claim))
    assert ast.unparse(module.body[0]) == framework.header
    assert ast.unparse(module.body[1]) == "from calc import add"
    last = module.body[-1]
    assert last.name == ("IssueTest" if framework.base else "test_issue")  # type: ignore[attr-defined]
    assert ("assert" in ast.unparse(last)) == asserting


def test_pytests_opening_is_what_it_was() -> None:
    """Recorded searches and kept prefixes hold it."""
    head = "import pytest\nfrom calc import add\n\n\ndef test_issue():\n"
    assert PYTEST.opening("from calc import add", asserting=False) == head
    marked = "    # the correct result, which the code does not give yet\n    assert "
    assert PYTEST.opening("from calc import add", asserting=True) == head + marked


def test_what_the_issue_imports_is_not_imported_twice() -> None:
    opening = UNITTEST.opening("import unittest\nfrom calc import add", asserting=False)
    assert opening.count("import unittest") == 1


SLUG = """\
def make_slug(text):
    return text.lower().replace(" ", "-")

def mean(values):
    return sum(values) / len(values) if values else 0.0

def set_age(name, age):
    if age < 0:
        raise ValueError(age)
"""


@pytest.mark.parametrize("number", range(3))
def test_a_worked_example_as_a_case_runs(number: int, make_repository: Callable[[Mapping[str, str]], Path]) -> None:
    example = load_examples()[number]
    module = example.imports.split()[1]
    text = UNITTEST.written(example.imports, example.test)
    root = make_repository({f"{module}.py": SLUG, "test_x.py": text})
    assert text.startswith(UNITTEST.opening(example.imports, asserting=False).partition("(")[0])
    done = subprocess.run([sys.executable, "-m", "unittest", "test_x.py"], cwd=root, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Ran 1 test" in done.stderr


def test_sympys_examples_use_its_own_raises() -> None:
    written = SYMPY.written("from ages import set_age", load_examples()[2].test)
    assert "    with raises(ValueError):" in written
    assert "pytest." not in written.replace("sympy.testing.pytest", "")


def snapshot(tmp_path: Path, files: Mapping[str, str]) -> Snapshot:
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return take_snapshot(tmp_path)


@pytest.mark.parametrize(
    ("runner", "files", "header", "base"),
    [
        ("pytest", {}, "import pytest", ""),
        ("unittest", {}, "import unittest", "unittest.TestCase"),
        ("sympy", {"sympy/testing/pytest.py": ""}, "from sympy.testing.pytest import raises", ""),
        ("sympy", {"sympy/utilities/pytest.py": ""}, "from sympy.utilities.pytest import raises", ""),
        ("django", {"shop/models.py": ""}, "from django.test import TestCase", "TestCase"),
        ("django", {"shop/views.py": ""}, "from django.test import SimpleTestCase", "SimpleTestCase"),
        (
            "django",
            {"shop/models.py": "", "shop/tests.py": "from django.test import SimpleTestCase\n"},
            "from django.test import SimpleTestCase",
            "SimpleTestCase",
        ),
        (
            "django",
            {"shop/tests.py": "from django.test import (\n    SimpleTestCase,\n    TestCase,\n)\n"},
            "from django.test import TestCase",
            "TestCase",
        ),
    ],
)
def test_the_runner_decides(tmp_path: Path, runner: str, files: Mapping[str, str], header: str, base: str) -> None:
    tests = [path for path in files if "tests.py" in path]
    framework = framework_of(runner, snapshot(tmp_path, files), tests)
    assert (framework.header, framework.base) == (header, base)


@pytest.mark.parametrize("runner", ["pytest", "unittest", "django"])
def test_a_base_that_the_nearest_tests_import_is_theirs_too(tmp_path: Path, runner: str) -> None:
    excerpt = Excerpt(RepoPath("a/test_a.py"), "", base="AppTestCase", base_import="from .base import AppTestCase")
    framework = framework_of(runner, snapshot(tmp_path, {}), (), excerpt)
    assert (framework.header, framework.base) == ("from .base import AppTestCase", "AppTestCase")


def test_a_base_of_the_test_file_itself_is_out_of_reach(tmp_path: Path) -> None:
    excerpt = Excerpt(RepoPath("a/test_a.py"), "", base="OwnTestCase")
    assert framework_of("pytest", snapshot(tmp_path, {}), (), excerpt) == UNITTEST
    assert framework_of("django", snapshot(tmp_path, {}), (), excerpt).base == "SimpleTestCase"


def test_a_function_takes_the_fixtures_of_the_nearest_test(tmp_path: Path) -> None:
    excerpt = Excerpt(RepoPath("a/test_a.py"), "", fixtures=("client", "app"))
    framework = framework_of("pytest", snapshot(tmp_path, {}), (), excerpt)
    assert framework.opening("", asserting=False).endswith("def test_issue(client, app):\n")


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
def test_under_pytest_only_what_the_model_sees_decides(tmp_path: Path, runner: str) -> None:
    excerpt = Excerpt(RepoPath("a/test_a.py"), "", base="AppTestCase", base_import="from .base import AppTestCase")
    framework = framework_of(runner, snapshot(tmp_path, {}), (), excerpt, shown=False)
    assert framework.base == ("" if runner == "pytest" else "AppTestCase")
