"""Dev-Search, first version: understand → locate → reproduce once, then rounds of repair and verification.

Round r doubles what was spent. Rollouts go to the locations of the beam by their scores; later rounds also revise
the failed candidate that came nearest. Widths never depend on the budget, so a deeper search over the recording of
a shallower one walks the same tree first (see `recorder.py`).
"""

import math
from collections.abc import Callable, Sequence

from patchwright_engine.repair.apply import Refusal
from patchwright_engine.search.budget import round_sizes
from patchwright_engine.search.candidates import Candidate, Pool, judge_ties, settled, to_fixes
from patchwright_engine.search.job import Job
from patchwright_engine.search.locate import ScoredLocation, locate_fault
from patchwright_engine.search.repair_stage import Attempt, Failed, Shown, repair, revise
from patchwright_engine.search.reproduce import reproduce
from patchwright_engine.search.understand import understand
from patchwright_engine.types import Fix
from patchwright_engine.verify.context import VerificationContext
from patchwright_engine.verify.evidence import verify_patch

FIRST_REVISING_ROUND = 2
REVISED_SHARE = 0.5
LOCATION_TEMPERATURE = 0.5
SEED_STRIDE = 1_000


def dev_search(job: Job, context: VerificationContext, pool: Pool, on_fix: Callable[[Fix], None] | None) -> str:
    """Run the search; candidates gather in `pool`, so that an interrupted search still has them.

    Returns why it stopped: 'verified', 'budget' or 'no_candidates'.

    Raises:
        Cancelled: by the user or the deadline; `pool` holds what was found.
    """
    files = understand(job)
    beam = locate_fault(job, files)
    if not beam:
        job.note("No function or class was found that could be at fault.")
        return "no_candidates"
    if context.can_run:
        context = context.with_reproductions(reproduce(job, beam, context, seed=job.seed))
    failed: list[Failed] = []
    spent = [0] * len(beam)
    for number, size in enumerate(round_sizes(job.budget.rollouts)):
        if job.generated_tokens >= job.budget.tokens:
            job.note("The search reached its limit of generated tokens.")
            break
        if number == 1 and context.can_run and not context.reproductions and not context.user_test:
            context = context.with_reproductions(reproduce(job, beam, context, seed=job.seed + SEED_STRIDE))
        for attempt in _round(job, beam, spent, failed, context, number, size):
            _settle(job, context, pool, failed, attempt, on_fix)
        best = next(iter(pool.alive()), None)
        job.trace.step(
            "round",
            number=number,
            rollouts=job.rollouts,
            alive=len(pool.alive()),
            best=best.patch.id if best else None,
        )
        if settled(pool):
            judge_ties(job, pool)
            return "verified"
    judge_ties(job, pool)
    return "budget" if pool.alive() else "no_candidates"


def _round(
    job: Job,
    beam: Sequence[ScoredLocation],
    spent: list[int],
    failed: list[Failed],
    context: VerificationContext,
    number: int,
    size: int,
) -> list[Attempt]:
    """All attempts of one round: revisions of the nearest failure, and fresh ones spread over the beam."""
    attempts: list[Attempt] = []
    seed = job.seed + SEED_STRIDE * (number + 2)
    revisions = int(size * REVISED_SHARE) if number >= FIRST_REVISING_ROUND and failed else 0
    shown = _shown(context)
    for place, count in enumerate(allocate([s.score for s in beam], spent, size - revisions)):
        if count:
            attempts += repair(
                job, beam[place].location, shown, n=count, seed=seed + place * 97, first_greedy=spent[place] == 0
            )
            spent[place] += count
    if revisions:
        nearest = max(failed, key=lambda f: f.worth)
        failed.remove(nearest)
        attempts += revise(job, nearest, n=revisions, seed=seed + 7 * 97)
    return attempts


def _shown(context: VerificationContext) -> Shown | None:
    best = next(iter(context.reproductions), None)
    return Shown(best.source, best.failure) if best else None


def _settle(
    job: Job,
    context: VerificationContext,
    pool: Pool,
    failed: list[Failed],
    attempt: Attempt,
    on_fix: Callable[[Fix], None] | None,
) -> None:
    """Count one rollout, verify its patch unless an equal one was verified, keep what a revision could use."""
    job.rollouts += 1
    result = attempt.result
    if isinstance(result, Refusal):
        job.trace.step("candidate", rollout=job.rollouts, refused=result.reason, hint=result.hint)
        return
    known = pool.seen(result)
    if known:
        job.trace.step("candidate", rollout=job.rollouts, patch=known.patch.id, votes=known.votes)
        return
    job.report("verify", f"running candidate {job.rollouts}")
    verification = verify_patch(result, context, job.cancel)
    candidate = Candidate(result, attempt, verification, len(context.reproductions))
    pool.add(candidate)
    job.trace.step(
        "candidate",
        rollout=job.rollouts,
        patch=result.id,
        revised=attempt.revised,
        diff=result.diff,
        evidence=verification.evidence,
        passed_reproductions=verification.passed_reproductions,
        feedback=verification.feedback,
        runs=[
            {"kind": r.kind, "command": r.command, "exit": r.exit, "before": r.before, "after": r.after}
            for r in verification.runs
        ],
    )
    if verification.evidence is not None and (
        job.best_evidence is None or verification.evidence.strength > job.best_evidence.strength
    ):
        job.best_evidence = verification.evidence
        if on_fix:
            on_fix(next(fix for fix in to_fixes(pool) if fix.id == result.id))
    if verification.feedback and not settled(pool):
        failed.append(Failed(attempt, result.id, verification.feedback, _worth(candidate)))


def _worth(candidate: Candidate) -> float:
    """How near a failed candidate came: it broke nothing, then how many reproductions it passes."""
    unbroken = 0.5 if candidate.alive else 0.0
    return unbroken + 0.5 * candidate.agreement


def allocate(scores: Sequence[float], spent: Sequence[int], size: int) -> list[int]:
    """Spread `size` rollouts so that totals follow softmax(scores / temperature), each where it lags most."""
    peak = max(scores)
    weights = [math.exp((score - peak) / LOCATION_TEMPERATURE) for score in scores]
    total = sum(weights)
    counts = [0] * len(scores)
    goal = sum(spent) + size
    for _ in range(size):
        lag = [weights[i] / total * goal - spent[i] - counts[i] for i in range(len(scores))]
        counts[lag.index(max(lag))] += 1
    return counts
