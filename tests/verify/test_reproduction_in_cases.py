"""Reproductions in unittest's, Django's and SymPy's form are judged as those in pytest's are."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent, indent

import pytest

import sympy_collector
from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.verify.environment import TestEnvironment, discover_environment
from patchwright_engine.verify.hollow_tests import asserts_constant
from patchwright_engine.verify.reproduction import Reproduction, check_reproduction
from patchwright_engine.verify.workspace import WorkspaceCopy

ISSUE = "mean([]) raises ZeroDivisionError: division by zero. It should return 0 for an empty list."
Check = Callable[..., Reproduction]
Make = Callable[[Mapping[str, str]], Snapshot]


@pytest.fixture(scope="module")
def without_pytest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the standard library and nothing else."""
    prefix = tmp_path_factory.mktemp("plain") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    return prefix / "bin" / "python"


def case(body: str, imports: str = "from stats.mean import mean, spread", base: str = "unittest.TestCase") -> str:
    return (
        f"import unittest\n{imports}\n\n\nclass IssueTest({base}):\n    def test_issue(self):\n"
        + indent(dedent(body).strip("\n"), "        ")
        + "\n"
    )


@pytest.fixture
def check(project: Snapshot, sandbox: Sandbox, without_pytest: Path, cancel: CancelToken) -> Iterator[Check]:
    environment = discover_environment(project.root, without_pytest)
    assert environment.runner == "unittest"
    with WorkspaceCopy(project) as workspace:

        def go(source: str, issue: str = ISSUE, seconds: float = 30.0, folder: str = "") -> Reproduction:
            return check_reproduction(
                source,
                issue_text=issue,
                sandbox=sandbox,
                workspace=workspace,
                snapshot=project,
                environment=environment,
                cancel=cancel,
                timeout_seconds=seconds,
                folder=folder,
            )

        yield go
        assert not list(workspace.path.rglob("test_patchwright_*.py"))


VALID = {
    "the project's code raises": ("self.assertEqual(mean([]), 0)", "ZeroDivisionError: division by zero"),
    "an assertion about the project": ("self.assertEqual(spread([1, 5]), 5)", "AssertionError: 4 != 5"),
    "another exception was expected": (
        "with self.assertRaises(ValueError):\n    mean([1])",
        "AssertionError: ValueError not raised",
    ),
    "the callable form of it": (
        "self.assertRaises(ValueError, mean, [1])",
        "AssertionError: ValueError not raised by mean",
    ),
    "a plain assert": ("assert mean([2]) == 3", "AssertionError"),
    "fail after the exception": (
        "try:\n    mean([])\nexcept ZeroDivisionError:\n    self.fail('raises')",
        "AssertionError: raises",
    ),
    "each of several": (
        "for n in (1, 2):\n    with self.subTest(n=n):\n        self.assertEqual(mean([n]), 1)",
        "AssertionError: 2.0 != 1",
    ),
}


@pytest.mark.parametrize("kind", VALID)
def test_a_case_that_fails_for_the_issues_reason_is_valid(check: Check, kind: str) -> None:
    body, why = VALID[kind]
    reproduction = check(case(body))
    assert (reproduction.valid, reproduction.reason) == (True, f"fails before: {why}")
    assert reproduction.failing == {f"{reproduction.path}::IssueTest::test_issue"}


def test_what_a_case_prints_names_places_in_the_project_and_none_of_the_runner(check: Check) -> None:
    shown = check(case("self.assertEqual(mean([]), 0)"), folder="tests").failure
    assert 'File "stats/mean.py", line 5, in mean' in shown
    assert 'File "tests/test_patchwright_' in shown
    assert shown.endswith("ZeroDivisionError: division by zero")
    assert "unittest/case.py" not in shown
    assert "patchwright_unittest" not in shown


def test_a_case_tells_which_functions_it_entered(check: Check) -> None:
    before = check(case("self.assertEqual(mean([]), 0)")).before
    assert before is not None
    assert ("stats/mean.py", 1, "mean") in {(frame.path, frame.line, frame.function) for frame in before.calls}
    assert "spread" not in {frame.function for frame in before.calls}


def test_a_failing_set_up_in_the_projects_code_is_the_issues_reason_too(check: Check) -> None:
    source = case("self.assertEqual(self.value, 0)").replace(
        "    def test_issue", "    def setUp(self):\n        self.value = mean([])\n\n    def test_issue"
    )
    assert check(source).reason == "fails before: ZeroDivisionError: division by zero"


