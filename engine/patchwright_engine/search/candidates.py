"""Candidate fixes of one search: equal patches merged into votes, each verified once, ranked by hybrid evidence.

Order (DESIGN §3, landscape: tests alone tie, models alone err): evidence level, share of reproductions passed,
fewer flags, votes of equal behaviour, ORM on issue + patch, shorter diff.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from patchwright_engine.model.prompting import render
from patchwright_engine.repair.summary import explain, normalize_patch
from patchwright_engine.search.job import CODE_SHARE, Job
from patchwright_engine.search.repair_stage import Attempt
from patchwright_engine.types import Fix, Patch
from patchwright_engine.verify.evidence import Verification

ORM_TOP = 4
SETTLED_AGREEMENT = 0.75


@dataclass(slots=True)
class Candidate:
    """One distinct patch: how often it was written, what verification said, what the ORM thinks."""

    patch: Patch
    attempt: Attempt
    verification: Verification
    agreement: float
    """Share of the votes for valid reproductions that it satisfies; 1 when there are none to disagree."""
    votes: int = 1
    orm: float | None = None

    @property
    def alive(self) -> bool:
        """Whether it may be offered at all."""
        return self.verification.evidence is not None

    def key(self) -> tuple[int, float, int, int, float, int]:
        """Sort key, larger is better."""
        evidence = self.verification.evidence
        return (
            evidence.strength if evidence else -1,
            self.agreement,
            -len(self.verification.flags),
            self.votes,
            0.5 if self.orm is None else self.orm,
            -len(self.patch.diff),
        )


@dataclass(slots=True)
class Pool:
    """All candidates so far, keyed by normalised patch."""

    by_key: dict[str, Candidate] = field(default_factory=dict)

    def seen(self, patch: Patch) -> Candidate | None:
        """The candidate an equal patch made, after counting the vote."""
        candidate = self.by_key.get(normalize_patch(patch))
        if candidate:
            candidate.votes += 1
        return candidate

    def add(self, candidate: Candidate) -> None:
        self.by_key[normalize_patch(candidate.patch)] = candidate

    def alive(self) -> list[Candidate]:
        """Candidates that may be offered, best first."""
        return sorted((c for c in self.by_key.values() if c.alive), key=Candidate.key, reverse=True)


def agreement(verification: Verification, votes: Sequence[int]) -> float:
    """Weighted share of reproductions that pass; `votes` follow the order in which they were run."""
    passed = [run.exit == 0 for run in verification.runs if run.kind == "reproduction"]
    if not votes or len(passed) != len(votes):
        return 0.0 if votes else 1.0
    return sum(weight for weight, good in zip(votes, passed, strict=True) if good) / sum(votes)


def settled(pool: Pool) -> bool:
    """Whether the search may stop: verified, and nearly all that was asked of a fix agrees."""
    best = next(iter(pool.alive()), None)
    if best is None or best.verification.evidence is None or not best.verification.evidence.verified:
        return False
    return best.agreement >= SETTLED_AGREEMENT


def judge_ties(job: Job, pool: Pool) -> None:
    """Ask the ORM (issue + patch only) about the leaders when evidence alone does not order them."""
    leaders = pool.alive()[:ORM_TOP]
    tied = [c for c in leaders if c.key()[:2] == leaders[0].key()[:2]]
    if len(tied) < 2:
        return
    job.report("rank", f"judging {len(tied)} candidates")
    limit = job.tokens(CODE_SHARE)
    fitting = [c for c in tied if job.model.count_tokens(c.patch.diff) <= limit]
    questions = [render("judge_patch", diff=c.patch.diff) for c in fitting]
    for candidate, probability in zip(fitting, job.judge_issue("rank", questions), strict=True):
        candidate.orm = probability


def to_fixes(pool: Pool) -> tuple[Fix, ...]:
    """The fixes to offer, best first."""
    fixes = []
    for rank, candidate in enumerate(pool.alive(), start=1):
        evidence = candidate.verification.evidence
        assert evidence is not None
        score = (evidence.strength + candidate.agreement * 0.9) / 4
        fixes.append(
            Fix(
                candidate.patch.id,
                rank,
                evidence,
                round(score, 4),
                candidate.patch,
                explain(candidate.patch),
                candidate.verification.runs,
                candidate.verification.flags,
            )
        )
    return tuple(fixes)
