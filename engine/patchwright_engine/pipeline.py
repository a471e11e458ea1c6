"""One job from an issue to ranked fixes; reads top to bottom like the picture in the design.

    issue → snapshot → index → understand → locate → reproduce → repair → verify → rank → fixes

Invariant: the user's tree is only ever read here. Every run happens in a throw-away copy inside a sandbox.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from patchwright_engine.config import folders, load_settings
from patchwright_engine.control import CancelToken, Progress, ProgressSink, ignore_progress
from patchwright_engine.errors import BadInput, Cancelled, PatchwrightError
from patchwright_engine.index import open_index
from patchwright_engine.localize.combine import locate
from patchwright_engine.model.backend import LanguageModel
from patchwright_engine.search.budget import TEST_SECONDS, Budget, parse_budget
from patchwright_engine.search.candidates import Pool, standings, to_fixes
from patchwright_engine.search.dev_search import OpenVerification, dev_search
from patchwright_engine.search.failing_test import rank_by_test
from patchwright_engine.search.fixed import draw
from patchwright_engine.search.job import Job, fit_issue
from patchwright_engine.search.opening import open_tests, preparing
from patchwright_engine.search.recorder import RecordedModel, load_recording
from patchwright_engine.search.strategies import DEV_SEARCH, DIVERGENT, check_sampling, check_strategy
from patchwright_engine.search.trace import Trace, read_trace
from patchwright_engine.types import Cost, Fix, FixResult, Issue, RepoPath
from patchwright_engine.workspace.repository import find_repository
from patchwright_engine.workspace.snapshot import take_snapshot

RANKED = 50
"""Files and symbols that localization hands to the search."""


@dataclass(frozen=True, slots=True)
class FixRequest:
    """What `fix` is asked to do. Everything but the issue has a sane default."""

    issue: Issue
    root: Path
    budget: str = "standard"
    overlays: Mapping[RepoPath, str] = field(default_factory=dict)
    """Unsaved buffers, which count as the files' content."""
    seed: int = 0
    model: str | None = None
    """Catalog name, GGUF path or URL. None: the settings, then the hardware probe."""
    python: str | None = None
    """Interpreter for the project's tests. None: the settings, then discovery."""
    runner: str | None = None
    """Test runner, e.g. 'unittest'. None: the settings, then discovery."""
    test_timeout: float = TEST_SECONDS
    """Seconds for each run of the project's tests or of the user's test command."""
    trace: Path | None = None
    resume: Path | None = None
    """Trace of an earlier search of the same issue to continue."""
    strategy: str = DEV_SEARCH
    """One of `STRATEGIES`; the others are there to be compared with."""
    sampling: str = DIVERGENT
    """One of `SAMPLINGS`, for benchmarks of the other strategies."""


def run_fix(
    request: FixRequest,
    *,
    cancel: CancelToken,
    progress: ProgressSink = ignore_progress,
    on_fix: Callable[[Fix], None] | None = None,
    model: LanguageModel | None = None,
) -> FixResult:
    """Search for verified fixes. `on_fix` hears of each fix that is better than all before.

    `model` replaces the one that `request.model` names; its owner closes it.

    Raises:
        BadInput: the issue, folder, budget, strategy or trace cannot be worked on.
        EnvironmentProblem: no model, or the disk cannot be written.
        ModelHostLost: the model died again and again.

    A cancel is not an error: the result says 'cancelled' and holds what was found.
    """
    started = time.monotonic()
    budget = _checked(request)
    settings = load_settings()
    root = find_repository(request.root)
    recording = load_recording(read_trace(request.resume)) if request.resume else None
    deadline = _with_deadline(cancel, budget.seconds)
    with Trace(request.trace or default_trace_path(request.issue)) as trace:
        trace.step(
            "start",
            issue=request.issue.text,
            budget=request.budget,
            rollouts=budget.rollouts,
            seed=request.seed,
            root=str(root),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            resumed=str(request.resume) if request.resume else None,
            strategy=request.strategy,
        )
        progress(Progress("index", "reading the workspace", budget=budget.rollouts))
        index = open_index(root)
        owned: LanguageModel | None = None
        try:
            snapshot = take_snapshot(root, request.overlays, deadline)
            report = index.refresh(snapshot, deadline)
            ranking = locate(request.issue, snapshot, index, RANKED, cancel=deadline)
            trace.step(
                "index",
                revision=snapshot.revision,
                files=report.files,
                symbols=report.symbols,
                ranking=[[f.path, round(f.score, 4)] for f in ranking.files[:10]],
            )
            if model is None:
                progress(Progress("model", "starting the model", budget=budget.rollouts))
                owned = model = _open_model(request.model, deadline)
            foreign = recording is not None and not recording.answers_for(model.name)
            recorded = RecordedModel(model, trace, None if foreign else recording)
            job = Job(
                request.issue,
                snapshot,
                index,
                ranking,
                recorded,
                trace,
                budget,
                request.seed,
                deadline,
                progress,
            )
            for note in report.notes:
                job.note(note)
            _note_memory(job, model)
            if recording is not None and foreign:
                job.note(f"Nothing was resumed: the trace holds answers of {recording.model}, not of {model.name}.")
            job.issue_text = fit_issue(job)
            pool = Pool()
            with preparing(
                job,
                pool,
                python=request.python or settings.python,
                runner=request.runner or settings.runner,
                timeout_seconds=request.test_timeout,
                kept_bytes=settings.kept_copies_bytes,
            ) as opening:
                rank_by_test(opening)
                stopped = _search(request, job, partial(open_tests, opening), pool, on_fix)
            _note_memory(job, model)
            fixes = to_fixes(pool)
            cost = recorded.cost(job.rollouts, round(time.monotonic() - started, 2))
            result = FixResult(request.issue, fixes, cost, stopped, trace.path, tuple(job.notes))
            trace.step("end", result=result_to_json(result), ranking=standings(pool))
            job.report("done", stopped)
            return result
        except Cancelled as error:  # before the search began: nothing was found, nothing is lost
            stopped = "cancelled" if error.reason != "deadline" else "budget"
            cost = Cost(seconds=round(time.monotonic() - started, 2))
            result = FixResult(request.issue, (), cost, stopped, trace.path)
            trace.step("end", result=result_to_json(result))
            return result
        finally:
            index.close()
            if owned is not None:
                owned.close()


