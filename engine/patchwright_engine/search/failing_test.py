"""Rank by what is seen to run: a failing test is followed through the project, and what it alone enters is suspected.

The tests run in the sandbox, over a throw-away copy, like everything else. No model is asked.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled, PatchwrightError
from patchwright_engine.index import Index
from patchwright_engine.localize import locate
from patchwright_engine.localize.spectrum import with_spectrum
from patchwright_engine.sandbox.select import select_sandbox
from patchwright_engine.search.opening import Opening
from patchwright_engine.search.ran import spectrum_in
from patchwright_engine.types import Issue, Ranking, RepoPath, Snapshot
from patchwright_engine.verify.choose import choose_environment
from patchwright_engine.verify.discovery import named_selection
from patchwright_engine.verify.execution import EXECUTION_SECONDS, Execution, execute
from patchwright_engine.verify.kept import Bounds
from patchwright_engine.verify.workspace import BOUNDS, WorkspaceCopy

DEPTH = 200
"""Places of the issue's own ranking that what runs may bring to the top."""
NAMING = "Name a test that fails because of the issue: tests/test_x.py::test_it, or the command that runs it."

PACKAGES = "If it cannot be run at all: --python names the interpreter that has the project's packages."
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class TestRun:
    """Which failing test is to be run, and how."""

    __test__ = False

    command: str
    """The user's: a test's id, or a command that names tests. Never run itself: only the tests that it names are."""
    python: str | None = None
    """The user's interpreter. None: discovery."""
    runner: str | None = None
    """The user's test runner. None: discovery."""
    timeout_seconds: float = EXECUTION_SECONDS
    kept: Bounds = BOUNDS


def locate_with_test(
    issue: Issue, snapshot: Snapshot, index: Index, test: TestRun, top: int, *, cancel: CancelToken
) -> Ranking:
    """As `locate`, with what the failing test runs as one more signal.

    Raises: as `follow`.
    """
    return rank_with(follow(test, snapshot, cancel), issue, snapshot, index, top, cancel=cancel)


def rank_with(
    execution: Execution, issue: Issue, snapshot: Snapshot, index: Index, top: int, *, cancel: CancelToken
) -> Ranking:
    """As `locate`, with what tests were seen to run as one more signal.

    Raises:
        Cancelled: the token was cancelled.
    """
    ranking = locate(issue, snapshot, index, max(top, DEPTH), cancel)
    ranking = with_spectrum(ranking, spectrum_in(index, execution.failed.values(), execution.passed.values()))
    return replace(ranking, files=ranking.files[:top], symbols=ranking.symbols[:top])


def follow(wanted: TestRun, snapshot: Snapshot, cancel: CancelToken) -> Execution:
    """Run the tests that the user names, with their neighbours, and note what each runs.

    Raises:
        BadInput: no test is named, the interpreter or the runner cannot be used, or nothing fails.
        EnvironmentProblem: no sandbox works here, the project's packages are missing, or there is no room for a copy.
        Cancelled: the token was cancelled.
    """
    selection = named_selection(wanted.command, snapshot)
    if not selection:
        raise BadInput(f"`{wanted.command}` names no test of this project", NAMING)
    sandbox = select_sandbox()
    python = Path(wanted.python) if wanted.python else None
    files = tuple(RepoPath(name.partition("::")[0]) for name in selection)
    environment = choose_environment(snapshot.root, files, python=python, runner=wanted.runner)
    with WorkspaceCopy(snapshot, cancel=cancel, bounds=wanted.kept) as workspace:
        execution = execute(
            sandbox, workspace.path, environment, selection, cancel, timeout_seconds=wanted.timeout_seconds
        )
    if execution.problem:
        raise BadInput(f"{execution.problem} ({', '.join(selection[:_SHOWN])})", f"{NAMING} {PACKAGES}")
    return execution


def rank_by_test(opening: Opening) -> None:
    """Let a job that names a failing test begin with what that test runs; one that cannot be followed costs nothing.

    Raises:
        Cancelled: by the user or the deadline.
    """
    job = opening.job
    if job.issue.test_command is None:
        return
    opening.prepared.result()
    python = str(opening.python) if opening.python is not None else None
    seconds = min(EXECUTION_SECONDS, opening.timeout_seconds)
    job.report("locate", "following the failing test")
    test = TestRun(job.issue.test_command, python, opening.runner, seconds, opening.kept)
    try:
        execution = follow(test, job.snapshot, job.cancel)
    except Cancelled:
        raise
    except PatchwrightError as error:  # What is wrong with the command is told when it is run as the user gave it.
        job.trace.step("execution", problem=error.message)
        if "::" in test.command and not named_selection(test.command, job.snapshot):
            job.note(f"{error.message}. {NAMING}")  # A search that comes to no candidate never runs the command.
        return
    kept = len(job.ranking.files), len(job.ranking.symbols)
    ranking = rank_with(execution, job.issue, job.snapshot, job.index, DEPTH, cancel=job.cancel)
    job.ranking = replace(ranking, files=ranking.files[: kept[0]], symbols=ranking.symbols[: kept[1]])
    job.trace.step(
        "execution",
        failed=sorted(execution.failed),
        passed=len(execution.passed),
        seconds=round(execution.seconds, 2),
        ranking=[[f.path, round(f.score, 4)] for f in job.ranking.files[:10]],
    )
