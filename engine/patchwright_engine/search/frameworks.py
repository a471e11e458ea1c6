"""In which form a test of this project is written: pytest's functions, unittest's or Django's cases, SymPy's functions.

The runner decides, since it is what will run the test here; under pytest, which runs both, the nearest tests do.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from patchwright_engine.search.cases import CASE, TEST, as_case
from patchwright_engine.search.nearby_tests import Excerpt
from patchwright_engine.types import Snapshot
from patchwright_engine.verify.discovery import tests_among

_READ_TESTS = 5
_MARKED = "# the correct result, which the code does not give yet"


@dataclass(frozen=True, slots=True)
class Framework:
    """How a test is written."""

    name: str
    """As the prompt calls it."""
    header: str
    """What every test file imports."""
    base: str = ""
    """Class of which a case is derived; '': tests are functions."""
    raises: str = "pytest.raises"
    fixtures: tuple[str, ...] = ()
    """Parameters of a test function."""

    def opening(self, imports: str, *, asserting: bool) -> str:
        """The beginning of a test file, up to the test's first statement, or into its assertion."""
        lines = [self._head(imports), "", ""]
        if self.base:
            lines += [f"class {CASE}({self.base}):", f"    def {TEST}(self):"]
            lines += [f"        {_MARKED}", "        self.assert"] if asserting else [""]
        else:
            lines += [f"def {TEST}({', '.join(self.fixtures)}):"]
            lines += [f"    {_MARKED}", "    assert "] if asserting else [""]
        return "\n".join(lines)

    def written(self, imports: str, test: str) -> str:
        """A test function in pytest's words, as a file of this framework."""
        if self.base:
            test = ast.unparse(as_case(ast.parse(test), self.base, "")).replace(":\n\n", ":\n", 1)  # as the opening
        return f"{self._head(imports)}\n\n\n{test.replace('pytest.raises(', f'{self.raises}(')}"

    def _head(self, imports: str) -> str:
        return imports if self.header in imports.split("\n") else f"{self.header}\n{imports}"


PYTEST = Framework("pytest", "import pytest")
UNITTEST = Framework("unittest", "import unittest", "unittest.TestCase")


def framework_of(
    runner: str,
    snapshot: Snapshot,
    tests: Sequence[str] = (),
    excerpt: Excerpt | None = None,
    *,
    shown: bool = True,
) -> Framework:
    """The form for `runner` in this project.

    Args:
        runner: as `TestEnvironment.runner`.
        snapshot: the project.
        tests: its test files, nearest first.
        excerpt: the nearest of their tests.
        shown: whether the model sees it. Under pytest only what it sees decides: functions are what it writes best.
    """
    if runner == "sympy":
        old = "sympy/testing/pytest.py" not in snapshot.files and "sympy/utilities/pytest.py" in snapshot.files
        module = "sympy.utilities.pytest" if old else "sympy.testing.pytest"
        return Framework("SymPy", f"from {module} import raises", raises="raises")
    if runner not in ("unittest", "django"):
        if excerpt is None or not shown:
            return PYTEST
        if excerpt.base:
            return _with_base(UNITTEST, excerpt)
        return Framework(PYTEST.name, PYTEST.header, fixtures=excerpt.fixtures)
    if runner == "unittest":
        return _with_base(UNITTEST, excerpt)
    base = _django_base(snapshot, tests)
    return _with_base(Framework("Django", f"from django.test import {base}", base), excerpt)


def _with_base(framework: Framework, excerpt: Excerpt | None) -> Framework:
    """With the base class that the nearest tests import; one that a test file defines itself is out of reach."""
    if excerpt is None or not excerpt.base_import:
        return framework
    return Framework(framework.name, excerpt.base_import, excerpt.base)


def _django_base(snapshot: Snapshot, tests: Sequence[str]) -> str:
    """`TestCase` where the project's tests use the database, or its code has models; else `SimpleTestCase`."""
    near = tests_among(tests, snapshot)[:_READ_TESTS]
    texts = [text for text in map(snapshot.read_text, near) if "django.test" in text]
    if any(re.search(r"\bTestCase\b", text) for text in texts):
        return "TestCase"
    if any("SimpleTestCase" in text for text in texts):
        return "SimpleTestCase"
    models = any(path.endswith(("models.py", "models/__init__.py")) for path in snapshot.files)
    return "TestCase" if models else "SimpleTestCase"
