"""Check the verifier itself: it must accept the developer's fix, reject the empty patch and reject wrong patches.

Each instance is judged in two settings. `failing_test`: the developer's tests are in the tree and the user's test
command names those that fail. `regression_only`: the tree as it was when the issue was reported, no command. Which
patches are wrong is decided by the hidden tests, run apart (see `truth`). The files of the fix stand for what
localization would have suspected. Invariant: an instance that could not be set up is never counted as a success.
"""

import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from patchwright_engine.bench.checkout import to_patch
from patchwright_engine.bench.hidden import HiddenTests, Judge
from patchwright_engine.bench.instances import Instance
from patchwright_engine.bench.mutate import mutants
from patchwright_engine.bench.partial import Partial
from patchwright_engine.bench.prepare import Prepared, prepare
from patchwright_engine.bench.reports import GoldOptions, InstanceReport, Judged, SettingReport, setting_from_json
from patchwright_engine.bench.truth import Truth, form_of
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled, PatchwrightError
from patchwright_engine.index import open_index
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Patch, RepoPath, Snapshot
from patchwright_engine.verify.context import open_verification
from patchwright_engine.verify.discovery import select_regression_tests
from patchwright_engine.verify.environment import TestEnvironment, discover_environment
from patchwright_engine.verify.evidence import verify_patch
from patchwright_engine.verify.shards import Pace, room_here, share_of
from patchwright_engine.workspace.snapshot import take_snapshot

SETTINGS = ("failing_test", "regression_only")
_TRIES = 4
"""Mutants tried for each wrong patch that is wanted: the hidden tests call many mutants right."""
_NAMED_TESTS = 20
_SHOWN = 600
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Bench:
    """What every instance is checked with."""

    repos: Path
    cache: Path
    sandbox: Sandbox
    options: GoldOptions
    cancel: CancelToken
    jobs: int = 1
    """Instances that are checked at the same time: their test processes together take no more than the machine."""

    @property
    def pace(self) -> Pace:
        """How one of them runs its tests."""
        return Pace(room=share_of(room_here(), self.jobs))


@dataclass(slots=True)
class _Case:
    """One instance under way, and what is known so far: kept when a later step fails."""

    instance: Instance
    bench: Bench
    partial: Partial
    say: Say
    environment: TestEnvironment | None = None
    status: str = "setup_failed"
    truth: Truth | None = None
    equivalent: list[str] = field(default_factory=list)
    settings: list[SettingReport] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Candidate:
    truth: str
    change: str
    patch: Patch


def check_instance(instance: Instance, bench: Bench, partial: Partial, say: Say) -> InstanceReport:
    """Set one instance up and judge it in every setting; steps that `partial` remembers are not done again.

    Raises:
        Cancelled: only; whatever else goes wrong is in the report.
    """
    begin = time.monotonic()
    case = _Case(instance, bench, partial, say)
    try:
        reason = _check(case)
    except Cancelled:
        raise
    except PatchwrightError as error:
        reason = str(error)
    return InstanceReport(
        instance.instance_id,
        case.status,
        reason,
        case.environment.runner if case.environment else "",
        bench.sandbox.level,
        len(case.truth.fail_to_pass) if case.truth else 0,
        len(case.truth.pass_to_pass) if case.truth else 0,
        tuple(case.equivalent),
        tuple(case.settings),
        round(time.monotonic() - begin, 1),
    )


def _check(case: _Case) -> str:
    """Fills `case`; returns why it ended early, or nothing."""
    instance, bench = case.instance, case.bench
    form = form_of(instance)
    if form is None:
        case.status = "waiting"
        return f"the output of `{instance.test_command}` cannot be read here"
    prepared = prepare(instance, bench.repos, bench.cache, bench.cancel, case.say)
    gold = to_patch(prepared.base, instance.patch)
    case.environment = discover_environment(prepared.base, prepared.python)
    if form == "unittest" and case.environment.runner in ("pytest", "unittest"):
        case.status = "waiting"
        return f"the verifier has no runner for `{instance.test_command.split(' --')[0]}`"
    case.status = "failed"
    wrong = _find_wrong(case, prepared, gold)
    if isinstance(wrong, str):
        case.status = "unsound"
        return wrong
    candidates = [_Candidate("gold", "", gold), _Candidate("empty", "", Patch(())), *wrong]
    assert case.truth is not None
    command = user_command(instance, case.truth)
    tests = take_snapshot(prepared.tests, cancel=bench.cancel)
    for setting in SETTINGS:
        snapshot = tests if setting == "failing_test" else take_snapshot(prepared.base, cancel=bench.cancel)
        named = command if setting == "failing_test" else None
        known = case.partial.recall(setting)
        if known is None:
            case.say(f"judging {len(candidates)} patches, {setting}")
            known = asdict(_judge(case, setting, named, snapshot, candidates))
            case.partial.keep(setting, known)
        case.settings.append(setting_from_json(known))
    case.status = "judged"
    return ""


