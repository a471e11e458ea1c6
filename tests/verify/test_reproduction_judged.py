"""A reproduction must fail for the issue's reason; every other failure is refused with advice."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Snapshot
from patchwright_engine.verify.complaints import errors_of_today
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.reproduction import Reproduction, check_reproduction
from patchwright_engine.verify.workspace import WorkspaceCopy

ISSUE = "mean([]) raises ZeroDivisionError: division by zero. It should return 0 for an empty list."
Check = Callable[..., Reproduction]


@pytest.fixture
def check(project: Snapshot, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken) -> Iterator[Check]:
    with WorkspaceCopy(project) as workspace:

        def go(source: str, issue: str = ISSUE, runner: str = "unittest", seconds: float = 30.0) -> Reproduction:
            return check_reproduction(
                source,
                issue_text=issue,
                sandbox=sandbox,
                workspace=workspace,
                snapshot=project,
                environment=replace(environment, runner=runner),
                cancel=cancel,
                timeout_seconds=seconds,
            )

        yield go
        assert not list(workspace.path.glob("test_patchwright_*"))


VALID = {
    "the project's code raises": "from stats.mean import mean\ndef test_it():\n    assert mean([]) == 0\n",
    "an assertion about the project": "from stats.mean import spread\ndef test_it():\n    assert spread([1, 5]) == 5\n",
    "another exception was expected": (
        "import pytest\nfrom stats.mean import mean\n"
        "def test_it():\n    with pytest.raises(ValueError):\n        mean([1])\n"
    ),
    "unittest's assertion": (
        "import unittest\nfrom stats.mean import mean\nclass T(unittest.TestCase):\n"
        "    def test_it(self):\n        self.assertEqual(mean([2]), 3)\n"
    ),
    "one of two fails": (
        "from stats.mean import mean\n"
        "def test_one():\n    assert mean([2]) == 2\ndef test_it():\n    assert mean([]) == 0\n"
    ),
    "pytest.fail after the exception": (
        "import pytest\nfrom stats.mean import mean\ndef test_it():\n    try:\n        mean([])\n"
        "    except ZeroDivisionError:\n        pytest.fail('raises')\n"
    ),
}


@pytest.mark.parametrize("case", VALID)
def test_failing_for_the_issues_reason_is_valid(check: Check, case: str) -> None:
    reproduction = check(VALID[case])
    assert reproduction.valid, reproduction.reason
    assert reproduction.failing
    assert reproduction.failure


@pytest.mark.parametrize(
    "case", ["the project's code raises", "unittest's assertion", "another exception was expected"]
)
def test_it_works_with_either_runner(check: Check, case: str) -> None:
    reproduction = check(VALID[case], runner="pytest")
    assert reproduction.valid, reproduction.reason


REFUSED = {
    "syntax": ("def test_it(:\n", "not valid Python"),
    "no test": ("from stats.mean import mean\nmean([])\n", "defines no test"),
    "nothing of the project": (
        "import math\ndef test_it():\n    assert math.pi == 3\n",
        "imports nothing of the project",
    ),
    "passes": ("from stats.mean import mean\ndef test_it():\n    assert mean([1]) == 1\n", "passes on the unpatched"),
    "wrong import": ("from stats.mean import median\ndef test_it():\n    assert median([]) == 0\n", "cannot be loaded"),
    "wrong name": ("from stats.mean import mean\ndef test_it():\n    assert meen([]) == 0\n", "NameError"),
    "wrong attribute": ("import stats\ndef test_it():\n    assert stats.average([]) == 0\n", "AttributeError"),
    "wrong call": ("from stats.mean import mean\ndef test_it():\n    assert mean() == 0\n", "TypeError"),
    "unknown fixture": ("from stats.mean import mean\ndef test_it(nope):\n    assert mean([]) == 0\n", "fixture"),
    "constant": ("from stats.mean import mean\ndef test_it():\n    assert False\n", "constant"),
    "bare fail": ("import pytest, stats\ndef test_it():\n    pytest.fail('x')\n", "constant"),
    "bare raise": ("import stats\ndef test_it():\n    raise AssertionError('x')\n", "constant"),
    "other exception": (
        "from stats.mean import mean\ndef test_it():\n    {}['k'] = mean([1])\n    {}['j']\n",
        "KeyError",
    ),
    "one wrong beside a right one": (
        "from stats.mean import mean\ndef test_a():\n    assert mean([]) == 0\ndef test_b():\n    nope\n",
        "NameError",
    ),
    "hangs": ("import time, stats\ndef test_it():\n    time.sleep(60)\n", "time limit"),
}


WITH_PYTEST = {"unknown fixture": "pytest", "wrong import": "pytest", "passes": "pytest"}


@pytest.mark.parametrize("case", REFUSED)
def test_failing_for_another_reason_is_refused_with_advice(check: Check, case: str) -> None:
    source, reason = REFUSED[case]
    reproduction = check(source, runner=WITH_PYTEST.get(case, "unittest"), seconds=5.0 if case == "hangs" else 30.0)
    assert not reproduction.valid
    assert reason in reproduction.reason


def test_an_error_that_the_issue_quotes_is_the_issues_reason(check: Check) -> None:
    source = "import stats\ndef test_it():\n    assert stats.average([]) == 0\n"
    issue = "AttributeError: module 'stats' has no attribute 'average'"
    assert check(source, issue).valid


def test_a_test_that_differs_from_run_to_run_is_refused(check: Check) -> None:
    source = (
        "import time, pytest\nfrom stats.mean import mean\n"
        "@pytest.mark.parametrize('now', [time.time_ns()])\ndef test_it(now):\n    assert mean([now]) == 0\n"
    )
    reproduction = check(source, runner="pytest")
    assert not reproduction.valid
    assert "deterministic" in reproduction.reason


ROUND = "mean([]) raises ZeroDivisionError\n\nIt should return 0 for an empty list."


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
def test_a_test_that_asks_for_what_the_issue_complains_of_is_refused(check: Check, runner: str) -> None:
    case = "import unittest\nfrom stats.mean import mean\nclass T(unittest.TestCase):\n    def test_it(self):\n"
    wrong = check(f"{case}        with self.assertRaises(ZeroDivisionError):\n            mean([2])\n", ROUND, runner)
    assert not wrong.valid
    assert wrong.reason.endswith("The issue complains of ZeroDivisionError: assert what should come instead of it.")
    today = check(f"{case}        self.assertRaises(ZeroDivisionError, mean, [])\n", ROUND, runner)
    assert today.reason.startswith("The test passes on the unpatched code")
    assert "complains of ZeroDivisionError" in today.reason
    other = check(f"{case}        with self.assertRaises(ValueError):\n            mean([2])\n", ROUND, runner)
    assert other.valid, other.reason


def test_under_pytest_too(check: Check) -> None:
    source = "import pytest\nfrom stats.mean import mean\ndef test_it():\n    with pytest.raises(ZeroDivisionError):\n"
    assert "wrong way round" in check(f"{source}        mean([2])\n", ROUND, "pytest").reason


@pytest.mark.parametrize(
    ("issue", "errors"),
    [
        ("f(2) raises a KeyError", {"KeyError"}),
        ("`parse` crashes with json.JSONDecodeError", {"JSONDecodeError"}),
        ("parse fails with `ValueError` for 3", {"ValueError"}),
        ("f breaks\n\nTraceback (most recent call last):\n  File ...\nlib.errors.ParseError: no", {"ParseError"}),
        ("f breaks\n\n>>> f(1)\nRecursionError: maximum recursion depth exceeded\n", {"RecursionError"}),
        ("f({}) should raise ValueError", set()),
        ("f({}) does not raise ValueError", set()),
        ("f is silent\n\nf([]) raises ValueError, f({}) does not.", set()),
        ("ValueError is documented, and never comes", set()),
    ],
)
def test_what_an_issue_complains_of(issue: str, errors: set[str]) -> None:
    assert errors_of_today(issue) == errors
