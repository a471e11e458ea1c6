"""Dev-Search, first version: understand → locate → reproduce, then rounds of repair and verification.

Round r doubles what was spent. Rollouts go to the locations of the beam by their scores; later rounds also revise
the failed candidate that came nearest. Widths never depend on the budget, so a deeper search over the recording of
a shallower one walks the same tree first (see `recorder.py`).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from patchwright_engine.model.parameters import default_threads
from patchwright_engine.repair.apply import Refusal
from patchwright_engine.search.budget import round_sizes
from patchwright_engine.search.candidates import (
    Candidate,
    Pool,
    agreement,
    contradicted,
    judge_ties,
    settled,
    to_fixes,
)
from patchwright_engine.search.distinguish import distinguish, tell_differences
from patchwright_engine.search.job import Job
from patchwright_engine.search.locate import ScoredLocation, locate_fault, narrow
from patchwright_engine.search.offer_test import offer_test
from patchwright_engine.search.repair_stage import Attempt, Failed, Shown, repair, revise
from patchwright_engine.search.reproduce import Reproduced, reproduce
from patchwright_engine.search.thinking import difficulty
from patchwright_engine.search.understand import understand
from patchwright_engine.types import Evidence, Fix, Patch, RepoPath
from patchwright_engine.verify.background import OtherTests, other_tests, spare_cores
from patchwright_engine.verify.baseline import seconds_by_file
from patchwright_engine.verify.context import VerificationContext, with_reproduction
from patchwright_engine.verify.evidence import Verification, verify_patch
from patchwright_engine.verify.execution import Ran
from patchwright_engine.verify.reproduction import useful_lines

FIRST_REVISING_ROUND = 2
REPRODUCING_ROUNDS = 2
REVISED_SHARE = 0.25
LOCATION_TEMPERATURE = 1.0
REPRODUCED_AGREEMENT = 0.5
"""Share of the votes for reproductions that a fix must satisfy to count as reproduced: most claims, not a stray one."""
LAST_RESORT = 2
"""Candidates that fail every reproduction but are still tried on the regression tests when nothing is verified."""
CONFIRMED = 3
"""Verified candidates that are run against the project's other tests at the end."""
SEED_STRIDE = 1_000

UNJUDGED = Verification(None, (), 0, None, "")

OpenVerification = Callable[[Sequence[RepoPath]], AbstractContextManager[VerificationContext]]
"""Opens the copy and the baseline for patches that would change files such as these."""


def dev_search(job: Job, open_context: OpenVerification, pool: Pool, on_fix: Callable[[Fix], None] | None) -> str:
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
    suspected = tuple(dict.fromkeys(s.path for scored in beam for s in scored.location.symbols))
    job.report("verify", "running the project's tests as they are")
    with open_context(suspected) as context:
        for note in context.notes:
            job.note(note)
        spare = spare_cores(default_threads(), job.model.cpu_threads)
        with other_tests(context, job.cancel, spare) as others:
            if others.in_background:
                job.report("verify", f"running {len(context.rest)} other test files in the background")
            return _Search(job, beam, context, others, pool, on_fix).run()