def _checked(request: FixRequest) -> Budget:
    """What may be spent. Raises BadInput for what cannot be worked on, whatever the project."""
    check_sampling(request.sampling, check_strategy(request.strategy))
    if not request.issue.text.strip():
        raise BadInput("the issue is empty", "Describe what goes wrong and what you expected instead.")
    return parse_budget(request.budget)


def _search(
    request: FixRequest, job: Job, opened: OpenVerification, pool: Pool, on_fix: Callable[[Fix], None] | None
) -> str:
    """Why the search stopped; what was proven before a failure stays proven."""
    try:
        if request.strategy != DEV_SEARCH:
            return draw(job, opened, pool, request.strategy, sampling=request.sampling, on_fix=on_fix)[1]
        return dev_search(job, opened, pool, on_fix)
    except Cancelled as error:
        if error.reason != "deadline":
            return "cancelled"
        job.note(f"The search reached its limit of {job.budget.seconds:.0f} seconds.")
    except PatchwrightError as error:
        if not pool.alive():
            raise
        job.note(f"The search ended early: {error.message}. {error.cure}")
    return "budget"


def _with_deadline(cancel: CancelToken, seconds: float) -> CancelToken:
    token = CancelToken(time.monotonic() + seconds)
    cancel.on_cancel(token.cancel)
    return token


def _note_memory(job: Job, model: LanguageModel) -> None:
    """Say what a hosted model found no memory for, so far."""
    for what in getattr(model, "gave_up", ()):
        job.note(f"Memory is short for {model.name}: {what}.")


def _open_model(spec: str | None, cancel: CancelToken) -> LanguageModel:
    from patchwright_engine.model.catalog import resolve_model
    from patchwright_engine.model.connect import open_model

    return open_model(resolve_model(spec, load_settings()), cancel=cancel)


def default_trace_path(issue: Issue) -> Path:
    """A new file in the traces folder, sortable by time."""
    digest = hashlib.sha256(f"{issue.text}{time.time_ns()}".encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return folders().traces / f"{time.strftime('%Y%m%d-%H%M%S')}-{digest}.jsonl"


def result_to_json(result: FixResult) -> dict[str, Any]:
    """The object that `fix --json` prints (DESIGN §3)."""
    return {
        "schema": 1,
        "issue": {"title": result.issue.title, "text": result.issue.text, "origin": result.issue.origin},
        "fixes": [fix_to_json(fix) for fix in result.fixes],
        "cost": {
            "rollouts": result.cost.rollouts,
            "prompt_tokens": result.cost.prompt_tokens,
            "cached_tokens": result.cost.cached_tokens,
            "generated_tokens": result.cost.generated_tokens,
            "judge_tokens": result.cost.judge_tokens,
            "seconds": result.cost.seconds,
        },
        "stopped": result.stopped,
        "trace": str(result.trace),
        "notes": list(result.notes),
    }


def fix_to_json(fix: Fix) -> dict[str, Any]:
    """One entry of `fixes`."""
    return {
        "id": fix.id,
        "rank": fix.rank,
        "evidence": fix.evidence.value,
        "score": fix.score,
        "files": list(fix.patch.paths),
        "diff": fix.patch.diff,
        "explanation": fix.explanation,
        "runs": [
            {
                "kind": run.kind,
                "command": run.command,
                "exit": run.exit,
                "before": run.before,
                "after": run.after,
                "seconds": run.seconds,
            }
            for run in fix.runs
        ],
        "differences": list(fix.differences),
        "test": {"path": fix.test.path, "source": fix.test.after} if fix.test else None,
        "flags": list(fix.flags),
    }