REFUSED = {
    "syntax": (case("self.assertEqual(mean([]), 0").rstrip(), "not valid Python"),
    "no test": (case("pass").replace("test_issue", "check"), "in a class derived from unittest.TestCase"),
    "no case": (case("assert mean([]) == 0", base="object"), "no tests were found"),
    "a fixture": ("from stats.mean import mean\ndef test_it(x):\n    assert mean([]) == 0\n", "no tests were found"),
    "nothing of the project": (
        case("self.assertEqual(math.pi, 3)", "import math"),
        "imports nothing of the project",
    ),
    "passes": (case("self.assertEqual(mean([1]), 1)"), "passes on the unpatched"),
    "skipped": (case("self.skipTest(str(mean([1])))"), "is skipped here"),
    "pytest is not there": (case("mean([])", "import pytest\nfrom stats.mean import mean"), "cannot be loaded"),
    "wrong import": (case("self.assertEqual(median([]), 0)", "from stats.mean import median"), "cannot be loaded"),
    "wrong import inside": (case("from stats.mean import median\nmedian([])", "import stats"), "ImportError"),
    "wrong name": (case("self.assertEqual(meen([]), 0)"), "NameError"),
    "wrong attribute": (case("self.assertEqual(stats.average([]), 0)", "import stats"), "AttributeError"),
    "wrong call": (case("self.assertEqual(mean(), 0)"), "TypeError"),
    "wrong call by assertRaises": (case("self.assertRaises(ValueError, mean)"), "TypeError"),
    "no such assertion": (case("self.assertSame(mean([1]), 1)"), "AttributeError"),
    "wrong use of an assertion": (case("self.assertIn(1, mean([1]))"), "TypeError"),
    "constant": (case("self.assertTrue(False)"), "asserting a constant"),
    "constant values": (case("self.assertEqual(len('ab'), 3, 'no')"), "asserting a constant"),
    "constant names": (case("want, got = 1, 2\nx = 3\nself.assertEqual(x, 4)"), "asserting a constant"),
    "constant call": (case("self.assertRaises(ValueError, int, '3')"), "asserting a constant"),
    "nothing in it that could raise": (case("with self.assertRaises(ValueError):\n    pass"), "asserting a constant"),
    "bare fail": (case("mean([1])\nself.fail('x')"), "asserting a constant"),
    "bare raise": (case("raise AssertionError('x')"), "asserting a constant"),
    "unexpected success": (
        case("self.assertEqual(mean([1]), 1)").replace("    def test", "    @unittest.expectedFailure\n    def test"),
        "does not come from the project's code",
    ),
    "set-up of the class": (
        case("self.assertEqual(mean([]), 0)").replace(
            "    def test", "    @classmethod\n    def setUpClass(cls):\n        raise OSError('no')\n\n    def test"
        ),
        "set-up fails (OSError: no)",
    ),
    "wrong set-up": (
        case("self.assertEqual(1, 1)").replace("    def test", "    def setUp(self):\n        nope\n\n    def test"),
        "NameError",
    ),
    "other exception": (case("{'j': mean([1])}['k']"), "KeyError"),
    "one wrong beside a right one": (
        case("self.assertEqual(mean([]), 0)") + "\n    def test_more(self):\n        nope\n",
        "NameError",
    ),
    "hangs": (case("import time\ntime.sleep(60)"), "time limit"),
    "differs from run to run": (
        case("self.assertEqual(mean([2]), 3)")
        + "\n\nimport time\nsetattr(IssueTest, f'test_{time.time_ns()}', IssueTest.test_issue)\n",
        "deterministic",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_case_that_fails_for_another_reason_is_refused_with_advice(check: Check, kind: str) -> None:
    source, reason = REFUSED[kind]
    reproduction = check(source, seconds=5.0 if kind == "hangs" else 30.0)
    assert not reproduction.valid
    assert reason in reproduction.reason


def test_an_error_that_the_issue_quotes_is_the_issues_reason_in_a_case_too(check: Check) -> None:
    source = case("self.assertEqual(stats.average([]), 0)", "import stats")
    assert check(source, "AttributeError: module 'stats' has no attribute 'average'").valid


def test_a_folder_called_unittest_is_a_folder_of_the_project(
    make_snapshot: Make, sandbox: Sandbox, without_pytest: Path, cancel: CancelToken
) -> None:
    snapshot = make_snapshot({"calc/unittest/sums.py": "def add(a, b):\n    return a - b\n"})
    with WorkspaceCopy(snapshot) as workspace:
        reproduction = check_reproduction(
            case("self.assertEqual(add(1, 1), 2)", "from calc.unittest.sums import add"),
            issue_text="add(1, 1) gives 0",
            sandbox=sandbox,
            workspace=workspace,
            snapshot=snapshot,
            environment=discover_environment(snapshot.root, without_pytest),
            cancel=cancel,
            folder="calc/unittest",
        )
    assert reproduction.valid, reproduction.reason


# What is constant, whatever the framework


CONSTANT = {
    "assert len('abc') == 4": True,
    "limit = 3\nassert limit == 4": True,
    "assert not [1]": True,
    "with pytest.raises(ValueError):\n    int('3')": True,
    "raises(ValueError, lambda: 1)": True,
    "limit = 3\nlimit = mean([])\nassert limit == 4": False,
    "items = []\nfill(items)\nassert items == [1]": False,
    "assert sum([1]) == 2": False,
    "assert open('x').read()": False,
    "raises(ValueError, lambda: mean([1]))": False,
    "with pytest.raises(ValueError):\n    mean([1])": False,
    "if mean([1]):\n    pytest.fail('x')": False,
}


@pytest.mark.parametrize("body", CONSTANT)
def test_only_what_no_project_could_change_is_constant(body: str) -> None:
    source = "from stats import mean, sum, fill\ndef test_it():\n" + indent(body, "    ") + "\n"
    failing = 3 if body.startswith("with") else 2 + len(body.split("\n"))
    assert asserts_constant(source, failing) is CONSTANT[body]


# Django


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
    "site1/urls.py": "from django.urls import path\nfrom shop.views import index\nurlpatterns = [path('', index)]\n",
    "site1/settings.py": (
        "SECRET_KEY = 'x'\nUSE_TZ = True\nROOT_URLCONF = 'site1.urls'\nINSTALLED_APPS = ['shop']\n"
        "DEFAULT_AUTO_FIELD = 'django.db.models.AutoField'\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n"
    ),
    "shop/__init__.py": "",
    "shop/models.py": (
        "from django.db import models\n\nclass Item(models.Model):\n    price = models.IntegerField()\n\n"
        "    def net(self):\n        return self.price / 0\n\n"
        "    @classmethod\n    def dearest(cls):\n        return cls.objects.order_by('price').first()\n"
    ),
    "shop/views.py": "from django.http import HttpResponse\n\ndef index(request):\n    return HttpResponse('shp')\n",
}
SHOP_ISSUE = "Item.net() raises ZeroDivisionError, dearest() gives the cheapest, and the page says 'shp', not 'shop'."


@pytest.fixture
def check_django(
    make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> Iterator[Check]:
    snapshot = make_snapshot(SHOP)
    with WorkspaceCopy(snapshot) as workspace:

        def go(body: str, imports: str = "from .models import Item", base: str = "TestCase") -> Reproduction:
            source = case(body, f"from django.test import {base}\n{imports}", base).removeprefix("import unittest\n")
            return check_reproduction(
                source,
                issue_text=SHOP_ISSUE,
                sandbox=sandbox,
                workspace=workspace,
                snapshot=snapshot,
                environment=replace(environment, runner="django", entry="manage.py"),
                cancel=cancel,
                folder="shop",
            )

        yield go


def test_a_case_of_django_lies_in_its_app_and_uses_the_database(check_django: Check) -> None:
    good = check_django(
        "Item.objects.create(price=1)\nItem.objects.create(price=3)\nself.assertEqual(Item.dearest().price, 3)"
    )
    assert (good.valid, good.reason) == (True, "fails before: AssertionError: 1 != 3")
    assert good.path.startswith("shop/test_patchwright_")
    assert good.before is not None
    assert ("shop/models.py", "dearest") in {(frame.path, frame.function) for frame in good.before.calls}
    assert check_django("self.assertEqual(Item(price=4).net(), 2)", base="SimpleTestCase").valid


def test_djangos_test_client_reaches_the_project_without_an_import(check_django: Check) -> None:
    good = check_django("self.assertContains(self.client.get('/'), 'shop')", "", "SimpleTestCase")
    assert good.valid, good.reason
    assert "Couldn't find 'shop'" in good.reason


@pytest.mark.parametrize(
    ("body", "imports", "base", "reason"),
    [
        ("self.assertIsNone(Item.dearest())", "from .models import Item", "SimpleTestCase", "django.test.TestCase"),
        ("self.assertEqual(Item(prize=4).net(), 2)", "from .models import Item", "TestCase", "TypeError"),
        ("self.assertHTMLEqual('<p>', '<a>')", "from .models import Item", "TestCase", "asserting a constant"),
        ("self.assertEqual(1, 2)", "", "SimpleTestCase", "imports nothing of the project"),
        ("self.assertIsNone(Thing())", "from .models import Thing", "TestCase", "cannot be loaded"),
        ("self.assertEqual(Item(price=4).price, 4)", "from .models import Item", "SimpleTestCase", "passes on the unp"),
        (
            "class Own(models.Model):\n    class Meta:\n        app_label = 'shop'\n"
            "self.assertIsNone(Own.objects.get())",
            "from django.db import models\nfrom .models import Item",
            "TestCase",
            "no such table",
        ),
    ],
)
def test_a_case_of_django_that_shows_nothing_is_refused(
    check_django: Check, body: str, imports: str, base: str, reason: str
) -> None:
    refused = check_django(body, imports, base)
    assert not refused.valid
    assert reason in refused.reason


# SymPy, whose test tools are part of the project


RAISES = """\
class Failed(Exception):
    pass


def raises(expected, code):
    try:
        code()
    except expected:
        return
    raise Failed("DID NOT RAISE")
"""
SYMPY = {
    "bin/test": "",
    "sympy/__init__.py": "from sympy.core.calc import gcd\n",
    "sympy/testing/__init__.py": "",
    "sympy/testing/runtests.py": sympy_collector.RUNTESTS,
    "sympy/testing/pytest.py": RAISES,
    "sympy/core/__init__.py": "",
    "sympy/core/calc.py": "def gcd(a, b):\n    while b:\n        a, b = b, a % b\n    return b\n",
    "sympy/core/tests/__init__.py": "",
}


@pytest.fixture
def check_sympy(make_snapshot: Make, sandbox: Sandbox, without_pytest: Path, cancel: CancelToken) -> Iterator[Check]:
    snapshot = make_snapshot(SYMPY)
    environment = discover_environment(snapshot.root, without_pytest)
    assert environment.runner == "sympy"
    head = "from sympy.testing.pytest import raises\nfrom sympy import gcd\n\n\ndef test_issue():\n    "
    with WorkspaceCopy(snapshot) as workspace:

        def go(body: str) -> Reproduction:
            return check_reproduction(
                f"{head}{body}\n",
                issue_text="gcd(4, 6) gives 0, not 2",
                sandbox=sandbox,
                workspace=workspace,
                snapshot=snapshot,
                environment=environment,
                cancel=cancel,
                folder="sympy/core/tests",
            )

        yield go


@pytest.mark.parametrize(
    ("body", "valid", "reason"),
    [
        ("assert gcd(4, 6) == 2", True, "fails before: AssertionError"),
        ("raises(TypeError, lambda: gcd(4, 2))", True, "fails before: Failed: DID NOT RAISE"),
        ("assert gcd('a', 'b') == 2", True, "fails before: TypeError"),
        ("raises(TypeError, lambda: 1)", False, "asserting a constant"),
        ("assert 1 == 2", False, "asserting a constant"),
        ("raises(ValueError, lambda: gdc(4, 2))", False, "NameError"),
        ("assert gcd(4) == 2", False, "TypeError"),
        ("assert gcd(4, 2) == 0", False, "passes on the unpatched"),
        ("from sympy import lcm\n    assert lcm(4, 2) == 4", False, "ImportError"),
        ("{}['k']", False, "KeyError"),
    ],
)
def test_sympys_own_tools_are_not_what_is_tested(check_sympy: Check, body: str, valid: bool, reason: str) -> None:
    reproduction = check_sympy(body)
    assert reproduction.valid == valid, reproduction.reason
    assert reason in reproduction.reason
    assert reproduction.path.startswith(RepoPath("sympy/core/tests/test_patchwright_"))
