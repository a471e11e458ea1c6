"""Run the tests that show a fault together with their neighbours, and note what of the project each of them runs.

The neighbours are the other tests of the same files: they share the failing tests' ways through the project, up to
where the fault is. Invariant: only tests that were really seen to fail, or to pass, are told of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.verify.baseline import is_of
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.runs import NO_TESTS, Frame, TestReport, run_tests

EXECUTION_SECONDS = 60.0
"""For a run of the named tests' files. What ended by then counts."""


Ran = Mapping[Frame, frozenset[int]]
"""What a test ran: functions of the workspace, each at its first line → those of its lines that it ran."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What failing tests and their neighbours ran."""

    failed: Mapping[str, Ran] = field(default_factory=dict)
    """By test id."""
    passed: Mapping[str, Ran] = field(default_factory=dict)
    problem: str = ""
    """Why nothing can be told, e.g. 'the named tests pass'; '' when something can."""
    seconds: float = 0.0


def execute(
    sandbox: Sandbox,
    workspace: Path,
    environment: TestEnvironment,
    selection: Sequence[str],
    cancel: CancelToken,
    *,
    timeout_seconds: float = EXECUTION_SECONDS,
) -> Execution:
    """Run the files of `selection` (files or test ids) over the copy at `workspace`, which must be clean.

    Those of `selection` that fail are the failing tests; without an id, every test of a file is meant. Where a run was
    cut short, by the time limit or a crash, before any of them had its turn, they are run by themselves, in as much
    time again.

    Raises: as `Sandbox.run`.
    """
    if environment.language != "python":
        return Execution(problem=f"which functions a test enters is known for Python only, not {environment.language}")
    files = tuple(dict.fromkeys(name.partition("::")[0] for name in selection))

    def run(names: Sequence[str]) -> TestReport:
        return run_tests(
            sandbox, workspace, environment, names, cancel, timeout_seconds=timeout_seconds, record_lines=True
        )

    whole = run(files)
    cut_short = whole.problem not in (None, NO_TESTS) and set(files) != set(selection)
    if cut_short and not any(_is_named(test, selection) for test in whole.results):
        return told([whole, run(selection)], selection)
    return told([whole], selection)


def told(reports: Sequence[TestReport], selection: Sequence[str]) -> Execution:
    """What runs of the files of `selection`, or of it alone, tell of its tests that fail."""
    failed: dict[str, Ran] = {}
    passed: dict[str, Ran] = {}
    named = False
    for report in reports:
        for test, outcome in report.results.items():
            entered = report.functions.get(test, {})
            mine = _is_named(test, selection)
            named |= mine
            if outcome == "passed":
                passed[test] = entered
            elif mine and outcome in ("failed", "error"):
                failed[test] = entered
    seconds = sum(report.run.seconds for report in reports)
    return Execution(failed, passed, _problem(reports, failed, named=named), seconds)


def _problem(reports: Sequence[TestReport], failed: Mapping[str, Ran], *, named: bool) -> str:
    if failed:
        tests = {test.partition("::")[0] for test in failed}
        outside = any(frame.inside and frame.path not in tests for ran in failed.values() for frame in ran)
        return "" if outside else "the named tests fail before they enter any function of the project"
    broken = next((f for report in reports for name, f in report.failures.items() if name not in report.results), None)
    if named:
        return "the named tests do not fail here"
    if broken is not None:
        return f"the named tests cannot be run: {broken.exception}: {broken.message}".strip(": ")
    problem = next((report.problem for report in reports if report.problem is not None), None)
    return f"the named tests did not run: {problem}" if problem else "the named tests were not found in their files"


def _is_named(test: str, selection: Sequence[str]) -> bool:
    """Whether a test is one of the selection, or a part of one."""
    return any(is_of(test, name) for name in selection)
