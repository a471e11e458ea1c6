"""A file whose test, fixture or import never ends is known by name under each of our runners, and left out.

Most runs here end themselves where they would hang: a report is the same when the time limit ends it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.verify.baseline import Baseline, hanging_file
from patchwright_engine.verify.context import open_verification
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.runs import TestReport, run_tests

Make = Callable[[Mapping[str, str]], Snapshot]

HANG = "__import__('os')._exit(0)"
"""Nothing after it is reported, as when the run is stopped there."""
CASES = """\
import unittest
{module}
class First(unittest.TestCase):
    def test_a(self):
        {first}

class Second(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        {fixture}

    def test_b(self):
        {second}
"""
QUICK = CASES.format(module="", first="pass", fixture="pass", second="pass")
PLACES = {
    "import": {"module": HANG},
    "module fixture": {"module": f"def setUpModule():\n    {HANG}\n"},
    "class fixture": {"fixture": HANG},
    "first test": {"first": HANG},
    "second test": {"second": HANG},
}
DJANGO = {
    "manage.py": "import os, sys\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1')\n"
    "from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n",
    "site1.py": "SECRET_KEY = 'x'\nUSE_TZ = True\nINSTALLED_APPS = []\nDATABASES = {}\n",
}
SELECTION = ("test_a.py", "test_b.py", "test_c.py")


Run = Callable[[str, Mapping[str, str]], TestReport]


@pytest.fixture
def run(make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken) -> Run:
    """Run every test file of a project with one of our runners."""

    def go(runner: str, files: Mapping[str, str]) -> TestReport:
        root = make_snapshot({**DJANGO, **files}).root
        chosen = replace(environment, runner=runner, entry="manage.py")
        return run_tests(sandbox, root, chosen, tuple(name for name in files if name.startswith("test_")), cancel)

    return go


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("runner", ["pytest", "unittest", "django"])
def test_the_file_that_hangs_is_known(run: Run, runner: str, place: str) -> None:
    hanging = CASES.format(**{"module": "", "first": "pass", "fixture": "pass", "second": "pass", **PLACES[place]})
    report = run(runner, {**dict.fromkeys(SELECTION, QUICK), "test_b.py": hanging})
    assert hanging_file(Baseline(report)) == "test_b.py", report.run.output


@pytest.mark.parametrize("runner", ["pytest", "unittest", "django"])
def test_a_run_that_ends_leaves_nothing_that_seems_to_hang(run: Run, runner: str) -> None:
    report = run(runner, {**dict.fromkeys(SELECTION, QUICK), "test_broken.py": "import no_such_module\n"})
    assert len(report.results) == 6
    assert report.durations.keys() == report.results.keys()
    assert hanging_file(Baseline(report)) is None


SYMPY = "from sympy import Symbol\n{module}\ndef test_a():\n    {first}\n"


@pytest.mark.parametrize("place", ["module", "first"])
def test_a_file_that_hangs_under_sympys_runner_is_known(run: Run, place: str) -> None:
    files = dict.fromkeys(SELECTION, SYMPY.format(module="", first="pass"))
    files["test_b.py"] = SYMPY.format(**{"module": "", "first": "pass", place: HANG})
    report = run("sympy", files)
    assert hanging_file(Baseline(report)) == "test_b.py", report.run.output
    assert report.results == {"test_a.py::test_a": "passed"}


def test_what_hangs_is_left_out_of_the_baseline_with_a_note(
    make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> None:
    sleeping = CASES.format(module="", first="pass", fixture="__import__('time').sleep(600)", second="pass")
    snapshot = make_snapshot({"test_a.py": QUICK, "test_b.py": sleeping, "test_c.py": QUICK})
    with open_verification(
        snapshot,
        sandbox=sandbox,
        environment=replace(environment, runner="unittest"),
        issue_text="",
        selection=tuple(map(RepoPath, SELECTION)),
        cancel=cancel,
        timeout_seconds=5.0,
    ) as context:
        assert context.selection == ("test_a.py", "test_c.py")
        assert context.baseline is not None
        assert len(context.baseline.report.with_outcome("passed")) == 4
        assert "A test in test_b.py does not end within the time limit; the file is left out." in context.notes
