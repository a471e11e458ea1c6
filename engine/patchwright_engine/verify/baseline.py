"""What passed before the patch, and what a patch changed about it.

Invariant: a test that fails, or does not answer the same way twice, before the patch never counts against it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from patchwright_engine.verify.runs import TestReport

REPEAT_BELOW_SECONDS = 10.0
"""A baseline quicker than this is run twice, to find flaky tests while it is cheap."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The unpatched copy's results, without the flaky tests."""

    report: TestReport
    flaky: tuple[str, ...] = ()


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


def measure_baseline(run: Callable[[], TestReport]) -> Baseline:
    """Run the selection on the unpatched copy, twice when that is cheap. `run` starts from a clean copy each time."""
    first = run()
    if first.problem is not None or first.run.seconds >= REPEAT_BELOW_SECONDS:
        return Baseline(first)
    second = run()
    flaky = {
        test
        for test in first.results.keys() | second.results.keys()
        if first.results.get(test) != second.results.get(test)
    }
    stable = {test: outcome for test, outcome in first.results.items() if test not in flaky}
    tampering = first.tampering | second.tampering
    return Baseline(replace(first, results=stable, tampering=tampering), tuple(sorted(flaky)))


def fitting(baseline: Baseline, selection: Sequence[str], seconds: float) -> tuple[Baseline, tuple[str, ...]]:
    """For a baseline that was cut short: the leading files of `selection` that ran whole within `seconds`.

    The file that was running when the time ended is always left out, and so are files that gave no result.
    """
    report = baseline.report
    spent: dict[str, float] = {}
    for test, duration in report.durations.items():
        spent[test.partition("::")[0]] = spent.get(test.partition("::")[0], 0.0) + duration
    last = next(reversed(list(report.durations)), "").partition("::")[0]
    kept: list[str] = []
    total = 0.0
    for name in selection:
        file = name.partition("::")[0]
        if file == last or file not in spent:
            continue
        total += spent[file]
        if total > seconds:
            break
        kept.append(name)
    files = {name.partition("::")[0] for name in kept}
    results = {test: result for test, result in report.results.items() if test.partition("::")[0] in files}
    return Baseline(replace(report, results=results, problem=None), baseline.flaky), tuple(kept)


def hanging_file(baseline: Baseline) -> str | None:
    """The file whose test was still running when a baseline was cut short, if that test alone took half the time."""
    report = baseline.report
    running = [test for test in report.durations if test not in report.results]
    if not running or report.run.seconds - sum(report.durations.values()) < report.run.seconds / 2:
        return None
    return running[-1].partition("::")[0]


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
