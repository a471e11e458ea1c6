"""Verify one patch and say how strongly it is proven (DESIGN §3), from our own runs alone.

Order: refuse what may not be edited and what only deceives tests, then the user's test, then the reproductions,
then the regression tests; each starts from a clean patched copy (see `context`).
Invariant: a patch that breaks a test that passed before, or fails the user's test, gets no evidence at all.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.output import visible
from patchwright_engine.types import Evidence, FixRun, Patch, RepoPath, RunReport
from patchwright_engine.verify.baseline import Regression, compare
from patchwright_engine.verify.cheating import inspect_patch
from patchwright_engine.verify.context import (
    VerificationContext,
    run_regression,
    run_reproductions,
    run_user_command,
)
from patchwright_engine.verify.discovery import refused_paths
from patchwright_engine.verify.reproduction import useful_lines
from patchwright_engine.verify.runs import TestReport

_NAMED_FAILURES = 5
_PRINTED_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict on one patch."""

    evidence: Evidence | None
    """None: rejected."""
    runs: tuple[FixRun, ...]
    passed_reproductions: int
    regression: Regression | None
    feedback: str
    """What the runs printed about what is still wrong, shortened, for the next try; empty when nothing is."""
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """What the patch does that is often a cheat and sometimes a fix, each going on from "the patch"."""


def verify_patch(patch: Patch, context: VerificationContext, cancel: CancelToken) -> Verification:
    """Run everything the context has over the patched copy.

    Raises:
        StaleSnapshot: the patch was made against other texts than the context's snapshot.
        Cancelled, SandboxUnavailable: as `Sandbox.run`.
    """
    if all(edit.before == edit.after and not edit.created for edit in patch.edits):
        return _rejected("The patch changes nothing. Change the code at fault.")
    refused = refused_paths(patch, context.snapshot)
    if refused:
        reasons = "; ".join(visible(reason) for reason in refused.values())
        return _rejected(f"The patch may not change these files: {reasons}. Change the code that the issue is about.")
    broken = _syntax_errors(patch)
    if broken:
        return _rejected(broken)
    suspicion = inspect_patch(patch, lambda: _texts(context))
    if suspicion.refused:
        found = "; ".join(f"it {words}" for words in suspicion.refused)
        return _rejected(f"The patch is refused: {found}. Mend what the code does for its users, tested or not.")
    return replace(_verify_by_runs(patch, context, cancel), flags=suspicion.flags)


def _texts(context: VerificationContext) -> Iterator[str]:
    """What shows the values that are tested: the issue, the reproductions, and the tests that fail today."""
    yield context.issue_text
    yield from (reproduction.source for reproduction in context.reproductions)
    failing = context.baseline.report.failures if context.baseline is not None else ()
    for path in sorted({RepoPath(test.partition("::")[0]) for test in failing}):
        if path in context.snapshot.files:
            yield context.snapshot.read_text(path)


def _verify_by_runs(patch: Patch, context: VerificationContext, cancel: CancelToken) -> Verification:
    if context.sandbox is None or context.workspace is None:
        return Verification(Evidence.PARSES, (), 0, None, "", context.notes)
    user = _check_user_command(patch, context, cancel)
    if user.rejection is not None:
        return _rejected(user.rejection, user.runs)
    reproduced = _check_reproductions(patch, context, cancel)
    if reproduced.rejection is not None:
        return _rejected(reproduced.rejection, (*user.runs, *reproduced.runs))
    regressed = _check_regression(patch, context, cancel)
    runs = (*user.runs, *reproduced.runs, *regressed.runs)
    regression = regressed.regression
    if regressed.rejection is not None:
        return Verification(None, runs, reproduced.passed, regression, regressed.rejection, context.notes)
    evidence = _level(user, reproduced, regression, context)
    return Verification(evidence, runs, reproduced.passed, regression, reproduced.feedback, context.notes)


@dataclass(frozen=True, slots=True)
class _Finding:
    """What one kind of check contributes."""

    runs: tuple[FixRun, ...] = ()
    rejection: str | None = None
    feedback: str = ""
    passed: int = 0
    regression: Regression | None = None


def _level(
    user: _Finding, reproduced: _Finding, regression: Regression | None, context: VerificationContext
) -> Evidence:
    if user.passed:
        return Evidence.FAILING_TEST
    fixed = regression.fixed if regression is not None else ()
    # Without its name in the issue, a failing test that now passes may have nothing to do with it.
    if any(re.search(rf"\b{re.escape(_test_name(test))}\b", context.issue_text) for test in fixed):
        return Evidence.FAILING_TEST
    if reproduced.passed:
        return Evidence.REPRODUCED
    if user.runs or (regression is not None and regression.passed_before > 0):
        return Evidence.REGRESSION_ONLY
    return Evidence.PARSES


def _test_name(test: str) -> str:
    return test.rpartition("::")[2].partition("[")[0]


def _rejected(feedback: str, runs: tuple[FixRun, ...] = ()) -> Verification:
    return Verification(None, runs, 0, None, feedback)


