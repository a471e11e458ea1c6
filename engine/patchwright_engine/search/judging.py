"""How one candidate is judged by what runs: reproductions first, then the nearest of the project's tests, and all
others only over what is to be called verified.
"""

from collections.abc import Mapping
from dataclasses import replace

from patchwright_engine.control import CancelToken
from patchwright_engine.search.candidates import Candidate, agreement
from patchwright_engine.search.job import Job
from patchwright_engine.types import Evidence, Patch, RepoPath
from patchwright_engine.verify.background import OtherTests
from patchwright_engine.verify.baseline import seconds_by_file
from patchwright_engine.verify.context import VerificationContext
from patchwright_engine.verify.evidence import Verification, verify_patch

REPRODUCED_AGREEMENT = 0.5
"""Share of the votes for reproductions that a fix must satisfy to count as reproduced: most claims, not a stray one."""


def judge(
    candidate: Candidate, context: VerificationContext, votes: Mapping[RepoPath, int], cancel: CancelToken
) -> None:
    """Set a candidate's verification, agreement and `satisfied`. `votes` are those for each reproduction's claim.

    Raises: as `verify_patch`.
    """
    verification = verify_screened(candidate.patch, context, cancel)
    candidate.agreement = agreement(verification, [votes[r.path] for r in context.reproductions])
    candidate.satisfied = satisfied(verification, context)
    if verification.evidence is Evidence.REPRODUCED and candidate.agreement < REPRODUCED_AGREEMENT:
        broke_nothing = verification.regression is not None and verification.regression.passed_before > 0
        weaker = Evidence.REGRESSION_ONLY if broke_nothing else Evidence.PARSES
        verification = replace(verification, evidence=weaker)
    candidate.verification = verification


def verify_screened(patch: Patch, context: VerificationContext, cancel: CancelToken) -> Verification:
    """As `verify_patch`; the regression tests, which cost most, run only for a patch that satisfies a reproduction.

    One that satisfies none is rejected, where there are any.
    """
    if not context.reproductions or context.baseline is None:
        return verify_patch(patch, context, cancel)
    screened = verify_patch(patch, replace(context, baseline=None), cancel)
    if screened.evidence is None or not screened.evidence.verified:
        return replace(screened, evidence=None)
    rest = replace(context, reproductions=(), user_command=None, user_before=None)
    regressed = verify_patch(patch, rest, cancel)
    runs = (*screened.runs, *regressed.runs)
    if regressed.evidence is None:
        return replace(screened, evidence=None, runs=runs, feedback=regressed.feedback)
    strongest = max(screened.evidence, regressed.evidence, key=lambda evidence: evidence.strength)
    flags = tuple(dict.fromkeys((*screened.flags, *regressed.flags)))
    return replace(screened, evidence=strongest, runs=runs, regression=regressed.regression, flags=flags)


def satisfied(verification: Verification, context: VerificationContext) -> frozenset[RepoPath]:
    """Paths of the reproductions that pass; none where not all were run."""
    runs = [run for run in verification.runs if run.kind == "reproduction"]
    if len(runs) != len(context.reproductions):
        return frozenset()
    pairs = zip(context.reproductions, runs, strict=True)
    return frozenset(reproduction.path for reproduction, run in pairs if run.exit == 0)


def confirm(job: Job, candidate: Candidate, context: VerificationContext, others: OtherTests) -> None:
    """Run the project's other tests over a candidate; one that breaks any is rejected.

    Raises: as `verify_patch`.
    """
    candidate.confirmed = True
    if others.pending:
        how = "waiting for the" if others.in_background else "running the"
        job.report("verify", f"{how} {len(context.rest)} other test files as they are before any fix")
    rest = others.measured()
    if rest is None:
        return
    if rest.baseline is not None:
        job.test_seconds.update(seconds_by_file(rest.baseline.report))
    for note in rest.notes:
        job.note(note)
    job.report("verify", f"running {len(rest.selection)} more test files over the best candidate")
    verification = verify_patch(candidate.patch, rest, job.cancel)
    kept = replace(candidate.verification, runs=(*candidate.verification.runs, *verification.runs))
    if verification.evidence is None:
        kept = replace(kept, evidence=None, feedback=verification.feedback)
    candidate.verification = kept
    trace_candidate(job, candidate)


def trace_candidate(job: Job, candidate: Candidate) -> None:
    """Write down what is known of a candidate now."""
    verification = candidate.verification
    job.trace.step(
        "candidate",
        rollout=job.rollouts,
        patch=candidate.patch.id,
        revised=candidate.attempt.revised,
        diff=candidate.patch.diff,
        evidence=verification.evidence,
        agreement=round(candidate.agreement, 3),
        feedback=verification.feedback,
        flags=verification.flags,
        runs=[
            {"kind": r.kind, "command": r.command, "exit": r.exit, "before": r.before, "after": r.after}
            for r in verification.runs
        ],
    )
