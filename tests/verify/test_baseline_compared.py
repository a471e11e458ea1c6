"""What a patch changed, per test."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from patchwright_engine.types import RunReport
from patchwright_engine.verify.baseline import (
    Baseline,
    Measured,
    compare,
    fitting,
    measure_baseline,
    measure_selection,
)
from patchwright_engine.verify.runs import TestReport
from patchwright_engine.verify.shards import merge_measured


def report(*, seconds: float = 1.0, problem: str | None = None, **results: str) -> TestReport:
    return TestReport(RunReport(("pytest",), 0, "", seconds), results, problem=problem)


def test_only_tests_that_passed_before_can_newly_fail() -> None:
    before = report(a="passed", b="passed", c="passed", d="passed", e="failed", f="error", g="skipped", h="failed")
    after = report(a="passed", b="failed", c="error", e="failed", f="passed", g="failed", h="passed")
    regression = compare(before, after)
    assert regression.newly_failing == ("b", "c", "d")
    assert (regression.passed_before, regression.passed_after) == (4, 1)
    assert regression.fixed == ("f", "h")


def test_a_patch_cannot_pass_by_having_tests_skipped() -> None:
    assert compare(report(a="passed"), report(a="skipped")).newly_failing == ("a",)


def test_tests_that_change_their_answer_are_dropped() -> None:
    runs = iter([report(a="passed", b="passed", c="failed"), report(a="passed", b="failed", c="failed", d="passed")])
    baseline = measure_baseline(lambda _: next(runs))
    assert baseline.report.results == {"a": "passed", "c": "failed"}
    assert baseline.flaky == ("b", "d")


def test_a_quick_baseline_records_what_the_tests_enter_in_its_second_run() -> None:
    entered = {"a.py": frozenset({"b.py"})}
    asked: list[bool] = []

    def run(record: bool, seconds: float) -> TestReport:
        asked.append(record)
        return replace(report(seconds=seconds, a="passed"), entered=entered if record else {})

    assert measure_baseline(lambda record: run(record, 1.0)).report.entered == entered
    assert measure_baseline(lambda record: run(record, 5.0)).report.entered == {}
    assert asked == [False, True, False, False]


def test_a_slow_baseline_is_run_once() -> None:
    runs = iter([report(seconds=11.0, a="passed")])
    assert measure_baseline(lambda _: next(runs)) == Baseline(report(seconds=11.0, a="passed"))


def test_a_baseline_cut_short_keeps_the_files_that_ran_whole() -> None:
    ids = {"a.py::1": 2.0, "a.py::2": 1.0, "c.py::1": 4.0, "d.py::1": 1.0}
    cut = TestReport(
        RunReport(("pytest",), None, "", 10.0, "timeout"), dict.fromkeys(ids, "passed"), problem="cut", durations=ids
    )
    baseline, kept = fitting(Baseline(cut), ["a.py", "b.py", "c.py", "d.py", "e.py"], seconds=20.0)
    assert kept == ("a.py", "c.py", "d.py::1")
    assert set(baseline.report.results) == {"a.py::1", "a.py::2", "c.py::1", "d.py::1"}
    assert fitting(Baseline(cut), ["a.py", "c.py"], seconds=5.0)[1] == ("a.py",)


def test_of_a_file_too_large_for_the_time_the_tests_that_fit_are_kept() -> None:
    ids = {"a.py::1": 2.0, "a.py::C::2": 1.0, "a.py::C::3": 4.0, "a.py::running": 0.0}
    ended = {test: "passed" for test in ids if test != "a.py::running"}
    cut = TestReport(RunReport(("pytest",), None, "", 10.0, "timeout"), ended, problem="cut", durations=ids)
    baseline, kept = fitting(Baseline(cut), ["a.py", "b.py"], seconds=5.0)
    assert kept == ("a.py::1", "a.py::C::2")
    assert set(baseline.report.results) == set(kept)
    quick = {"a.py::slow": 4.0, "a.py::C::1": 1.5, "a.py::C::2": 1.5, "a.py::D::3": 1.0, "a.py::D::4": 1.0}
    cut = replace(cut, results=dict.fromkeys(quick, "passed"), durations={**quick, "a.py::running": 0.0})
    assert fitting(Baseline(cut), ["a.py"], seconds=4.0)[1] == ("a.py::C::1", "a.py::D::3", "a.py::D::4")
    beside = fitting(Baseline(cut), ["a.py"], seconds=4.0, near=["a.py::C::2"])[1]
    assert beside == ("a.py::C::2", "a.py::D::3", "a.py::D::4")
    in_class = fitting(Baseline(cut), ["a.py"], seconds=8.0, near=["a.py::C::gone"])[1]
    assert in_class == ("a.py::C::1", "a.py::C::2", "a.py::D::3", "a.py::D::4")
    part = Measured(kept, baseline, cut=True)
    other = Measured(("b.py",), Baseline(report(x="passed")))
    assert merge_measured([other, part], ["a.py", "b.py"]).selection == ("a.py::1", "a.py::C::2", "b.py")


FILES = tuple(f"test_{letter}.py" for letter in "abcdefgh")


def ends_with(*bad: str) -> tuple[list[tuple[str, ...]], Callable[[tuple[str, ...], bool], TestReport]]:
    """A runner that ends before any test when it is given one of these files, and what it was given."""
    given: list[tuple[str, ...]] = []

    def run(names: tuple[str, ...], _record: bool) -> TestReport:
        given.append(names)
        if set(bad) & set(names):
            return TestReport(RunReport(("django",), 3, "", 1.0), {}, problem="no test ran (exit status 3): Aborting")
        return TestReport(RunReport(("django",), 0, "", 11.0), {f"{name}::test": "passed" for name in names})

    return given, run


@pytest.mark.parametrize("bad", [("test_a.py",), ("test_e.py",), ("test_h.py",), ("test_b.py", "test_g.py")])
def test_files_that_end_the_whole_run_are_found_and_left_out(bad: tuple[str, ...]) -> None:
    given, run = ends_with(*bad)
    measured = measure_selection(run, FILES, 60.0)
    assert set(measured.ending) == set(bad)
    assert measured.selection == tuple(name for name in FILES if name not in bad)
    assert measured.baseline is not None
    assert len(measured.baseline.report.results) == len(FILES) - len(bad)
    assert len(given) <= 6 * len(bad) + 1


def test_where_every_file_ends_the_run_nothing_is_left_out_and_the_reason_is_kept() -> None:
    given, run = ends_with(*FILES)
    measured = measure_selection(run, FILES, 60.0)
    assert measured.ending == ()
    assert measured.baseline is not None
    assert measured.baseline.report.problem == "no test ran (exit status 3): Aborting"
    assert len(given) == 3


def test_a_single_file_that_ends_the_run_keeps_its_reason() -> None:
    _, run = ends_with("test_a.py")
    measured = measure_selection(run, ("test_a.py",), 60.0)
    assert measured.ending == ()
    assert measured.baseline is not None
    assert measured.baseline.report.problem is not None
