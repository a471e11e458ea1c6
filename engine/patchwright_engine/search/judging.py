"""Judge one candidate by all there is: the reproductions, the user's test, the project's own tests.

Invariant: what it says comes from runs alone; nothing here asks the model.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from patchwright_engine.repair.refusal import Refusal
from patchwright_engine.search.candidates import Candidate, Pool, agreement
from patchwright_engine.search.job import Job
from patchwright_engine.search.locate import heading
from patchwright_engine.search.repair_stage import Attempt
from patchwright_engine.types import Evidence, Patch, RepoPath
from patchwright_engine.verify.context import VerificationContext
from patchwright_engine.verify.evidence import Verification, verify_patch

REPRODUCED_AGREEMENT = 0.5
"""Share of the votes for reproductions that a fix must satisfy to count as reproduced: most claims, not a stray one."""
LAST_RESORT = 2
"""Candidates that fail every reproduction but are still tried on the regression tests when nothing is verified."""


@dataclass(slots=True)
class Judge:
    """What candidates are judged by; both grow while the search goes on."""

    job: Job
    context: VerificationContext
    votes: dict[RepoPath, int] = field(default_factory=dict)
    """Votes for each reproduction's claim."""

    @property
    def tells(self) -> bool:
        """Whether a run can prove a candidate wrong or right, beyond that it breaks nothing."""
        before = self.context.user_before
        named = before is not None and before.exit_code != 0
        return bool(self.context.reproductions) or named

    def judge(self, candidate: Candidate) -> None:
        """Verify a candidate and write what came of it into it and into the trace."""
        verification = candidate.verification = self._verify(candidate.patch)
        weights = [self.votes[reproduction.path] for reproduction in self.context.reproductions]
        candidate.agreement = agreement(verification, weights)
        candidate.satisfied = self._satisfied(verification)
        if verification.evidence is Evidence.REPRODUCED and candidate.agreement < REPRODUCED_AGREEMENT:
            broke_nothing = verification.regression is not None and verification.regression.passed_before > 0
            weaker = Evidence.REGRESSION_ONLY if broke_nothing else Evidence.PARSES
            candidate.verification = replace(verification, evidence=weaker)
        trace_candidate(self.job, candidate)

    def refuted(self, candidate: Candidate) -> bool:
        """Whether a run proved it wrong. Never where nothing tells right from wrong and it broke nothing."""
        evidence = candidate.verification.evidence
        return evidence is None or (self.tells and not evidence.verified)

    def held_by(self, candidate: Candidate) -> int:
        """Votes of the samples whose reproductions it passes."""
        return sum(self.votes[path] for path in candidate.satisfied)

    def last_resort(self, pool: Pool) -> list[Candidate]:
        """Nothing satisfies a reproduction, which may itself be wrong: what at least breaks nothing may be offered."""
        screened = [c for c in pool.by_key.values() if any(run.kind == "reproduction" for run in c.verification.runs)]
        tried = sorted(screened, key=lambda c: -c.votes)[:LAST_RESORT]
        for candidate in tried:
            self.job.report("verify", "running the project's tests over the best unproven candidates")
            candidate.verification = verify_patch(candidate.patch, self.context, self.job.cancel)
            trace_candidate(self.job, candidate)
        return tried

    def drop(self, against: frozenset[RepoPath], candidates: Mapping[str, Candidate]) -> None:
        """Count these reproductions no longer."""
        kept = tuple(r for r in self.context.reproductions if r.path not in against)
        self.context = replace(self.context, reproductions=kept)
        total = sum(self.votes[reproduction.path] for reproduction in kept)
        for candidate in candidates.values():
            candidate.satisfied -= against
            candidate.agreement = sum(self.votes[path] for path in candidate.satisfied) / total
            runs = [run for run in candidate.verification.runs if not any(path in run.command for path in against)]
            candidate.verification = replace(candidate.verification, runs=tuple(runs))

    def _verify(self, patch: Patch) -> Verification:
        """The regression tests, which cost most, run only for a patch that satisfies some reproduction."""
        context, cancel = self.context, self.job.cancel
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

    def _satisfied(self, verification: Verification) -> frozenset[RepoPath]:
        runs = [run for run in verification.runs if run.kind == "reproduction"]
        if len(runs) != len(self.context.reproductions):
            return frozenset()
        pairs = zip(self.context.reproductions, runs, strict=True)
        return frozenset(reproduction.path for reproduction, run in pairs if run.exit == 0)


def trace_candidate(job: Job, candidate: Candidate) -> None:
    """Write what is known of a candidate to the trace; its last step counts."""
    verification = candidate.verification
    job.trace.step(
        "candidate",
        rollout=job.rollouts,
        patch=candidate.patch.id,
        **_arm(candidate.attempt),
        diff=candidate.patch.diff,
        evidence=verification.evidence,
        agreement=round(candidate.agreement, 3),
        feedback=verification.feedback,
        flags=verification.flags,
        runs=[asdict(run) for run in verification.runs],
    )


def trace_refused(job: Job, attempt: Attempt, refusal: Refusal) -> None:
    """An answer that is no patch to be tried."""
    job.trace.step("candidate", rollout=job.rollouts, refused=refusal.reason, hint=refusal.hint, **_arm(attempt))


def trace_again(job: Job, attempt: Attempt, known: Candidate) -> None:
    """An answer that makes a patch which is there already."""
    job.trace.step("candidate", rollout=job.rollouts, patch=known.patch.id, votes=known.votes, **_arm(attempt))


def _arm(attempt: Attempt) -> dict[str, Any]:
    """Which arm of the search an attempt belongs to and what it took, for the trace."""
    return {
        "location": [heading(s) for s in attempt.location.symbols],
        "revised": attempt.revised,
        "chance": round(attempt.chance, 5),
        "tokens": attempt.tokens,
    }
