"""Run test files side by side: in how many processes, which files go together, and one report of all.

Each process has a copy, a sandbox, a network and a temporary folder of its own, so that tests that share a port or a
file never meet, as they would in worker processes over one tree. Invariant: before and after a patch the files are
split alike, each part in the same copy. So a test that needs what another file's tests did first fails, torn from
them, before the patch as well, and is not counted.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled
from patchwright_engine.model.probe import probe_without_cards
from patchwright_engine.sandbox.output import visible
from patchwright_engine.types import RunReport
from patchwright_engine.verify.baseline import Baseline, Measured, file_of
from patchwright_engine.verify.runs import NO_TESTS, WORST_LAST, TestReport
from patchwright_engine.verify.workspace import WorkspaceCopy

MAX_WORKERS = 4
"""Processes at once, whatever the machine has: each may take what the sandbox allows one run, on the disk too."""
RUN_BYTES = 4 << 30
"""Free memory for each: what the sandbox lets one run take (`Command.memory_bytes`)."""
SHARE_SECONDS = 5.0
"""The least that a process of its own is worth: it starts the runner and imports the project once more."""
GUESS_SECONDS = 0.5
"""What a test file takes on average, for a project of which nothing is known yet; later jobs know."""
SPLIT_RUNNERS = frozenset({"pytest", "unittest", "django", "sympy"})
"""Runners that take files as independent arguments and run them in one process; other tools divide the work anyway."""

_CONFIGURATIONS = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
_OWN_PROCESSES = re.compile(
    r"""^\s*addopts\s*=(?:(?!^\s*[A-Za-z_][\w.-]*\s*=|^\[).)*?"""
    r"""(?:[\s"']-n[\s="',]*(?:\d|auto|logical)|--numprocesses|--dist\b)""",
    re.MULTILINE | re.DOTALL,
)
_CONFIGURATION_CHARACTERS = 1 << 18

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Room:
    """What runs side by side may take of this machine."""

    cores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How test files are run, as far as it changes nothing about their results."""

    room: Room | None = None
    """None: what the machine has when it is asked."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Test file → how long its tests took in an earlier job."""
    niceness: int = 0


@dataclass(frozen=True, slots=True)
class Lane:
    """A part of a selection and the copy that it is run in."""

    workspace: WorkspaceCopy
    selection: tuple[str, ...]


def room_here() -> Room:
    """What this machine has free now, after affinity and container limits."""
    hardware = probe_without_cards()
    return Room(hardware.cores, hardware.memory_available)


def share_of(room: Room, parts: int) -> Room:
    """What one of several jobs that go on at the same time may take."""
    return Room(max(1, room.cores // parts), room.memory_bytes // parts)


def divides_itself(runner: str, workspace: Path) -> bool:
    """Whether tests already run side by side: the runner's own way, or by pytest-xdist, which the project asks for."""
    return runner not in SPLIT_RUNNERS or (
        runner == "pytest" and any(_OWN_PROCESSES.search(_beginning(workspace / name)) for name in _CONFIGURATIONS)
    )


def expected_seconds(names: Sequence[str], known: Mapping[str, float], workspace: Path) -> dict[str, float]:
    """File → how long its tests will take: as long as they took before, else a guess by the size of the file."""
    files = dict.fromkeys(map(file_of, names))
    measured = [known[file] for file in files if file in known]
    typical = sum(measured) / len(measured) if measured else GUESS_SECONDS
    sizes = {file: _size(workspace / file) for file in files if file not in known}
    average = sum(sizes.values()) / len(sizes) if sizes else 1.0
    return {file: known[file] if file in known else typical * sizes[file] / average for file in files}


def worker_count(expected: Sequence[float], room: Room) -> int:
    """How many processes share files that take `expected` seconds each: one where they are soon done anyway."""
    total, longest = sum(expected), max(expected, default=0.0)
    if longest <= 0.0:
        return 1
    useful = min(int(total // SHARE_SECONDS), math.ceil(total / longest), len(expected))
    return max(1, min(useful, MAX_WORKERS, room.cores, room.memory_bytes // RUN_BYTES))


def split(names: Sequence[str], expected: Mapping[str, float], count: int) -> tuple[tuple[str, ...], ...]:
    """At most `count` parts that take about as long: the longest file first, each to the part with the least so far.

    All tests of a file stay together; within a part the order of `names` is kept.
    """
    load = [0.0] * count
    part_of: dict[str, int] = {}
    for file in sorted(expected, key=lambda file: (-expected[file], file)):
        part_of[file] = load.index(min(load))
        load[part_of[file]] += expected[file]
    parts = (tuple(name for name in names if part_of[file_of(name)] == number) for number in range(count))
    return tuple(part for part in parts if part)


def side_by_side(tasks: Sequence[Callable[[CancelToken], Result]], cancel: CancelToken) -> list[Result]:
    """The tasks' results, in order. The first failure ends the others; none goes on when this returns or raises.

    Raises:
        Cancelled: the token was cancelled; whatever else a task raises.
    """
    if len(tasks) == 1:
        return [tasks[0](cancel)]
    inner = CancelToken(cancel.deadline)

    def run(task: Callable[[CancelToken], Result]) -> Result:
        try:
            return task(inner)
        except BaseException:
            inner.cancel("shutdown")
            raise

    forget = cancel.on_cancel(inner.cancel)
    try:
        with ThreadPoolExecutor(max_workers=len(tasks), thread_name_prefix="tests") as pool:
            futures = [pool.submit(run, task) for task in tasks]
            try:
                wait(futures)
            except BaseException:
                inner.cancel("shutdown")
                raise
    finally:
        forget()
    cancel.check()
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, Cancelled)):  # which is but the others' echo
        raise error
    return [future.result() for future in futures]


def merge_reports(parts: Sequence[tuple[Sequence[str], TestReport]]) -> TestReport:
    """One report of several runs, each with what it was to run: as if one process had run all of it.

    That a run found no tests is said only when none did; what else went wrong with one is said with its files.
    """
    reports = [report for _, report in parts]
    if len(reports) == 1:
        return reports[0]
    telling = [(names, report) for names, report in parts if report.problem != NO_TESTS] or parts
    results: dict[str, str] = {}
    for report in reports:
        for test, outcome in report.results.items():
            results[test] = max(results.get(test, outcome), outcome, key=WORST_LAST.index)
    problems = [_with_files(report.problem, names) for names, report in telling if report.problem is not None]
    machinery = [report.machinery for report in reports if report.machinery is not None]
    return TestReport(
        run=_merge_runs([report.run for report in reports], [report.run for _, report in telling]),
        results=results,
        failures={name: failure for report in reversed(reports) for name, failure in report.failures.items()},
        problem=NO_TESTS if telling is parts else "; ".join(problems) or None,
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
        durations={test: seconds for report in reports for test, seconds in report.durations.items()},
        functions={test: entered for report in reports for test, entered in report.functions.items()},
        entered={test: paths for report in reports for test, paths in report.entered.items()},
        tampering=frozenset().union(*(report.tampering for report in reports)),
        machinery=frozenset().union(*machinery) if len(machinery) == len(reports) else None,
    )


def merge_measured(parts: Sequence[Measured], names: Sequence[str]) -> Measured:
    """What was measured of the parts of `names`, as one."""
    kept: dict[str, list[str]] = {}
    for name in (name for part in parts for name in part.selection):
        kept.setdefault(file_of(name), []).append(name)
    measured = [(part.selection, part.baseline) for part in parts if part.baseline is not None]
    baseline = None
    if measured:
        report = merge_reports([(selection, baseline.report) for selection, baseline in measured])
        baseline = Baseline(report, tuple(sorted(test for _, baseline in measured for test in baseline.flaky)))
    return Measured(
        selection=tuple(name for file in dict.fromkeys(map(file_of, names)) for name in kept.get(file, ())),
        baseline=baseline,
        hanging=tuple(file for part in parts for file in part.hanging),
        ending=tuple(file for part in parts for file in part.ending),
        cut=any(part.cut for part in parts),
    )


def _merge_runs(runs: Sequence[RunReport], telling: Sequence[RunReport]) -> RunReport:
    """They ran at the same time; their exit statuses are 0 when all passed."""
    codes = [run.exit_code for run in telling]
    ended = [code for code in codes if code is not None]
    return RunReport(
        argv=telling[0].argv,
        exit_code=max(ended) if len(ended) == len(codes) else None,
        output="\n".join(run.output for run in runs),
        seconds=max(run.seconds for run in runs),
        outcome=next((run.outcome for run in telling if run.outcome != "exited"), "exited"),
        truncated=any(run.truncated for run in runs),
        sandbox=runs[0].sandbox,
    )


def _with_files(problem: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more test files" if len(names) > 1 else ""
    return f"{problem} (the process that ran {visible(names[0])}{more})"


def _size(path: Path) -> int:
    """At least 1, also of what cannot be read: it is run all the same."""
    try:
        return max(1, path.stat().st_size)
    except OSError:
        return 1


def _beginning(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_CONFIGURATION_CHARACTERS)
    except OSError:
        return ""
