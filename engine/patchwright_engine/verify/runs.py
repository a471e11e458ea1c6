"""Run chosen tests over a workspace copy in the sandbox and read back one outcome per test.

Invariant: a result counts only if our own runner reported it; a report without its end says so in `problem`.
"""

import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.output import sanitize_output, visible
from patchwright_engine.types import Command, RunReport
from patchwright_engine.verify.answer_file import answer_file
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.foreign_results import (
    contradicts,
    outcomes_by_id,
    problem_of,
    read_all,
    report_files,
)
from patchwright_engine.verify.invocation import RUNNERS_FOLDER as RUNNERS
from patchwright_engine.verify.invocation import Invocation, Reports, Selected, invocations
from patchwright_engine.verify.reports.base import merge
from patchwright_engine.verify.reports.placing import Places
from patchwright_engine.verify.seals import NODE, unsealed
from patchwright_engine.verify.toolchains import show_packages

REPORT_BYTES = 64 << 20
WORST_LAST = ("passed", "skipped", "error", "failed")
NO_TESTS = "no tests were found"
_CANNOT_RUN = {1, 3, 4}
"""Without any result, these mean that pytest did not get as far as the tests: a crash, an internal or usage error."""
_NOTHING_COLLECTED = 5
STOPPED = "StillRunning"
"""What a test that was stopped after `test_seconds` seems to raise (`runners/patchwright_deadline.py`)."""
_SUMMARY = re.compile(r"=*\s*((?:\d+ [a-z ]+?(?:, | in ))+)[\d.]+ ?s(?:econds)?\b.*")
_WRITES = "writes into the report of the run"
_DISAGREES = "makes the runner's summary and its report disagree"
_JUDGES = ("conftest.py", "pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


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
    """Seconds each test took, in the order they began; those that began and did not end are there too, and so is a file
    that was being imported when the run ended."""
    functions: Mapping[str, Mapping[Frame, frozenset[int]]] = field(default_factory=dict)
    """Test id → functions of the workspace that it entered, each at its first line → those of their lines that it ran;
    when `record_calls`, or for the lines `record_lines`, asked for it."""
    entered: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Test file → files of the workspace of which it entered a function, as `functions`."""
    tampering: frozenset[str] = frozenset()
    """What the tested code did to the run that judges it, each going on from "it"."""
    machinery: frozenset[str] | None = None
    """In the same words, how the test tools differed at the end: plugins and all. None for a run without its end."""

    @property
    def calls(self) -> frozenset[Frame]:
        """Functions of the workspace that any of the tests entered."""
        return frozenset().union(*self.functions.values())

    @property
    def summary(self) -> str:
        """E.g. '41 passed, 1 failed'; the problem when there are no results."""
        counts = Counter(self.results.values())
        parts = [f"{counts[outcome]} {outcome}" for outcome in reversed(WORST_LAST) if counts[outcome]]
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
    record_lines: bool = False,
    niceness: int = 0,
    test_seconds: float = 0.0,
) -> TestReport:
    """Run `selection` (files, or test ids as pytest writes them) and report each test.

    Where the first command of the environment's runner gets nowhere (pytest options that need a missing plugin), the
    next one is tried; `notes` says so. With `niceness` (0 to 19) the tests leave the processor to others. With
    `record_calls` or `record_lines` it is noted what each test runs, as far as it runs Python, which takes longer. A
    test in Python that runs longer than `test_seconds` (if not 0) fails where it is, by `STOPPED`; others go on.

    Raises: as `Sandbox.run`.
    """
    workspace = workspace.resolve()
    show_packages(environment, workspace)
    notes: tuple[str, ...] = ()
    nicely = ("nice", "-n", str(niceness)) if niceness else ()
    recorded = "lines" if record_lines else "functions" if record_calls else ""
    for plain in invocations(Selected(environment, workspace, tuple(selection), recorded, test_seconds)):
        invocation = replace(plain, argv=(*nicely, *plain.argv))
        report = _run_once(
            sandbox, workspace, environment, invocation, selection, cancel=cancel, timeout_seconds=timeout_seconds
        )
        notes = (invocation.note, *report.notes) if invocation.note else report.notes
        if report.run.exit_code not in _CANNOT_RUN or report.results or report.failures or report.tampering:
            break
    return replace(report, notes=notes)


def _run_once(
    sandbox: Sandbox,
    workspace: Path,
    environment: TestEnvironment,
    invocation: Invocation,
    selection: Sequence[str],
    *,
    cancel: CancelToken,
    timeout_seconds: float,
) -> TestReport:
    workspace = workspace.resolve()
    sandbox.prepare(workspace)
    reports = invocation.reports
    for stale in report_files(workspace, reports.patterns) if reports is not None else ():
        stale.unlink()
    judges = _judges(workspace, selection)
    with _report_file(workspace) as (path, descriptor, key):
        every = {**environment.variables(workspace), **invocation.variables, "PATCHWRIGHT_REPORT": str(path)}
        if environment.python is not None:
            every["PYTHONPATH"] = os.pathsep.join([every["PYTHONPATH"], str(RUNNERS)])
        command = Command(invocation.argv, env=every, timeout_seconds=timeout_seconds)
        run = sandbox.run(command, workspace, cancel, (*environment.readable, RUNNERS))
        size = min(os.fstat(descriptor).st_size, REPORT_BYTES)
        content = os.pread(descriptor, size, 0)
    if reports is None:
        report = _read_report(run, content, key, workspace)
    else:
        report = _foreign(run, reports, content, key, workspace)
    now = _judges(workspace, selection)
    spoiled = {f"changes {visible(name)} while the tests run" for name in judges if judges[name] != now[name]}
    return replace(report, tampering=report.tampering | spoiled)


def _foreign(run: RunReport, reports: Reports, content: bytes, key: bytes, workspace: Path) -> TestReport:
    """The results of a tool that writes a report of its own."""
    tampering: set[str] = set()
    if reports.sealed:
        lines, foreign = unsealed(content, key, NODE)
        content = b"".join(line + b"\n" for line in lines)
        tampering |= {_WRITES} if foreign else set()
    parts = read_all(report_files(workspace, reports.patterns), REPORT_BYTES) if reports.patterns else [content]
    report = merge(reports.read(part) for part in parts)
    if reports.printed is not None and contradicts(report, reports.printed(run.output)):
        tampering.add(_DISAGREES)
    results, failed, durations = outcomes_by_id(report, Places(workspace))
    failures = {name: TestFailure("", (), test.message, (), test.text or test.message) for name, test in failed.items()}
    problem = problem_of(run, report, bool(failed))
    return TestReport(run, results, failures, problem, durations=durations, tampering=frozenset(tampering))


def _judges(workspace: Path, selection: Sequence[str]) -> dict[str, tuple[int, ...] | None]:
    """The test files and what configures them, with what betrays a change; the change time cannot be set back."""
    files = {Path(name.partition("::")[0]) for name in selection}
    folders = {parent for file in files for parent in file.parents}
    files |= {folder / name for folder in folders for name in _JUDGES}
    found: dict[str, tuple[int, ...] | None] = {}
    for file in files:
        try:
            info = (workspace / file).lstat()
        except OSError:
            found[file.as_posix()] = None
        else:
            found[file.as_posix()] = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return found


@contextmanager
def _report_file(workspace: Path) -> Iterator[tuple[Path, int, bytes]]:
    """The report's place, its open descriptor, and the first key of its seals, which the runner finds beside it."""
    with answer_file(workspace, "report.jsonl") as (path, descriptor):
        key = secrets.token_bytes(32)
        path.with_name(f"{path.name}.key").write_bytes(key)
        yield path, descriptor, key


class _Calls:
    """What the records of a run say that its tests ran. Equal sets of lines are one: most tests share their ways."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._told: list[Frame] = []
        self._sets: dict[frozenset[int], frozenset[int]] = {}
        self.functions: dict[str, dict[Frame, frozenset[int]]] = {}

    def add(self, test: str, record: Mapping[str, Any]) -> None:
        self._told += [_frame(str(p), int(n), str(f), self._workspace) for p, n, f in record["functions"]]
        seen = self.functions.setdefault(test, {})
        for number, *numbers in record["calls"]:
            function = self._told[number]
            lines = frozenset(map(int, numbers)) | seen.get(function, frozenset())
            seen[function] = self._sets.setdefault(lines, lines)

    def entered_files(self) -> dict[str, frozenset[str]]:
        """Test file → files of the workspace of which it entered a function."""
        entered: dict[str, set[str]] = {}
        for test, functions in self.functions.items():
            paths = entered.setdefault(test.partition("::")[0], set())
            paths.update(function.path for function in functions if function.inside)
        return {test: frozenset(paths) for test, paths in entered.items()}


def _read_report(run: RunReport, content: bytes, key: bytes, workspace: Path) -> TestReport:
    results: dict[str, str] = {}
    failures: dict[str, TestFailure] = {}
    durations: dict[str, float] = {}
    calls = _Calls(workspace)
    notes: list[str] = []
    tampering: set[str] = set()
    machinery: frozenset[str] | None = None
    end: int | None = None
    lines, foreign = unsealed(content, key)
    if foreign:
        tampering.add(_WRITES)
    for line in lines:
        try:
            record = json.loads(line)
            identifier = visible(str(record.get("id", "")))
            if record["kind"] == "end":
                end = int(record["exit"])
            elif record["kind"] == "start":  # One that never ends is known by having begun.
                durations.setdefault(identifier, 0.0)
            elif record["kind"] == "loaded":  # A file that began to be imported, and did not hang there.
                durations.pop(identifier, None)
            elif record["kind"] == "test":
                durations[identifier] = durations.get(identifier, 0.0) + float(record["seconds"])
                outcome = _outcome(record["when"], record["outcome"])
                if outcome is not None:
                    results[identifier] = max(results.get(identifier, "passed"), outcome, key=WORST_LAST.index)
            elif record["kind"] == "note":
                notes.append(sanitize_output(str(record["text"])[:500]))
            elif record["kind"] == "state":
                changed = [f"replaces {visible(str(name))}" for name in record["changed"]]
                added = [f"adds the pytest plugin {visible(str(name))}" for name in record["plugins"]]
                machinery = frozenset([*changed, *added])
            elif record["kind"] == "calls":
                calls.add(identifier, record)
            if record.get("failure") is not None:
                failures.setdefault(identifier, _failure(record["failure"], workspace))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            continue  # Sealed, so from our own runner: one that met what it cannot describe.
    if sum(outcome == "passed" for outcome in results.values()) > _passed_by_summary(run.output):
        tampering.add(_DISAGREES)
    problem = _problem(run, results, failures, end)
    return TestReport(
        run,
        results,
        failures,
        problem,
        tuple(notes),
        durations=durations,
        functions=calls.functions,
        entered=calls.entered_files(),
        tampering=frozenset(tampering),
        machinery=machinery,
    )


def _passed_by_summary(output: str) -> float:
    """How many tests pytest's last line says passed; infinity without such a line."""
    for line in reversed(output.splitlines()[-5:]):
        found = _SUMMARY.fullmatch(line.strip()[:300])
        if found is not None:
            return sum(int(count) for count in re.findall(r"(\d+) (?:[a-z]+ )?x?passed\b", found[1]))
    return float("inf")


def _outcome(when: str, outcome: str) -> str | None:
    if outcome == "failed":
        return "failed" if when == "call" else "error"
    if outcome == "skipped":
        return "skipped"
    return "passed" if when == "call" else None


def _failure(record: Mapping[str, Any], workspace: Path) -> TestFailure:
    return TestFailure(
        exception=visible(str(record.get("exception", ""))),
        bases=tuple(visible(str(base)) for base in record.get("bases", ())),
        message=sanitize_output(str(record.get("message", ""))),
        frames=tuple(
            _frame(str(path), int(line), str(name), workspace) for path, line, name in record.get("frames", ())
        ),
        text=sanitize_output(str(record.get("text", ""))),
    )


def _frame(path: str, line: int, function: str, workspace: Path) -> Frame:
    absolute = Path(os.path.normpath(workspace / path))
    function = visible(function)
    if not path.startswith("<") and absolute.is_relative_to(workspace):
        return Frame(visible(absolute.relative_to(workspace).as_posix()), line, function, inside=True)
    return Frame(visible(path), line, function, inside=False)


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
        return NO_TESTS
    if not results and not failures and end != 0:
        return f"no test ran (exit status {end}): {_last_line(run.output)}"
    return None


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"