def user_command(instance: Instance, truth: Truth) -> str:
    """The instance's own test command over the failing tests alone, as a developer would give it."""
    words = shlex.split(instance.test_command)
    tests = sorted(truth.fail_to_pass)
    if form_of(instance) == "pytest":
        options = [word for word in words if not word.partition("::")[0].endswith(".py")]
        if len(tests) > _NAMED_TESTS:
            tests = sorted({test.partition("::")[0] for test in tests})
        return shlex.join([*options, *tests])
    if len(tests) > _NAMED_TESTS or any(test not in truth.labels for test in tests):
        return instance.test_command
    while words and re.fullmatch(r"[A-Za-z_][\w.]*", words[-1]):
        words.pop()
    return shlex.join([*words, *(truth.labels[test] for test in tests)])


def _find_wrong(case: _Case, prepared: Prepared, gold: Patch) -> list[_Candidate] | str:
    """Mutants that the hidden tests call wrong, or why nothing can be told here."""
    bench, options, environment = case.bench, case.bench.options, case.environment
    assert environment is not None
    wrong: list[_Candidate] = []
    judge = Judge(case.instance, prepared, environment, bench.sandbox, bench.cancel, options.timeout_seconds)
    with HiddenTests(judge, case.partial) as hidden:
        case.say("running the hidden tests without and with the developer's fix")
        truth = hidden.truth()
        if isinstance(truth, str):
            return truth
        case.truth = truth
        for mutant in mutants(gold, options.seed, options.wrong * _TRIES):
            if len(wrong) == options.wrong:
                break
            if truth.is_right(hidden.run(mutant.patch)):
                case.equivalent.append(mutant.change)
            else:
                wrong.append(_Candidate("wrong", f"{mutant.kind}: {mutant.change}", mutant.patch))
    case.say(f"{len(wrong)} wrong patches; {len(case.equivalent)} mutants that the hidden tests do not tell from right")
    return wrong


def _judge(
    case: _Case, setting: str, command: str | None, snapshot: Snapshot, candidates: Sequence[_Candidate]
) -> SettingReport:
    bench, options = case.bench, case.bench.options
    assert case.environment is not None
    judged: list[Judged] = []
    with open_verification(
        snapshot,
        sandbox=bench.sandbox,
        environment=case.environment,
        issue_text=case.instance.problem,
        selection=regression_tests(snapshot, candidates[0].patch.paths, options.test_files, bench.cancel),
        cancel=bench.cancel,
        user_command=command,
        timeout_seconds=options.timeout_seconds,
        pace=bench.pace,
    ) as context:
        for candidate in candidates:
            begin = time.monotonic()
            verdict = verify_patch(candidate.patch, context, bench.cancel)
            evidence = verdict.evidence.value if verdict.evidence is not None else None
            seconds = round(time.monotonic() - begin, 2)
            judged.append(Judged(candidate.truth, candidate.change, evidence, verdict.feedback[:_SHOWN], seconds))
        baseline = context.baseline.report.summary if context.baseline is not None else "nothing to run"
        return SettingReport(setting, command, context.selection, baseline, context.notes, tuple(judged))


def regression_tests(
    snapshot: Snapshot, changed: Sequence[RepoPath], limit: int, cancel: CancelToken
) -> tuple[RepoPath, ...]:
    """The tests that `fix` would choose when it suspects `changed`."""
    with open_index(snapshot.root) as index:
        index.refresh(snapshot, cancel)
        selection = select_regression_tests(snapshot, changed, index.importers, limit)
    shown = [path for path in changed if path in snapshot.files and path.endswith(".py")]
    return selection + tuple(path for path in shown if ">>> " in snapshot.read_text(path))
