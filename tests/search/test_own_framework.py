"""Whole searches over projects that do not test with pytest's functions: the reproduction, and the regression test that
is offered, are written in their framework and lie where its runner finds them."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import sympy_collector
from patchwright_engine.control import CancelToken
from patchwright_engine.model.backend import CompletionRequest
from patchwright_engine.pipeline import FixRequest, run_fix
from patchwright_engine.search.trace import read_trace
from patchwright_engine.types import Evidence, FixResult, Issue
from scripted_model import ScriptedModel

ADD = "def add(a, b):\n    return a - b\n"
ISSUE = "`add(2, 3)` returns -1. It should return 5."


@dataclass
class Searched:
    """A finished search."""

    result: FixResult
    model: ScriptedModel
    root: Path

    @property
    def asked(self) -> list[CompletionRequest]:
        """The requests for reproductions, free ones and led ones."""
        return [request for request in self.model.requests if "Imports:" in request.messages[-1].content]

    def steps(self, kind: str) -> list[dict[str, Any]]:
        return [step for step in read_trace(self.result.trace) if step["kind"] == kind]


Search = Callable[..., Searched]


@pytest.fixture(scope="module")
def without_pytest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the standard library and nothing else."""
    prefix = tmp_path_factory.mktemp("plain") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    return prefix / "bin" / "python"


@pytest.fixture
def search(make_repository: Callable[[Mapping[str, str]], Path], unbelieving: None) -> Search:
    """Searches that ask for all tests there may be; the model continues each opening as the framework wants it."""

    def run(
        files: Mapping[str, str], python: Path | str, path: str, *, free: str, led: str, late: bool = False
    ) -> Searched:
        root = make_repository(files)

        def answers(request: CompletionRequest) -> Sequence[str]:
            asked = request.messages[-1].content
            if "Which of these files" in asked:
                return (path,)
            if "Which of these pieces" in asked:
                return (f"{path}::add",)
            if "Imports:" in asked:
                opening = request.answer_prefix
                if late and "of no use" not in asked:
                    return (f"{opening}    assert add(7, 0) == 7",)
                return (opening + (led if opening.rstrip().endswith("assert") else free),)
            return ("```python\ndef add(a, b):\n    return a + b\n```",)

        model = ScriptedModel(answers)
        request = FixRequest(Issue(ISSUE), root, budget="4" if late else "quick", python=str(python))
        return Searched(run_fix(request, cancel=CancelToken(), model=model), model, root)

    return run


def offered(searched: Searched) -> tuple[str, str]:
    """Path and text of the test offered with the only fix, which must be proven."""
    (fix,) = searched.result.fixes
    assert fix.evidence is Evidence.REPRODUCED, searched.steps("reproduction")
    assert fix.test is not None, searched.steps("test")
    return fix.test.path, fix.test.after


CASES = """\
import unittest

from calc import add


class AddTest(unittest.TestCase):
    def test_nothing(self):
        self.assertEqual(add(7, 0), 7)
"""


