"""Django's and SymPy's own runners in the sandbox: one outcome per test, under ids that begin with the file."""

# ruff: noqa: E501 - sources and reports in their own lines

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Snapshot
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.reproduction import Reproduction, check_reproduction
from patchwright_engine.verify.runs import TestReport, run_tests
from patchwright_engine.verify.workspace import WorkspaceCopy

Make = Callable[[Mapping[str, str]], Snapshot]
Run = Callable[..., TestReport]

MANAGE = """\
import os, sys
if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
SETTINGS = """\
SECRET_KEY = "x"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "HOST": "db.invalid"}}
"""
TESTS = """\
from unittest import skip
from django.test import SimpleTestCase, TestCase
from shop.models import Item

class ItemTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.item = Item.objects.create(price=3)

    def test_price(self):
        self.assertEqual(Item.objects.get().price, 3)

    def test_net(self):
        self.item.net()

    def test_each(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)

    @skip("later")
    def test_later(self):
        pass

class NoFixture(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        raise RuntimeError("no fixture")

    def test_a(self):
        pass
"""
DJANGO = {
    "manage.py": MANAGE,
    "site1/__init__.py": "",
    "site1/settings.py": SETTINGS,
    "shop/__init__.py": "",
    "shop/models.py": "from django.db import models\n\nclass Item(models.Model):\n"
    "    price = models.IntegerField()\n\n    def net(self):\n        return self.price / 0\n",
    "shop/tests.py": TESTS,
}


@pytest.fixture
def run(make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken) -> Run:
    def go(runner: str, files: Mapping[str, str], *selection: str, entry: str = "") -> TestReport:
        chosen = replace(environment, runner=runner, entry=entry)
        return run_tests(sandbox, make_snapshot(files).root, chosen, selection, cancel, timeout_seconds=60.0)

    return go


def test_djangos_runner_gives_every_test_its_outcome_without_the_database_server(run: Run) -> None:
    report = run("django", DJANGO, "shop/tests.py", entry="manage.py")
    assert report.problem is None, report.run.output
    assert report.results == {
        "shop/tests.py::ItemTests::test_each": "failed",
        "shop/tests.py::ItemTests::test_later": "skipped",
        "shop/tests.py::ItemTests::test_net": "failed",
        "shop/tests.py::ItemTests::test_price": "passed",
        "shop/tests.py::NoFixture::test_a": "error",
    }
    failure = report.failures["shop/tests.py::ItemTests::test_net"]
    assert failure.exception == "ZeroDivisionError"
    assert [(frame.path, frame.line) for frame in failure.frames if frame.inside][-1] == ("shop/models.py", 7)
    assert "SQLite in memory" in report.notes[0]
    assert "postgresql" in report.notes[0]


def test_one_test_of_a_django_project_can_be_chosen(run: Run) -> None:
    report = run("django", DJANGO, "shop/tests.py::ItemTests::test_price", entry="manage.py")
    assert report.results == {"shop/tests.py::ItemTests::test_price": "passed"}


def test_a_reproduction_in_pytests_style_runs_in_a_transaction_of_djangos(run: Run) -> None:
    source = (
        "from shop.models import Item\n\n"
        "def test_first():\n    Item.objects.create(price=1)\n    assert Item.objects.count() == 1\n\n"
        "def test_second():\n    assert Item.objects.count() == 1\n"
    )
    files = {**DJANGO, "test_patchwright_0.py": source}
    report = run("django", files, "test_patchwright_0.py", entry="manage.py")
    assert report.results == {
        "test_patchwright_0.py::test_first": "passed",
        "test_patchwright_0.py::test_second": "failed",
    }
    assert report.failures["test_patchwright_0.py::test_second"].exception == "AssertionError"


def test_a_project_below_the_root_keeps_its_paths(run: Run) -> None:
    files = {f"backend/{path}": text for path, text in DJANGO.items()}
    report = run("django", files, "backend/shop/tests.py::ItemTests", entry="backend/manage.py")
    assert report.results["backend/shop/tests.py::ItemTests::test_price"] == "passed"


def test_a_test_module_that_cannot_be_imported_is_told_with_its_own_exception(run: Run) -> None:
    files = {**DJANGO, "shop/test_bad.py": "from shop import nowhere\n"}
    report = run("django", files, "shop/test_bad.py", "shop/tests.py", entry="manage.py")
    assert report.failures["shop/test_bad.py"].exception == "ImportError"
    assert report.results["shop/tests.py::ItemTests::test_price"] == "passed"
    alone = run("django", files, "shop/test_bad.py", entry="manage.py")
    assert not alone.results
    assert alone.failures["shop/test_bad.py"].exception == "ImportError"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"shop/models.py": "from django.db import models\nmodels.NoSuchField()\n"}, "NoSuchField"),
        ({"site1/settings.py": "import os\nSECRET_KEY = os.environ['SHOP_KEY']\n"}, "SHOP_KEY"),
        ({"site1/settings.py": SETTINGS + "TEST_RUNNER = 'site1.runner.Own'\n",
          "site1/runner.py": "class Own:\n    def __init__(self, **o): pass\n    def run_tests(self, labels): return 0\n"},
         "DiscoverRunner"),
        ({"manage.py": "print('nothing')\n"}, "no test ran"),
        ({"shop/tests.py": ""}, "no tests were found"),
        ({"shop/tests.py": TESTS + "\nimport os\nos._exit(0)\n"}, "did not finish"),
    ],
)  # fmt: skip
def test_a_run_that_never_reaches_the_tests_is_a_problem(run: Run, files: Mapping[str, str], told: str) -> None:
    report = run("django", {**DJANGO, **files}, "shop/tests.py", entry="manage.py")
    assert not report.results
    assert told in (report.problem or "")


def test_a_reproduction_is_judged_under_djangos_runner(
    make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> None:
    snapshot = make_snapshot(DJANGO)
    with WorkspaceCopy(snapshot) as copy:

        def check(source: str) -> Reproduction:
            return check_reproduction(
                source,
                issue_text="Item.net() raises ZeroDivisionError, it should be half of the price",
                sandbox=sandbox,
                workspace=copy,
                snapshot=snapshot,
                environment=replace(environment, runner="django", entry="manage.py"),
                cancel=cancel,
            )

        good = check("from shop.models import Item\n\ndef test_issue():\n    assert Item(price=4).net() == 2\n")
        assert (good.valid, good.reason) == (True, "fails before: ZeroDivisionError: division by zero")
        wrong = check("from shop.models import Item\n\ndef test_issue():\n    assert Item(prize=4).net() == 2\n")
        assert not wrong.valid
        assert "cannot be loaded" in check("from shop.models import Thing\n\ndef test_issue():\n    assert 0\n").reason


SYMPY = """\
from sympy import Symbol
from sympy.testing.pytest import SKIP, XFAIL, raises, slow

def test_right():
    assert Symbol("x").name == "x"

def test_wrong():
    assert Symbol("x") == 1

def test_breaks():
    raise KeyError("k")

@SKIP("later")
def test_skipped():
    pass

@XFAIL
def test_known():
    assert False

@slow
def test_slow():
    pass
"""


def test_sympys_runner_gives_every_test_its_outcome(run: Run) -> None:
    files = {"tests/test_symbol.py": SYMPY, "tests/test_bad.py": "def test_(:\n", "tests/test_none.py": "x = 1\n"}
    report = run("sympy", files, *files)
    assert report.problem is None, report.run.output
    prefix = "tests/test_symbol.py::"
    assert report.results == {
        f"{prefix}test_right": "passed",
        f"{prefix}test_wrong": "failed",
        f"{prefix}test_breaks": "failed",
        f"{prefix}test_skipped": "skipped",
        f"{prefix}test_known": "skipped",
        f"{prefix}test_slow": "skipped",
    }
    assert report.failures["tests/test_bad.py"].exception == "SyntaxError"
    assert report.failures[f"{prefix}test_breaks"].exception == "KeyError"
    assert run("sympy", files, "tests/test_none.py").problem == "no tests were found"
    assert set(run("sympy", files, "tests/test_symbol.py::test_wrong").results) == {f"{prefix}test_wrong"}


FIXTURES = """\
import unittest

def setUpModule():
    Counted.ready = True

class Counted(unittest.TestCase):
    ready = False

    @classmethod
    def setUpClass(cls):
        assert cls.ready
        cls.value = 3

    def test_value(self):
        self.assertEqual(self.value, 3)

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise OSError("no server")

    def test_one(self):
        pass

    def test_two(self):
        pass

class Late(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        raise OSError("still open")

    def test_three(self):
        pass
"""


def test_unittests_fixtures_of_classes_and_modules_are_run_and_stand_for_their_tests(run: Run) -> None:
    report = run("unittest", {"test_f.py": FIXTURES}, "test_f.py")
    assert report.results == {
        "test_f.py::Counted::test_value": "passed",
        "test_f.py::Broken::test_one": "error",
        "test_f.py::Broken::test_two": "error",
        "test_f.py::Late::test_three": "error",
    }
    assert report.failures["test_f.py::Broken::test_two"].message == "no server"