@dataclass(slots=True)
class _Search:
    """The rounds of one search: what was spent where, what failed, and what judges the candidates."""

    job: Job
    beam: Sequence[ScoredLocation]
    context: VerificationContext
    others: OtherTests
    """The project's other tests, which only what will be called verified has to pass."""
    pool: Pool
    on_fix: Callable[[Fix], None] | None
    votes: dict[RepoPath, int] = field(default_factory=dict)
    """Votes for each reproduction's claim."""
    failed: list[Failed] = field(default_factory=list)
    spent: list[int] = field(default_factory=list)
    """Fresh rollouts at each location of the beam."""

    def run(self) -> str:
        job, pool = self.job, self.pool
        self.spent = [0] * len(self.beam)
        feedback = ""
        for number, size in enumerate(round_sizes(job.budget.rollouts)):
            if job.generated_tokens >= job.budget.tokens:
                job.note("The search reached its limit of generated tokens.")
                break
            job.difficulty = difficulty(number, [(c.verification.evidence, c.agreement) for c in pool.alive()])
            if number < REPRODUCING_ROUNDS and self.context.workspace and not self.context.reproductions:
                feedback = self._reproduce(number, feedback)
            for attempt in self._round(number, size) if not settled(pool) else ():
                self._settle(attempt)
            job.trace.step("round", number=number, rollouts=job.rollouts, alive=len(pool.alive()))
            if self._confirmed():
                self._rank()
                return "verified"
        if not pool.alive():
            self._last_resort()
        if self.context.workspace and not self.context.reproductions:
            job.note("No test could be written that shows the issue: describe an exact call and its expected result.")
        self._rank()
        return "budget" if pool.alive() else "no_candidates"

    def _confirmed(self) -> bool:
        """Whether the search is settled, the project's other tests included, which only the best candidates pay for."""
        while settled(self.pool):
            best = self.pool.alive()[0]
            if best.confirmed:
                return True
            self._confirm(best)
        return False

    def _confirm_leaders(self) -> None:
        """The project's other tests over the best of what will be called verified."""
        for _ in range(CONFIRMED):
            verified = (c for c in self.pool.alive() if c.verification.evidence and c.verification.evidence.verified)
            unconfirmed = next((c for c in verified if not c.confirmed), None)
            if unconfirmed is None:
                return
            self._confirm(unconfirmed)

    def _confirm(self, candidate: Candidate) -> None:
        """Run the project's other tests over a candidate; one that breaks any is rejected."""
        job = self.job
        candidate.confirmed = True
        rest = self._other_tests()
        if rest is None:
            return
        job.report("verify", f"running {len(rest.selection)} more test files over the best candidate")
        verification = verify_patch(candidate.patch, rest, job.cancel)
        runs = (*candidate.verification.runs, *verification.runs)
        candidate.verification = replace(candidate.verification, runs=runs)
        if verification.evidence is None:
            rejected = replace(candidate.verification, evidence=None, feedback=verification.feedback)
            candidate.verification = rejected
            self.failed.append(Failed(candidate.attempt, candidate.patch.id, verification.feedback, 0.5))
            job.best_evidence = next((c.verification.evidence for c in self.pool.alive()), None)
        _trace_candidate(job, candidate)

    def _other_tests(self) -> VerificationContext | None:
        """The project's other tests before any patch; the first time they may have to be run, or waited for."""
        job, others = self.job, self.others
        if others.pending:
            how = "waiting for the" if others.in_background else "running the"
            job.report("verify", f"{how} {len(self.context.rest)} other test files as they are before any fix")
        rest = others.measured()
        if rest is not None and rest.baseline is not None:
            job.test_seconds.update(seconds_by_file(rest.baseline.report))
        for note in rest.notes if rest else ():
            job.note(note)
        return rest

    def _rank(self) -> None:
        """Order what evidence leaves equal, and tell what goes with it."""
        self._confirm_leaders()
        self._drop_contradicted()
        observed = distinguish(self.job, self.context, self.pool)
        judge_ties(self.job, self.pool)
        if observed is not None:
            tell_differences(self.pool, observed)
        offer_test(self.job, self.context, self.pool, self.votes)

    def _drop_contradicted(self) -> None:
        votes = {reproduction.path: self.votes[reproduction.path] for reproduction in self.context.reproductions}
        against = contradicted(self.pool, votes)
        if not against:
            return
        kept = tuple(r for r in self.context.reproductions if r.path not in against)
        self.context = replace(self.context, reproductions=kept)
        total = sum(votes[reproduction.path] for reproduction in kept)
        for candidate in self.pool.by_key.values():
            candidate.satisfied -= against
            candidate.agreement = sum(votes[path] for path in candidate.satisfied) / total
            runs = [run for run in candidate.verification.runs if not any(path in run.command for path in against)]
            candidate.verification = replace(candidate.verification, runs=tuple(runs))
        self.job.note(
            f"{len(against)} of {len(votes)} reproductions contradict what the others and most candidates agree on "
            "and are not counted."
        )
        self.job.trace.step("contradicted", reproductions=sorted(against))

    def _reproduce(self, number: int, feedback: str) -> str:
        seed = self.job.seed + number * SEED_STRIDE
        found: Reproduced = reproduce(self.job, self.beam, self.context, seed=seed, feedback=feedback, again=number > 0)
        self.votes.update(found.votes)
        for reproduction in found.valid:
            self.context = with_reproduction(self.context, reproduction)
        if found.valid:
            # The failing test now stands in the prompts, so every location begins again.
            self.beam = narrow(self.job, self.beam, found.valid, self._passing())
            self.spent = [0] * len(self.beam)
            for candidate in self.pool.alive():  # judged before there was anything to judge them by
                self._judge(candidate)
        return found.feedback

    def _passing(self) -> list[Ran]:
        """What the tests that pass before any patch were seen to run."""
        baseline = self.context.baseline
        if baseline is None:
            return []
        report = baseline.report
        return [report.functions[test] for test in report.with_outcome("passed") if test in report.functions]

    def _round(self, number: int, size: int) -> Iterator[Attempt]:
        """All attempts of one round: fresh ones spread over the beam, and revisions of the nearest failure."""
        seed = self.job.seed + SEED_STRIDE * (number + REPRODUCING_ROUNDS)
        revisions = int(size * REVISED_SHARE) if number >= FIRST_REVISING_ROUND and self.failed else 0
        counts = allocate([scored.score for scored in self.beam], self.spent, size - revisions)
        for place, count in enumerate(counts):
            if count:
                location, earlier = self.beam[place].location, self.spent[place]
                self.spent[place] += count
                yield from repair(self.job, location, self._shown(), n=count, seed=seed, earlier=earlier)
        if revisions:
            nearest = max(self.failed, key=lambda failed: failed.worth)
            self.failed.remove(nearest)
            yield from revise(self.job, nearest, n=revisions, seed=seed)

    def _shown(self) -> Shown | None:
        if self.context.reproductions:
            best = max(self.context.reproductions, key=lambda r: self.votes[r.path])
            return Shown(best.source, best.failure)
        before = self.context.user_before
        if before is not None and before.exit_code != 0:
            return Shown(self.context.user_command or "", useful_lines(before.output))
        return None

    def _settle(self, attempt: Attempt) -> None:
        """Count one rollout, verify its patch unless an equal one was, keep what a revision could use."""
        job, result = self.job, attempt.result
        job.rollouts += 1
        if isinstance(result, Refusal):
            job.trace.step("candidate", rollout=job.rollouts, refused=result.reason, hint=result.hint)
            return
        known = self.pool.seen(result)
        if known:
            job.trace.step("candidate", rollout=job.rollouts, patch=known.patch.id, votes=known.votes)
            return
        job.report("verify", f"running candidate {job.rollouts}")
        candidate = Candidate(result, attempt, UNJUDGED, 0.0)
        self.pool.add(candidate)
        self._judge(candidate)

    def _judge(self, candidate: Candidate) -> None:
        """Verify a candidate by all there is now, tell of it when it is the best so far, keep it when it failed."""
        job = self.job
        verification = candidate.verification = self._verify(candidate.patch)
        weights = [self.votes[reproduction.path] for reproduction in self.context.reproductions]
        candidate.agreement = agreement(verification, weights)
        candidate.satisfied = self._satisfied(verification)
        if verification.evidence is Evidence.REPRODUCED and candidate.agreement < REPRODUCED_AGREEMENT:
            broke_nothing = verification.regression is not None and verification.regression.passed_before > 0
            weaker = Evidence.REGRESSION_ONLY if broke_nothing else Evidence.PARSES
            verification = candidate.verification = replace(verification, evidence=weaker)
        _trace_candidate(job, candidate)
        self._tell(candidate)
        if verification.feedback:
            # How near it came: it broke nothing, then how many reproductions it satisfies.
            worth = (0.5 if candidate.alive else 0.0) + 0.5 * candidate.agreement
            self.failed.append(Failed(candidate.attempt, candidate.patch.id, verification.feedback, worth))

    def _satisfied(self, verification: Verification) -> frozenset[RepoPath]:
        runs = [run for run in verification.runs if run.kind == "reproduction"]
        if len(runs) != len(self.context.reproductions):
            return frozenset()
        pairs = zip(self.context.reproductions, runs, strict=True)
        return frozenset(reproduction.path for reproduction, run in pairs if run.exit == 0)

    def _tell(self, candidate: Candidate) -> None:
        job, evidence = self.job, candidate.verification.evidence
        if evidence is not None and (job.best_evidence is None or evidence.strength > job.best_evidence.strength):
            job.best_evidence = evidence
            if self.on_fix:
                self.on_fix(next(fix for fix in to_fixes(self.pool) if fix.id == candidate.patch.id))

    def _verify(self, patch: Patch) -> Verification:
        """The regression tests, which cost most, run only for a patch that satisfies some reproduction."""
        if not self.context.reproductions or self.context.baseline is None:
            return verify_patch(patch, self.context, self.job.cancel)
        screened = verify_patch(patch, replace(self.context, baseline=None), self.job.cancel)
        if screened.evidence is None or not screened.evidence.verified:
            return replace(screened, evidence=None)
        rest = replace(self.context, reproductions=(), user_command=None, user_before=None)
        regressed = verify_patch(patch, rest, self.job.cancel)
        runs = (*screened.runs, *regressed.runs)
        if regressed.evidence is None:
            return replace(screened, evidence=None, runs=runs, feedback=regressed.feedback)
        strongest = max(screened.evidence, regressed.evidence, key=lambda evidence: evidence.strength)
        flags = tuple(dict.fromkeys((*screened.flags, *regressed.flags)))
        return replace(screened, evidence=strongest, runs=runs, regression=regressed.regression, flags=flags)

    def _last_resort(self) -> None:
        """Nothing satisfies a reproduction, which may itself be wrong: offer what at least breaks nothing."""
        screened = [
            c for c in self.pool.by_key.values() if any(run.kind == "reproduction" for run in c.verification.runs)
        ]
        for candidate in sorted(screened, key=lambda c: -c.votes)[:LAST_RESORT]:
            self.job.report("verify", "running the project's tests over the best unproven candidates")
            candidate.verification = verify_patch(candidate.patch, self.context, self.job.cancel)
            _trace_candidate(self.job, candidate)
            self._tell(candidate)


def _trace_candidate(job: Job, candidate: Candidate) -> None:
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