def test_a_project_with_unittest_alone(search: Search, without_pytest: Path) -> None:
    files = {"calc.py": ADD, "tests/__init__.py": "", "tests/test_calc.py": CASES}
    found = search(
        files, without_pytest, "calc.py", free="        self.assertEqual(5, add(2, 3))", led="Equal(add(2, 3), 5)"
    )
    free, led = found.asked
    assert "one small unittest test" in free.messages[0].content
    assert all("self.assert" in message.content for message in free.messages if message.role == "assistant")
    assert free.answer_prefix == (
        "```python\nimport unittest\nfrom calc import add\n\n\n"
        "class IssueTest(unittest.TestCase):\n    def test_issue(self):\n"
    )
    assert led.answer_prefix.endswith("        self.assert")
    assert "own tests" not in free.messages[-1].content  # at first
    assert [step["votes"] for step in found.steps("reproduction")] == [3, 7]  # one claim, said again
    path, text = offered(found)
    assert path == "tests/test_add_2_3_returns_1.py"
    assert text == (
        "import unittest\nfrom calc import add\n\n\nclass Add23Returns1Test(unittest.TestCase):\n\n"
        "    def test_add_2_3_returns_1(self):\n        self.assertEqual(add(2, 3), 5)\n"
    )
    (found.root / path).write_text(text)
    (found.root / "calc.py").write_text(ADD.replace("-", "+"))
    done = subprocess.run([without_pytest, "-m", "unittest"], cwd=found.root, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Ran 2 tests" in done.stderr


def test_a_project_with_unittest_and_no_test_at_all(search: Search, without_pytest: Path) -> None:
    found = search({"calc.py": ADD}, without_pytest, "calc.py", free="        self.assertEqual(add(2, 3), 5)", led="-")
    assert "project's own tests" not in found.asked[0].messages[-1].content
    path, text = offered(found)
    assert path == "test_add_2_3_returns_1.py"
    assert "(unittest.TestCase)" in text


MANAGE = """\
import os, sys
if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
SHOP = {
    "manage.py": MANAGE,
    "site1/__init__.py": "",
    "site1/settings.py": (
        "SECRET_KEY = 'x'\nUSE_TZ = True\nINSTALLED_APPS = ['shop']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n"
    ),
    "shop/__init__.py": "",
    "shop/sums.py": ADD,
}
SHOP_TESTS = """\
from django.test import SimpleTestCase, TestCase, override_settings

from .sums import add


class AddTests(SimpleTestCase):
    def test_nothing(self):
        self.assertEqual(add(7, 0), 7)
"""


@pytest.mark.parametrize("below", ["", "backend/"])
def test_a_django_project(search: Search, below: str) -> None:
    files = {f"{below}{path}": text for path, text in {**SHOP, "shop/tests.py": SHOP_TESTS}.items()}
    found = search(
        files,
        sys.executable,
        f"{below}shop/sums.py",
        free="        self.assertEqual(add(2, 3), 5)",
        led="Equal(add(2, 3), 5)",
    )
    free, _ = found.asked
    assert "one small Django test" in free.messages[0].content
    assert free.answer_prefix == (
        "```python\nfrom django.test import SimpleTestCase\nfrom .sums import add\n\n\n"
        "class IssueTest(SimpleTestCase):\n    def test_issue(self):\n"
    )
    path, text = offered(found)
    assert path == f"{below}shop/test_add_2_3_returns_1.py"
    assert "from django.test import SimpleTestCase\nfrom .sums import add\n" in text
    (found.root / path).write_text(text)
    (found.root / f"{below}shop/sums.py").write_text(ADD.replace("-", "+"))
    argv = [sys.executable, "manage.py", "test"]
    done = subprocess.run(argv, cwd=found.root / below, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Ran 2 tests" in done.stderr


def test_a_django_project_without_tests_gets_its_first_in_the_app(search: Search) -> None:
    files = {f"backend/{path}": text for path, text in SHOP.items()}
    found = search(
        files, sys.executable, "backend/shop/sums.py", free="        self.assertEqual(add(2, 3), 5)", led="-"
    )
    assert "from shop.sums import add" in found.asked[0].answer_prefix
    path, _ = offered(found)
    assert path == "backend/shop/test_add_2_3_returns_1.py"


REAL_DJANGO = (
    "import sysconfig\n__path__.append(sysconfig.get_path('purelib') + '/django')\n"
    "exec(open(__path__[-1] + '/__init__.py').read())\n"
)
RUNTESTS = """\
import sys

if __name__ == "__main__":
    import django
    from django.conf import settings
    from django.test.utils import get_runner

    labels = [name for name in sys.argv[1:] if not name.startswith("-")]
    settings.configure(INSTALLED_APPS=sorted({label.partition(".")[0] for label in labels}), USE_TZ=True)
    django.setup()
    sys.exit(bool(get_runner(settings)().run_tests(labels)))
"""


def test_djangos_own_repository(search: Search) -> None:
    """Its tests are apps below tests/, which only the label of a test installs."""
    files = {
        "django/__init__.py": REAL_DJANGO,
        "lib1/__init__.py": "",
        "lib1/sums.py": ADD,
        "tests/runtests.py": RUNTESTS,
        "tests/sums/__init__.py": "",
        "tests/sums/models.py": (
            "from django.db import models\n\nfrom lib1.sums import add\n\n\nclass Item(models.Model):\n"
            "    id = models.AutoField(primary_key=True)\n"
        ),
        "tests/sums/tests.py": SHOP_TESTS.replace(".sums", ".models"),
    }
    found = search(
        files,
        sys.executable,
        "lib1/sums.py",
        free="        self.assertEqual(add(2, 3), 5)",
        led="Equal(add(2, 3), 5)",
    )
    assert "from .models import add" in found.asked[0].answer_prefix
    path, _ = offered(found)
    assert path == "tests/sums/test_add_2_3_returns_1.py"


def test_a_project_with_sympys_bin_test(search: Search, without_pytest: Path) -> None:
    files = {
        "bin/test": "",
        "sympy/__init__.py": "from sympy.core.calc import add\n",
        "sympy/testing/__init__.py": "",
        "sympy/testing/runtests.py": sympy_collector.RUNTESTS,
        "sympy/testing/pytest.py": "def raises(expected, code):\n    pass\n",
        "sympy/core/__init__.py": "",
        "sympy/core/calc.py": ADD,
        "sympy/core/tests/__init__.py": "",
        "sympy/core/tests/test_calc.py": "from sympy import add\n\n\ndef test_add():\n    assert add(7, 0) == 7\n",
    }
    found = search(files, without_pytest, "sympy/core/calc.py", free="    assert 5 == add(2, 3)", led="add(2, 3) == 5")
    free, _ = found.asked
    assert "one small SymPy test" in free.messages[0].content
    assert free.answer_prefix == (
        "```python\nfrom sympy.testing.pytest import raises\nfrom sympy import add\n\n\ndef test_issue():\n"
    )
    path, text = offered(found)
    assert path == "sympy/core/tests/test_add_2_3_returns_1.py"
    assert text == "from sympy import add\n\n\ndef test_add_2_3_returns_1():\n    assert add(2, 3) == 5\n"


def test_pytest_runs_cases_where_the_tests_shown_are_cases(search: Search) -> None:
    files = {"calc.py": ADD, "tests/test_calc.py": CASES}
    found = search(
        files,
        sys.executable,
        "calc.py",
        free="        self.assertEqual(add(2, 3), 5)",
        led="Equal(add(2, 3), 5)",
        late=True,
    )
    _, _, free, _ = found.asked
    assert "class IssueTest(unittest.TestCase):" in free.answer_prefix
    assert "class AddTest(unittest.TestCase):\n    def test_nothing(self):" in free.messages[-1].content
    path, text = offered(found)
    assert path.startswith("tests/")
    assert "class Add23Returns1Test(unittest.TestCase):" in text


FIXTURES = {
    "src/calc.py": ADD,
    "tests/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef two():\n    return 2\n",
    "tests/test_calc.py": "from calc import add\n\n\ndef test_two(two):\n    assert add(two, 0) == 2\n",
}


def test_pytests_functions_use_the_fixtures_of_the_nearest_tests_beside_them(search: Search) -> None:
    found = search(
        FIXTURES, sys.executable, "src/calc.py", free="    assert add(two, 3) == 5", led="add(two, 3) == 5", late=True
    )
    first, _, free, _ = found.asked
    assert "own tests" not in first.messages[-1].content
    assert first.answer_prefix.endswith("from calc import add\n\n\ndef test_issue():\n")
    assert first.messages[:-1] == free.messages[:-1]  # what is kept of the first attempt serves the second
    shown = free.messages[-1].content
    assert (
        "From the project's own tests, tests/test_calc.py:\n```python\nfrom calc import add\n\n"
        "def test_two(two):\n    assert add(two, 0) == 2\n```\n\nImports:\nfrom calc import add" in shown
    )
    assert shown.index(ISSUE) < shown.index("own tests") < shown.index("Imports:") < shown.index("of no use")
    steps = [(step["path"], bool(step["text"])) for step in found.steps("nearby_tests")]
    assert steps == [("tests/test_calc.py", False), ("tests/test_calc.py", False), ("tests/test_calc.py", True)]
    assert free.answer_prefix.endswith("def test_issue(two):\n")
    path, text = offered(found)
    assert path == "tests/test_add_2_3_returns_1.py"
    assert "def test_add_2_3_returns_1(two):" in text
