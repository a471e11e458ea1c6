"""What is the same for every candidate of a job: the copy, the baselines, the reproductions, and how to run over them.

Each run starts from a clean copy, patched anew, so that one run cannot prepare the next.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Command, Patch, RepoPath, RunReport, Snapshot
from patchwright_engine.verify.baseline import Baseline, fitting, hanging_file, measure_baseline
from patchwright_engine.verify.discovery import named_tests
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.reproduction import Reproduction, check_reproduction
from patchwright_engine.verify.runs import TestReport, run_tests
from patchwright_engine.verify.toolchains import show_packages
from patchwright_engine.verify.workspace import WorkspaceCopy

MAX_LEFT_OUT = 2
"""Test files that may each use up the time limit once before what fits in it is taken."""
_CANNOT_START = {126: "cannot be executed", 127: "was not found"}


@dataclass(frozen=True, slots=True)
class VerificationContext:
    """Everything that is the same for all candidates of a job. One thread at a time: it owns one copy."""

    snapshot: Snapshot
    sandbox: Sandbox | None
    """None: nothing may be run, and no evidence above `parses` is given."""
    environment: TestEnvironment
    workspace: WorkspaceCopy | None
    issue_text: str = ""
    selection: tuple[str, ...] = ()
    """Regression test files, those that the user's command names first."""
    baseline: Baseline | None = None
    """None when there is nothing to run."""
    reproductions: tuple[Reproduction, ...] = ()
    """Valid ones only."""
    user_command: str | None = None
    user_before: RunReport | None = None
    timeout_seconds: float = 120.0
    """For each run: the user's command, the reproductions together, the regression tests together."""
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
    user_command: str | None = None,
    timeout_seconds: float = 120.0,
) -> Iterator[VerificationContext]:
    """Make the copy and run, unpatched, the user's command and the regression tests. Done once per job.

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
        user_command=user_command,
        timeout_seconds=timeout_seconds,
        notes=environment.notes,
    )
    if sandbox is None:
        yield replace(context, notes=(*context.notes, "No sandbox works here, so nothing was run."))
        return
    with WorkspaceCopy(snapshot, cancel=cancel) as workspace:
        context = replace(context, workspace=workspace)
        if user_command is not None:
            context = replace(context, user_before=_user_baseline(context, cancel))
        yield _with_baseline(context, cancel) if context.selection else context


def try_reproduction(source: str, context: VerificationContext, cancel: CancelToken) -> Reproduction:
    """Judge a reproduction test in this context; add it with `with_reproduction` when it is valid."""
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
        timeout_seconds=min(60.0, context.timeout_seconds),
    )


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
        sandbox, workspace.path, context.environment, paths, cancel, timeout_seconds=context.timeout_seconds
    )


def run_regression(context: VerificationContext, patch: Patch | None, cancel: CancelToken) -> TestReport:
    """The selected regression tests."""
    sandbox, workspace = _clean(context, patch)
    return run_tests(
        sandbox,
        workspace.path,
        context.environment,
        context.selection,
        cancel,
        timeout_seconds=context.timeout_seconds,
    )


def _user_baseline(context: VerificationContext, cancel: CancelToken) -> RunReport:
    before = run_user_command(context, None, cancel)
    if before.exit_code in _CANNOT_START:
        raise BadInput(
            f"the test command `{context.user_command}` {_CANNOT_START[before.exit_code]}: "
            f"{before.output.strip()[-300:]}",
            "It runs from the root of the repository, without network and home folder: give one that works there.",
        )
    return before


def _with_baseline(context: VerificationContext, cancel: CancelToken, left_out: int = 0) -> VerificationContext:
    """`left_out`: files that were taken out of the selection because a test in them never ends."""
    baseline = measure_baseline(lambda: run_regression(context, None, cancel))
    notes = [*context.notes, *baseline.report.notes]
    if baseline.report.run.outcome == "timeout":
        hanging = hanging_file(baseline)
        rest = tuple(name for name in context.selection if name.partition("::")[0] != hanging)
        if hanging is not None and rest and left_out < MAX_LEFT_OUT:
            notes = [*context.notes, f"A test in {hanging} does not end within the time limit; the file is left out."]
            return _with_baseline(replace(context, selection=rest, notes=tuple(notes)), cancel, left_out + 1)
        baseline, selection = fitting(baseline, context.selection, context.timeout_seconds / 2)
        notes.append(f"Of {len(context.selection)} test files, {len(selection)} fit in the time limit and are run.")
        if not selection:
            return replace(context, selection=(), notes=tuple(notes))
        context = replace(context, selection=selection)
    elif baseline.report.problem is not None:
        notes.append(f"Before any change: {baseline.report.problem}.")
    if baseline.flaky:
        notes.append(f"{len(baseline.flaky)} tests differ from run to run and are not counted.")
    return replace(context, baseline=baseline, notes=tuple(notes))


def _clean(context: VerificationContext, patch: Patch | None) -> tuple[Sandbox, WorkspaceCopy]:
    assert context.sandbox is not None
    assert context.workspace is not None
    context.workspace.reset()
    if patch is not None:
        context.workspace.apply(patch)
    return context.sandbox, context.workspace
