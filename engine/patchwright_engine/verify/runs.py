"""Run chosen tests over a workspace copy in the sandbox and read back one outcome per test.

Invariant: a result counts only if our own runner reported it; a report without its end says so in `problem`.
"""

import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.output import sanitize_output
from patchwright_engine.types import Command, RunReport
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.foreign_results import outcomes_by_id, problem_of, read_all, report_files
from patchwright_engine.verify.invocation import RUNNERS_FOLDER as RUNNERS
from patchwright_engine.verify.invocation import Invocation, Reports, Selected, invocations
from patchwright_engine.verify.reports.base import merge
from patchwright_engine.verify.reports.placing import Places
from patchwright_engine.verify.toolchains import show_packages

REPORT_BYTES = 64 << 20
_WORST_LAST = ("passed", "skipped", "error", "failed")
_CANNOT_RUN = {1, 3, 4}
"""Without any result, these mean that pytest did not get as far as the tests: a crash, an internal or usage error."""
_NOTHING_COLLECTED = 5


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a traceback. `path` is relative to the workspace when inside, else absolute."""

    path: str
    line: int
    function: str
    inside: bool
    """Whether the file lies in the workspace copy."""


@dataclass(frozen=True, slots=True)
class TestFailure:
    """Why one test or file failed."""

    __test__ = False

    exception: str
    """Name of the exception's class, e.g. 'AssertionError'; '' when unknown."""
    bases: tuple[str, ...]
    message: str
    frames: tuple[Frame, ...]
    """Outermost first."""
    text: str
    """As the runner printed it, made safe to show."""


@dataclass(frozen=True, slots=True)
class TestReport:
    """One run of a selection of tests."""

    __test__ = False

    run: RunReport
    results: Mapping[str, str]
    """Test id → 'passed', 'failed', 'error' or 'skipped'."""
    failures: Mapping[str, TestFailure] = field(default_factory=dict)
    """By test id, or by file for one that could not be collected."""
    problem: str | None = None
    """Why the run as a whole cannot be fully trusted: cut short, crashed, or nothing could start."""
    notes: tuple[str, ...] = ()
    durations: Mapping[str, float] = field(default_factory=dict)
    """Seconds each test took, in the order they ran."""
    calls: tuple[Frame, ...] = ()
    """Functions of the workspace that the tests entered, each at its first line, when `record_calls` asked for it."""

    @property
    def summary(self) -> str:
        """E.g. '41 passed, 1 failed'; the problem when there are no results."""
        counts = Counter(self.results.values())
        parts = [f"{counts[outcome]} {outcome}" for outcome in reversed(_WORST_LAST) if counts[outcome]]
        uncollected = len(self.failures.keys() - self.results.keys())
        if uncollected:
            parts.append(f"{uncollected} not collected")
        return ", ".join(parts) or self.problem or "no tests"

    def with_outcome(self, outcome: str) -> frozenset[str]:
        """The ids of the tests that ended so."""
        return frozenset(test for test, result in self.results.items() if result == outcome)


def run_tests(
    sandbox: Sandbox,
    workspace: Path,
    environment: TestEnvironment,
    selection: Sequence[str],
    cancel: CancelToken,
    *,
    timeout_seconds: float = 120.0,
    record_calls: bool = False,
) -> TestReport:
    """Run `selection` (files, or test ids as pytest writes them) and report each test.

    Where the first command of the environment's runner gets nowhere (pytest options that need a missing plugin), the
    next one is tried; `notes` says so.

    Raises: as `Sandbox.run`.
    """
    workspace = workspace.resolve()
    show_packages(environment, workspace)
    notes: tuple[str, ...] = ()
    for invocation in invocations(Selected(environment, workspace, tuple(selection), record_calls)):
        report = _run_once(sandbox, workspace, environment, invocation, cancel=cancel, timeout_seconds=timeout_seconds)
        notes = (invocation.note, *report.notes) if invocation.note else report.notes
        if report.run.exit_code not in _CANNOT_RUN or report.results or report.failures:
            break
    return replace(report, notes=notes)


def _run_once(
    sandbox: Sandbox,
    workspace: Path,
    environment: TestEnvironment,
    invocation: Invocation,
    *,
    cancel: CancelToken,
    timeout_seconds: float,
) -> TestReport:
    reports = invocation.reports
    for stale in report_files(workspace, reports.patterns) if reports is not None else ():
        stale.unlink()
    with _report_file(workspace) as (path, descriptor):
        every = {**environment.variables(workspace), **invocation.variables, "PATCHWRIGHT_REPORT": str(path)}
        if environment.python is not None:
            every["PYTHONPATH"] = os.pathsep.join([every["PYTHONPATH"], str(RUNNERS)])
        command = Command(invocation.argv, env=every, timeout_seconds=timeout_seconds)
        run = sandbox.run(command, workspace, cancel, (*environment.readable, RUNNERS))
        size = min(os.fstat(descriptor).st_size, REPORT_BYTES)
        content = os.pread(descriptor, size, 0)
    return _read_report(run, content, workspace) if reports is None else _foreign(run, reports, content, workspace)


