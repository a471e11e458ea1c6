"""A failing test followed through a project with its neighbours: what each runs, and why nothing can be told."""

from collections.abc import Callable, Mapping

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Snapshot
from patchwright_engine.verify.discovery import named_selection
from patchwright_engine.verify.environment import discover_environment
from patchwright_engine.verify.execution import Execution, execute
from patchwright_engine.verify.workspace import WorkspaceCopy

Make = Callable[[Mapping[str, str]], Snapshot]
Follow = Callable[..., Execution]

MEAN = """\
def mean(values):
    if not values:
        return nothing()
    return total(values) / len(values)


def total(values):
    result = 0
    for value in values:
        result += value
    return result


def nothing():
    return None
"""
TESTS = """\
import unittest

from stats.mean import mean


def test_two():
    assert mean([1, 3]) == 2


def test_nothing():
    assert mean([]) == 0


class MeanTests(unittest.TestCase):
    def test_one(self):
        self.assertEqual(mean([4]), 4)

    def test_none(self):
        self.assertEqual(mean([]), 0)
"""
FILES = {"stats/__init__.py": "", "stats/mean.py": MEAN, "tests/test_mean.py": TESTS}
NOTHING = "tests/test_mean.py::test_nothing"


@pytest.fixture
def follow(make_snapshot: Make, sandbox: Sandbox) -> Follow:
    """Follows a selection of the tests of a project in the sandbox."""

    def call(*selection: str, files: Mapping[str, str] = FILES, runner: str = "pytest") -> Execution:
        snapshot = make_snapshot(files)
        environment = discover_environment(snapshot.root, runner=runner)
        with WorkspaceCopy(snapshot) as workspace:
            return execute(sandbox, workspace.path, environment, selection, CancelToken())

    return call


def lines(execution: Execution, test: str) -> dict[str, list[int]]:
    ran = {**execution.failed, **execution.passed}[test]
    return {frame.function: sorted(found) for frame, found in ran.items() if frame.path == "stats/mean.py"}


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
def test_the_lines_of_the_failing_test_and_of_its_neighbours_are_told(follow: Follow, runner: str) -> None:
    execution = follow(NOTHING, runner=runner)
    assert execution.problem == ""
    assert set(execution.failed) == {NOTHING}
    assert set(execution.passed) == {"tests/test_mean.py::test_two", "tests/test_mean.py::MeanTests::test_one"}
    assert lines(execution, NOTHING) == {"mean": [2, 3], "nothing": [15]}
    assert lines(execution, "tests/test_mean.py::test_two") == {"mean": [2, 4], "total": [8, 9, 10, 11]}


@pytest.mark.parametrize(
    ("selection", "failed"),
    [
        ("tests/test_mean.py", {NOTHING, "tests/test_mean.py::MeanTests::test_none"}),
        ("tests/test_mean.py::MeanTests", {"tests/test_mean.py::MeanTests::test_none"}),
    ],
)
def test_a_file_or_a_class_means_its_tests_that_fail(follow: Follow, selection: str, failed: set[str]) -> None:
    assert set(follow(selection).failed) == failed


def test_a_test_that_never_gets_its_turn_is_run_by_itself(follow: Follow) -> None:
    crash = "import os\n\n\ndef test_aaa():\n    os._exit(9)\n\n\n" + TESTS
    execution = follow(NOTHING, files={**FILES, "tests/test_mean.py": crash})
    assert set(execution.failed) == {NOTHING}
    assert lines(execution, NOTHING) == {"mean": [2, 3], "nothing": [15]}


@pytest.mark.parametrize(
    ("selection", "source", "problem"),
    [
        ("test_two", TESTS, "the named tests do not fail here"),
        ("test_gone", TESTS, "the named tests were not found in their files"),
        (
            "test_two",
            "import no_such_module\n" + TESTS,
            "the named tests cannot be run: ModuleNotFoundError: No module",
        ),
        ("test_two", "x = 1\n", "the named tests did not run: no tests were found"),
        ("test_two", "def test_two():\n    raise KeyError\n", "the named tests fail before they enter any function"),
    ],
)
def test_why_nothing_can_be_told(follow: Follow, selection: str, source: str, problem: str) -> None:
    execution = follow(f"tests/test_mean.py::{selection}", files={**FILES, "tests/test_mean.py": source})
    assert execution.problem.startswith(problem)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("tests/test_a.py::Case::test_x", ("tests/test_a.py::Case::test_x",)),
        ("pytest -q ./tests/test_a.py::test_x[1] tests/test_b.py", ("tests/test_a.py::test_x[1]", "tests/test_b.py")),
        ("python -m unittest tests.test_a.Case.test_x", ("tests/test_a.py::Case::test_x",)),
        ("./manage.py test app.tests.Case", ("tests/app/tests.py::Case",)),
        ("test_x (tests.test_a.Case)", ("tests/test_a.py::Case::test_x",)),
        ("test_x (tests.test_a.Case.test_x)", ("tests/test_a.py::Case::test_x",)),
        ("make test", ()),
    ],
)
def test_tests_are_named_as_every_runner_prints_them(make_snapshot: Make, command: str, named: tuple[str, ...]) -> None:
    files = dict.fromkeys(["tests/test_a.py", "tests/test_b.py", "tests/app/tests.py", "Makefile"], "")
    assert named_selection(command, make_snapshot(files)) == named
