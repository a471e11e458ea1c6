"""From a tool's own report to the `TestReport` that everything after it works with.

Invariant: a run that crashed, was cut short or collected nothing has a `problem`, whatever its report says.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from patchwright_engine.types import RunReport
from patchwright_engine.verify.reports.base import OUTCOMES, Report, ReportedTest
from patchwright_engine.verify.reports.placing import Places
from patchwright_engine.verify.reports.printed import Printed

MAX_FILES = 20_000
MAX_DEPTH = 60
"""Folders deeper than this hold no report: tested code can nest them beyond what Python's stack can walk."""


def outcomes_by_id(report: Report, places: Places) -> tuple[dict[str, str], dict[str, ReportedTest], dict[str, float]]:
    """(test id → outcome, id → what failed, id → seconds); where a test occurs twice the worse outcome counts."""
    results: dict[str, str] = {}
    failures: dict[str, ReportedTest] = {}
    durations: dict[str, float] = {}
    for test in report.tests:
        identifier = places.identify(test)
        results[identifier] = max(results.get(identifier, "passed"), test.outcome, key=OUTCOMES.index)
        durations[identifier] = durations.get(identifier, 0.0) + test.seconds
        if test.outcome in {"failed", "error"}:
            failures.setdefault(identifier, test)
    for broken in report.broken:
        failures.setdefault(places.identify(broken), broken)
    return results, failures, durations


def problem_of(run: RunReport, report: Report, bad: bool) -> str | None:
    """Why the run as a whole cannot be trusted. `bad`: some test or file failed."""
    if run.outcome == "timeout":
        return f"the tests were still running after {run.seconds:.0f} s and were stopped"
    if run.outcome != "exited":
        return "the test run was killed: " + run.output.strip().rpartition("\n")[2]
    if not report.tests and not report.broken:
        if run.exit_code == 0 and report.problem is None:
            return "no tests were found"
        return f"no test ran (exit status {run.exit_code}): {report.problem or _telling_line(run.output)}"
    if report.problem is not None:
        return report.problem
    if run.exit_code == 0 and bad:
        return "the exit status contradicts the results"
    if run.exit_code != 0 and not bad:
        return f"the run failed (exit status {run.exit_code}) though no test did: {_telling_line(run.output)}"
    return None


def contradicts(report: Report, printed: Printed) -> bool:
    """Whether the report hides failures, or adds passes, by what the tool itself printed."""
    passed = sum(test.outcome == "passed" for test in report.tests)
    failed = sum(test.outcome in {"failed", "error"} for test in (*report.tests, *report.broken))
    return failed < printed.failed or (printed.passed is not None and passed > printed.passed)


def report_files(workspace: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """Regular files of the copy that match, links left out: a link may lead anywhere.

    A pattern is matched from the right: 'reports/TEST-*.xml' lies in any folder.
    """
    count = 0
    for folder, below, names in os.walk(workspace) if patterns else ():
        below.sort()
        if len(Path(folder).parts) - len(workspace.parts) >= MAX_DEPTH:
            below.clear()
        for path in (Path(folder, name) for name in sorted(names)):
            if not any(path.match(pattern) for pattern in patterns) or not _is_regular(path):
                continue
            count += 1
            if count > MAX_FILES:
                return
            yield path


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:  # such as in a folder that may be listed and not entered
        return False


def read_all(paths: Iterator[Path], limit: int) -> Iterator[bytes]:
    """The contents of files that the tests wrote, together up to `limit` bytes: a reader sees what is cut off."""
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(limit)
        limit -= len(content)
        yield content


def _telling_line(output: str) -> str:
    """The first line that names an error, else the last: Maven and Gradle end with advice, others with the error."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = (
        line for line in lines if line.startswith(("[ERROR]", "error:", "error[", "Error:", "* What went wrong"))
    )
    return next(telling, lines[-1] if lines else "no output")[:300]