def _syntax_errors(patch: Patch) -> str:
    for edit in patch.edits:
        if edit.path.endswith(".py"):
            try:
                ast.parse(edit.after)
            except (SyntaxError, ValueError) as error:
                if _parses(edit.before):
                    return f"{edit.path} does not parse after the patch: {error}"
    return ""


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def _check_user_command(patch: Patch, context: VerificationContext, cancel: CancelToken) -> _Finding:
    command, before = context.user_command, context.user_before
    if command is None or before is None:
        return _Finding()
    after = run_user_command(context, patch, cancel)
    command = visible(command)
    printed = _shortened(after.output)
    run = FixRun("user_test", command, after.exit_code, _status(before), _status(after), after.seconds, printed)
    if after.exit_code == 0:
        return _Finding((run,), passed=int(before.exit_code != 0))
    return _Finding((run,), rejection=f"`{command}` still fails ({_status(after)}):\n{useful_lines(after.output)}")


def _check_reproductions(patch: Patch, context: VerificationContext, cancel: CancelToken) -> _Finding:
    if not context.reproductions:
        return _Finding()
    after = run_reproductions(context, patch, cancel)
    runs: list[FixRun] = []
    feedback: list[str] = []
    passed = 0
    for reproduction in context.reproductions:
        own = _of_file(after, reproduction.path)
        before = reproduction.before
        good = before is not None and bool(own.results) and own.with_outcome("passed") >= reproduction.failing
        good = good and not own.failures and after.run.outcome == "exited" and after.problem is None
        passed += good
        summary = before.summary if before is not None else ""
        exit_code = (0 if good else 1) if after.run.exit_code is not None else None
        shown, seconds = _shown(context, reproduction.path), after.run.seconds
        runs.append(FixRun("reproduction", shown, exit_code, summary, own.summary, seconds, _printed(own)))
        if not good:
            text = "\n".join(useful_lines(failure.text) for failure in own.failures.values())
            feedback.append(f"The reproduction still fails ({own.summary}):\n{text or after.problem or ''}")
    known = [reproduction.before for reproduction in context.reproductions if reproduction.before is not None]
    rejection = _tampering(after, *known)
    return _Finding(tuple(runs), rejection=rejection, feedback="\n".join(feedback), passed=passed)


def _check_regression(patch: Patch, context: VerificationContext, cancel: CancelToken) -> _Finding:
    if context.baseline is None:
        return _Finding()
    before = context.baseline.report
    after = run_regression(context, patch, cancel)
    flaky = set(context.baseline.flaky)
    after = replace(after, results={test: result for test, result in after.results.items() if test not in flaky})
    regression = compare(before, after)
    run = FixRun(
        kind="regression",
        command=_shown(context, *context.selection),
        exit=after.run.exit_code,
        before=before.summary,
        after=after.summary,
        seconds=after.run.seconds,
        output=_printed(after, regression.newly_failing),
    )
    if not regression.newly_failing:
        rejection = _tampering(after, before)
        if rejection is None and after.problem is not None and before.problem is None:
            rejection = f"The patch breaks the test run itself: {after.problem}."
        return _Finding((run,), rejection=rejection, regression=regression)
    named = regression.newly_failing[:_NAMED_FAILURES]
    more = len(regression.newly_failing) - len(named)
    parts = [f"{test}\n{_why(test, after)}" for test in named]
    tail = f"\nand {more} more" if more else ""
    rejection = "The patch breaks tests that passed before:\n" + "\n".join(parts) + tail
    return _Finding((run,), rejection=rejection, regression=regression)


def _tampering(after: TestReport, *before: TestReport) -> str | None:
    """What the patched code does to the run that judges it, and the code did not do before."""
    done = after.tampering.difference(*(report.tampering for report in before))
    known = [report.machinery for report in before if report.machinery is not None]
    if after.machinery is not None and known:
        done |= after.machinery.difference(*known)
    if not done:
        return None
    named = "; it ".join(sorted(done)[:_NAMED_FAILURES])
    return f"The patched code meddles with the test run: it {named}. Mend the code itself."


def _why(test: str, after: TestReport) -> str:
    failure = after.failures.get(test) or after.failures.get(test.partition("::")[0])
    if failure is not None:
        return useful_lines(failure.text, limit=600)
    return after.problem or "it no longer exists"


def _printed(report: TestReport, tests: Sequence[str] | None = None) -> str:
    """How tests failed (None: all of them), else the end of what their run printed."""
    failed = report.failures if tests is None else [test for test in tests if test in report.failures]
    return _shortened("\n\n".join(report.failures[test].text for test in failed) or report.run.output)


def _shortened(text: str) -> str:
    text = text.strip("\n")
    return text if len(text) <= _PRINTED_CHARS else "…" + text[-_PRINTED_CHARS:]


def _of_file(report: TestReport, path: RepoPath) -> TestReport:
    """The part of a report that belongs to one file."""

    def own(test: str) -> bool:
        return test == path or test.startswith(f"{path}::")

    return replace(
        report,
        results={test: result for test, result in report.results.items() if own(test)},
        failures={test: failure for test, failure in report.failures.items() if own(test)},
    )


def _shown(context: VerificationContext, *paths: str) -> str:
    """The selection as a line: all of a few, the count of many."""
    tests = sum("::" in path for path in paths)
    counted = [f"{number} {what}" for number, what in ((len(paths) - tests, "test files"), (tests, "tests")) if number]
    names = visible(" ".join(paths)) if len(paths) <= 3 else f"({', '.join(counted)})"
    return f"{context.environment.runner} {names}"


def _status(run: RunReport) -> str:
    return f"exit {run.exit_code}" if run.exit_code is not None else run.outcome
