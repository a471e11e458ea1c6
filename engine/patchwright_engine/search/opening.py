"""Open what candidates are judged by: the copy, the environment, the tests as they are before any patch.

The copy is prepared on a thread of its own while the model understands the issue; the rest waits until files are
suspected, since they decide which language's tests run and in which order.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.errors import EnvironmentProblem, PatchwrightError, SandboxUnavailable
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.select import select_sandbox
from patchwright_engine.search.candidates import Pool
from patchwright_engine.search.job import Job
from patchwright_engine.types import RepoPath, RunReport
from patchwright_engine.verify.baseline import seconds_by_file
from patchwright_engine.verify.choose import choose_environment
from patchwright_engine.verify.context import VerificationContext, open_verification
from patchwright_engine.verify.discovery import find_test_files, select_regression_tests
from patchwright_engine.verify.environment import TestEnvironment, discover_environment
from patchwright_engine.verify.history import learned, load_history, save_history
from patchwright_engine.verify.kept import Bounds
from patchwright_engine.verify.shards import Pace
from patchwright_engine.verify.workspace import prepare_copy

MAX_TEST_FILES = 40
"""Test files run for every promising candidate, the nearest to the suspected code first."""
MAX_OTHER_FILES = 2_000
"""Further ones, run before a fix is called verified, as many as fit in the time limit."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What is needed to open the tests of a job."""

    job: Job
    pool: Pool
    """The candidates; what they broke is remembered for later jobs."""
    python: Path | None
    """The user's interpreter. None: discovery."""
    runner: str | None
    """The user's test runner. None: discovery."""
    timeout_seconds: float
    kept: Bounds
    prepared: Future[None]


@contextmanager
def preparing(
    job: Job, pool: Pool, *, python: str | None, runner: str | None, timeout_seconds: float, kept_bytes: int
) -> Iterator[Opening]:
    """Make the copy in the background; ends with it."""
    kept = Bounds(bytes=kept_bytes)
    with ThreadPoolExecutor(max_workers=1) as background:
        prepared = background.submit(_prepare, job, kept)
        yield Opening(job, pool, Path(python) if python else None, runner, timeout_seconds, kept, prepared)


def _prepare(job: Job, kept: Bounds) -> None:
    """What goes wrong here goes wrong again, and is told, when the copy is opened."""
    with suppress(PatchwrightError):
        select_sandbox()
        prepare_copy(job.snapshot, job.cancel, kept)


@contextmanager
def open_tests(opening: Opening, changed: Sequence[RepoPath]) -> Iterator[VerificationContext]:
    """The sandbox, the environment and the tests before any patch, for patches that would change `changed`.

    Raises: as `open_verification`.
    """
    job = opening.job
    opening.prepared.result()
    sandbox = _sandbox(job)
    environment, limit = _environment(opening, changed)
    history = load_history(job.snapshot.root)
    nearest = select_regression_tests(
        job.snapshot, changed, job.index.importers, limit, history=history, language=environment.language
    )
    selection, rest = nearest[:MAX_TEST_FILES], nearest[MAX_TEST_FILES:]
    found = len(find_test_files(job.snapshot, environment.language)) if limit else 0
    if found > len(nearest):
        job.note(f"Of {found} test files only the {len(nearest)} nearest to the suspected code are run.")
    if rest and sandbox is not None:
        job.note(
            f"Of {len(nearest)} test files, {len(selection)} are run over every candidate (those nearest to the "
            f"suspected code); the other {len(rest)} in the end, over the best fixes."
        )
    # The examples in the docstrings of suspected modules are tests of theirs too.
    if environment.runner == "pytest":
        selection += tuple(path for path in changed if path.endswith(".py") and ">>> " in job.snapshot.read_text(path))
    job.trace.step(
        "environment",
        python=str(environment.executable),
        runner=environment.runner,
        reason=environment.reason,
        sandbox=sandbox.level if sandbox else None,
        tests=list(selection),
        other_tests=len(rest),
    )
    with open_verification(
        job.snapshot,
        sandbox=sandbox,
        environment=environment,
        issue_text=job.issue.text,
        selection=selection,
        rest=rest,
        cancel=job.cancel,
        user_command=job.issue.test_command,
        timeout_seconds=opening.timeout_seconds,
        kept=opening.kept,
        pace=Pace(seconds={path: test.seconds for path, test in history.items() if test.seconds > 0}),
    ) as context:
        _trace_baseline(job, context)
        if context.baseline is not None:
            job.test_seconds.update(seconds_by_file(context.baseline.report))
        _note_useless_command(job, context.user_before, opening.timeout_seconds)
        try:
            yield context
        finally:
            regressions = (candidate.verification.regression for candidate in opening.pool.by_key.values())
            caught = [test for regression in regressions if regression for test in regression.newly_failing]
            entered = context.baseline.report.entered if context.baseline else {}
            news = learned(history, job.snapshot, entered, caught, seconds=job.test_seconds)
            save_history(job.snapshot.root, news)
            _note_unconfirmed(opening, context)


def _trace_baseline(job: Job, context: VerificationContext) -> None:
    baseline, user = context.baseline, context.user_before
    job.trace.step(
        "baseline",
        tests=baseline.report.summary if baseline is not None else None,
        flaky=len(baseline.flaky) if baseline is not None else 0,
        seconds=round(baseline.report.run.seconds, 2) if baseline is not None else 0.0,
        user_test=None if user is None else {"exit": user.exit_code, "outcome": user.outcome},
    )


def _sandbox(job: Job) -> Sandbox | None:
    try:
        return select_sandbox()
    except SandboxUnavailable as error:
        job.note(f"Nothing was run: {error.message}. {error.cure}")
        return None


def _environment(opening: Opening, changed: Sequence[RepoPath]) -> tuple[TestEnvironment, int]:
    """The environment, and how many test files may be run."""
    job, root = opening.job, opening.job.snapshot.root
    try:
        environment = choose_environment(root, changed, python=opening.python, runner=opening.runner)
    except EnvironmentProblem as error:  # Another language's tool is missing; the user's own command may still work.
        job.note(f"The project's tests were not run: {error.message}. {error.cure}")
        return discover_environment(root, opening.python), 0
    return environment, MAX_TEST_FILES + MAX_OTHER_FILES


def _note_unconfirmed(opening: Opening, context: VerificationContext) -> None:
    """Say it when the search ended before the project's other tests were run over all that it calls verified."""
    verified = [fix for fix in opening.pool.alive() if fix.verification.evidence and fix.verification.evidence.verified]
    missing = sum(not fix.confirmed for fix in verified)
    if missing and context.rest and context.workspace is not None:
        number = len(context.rest)
        opening.job.note(f"{number} other test files were not run over {missing} of the verified fixes.")


def _note_useless_command(job: Job, before: RunReport | None, seconds: float) -> None:
    """A test command proves a fix only when it fails by itself before the fix."""
    if before is None:
        return
    if before.outcome == "timeout":
        job.note(f"The test command was still running after {seconds:g} s and was stopped: allow it more time.")
    elif before.exit_code == 0:
        job.note("The test command passes before any change, so it proves nothing: give one that fails.")
