"""What is the same for every candidate of a job: the copies, the baselines, the reproductions, how to run over them.

Each run starts from a clean copy, patched anew, so that one run cannot prepare the next.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Command, Patch, RepoPath, RunReport, Snapshot
from patchwright_engine.verify.baseline import Baseline, Measured, file_of, measure_selection
from patchwright_engine.verify.behaviour import Behaviour, observe
from patchwright_engine.verify.copies import Copies
from patchwright_engine.verify.discovery import named_selection, named_tests, tests_among
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.kept import Bounds
from patchwright_engine.verify.probes import Probe
from patchwright_engine.verify.reproduction import Reproduction, check_reproduction, seconds_each
from patchwright_engine.verify.runs import TestReport, run_tests
from patchwright_engine.verify.shards import (
    Lane,
    Pace,
    divides_itself,
    expected_seconds,
    merge_measured,
    merge_reports,
    room_here,
    side_by_side,
    split,
    worker_count,
)
from patchwright_engine.verify.toolchains import show_packages
from patchwright_engine.verify.workspace import BOUNDS, WorkspaceCopy

PROBING_SECONDS = 60.0
REPRODUCTION_SECONDS = 60.0
_CANNOT_START = {126: "cannot be executed", 127: "was not found"}


@dataclass(frozen=True, slots=True)
class VerificationContext:
    """Everything that is the same for all candidates of a job. One thread at a time: it has its own copies."""

    snapshot: Snapshot
    sandbox: Sandbox | None
    """None: nothing may be run, and no evidence above `parses` is given."""
    environment: TestEnvironment
    workspace: WorkspaceCopy | None
    """The first copy, where all but the regression tests are run."""
    issue_text: str = ""
    selection: tuple[str, ...] = ()
    """Regression test files that are run: those that fit in the time limit. Those that the user's command names come
    first."""
    own_tests: tuple[str, ...] = ()
    """All that were chosen, nearest first: what they say counts also where they are not run."""
    rest: tuple[str, ...] = ()
    """The project's other test files, nearest first: run before a fix is called verified (see `other_tests`)."""
    lanes: tuple[Lane, ...] = ()
    """How the selection is spread over copies, side by side. Empty: all of it is run in `workspace`."""
    copies: Copies | None = None
    """Where further copies come from; None: there is one."""
    pace: Pace = field(default_factory=Pace)
    baseline: Baseline | None = None
    """None when there is nothing to run."""
    reproductions: tuple[Reproduction, ...] = ()
    """Valid ones only."""
    user_command: str | None = None
    user_before: RunReport | None = None
    timeout_seconds: float = 120.0
    """For each run: the user's command, the reproductions together, the regression tests together, however many run
    side by side."""
    notes: tuple[str, ...] = ()
    """What the user should know about how the tests are run."""


@contextmanager
def open_verification(
    snapshot: Snapshot,
    *,
    sandbox: Sandbox | None,
    environment: TestEnvironment,
    issue_text: str,
    selection: tuple[RepoPath, ...],
    cancel: CancelToken,
    rest: tuple[RepoPath, ...] = (),
    user_command: str | None = None,
    timeout_seconds: float = 120.0,
    kept: Bounds = BOUNDS,
    pace: Pace = Pace(),  # noqa: B008 - frozen
) -> Iterator[VerificationContext]:
    """Make the copy and run, unpatched, the user's command and the regression tests. Done once per job.

    `kept` bounds what may wait on disk for the next job. Where the regression tests take long and `pace` leaves room,
    they are spread over several copies (see `shards`).

    Raises:
        BadInput: the user's command cannot be started at all.
        EnvironmentProblem: there is no room for the copy.
        Cancelled, SandboxUnavailable: as `Sandbox.run`.
    """
    # What the user points at is nearest: a fix of one of its tests must not break its neighbours.
    named = named_tests(user_command or "", snapshot)
    context = VerificationContext(
        snapshot=snapshot,
        sandbox=sandbox,
        environment=environment,
        workspace=None,
        issue_text=issue_text,
        selection=tuple(dict.fromkeys((*named, *selection))),
        own_tests=tuple(selection),
        rest=tuple(path for path in rest if path not in named),
        pace=pace,
        user_command=user_command,
        timeout_seconds=timeout_seconds,
        notes=environment.notes,
    )
    if sandbox is None:
        yield replace(context, notes=(*context.notes, "No sandbox works here, so nothing was run."))
        return
    with Copies(snapshot, cancel, kept) as copies:
        (workspace,) = copies.take(1)
        notes = (*context.notes, *_changed_note(workspace.changed))
        context = replace(context, workspace=workspace, copies=copies, notes=notes)
        if user_command is not None:
            context = replace(context, user_before=_user_baseline(context, cancel))
        yield _with_baseline(context, cancel) if context.selection else context


