"""The values every report reader returns, and the bounds they share.

Invariant: a report that is cut short, or not of its format, has a `problem`; what it did tell is kept.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from patchwright_engine.sandbox.output import sanitize_output

MAX_TESTS = 200_000
MAX_NAME = 500
MAX_TEXT = 4_000
OUTCOMES = ("passed", "skipped", "error", "failed")
"""From good to bad: the worse one counts where a test is reported twice."""


@dataclass(frozen=True, slots=True)
class ReportedTest:
    """One test as its runner names it, or a file or suite that could not be loaded."""

    name: str
    outcome: str
    """'passed', 'failed', 'error' or 'skipped'."""
    suite: str = ""
    """Class, package or enclosing titles; '' when there is none."""
    file: str = ""
    """As the report spells it, absolute or relative; '' when it does not tell."""
    message: str = ""
    text: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What one report tells."""

    tests: tuple[ReportedTest, ...] = ()
    broken: tuple[ReportedTest, ...] = ()
    """Files and suites that failed as a whole: not compiled, not loaded, or a hook of theirs failed."""
    problem: str | None = None


def reported(
    name: object,
    outcome: str,
    *,
    suite: object = "",
    file: object = "",
    message: object = "",
    text: object = "",
    seconds: object = 0.0,
) -> ReportedTest:
    """A `ReportedTest` from untrusted values: bounded, on one line where a line is meant, safe to show."""
    return ReportedTest(
        name=_line(name) or "(no name)",
        outcome=outcome,
        suite=_line(suite),
        file=_line(file),
        message=sanitize_output(_text(message)[:MAX_TEXT]),
        text=sanitize_output(_text(text)[-MAX_TEXT:]),
        seconds=_seconds(seconds),
    )


def merge(reports: Iterable[Report]) -> Report:
    """Several reports as one; the first problem stands for all."""
    tests: list[ReportedTest] = []
    broken: list[ReportedTest] = []
    problem: str | None = None
    for report in reports:
        tests += report.tests
        broken += report.broken
        problem = problem or report.problem
    return bounded(tests, broken, problem)


def bounded(tests: list[ReportedTest], broken: list[ReportedTest], problem: str | None) -> Report:
    """A report of at most `MAX_TESTS` tests; more are a problem, so that nothing is lost unsaid."""
    if len(tests) > MAX_TESTS:
        problem = problem or f"the report holds more than {MAX_TESTS} tests"
    return Report(tuple(tests[:MAX_TESTS]), tuple(broken[:MAX_TESTS]), problem)


def parse_json(content: bytes | str) -> Any:
    """The value, or None when it is not JSON: cut off, nested too deeply, a number beyond all bounds."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def json_lines(content: bytes) -> Iterator[dict[str, Any] | str]:
    """Each line that is a JSON object, decoded; each other line as text."""
    for line in content.splitlines():
        value = parse_json(line) if line.startswith(b"{") else None
        yield value if isinstance(value, dict) else line.decode("utf-8", "replace")


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _line(value: object) -> str:
    return " ".join(sanitize_output(_text(value)[: 4 * MAX_NAME]).split())[:MAX_NAME]


def _seconds(value: object) -> float:
    try:
        seconds = float(value.replace(",", "") if isinstance(value, str) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return seconds if math.isfinite(seconds) and seconds >= 0 else 0.0
