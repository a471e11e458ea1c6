"""Candidate fixes of one search: equal patches merged into votes, each verified once, ranked by hybrid evidence.

Order (DESIGN §3, landscape: tests alone tie, models alone err): evidence level, share of reproductions passed,
fewer flags, votes of equal behaviour, ORM on issue + patch, shorter diff.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from patchwright_engine.model.prompting import render
from patchwright_engine.repair.summary import explain, normalize_patch
from patchwright_engine.search.job import CODE_SHARE, Job
from patchwright_engine.search.repair_stage import Attempt
from patchwright_engine.types import FileEdit, Fix, Patch, RepoPath
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
    satisfied: frozenset[RepoPath] = frozenset()
    """Paths of the reproductions it passes."""
    peers: int | None = None
    """Votes for all candidates that behave as it does; None: not compared."""
    differences: tuple[str, ...] = ()
    test: FileEdit | None = None
    confirmed: bool = False
    """The project's other tests were run over it, or there are none."""

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
            self.votes if self.peers is None else self.peers,
            0.5 if self.orm is None else self.orm,
            -len(self.patch.diff),
        )


@dataclass(slots=True)
class Pool:
    """All candidates so far, keyed by normalised patch."""

    by_key: dict[str, Candidate] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    """Ids of patches, best first, where a fixed strategy orders them in its own way; others come after these."""

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
        alive = sorted((c for c in self.by_key.values() if c.alive), key=Candidate.key, reverse=True)
        places = {patch_id: place for place, patch_id in enumerate(self.order)}
        return sorted(alive, key=lambda candidate: places.get(candidate.patch.id, len(places)))


def agreement(verification: Verification, votes: Sequence[int]) -> float:
    """Weighted share of reproductions that pass; `votes` follow the order in which they were run."""
    passed = [run.exit == 0 for run in verification.runs if run.kind == "reproduction"]
    if not votes or len(passed) != len(votes):
        return 0.0 if votes else 1.0
    return sum(weight for weight, good in zip(votes, passed, strict=True) if good) / sum(votes)


def contradicted(pool: Pool, votes: dict[RepoPath, int]) -> frozenset[RepoPath]:
    """Reproductions that contradict what tests and candidates agree on best (the dual agreement of CodeT).

    Candidates that pass the same reproductions are one opinion, as strong as its candidates' votes times its tests'
    votes. What the strongest opinion fails is contradicted, if that is the lesser part of the tests' votes, more than
    one sample holds the opinion, and no candidate satisfies everything.
    """
    opinions: Counter[frozenset[RepoPath]] = Counter()
    for candidate in pool.by_key.values():
        opinions[candidate.satisfied] += candidate.votes
    everything = frozenset(votes)
    if everything in opinions:
        return frozenset()

    def weight(tests: frozenset[RepoPath]) -> int:
        return sum(votes[path] for path in tests)

    strongest = max(opinions, key=lambda tests: (opinions[tests] * weight(tests), sorted(tests)), default=everything)
    against = everything - strongest
    return against if opinions[strongest] > 1 and weight(against) < weight(strongest) else frozenset()


def settled(pool: Pool) -> bool:
    """Whether the search may stop: verified, and nearly all that was asked of a fix agrees."""
    best = next(iter(pool.alive()), None)
    if best is None or best.verification.evidence is None or not best.verification.evidence.verified:
        return False
    return best.agreement >= SETTLED_AGREEMENT


def tied_leaders(pool: Pool) -> list[Candidate]:
    """The best candidates, those that evidence alone does not order."""
    alive = pool.alive()
    return [c for c in alive if c.key()[:3] == alive[0].key()[:3]]


def judge_ties(job: Job, pool: Pool) -> None:
    """Ask the ORM (issue + patch only) about the leaders when evidence alone does not order them."""
    tied = tied_leaders(pool)[:ORM_TOP]
    if len(tied) < 2:
        return
    job.report("rank", f"judging {len(tied)} candidates")
    limit = job.tokens(CODE_SHARE)
    fitting = [c for c in tied if job.model.count_tokens(c.patch.diff) <= limit]
    questions = [render("judge_patch", diff=c.patch.diff) for c in fitting]
    for candidate, probability in zip(fitting, job.judge_issue("rank", questions), strict=True):
        candidate.orm = probability


def standings(pool: Pool) -> list[dict[str, object]]:
    """Every candidate that may be offered with what ordered it, best first, as the trace tells it."""
    return [
        {
            "patch": candidate.patch.id,
            "evidence": candidate.verification.evidence,
            "agreement": round(candidate.agreement, 3),
            "votes": candidate.votes,
            "peers": candidate.peers,
            "orm": candidate.orm,
            "confirmed": candidate.confirmed,
        }
        for candidate in pool.alive()
    ]


def tell_best(job: Job, pool: Pool, candidate: Candidate, on_fix: Callable[[Fix], None] | None) -> None:
    """Progress shows the best evidence there is now; `on_fix` hears of a candidate that beats all that stood."""
    before, evidence = job.best_evidence, candidate.verification.evidence
    job.best_evidence = next((c.verification.evidence for c in pool.alive()), None)
    if evidence is not None and (before is None or evidence.strength > before.strength) and on_fix:
        on_fix(next(fix for fix in to_fixes(pool) if fix.id == candidate.patch.id))


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
                candidate.differences,
                candidate.test,
                candidate.verification.flags,
            )
        )
    return tuple(fixes)