def open_rest(context: VerificationContext, cancel: CancelToken) -> VerificationContext | None:
    """The same context with the project's other tests as its regression tests, measured unpatched.

    None when there are none. Notes say what was left out; without a baseline none of them can judge anything.

    Raises: as `Sandbox.run`.
    """
    if context.workspace is None or not context.rest:
        return None
    alone = replace(
        context,
        selection=context.rest,
        lanes=(),
        reproductions=(),
        user_command=None,
        user_before=None,
        baseline=None,
        notes=(),
    )
    measured = _with_baseline(alone, cancel)
    if measured.baseline is not None and measured.baseline.report.with_outcome("passed"):
        return measured
    why = f"Before any change no test of the {len(context.rest)} other test files passes, so they judge no fix."
    return replace(measured, selection=(), lanes=(), baseline=None, notes=(*measured.notes, why))


def try_reproduction(
    source: str, context: VerificationContext, cancel: CancelToken, folder: str | None = None
) -> Reproduction:
    """Judge a reproduction test in this context; add it with `with_reproduction` when it is valid.

    It lies in `folder`, else beside the nearest test that passes here, else in the root.
    """
    if context.sandbox is None or context.workspace is None:
        return Reproduction(source, RepoPath(""), False, "Nothing can be run here.", None)
    return check_reproduction(
        source,
        issue_text=context.issue_text,
        sandbox=context.sandbox,
        workspace=context.workspace,
        snapshot=context.snapshot,
        environment=context.environment,
        cancel=cancel,
        timeout_seconds=min(REPRODUCTION_SECONDS, context.timeout_seconds),
        folder=_home(context) if folder is None else folder,
    )


def _home(context: VerificationContext) -> str:
    """The folder of the nearest test file that has a test that passes: what such tests need is there."""
    if context.baseline is None:
        return ""
    ran = {test.partition("::")[0] for test in context.baseline.report.with_outcome("passed")}
    nearest = tests_among((path for path in context.own_tests if path in ran), context.snapshot)
    return nearest[0].rpartition("/")[0] if nearest else ""


def with_reproduction(context: VerificationContext, reproduction: Reproduction) -> VerificationContext:
    """The context with one more valid reproduction; unchanged for an invalid or a known one."""
    known = {other.path for other in context.reproductions}
    if not reproduction.valid or reproduction.path in known:
        return context
    return replace(context, reproductions=(*context.reproductions, reproduction))


def run_user_command(context: VerificationContext, patch: Patch | None, cancel: CancelToken) -> RunReport:
    """The user's own command, through the shell of the sandbox."""
    sandbox, workspace = _clean(context, patch)
    show_packages(context.environment, workspace.path)
    command = Command(
        ("sh", "-c", context.user_command or "true"),
        env=context.environment.variables(workspace.path),
        timeout_seconds=context.timeout_seconds,
    )
    return sandbox.run(command, workspace.path, cancel, context.environment.readable)


def run_reproductions(context: VerificationContext, patch: Patch | None, cancel: CancelToken) -> TestReport:
    """All reproductions of the context in one run."""
    sandbox, workspace = _clean(context, patch)
    for reproduction in context.reproductions:
        workspace.write(reproduction.path, reproduction.source)
    paths = tuple(reproduction.path for reproduction in context.reproductions)
    return run_tests(
        sandbox,
        workspace.path,
        context.environment,
        paths,
        cancel,
        timeout_seconds=context.timeout_seconds,
        test_seconds=seconds_each(min(REPRODUCTION_SECONDS, context.timeout_seconds)),
    )


def run_regression(
    context: VerificationContext, patch: Patch | None, cancel: CancelToken, *, record_calls: bool = False
) -> TestReport:
    """The selected regression tests."""
    lanes = _in_lanes(context)
    tasks = [partial(_run_selection, lane, patch, record_calls) for lane in lanes]
    reports = side_by_side(tasks, cancel)
    return merge_reports([(lane.selection, report) for lane, report in zip(lanes, reports, strict=True)])


def _run_selection(
    context: VerificationContext, patch: Patch | None, record_calls: bool, cancel: CancelToken
) -> TestReport:
    sandbox, workspace = _clean(context, patch)
    return run_tests(
        sandbox,
        workspace.path,
        context.environment,
        context.selection,
        cancel,
        timeout_seconds=context.timeout_seconds,
        record_calls=record_calls,
        niceness=context.pace.niceness,
    )


def _in_lanes(context: VerificationContext) -> list[VerificationContext]:
    """For each lane a context that has only it."""
    lanes = [replace(context, workspace=lane.workspace, selection=lane.selection, lanes=()) for lane in context.lanes]
    return lanes or [context]


