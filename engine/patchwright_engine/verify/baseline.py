"""What passed before the patch, and what a patch changed about it.

Invariant: a test that fails, or does not answer the same way twice, before the patch never counts against it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from patchwright_engine.verify.runs import NO_TESTS, TestReport

REPEAT_BELOW_SECONDS = 10.0
"""A baseline quicker than this is run twice, to find flaky tests while it is cheap."""
RECORD_BELOW_SECONDS = 3.0
"""And one quicker than this records in its second run which files the tests enter, which slows it a few times."""
MAX_LEFT_OUT = 2
"""Test files that may each use up the time limit once before what fits in it is taken."""
MAX_SINGLE = 500
"""Tests that are named one by one where their file does not fit whole."""
MAX_ENDING = 3
"""Test files that may each end the whole run before its first test; each is found by halves, in a few short runs."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The unpatched copy's results, without the flaky tests."""

    report: TestReport
    flaky: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out about a selection before any patch."""

    selection: tuple[str, ...]
    """What is worth running again: without files that never end, with single tests of one that does not fit whole."""
    baseline: Baseline | None
    """None when nothing is."""
    hanging: tuple[str, ...] = ()
    """Files left out because a test in them does not end."""
    ending: tuple[str, ...] = ()
    """Files left out because the test runner ends before any test when it is given them."""
    cut: bool = False
    """Whether the rest of it was still more than fits in the time limit."""


@dataclass(frozen=True, slots=True)
class Regression:
    """The same selection before and after a patch."""

    newly_failing: tuple[str, ...]
    """Tests that passed before and do not now: failing, erring, gone, or skipped by the patch."""
    passed_before: int
    passed_after: int
    """Of those that passed before, how many still do."""
    fixed: tuple[str, ...]
    """Tests that failed before and pass now."""


def measure_selection(
    run: Callable[[tuple[str, ...], bool], TestReport],
    selection: tuple[str, ...],
    seconds: float,
    near: Sequence[str] = (),
) -> Measured:
    """The baseline of what of `selection` ends within the time limit of `seconds`.

    `run` runs names over a clean copy; its second argument says whether to record what the tests enter. `near` are
    tests that somebody points at.
    """
    hanging: list[str] = []
    ending: list[str] = []
    while True:
        baseline = measure_baseline(partial(run, selection))
        if _ended_before_any_test(baseline.report) and len(ending) < MAX_ENDING:
            file = _ending_file(lambda names: run(names, False), selection)
            if file is not None:
                ending.append(file)
                selection = tuple(name for name in selection if file_of(name) != file)
                continue
        if baseline.report.run.outcome != "timeout":
            return Measured(selection, baseline, tuple(hanging), tuple(ending))
        file = hanging_file(baseline)
        if file is None or len(hanging) == MAX_LEFT_OUT:
            baseline, kept = fitting(baseline, selection, seconds / 2, near)
            return Measured(kept, baseline if kept else None, tuple(hanging), tuple(ending), cut=True)
        hanging.append(file)
        selection = tuple(name for name in selection if file_of(name) != file)
        if not selection:
            return Measured((), None, tuple(hanging), tuple(ending))


def _ended_before_any_test(report: TestReport) -> bool:
    """Whether the runner gave up by itself, and told of no test at all."""
    nothing = report.problem is not None and not report.results and not report.failures
    return nothing and report.problem != NO_TESTS and report.run.outcome == "exited"


def _ending_file(run: Callable[[tuple[str, ...]], TestReport], selection: tuple[str, ...]) -> str | None:
    """The first file with which the runner ends before any test; None when it is not a file that makes it do so."""
    files = tuple(dict.fromkeys(map(file_of, selection)))

    def ends(part: tuple[str, ...]) -> bool:
        return _ended_before_any_test(run(tuple(name for name in selection if file_of(name) in part)))

    if len(files) < 2 or (ends(files[:1]) and ends(files[-1:])):
        return None  # It ends with whatever it is given: the environment lacks something.
    fine, bad = 0, len(files)
    while bad - fine > 1:
        middle = (fine + bad) // 2
        if ends(files[:middle]):
            bad = middle
        else:
            fine = middle
    return files[bad - 1]


def measure_baseline(run: Callable[[bool], TestReport]) -> Baseline:
    """Run the selection on the unpatched copy, twice when that is cheap.

    `run` starts from a clean copy each time; its argument says whether to record what the tests enter.
    """
    first = run(False)
    if first.problem is not None or first.run.seconds >= REPEAT_BELOW_SECONDS:
        return Baseline(first)
    second = run(first.run.seconds < RECORD_BELOW_SECONDS)
    flaky = {
        test
        for test in first.results.keys() | second.results.keys()
        if first.results.get(test) != second.results.get(test)
    }
    stable = {test: outcome for test, outcome in first.results.items() if test not in flaky}
    tampering = first.tampering | second.tampering
    kept = replace(first, results=stable, functions=second.functions, entered=second.entered, tampering=tampering)
    return Baseline(kept, tuple(sorted(flaky)))


def fitting(
    baseline: Baseline, selection: Sequence[str], seconds: float, near: Sequence[str] = ()
) -> tuple[Baseline, tuple[str, ...]]:
    """For a baseline that was cut short: the leading files of `selection` that ran whole within `seconds`.

    Of the file that comes after them, which was running when the time ended or takes too long, the tests that ended
    are taken by their ids, as many as fit, first those around the tests in `near`: what lies nearest must not go
    untested because it is large.
    """
    report = baseline.report
    spent = seconds_by_file(report)
    running = file_of(next(reversed(list(report.durations)), ""))
    whole: list[str] = []
    single: list[str] = []
    total = 0.0
    for name in selection:
        file = file_of(name)
        if file not in spent:
            continue
        if file == running or total + spent[file] > seconds:
            single = _ended_tests(report, name, seconds - total, near)
            break
        total += spent[file]
        whole.append(name)
    files, tests = set(map(file_of, whole)), set(single)
    results = {test: result for test, result in report.results.items() if file_of(test) in files or test in tests}
    return Baseline(replace(report, results=results, problem=None), baseline.flaky), (*whole, *single)


def _ended_tests(report: TestReport, name: str, seconds: float, near: Sequence[str]) -> list[str]:
    """Of the tests that `name` (a file, a class, a test) stands for and that ended, those that fit in `seconds`.

    Half the time is for the neighbours of the tests in `near`, the rest for whatever is quick: so most of them fit.
    """
    ended = [test for test in report.durations if test in report.results and is_of(test, name)]
    places = {test: place for place, test in enumerate(ended)}
    anchors = [places[test] for test in ended if any(is_of(test, one) for one in near)]
    anchors = anchors or [places[test] for test in ended if any(is_of(test, one.rpartition("::")[0]) for one in near)]
    beside = sorted(ended, key=lambda test: min(abs(places[test] - place) for place in anchors)) if anchors else []
    taken: set[str] = set()
    total = 0.0
    for tests, share in ((beside, seconds / 2), (sorted(ended, key=report.durations.__getitem__), seconds)):
        for test in (test for test in tests if test not in taken):
            if total + report.durations[test] > share or len(taken) == MAX_SINGLE:
                break
            taken.add(test)
            total += report.durations[test]
    return [test for test in ended if test in taken]


def is_of(test: str, name: str) -> bool:
    """Whether a test is `name`, or a part of it: of a file, of a class, or with a parameter."""
    return test == name or test.startswith((f"{name}::", f"{name}["))


def hanging_file(baseline: Baseline) -> str | None:
    """The file whose test was still running when a baseline was cut short, if that test alone took half the time."""
    report = baseline.report
    running = [test for test in report.durations if test not in report.results]
    if not running or report.run.seconds - sum(report.durations.values()) < report.run.seconds / 2:
        return None
    return file_of(running[-1])


def file_of(test: str) -> str:
    """The file of a test id, which may be a file itself."""
    return test.partition("::")[0]


def seconds_by_file(report: TestReport) -> dict[str, float]:
    """Test file → how long its tests took together."""
    spent: dict[str, float] = {}
    for test, duration in report.durations.items():
        spent[file_of(test)] = spent.get(file_of(test), 0.0) + duration
    return spent


def compare(before: TestReport, after: TestReport) -> Regression:
    """Compare per test; what did not run before is ignored."""
    passed = before.with_outcome("passed")
    failing = before.with_outcome("failed") | before.with_outcome("error")
    now = after.with_outcome("passed")
    return Regression(
        newly_failing=tuple(sorted(test for test in passed - now)),
        passed_before=len(passed),
        passed_after=len(passed & now),
        fixed=tuple(sorted(failing & now)),
    )