def _foreign(run: RunReport, reports: Reports, content: bytes, workspace: Path) -> TestReport:
    """The results of a tool that writes a report of its own."""
    parts = read_all(report_files(workspace, reports.patterns), REPORT_BYTES) if reports.patterns else [content]
    report = merge(reports.read(part) for part in parts)
    results, failed, durations = outcomes_by_id(report, Places(workspace))
    failures = {name: TestFailure("", (), test.message, (), test.text or test.message) for name, test in failed.items()}
    problem = problem_of(run, report, bool(failed))
    return TestReport(run, results, failures, problem, durations=durations)


@contextmanager
def _report_file(workspace: Path) -> Iterator[tuple[Path, int]]:
    """A file with a name that cannot be guessed, kept open so that replacing it changes nothing."""
    folder = workspace / f".patchwright-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    path = folder / "report.jsonl"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        yield path, descriptor
    finally:
        os.close(descriptor)
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _read_report(run: RunReport, content: bytes, workspace: Path) -> TestReport:
    results: dict[str, str] = {}
    failures: dict[str, TestFailure] = {}
    durations: dict[str, float] = {}
    calls: dict[Frame, None] = {}
    notes: list[str] = []
    end: int | None = None
    for line in content.splitlines():
        try:
            record = json.loads(line)
            identifier = str(record.get("id", ""))
            if record["kind"] == "end":
                end = int(record["exit"])
            elif record["kind"] == "test":
                durations[identifier] = durations.get(identifier, 0.0) + float(record["seconds"])
                outcome = _outcome(record["when"], record["outcome"])
                if outcome is not None:
                    results[identifier] = max(results.get(identifier, "passed"), outcome, key=_WORST_LAST.index)
            elif record["kind"] == "note":
                notes.append(sanitize_output(str(record["text"])[:500]))
            elif record["kind"] == "calls":
                calls.update(dict.fromkeys(_frame(str(p), int(n), str(f), workspace) for p, n, f in record["calls"]))
            if record.get("failure") is not None:
                failures.setdefault(identifier, _failure(record["failure"], workspace))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # Cut off in the middle of a line, or written by something else: not a result of ours.
    problem = _problem(run, results, failures, end)
    return TestReport(run, results, failures, problem, tuple(notes), durations, tuple(calls))


def _outcome(when: str, outcome: str) -> str | None:
    if outcome == "failed":
        return "failed" if when == "call" else "error"
    if outcome == "skipped":
        return "skipped"
    return "passed" if when == "call" else None


def _failure(record: Mapping[str, Any], workspace: Path) -> TestFailure:
    return TestFailure(
        exception=str(record.get("exception", "")),
        bases=tuple(str(base) for base in record.get("bases", ())),
        message=sanitize_output(str(record.get("message", ""))),
        frames=tuple(
            _frame(str(path), int(line), str(name), workspace) for path, line, name in record.get("frames", ())
        ),
        text=sanitize_output(str(record.get("text", ""))),
    )


def _frame(path: str, line: int, function: str, workspace: Path) -> Frame:
    absolute = Path(os.path.normpath(workspace / path))
    if not path.startswith("<") and absolute.is_relative_to(workspace):
        return Frame(absolute.relative_to(workspace).as_posix(), line, function, inside=True)
    return Frame(path, line, function, inside=False)


def _problem(
    run: RunReport, results: Mapping[str, str], failures: Mapping[str, TestFailure], end: int | None
) -> str | None:
    if run.outcome == "timeout":
        return f"the tests were still running after {run.seconds:.0f} s and were stopped"
    if run.outcome != "exited":
        return "the test run was killed: " + run.output.strip().rpartition("\n")[2]
    if end is None:
        return f"the test runner did not finish (exit status {run.exit_code}): {_last_line(run.output)}"
    if run.exit_code == 0 and any(outcome in {"failed", "error"} for outcome in results.values()):
        return "the exit status contradicts the results"
    if end == _NOTHING_COLLECTED and not failures:
        return "no tests were found"
    if not results and not failures and end != 0:
        return f"no test ran (exit status {end}): {_last_line(run.output)}"
    return None


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"