def run_files(
    context: VerificationContext, patch: Patch | None, files: Mapping[RepoPath, str], cancel: CancelToken
) -> TestReport:
    """Test files that are not in the copy, written to their places and run."""
    sandbox, workspace = _clean(context, patch)
    for path, text in files.items():
        workspace.write(path, text)
    return run_tests(
        sandbox, workspace.path, context.environment, tuple(files), cancel, timeout_seconds=context.timeout_seconds
    )


def run_probes(
    context: VerificationContext, patch: Patch | None, probes: Sequence[Probe], cancel: CancelToken
) -> Behaviour:
    """How the patched copy behaves on `probes`."""
    sandbox, workspace = _clean(context, patch)
    # Django makes its database first, for which it may take as long as for a run of tests.
    django = context.environment.runner == "django"
    seconds = context.timeout_seconds if django else min(PROBING_SECONDS, context.timeout_seconds)
    return observe(sandbox, workspace.path, context.environment, probes, cancel, timeout_seconds=seconds)


def _user_baseline(context: VerificationContext, cancel: CancelToken) -> RunReport:
    before = run_user_command(context, None, cancel)
    if before.exit_code in _CANNOT_START:
        raise BadInput(
            f"the test command `{context.user_command}` {_CANNOT_START[before.exit_code]}: "
            f"{before.output.strip()[-300:]}",
            "It runs from the root of the repository, without network and home folder: give one that works there.",
        )
    return before


def _with_baseline(context: VerificationContext, cancel: CancelToken) -> VerificationContext:
    """Spread the selection and measure each part by itself, so that one that hangs holds no other up."""
    context = replace(context, lanes=_spread(context))
    parts = side_by_side([partial(_measure, lane) for lane in _in_lanes(context)], cancel)
    measured = merge_measured(parts, context.selection)
    baseline = measured.baseline
    notes = [*context.notes, *(baseline.report.notes if baseline else ())]
    for file in measured.hanging:
        notes.append(f"A test in {file} does not end within the time limit; the file is left out.")
    for file in measured.ending:
        notes.append(f"With {file} the test runner ends before any test; the file is left out.")
    if measured.cut:
        ended = len(context.selection) - len(measured.hanging) - len(measured.ending)
        single = [name for name in measured.selection if name not in context.selection]
        more = f", and of {file_of(single[0])} {len(single)} tests" if single else ""
        fit = len(measured.selection) - len(single)
        notes.append(f"Of {ended} test files, {fit} fit in the time limit and are run{more}.")
    if baseline is not None and baseline.report.problem is not None:
        notes.append(f"Before any change: {baseline.report.problem}.")
    if baseline is not None and baseline.flaky:
        notes.append(f"{len(baseline.flaky)} tests differ from run to run and are not counted.")
    pairs = zip(context.lanes, parts, strict=True) if context.lanes else ()
    return replace(
        context,
        selection=measured.selection,
        lanes=tuple(replace(lane, selection=part.selection) for lane, part in pairs if part.selection),
        baseline=baseline,
        notes=tuple(notes),
    )


def _measure(context: VerificationContext, cancel: CancelToken) -> Measured:
    def run(names: tuple[str, ...], record_calls: bool) -> TestReport:
        return _run_selection(replace(context, selection=names), None, record_calls, cancel)

    near = named_selection(context.user_command or "", context.snapshot)
    return measure_selection(run, context.selection, context.timeout_seconds, near)


def _spread(context: VerificationContext) -> tuple[Lane, ...]:
    """The lanes for a selection; none where one process is as good."""
    _, workspace = _clean(context, None)  # Of what a run left behind nothing may be read here.
    root, pace = workspace.path, context.pace
    if context.copies is None or divides_itself(context.environment.runner, root):
        return ()
    expected = expected_seconds(context.selection, pace.seconds, root)
    count = worker_count(list(expected.values()), pace.room or room_here())
    copies = context.copies.take(count)
    if len(copies) < 2:
        return ()
    return tuple(map(Lane, copies, split(context.selection, expected, len(copies))))


def _changed_note(changed: tuple[RepoPath, ...]) -> tuple[str, ...]:
    if not changed:
        return ()
    names = ", ".join(changed[:3]) + (", …" if len(changed) > 3 else "")
    return (f"Files changed on disk after this job began, and were tested as they were then: {names}.",)


def _clean(context: VerificationContext, patch: Patch | None) -> tuple[Sandbox, WorkspaceCopy]:
    assert context.sandbox is not None
    assert context.workspace is not None
    context.workspace.reset()
    if patch is not None:
        context.workspace.apply(patch)
    return context.sandbox, context.workspace
