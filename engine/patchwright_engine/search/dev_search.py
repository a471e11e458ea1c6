"""Dev-Search: understand → locate → reproduce, then rounds of repair and verification with an adaptive budget.

Round r doubles what was spent, beginning with one rollout. `policy` says where each rollout of a round goes and when
more of them do not pay; the search also ends when it believes enough in its best fix. No decision depends on the budget
that is left, so a deeper search over the recording of a shallower one walks the same tree first (see `recorder`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from patchwright_engine.model.parameters import default_threads
from patchwright_engine.repair.apply import Refusal
from patchwright_engine.search import policy as policies
from patchwright_engine.search.beam import Beam
from patchwright_engine.search.budget import round_sizes
from patchwright_engine.search.candidates import (
    Candidate,
    Pool,
    contradicted,
    judge_ties,
    settled,
    tell_best,
)
from patchwright_engine.search.confirm import Confirmation
from patchwright_engine.search.distinguish import distinguish, tell_differences
from patchwright_engine.search.job import Job
from patchwright_engine.search.judging import Judge, trace_again, trace_refused
from patchwright_engine.search.locate import BEAM, heading, locate_fault, narrow
from patchwright_engine.search.offer_test import offer_test
from patchwright_engine.search.overlap import settling
from patchwright_engine.search.policy import Failure, Policy, Standing, load_policy
from patchwright_engine.search.repair_stage import Attempt, Failed, Shown, repair, revise
from patchwright_engine.search.reproduce import FIRST, FURTHER, Claims, reproduce
from patchwright_engine.search.thinking import difficulty
from patchwright_engine.search.understand import understand
from patchwright_engine.types import Evidence, Fix, RepoPath
from patchwright_engine.verify.background import other_tests, spare_cores
from patchwright_engine.verify.context import VerificationContext, with_reproduction
from patchwright_engine.verify.evidence import Verification
from patchwright_engine.verify.execution import Ran
from patchwright_engine.verify.reproduction import useful_lines

SEED_STRIDE = 1_000
ROUND_SEEDS = 4
"""The first round's seeds lie this many strides behind those of the stages before it."""

NOT_WORTH_IT = "no further rollout is expected to pay"
BELIEVED = "the best fix is proven and believed"

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
            confirmation = Confirmation(job, pool, others, len(context.rest))
            judge, policy = Judge(job, context), load_policy()
            return _Search(
                job, files, Beam(policy, beam), judge, confirmation, pool, on_fix, policy, beside=spare > 0
            ).run()


@dataclass(slots=True)
class _Search:
    """The rounds of one search: what was spent where, what failed, and what judges the candidates."""

    job: Job
    files: Sequence[RepoPath]
    beam: Beam
    judge: Judge
    confirmation: Confirmation
    pool: Pool
    on_fix: Callable[[Fix], None] | None
    policy: Policy
    beside: bool
    """Whether candidates are run while the model writes."""
    claims: Claims = field(default_factory=Claims)
    failed: list[Failed] = field(default_factory=list)
    revised: Counter[str] = field(default_factory=Counter)
    """Revisions of each failed patch."""
    asked_further: bool = False
    """Whether more samples were asked for tests than the first ones."""

    def run(self) -> str:
        job, pool = self.job, self.pool
        reason = self._rounds()
        verified = self._confirmed()
        if not pool.alive():
            for candidate in self.judge.last_resort(pool):
                tell_best(self.job, self.pool, candidate, self.on_fix)
        if self._lacks_a_test():
            job.note("No test could be written that shows the issue: describe an exact call and its expected result.")
        self._rank()
        job.trace.step("stop", reason=reason, rollouts=job.rollouts, generated_tokens=job.generated_tokens)
        if verified:
            return "verified"
        return "budget" if pool.alive() else "no_candidates"

    def _rounds(self) -> str:
        """Rounds until one is enough, or no more pay; returns why there was no further one."""
        job = self.job
        feedback = self._reproduce(0, None) if self.judge.context.workspace else None
        for number, size in enumerate(round_sizes(job.budget.rollouts)):
            if job.generated_tokens >= job.budget.tokens:
                job.note("The search reached its limit of generated tokens.")
                return "the limit of generated tokens is reached"
            alive = [(c.verification.evidence, c.agreement) for c in self.pool.alive()]
            job.difficulty = difficulty(number, alive)
            if number and self._lacks_a_test() and not self.asked_further:
                feedback = self._reproduce(1, feedback)
            self._widen()
            if not policies.pays(self.policy, self._standing()):
                job.note("The search ended before its budget: more of the same is not expected to help.")
                return NOT_WORTH_IT
            self._round(number, size)
            job.trace.step("round", number=number, rollouts=job.rollouts, alive=len(self.pool.alive()))
            if self._enough():
                return BELIEVED
        return "the budget is spent"

    def _lacks_a_test(self) -> bool:
        """Whether tests can be run and none shows the issue."""
        return self.judge.context.workspace is not None and not self.judge.context.reproductions

    def _enough(self) -> bool:
        """Whether the best fix is settled, is believed to be right, and passes the project's other tests.

        These come last, since they cost most. Where belief is short, further tests are written before further fixes:
        they may take it away or confirm it.
        """
        while settled(self.pool):
            best = self.pool.alive()[0]
            believed = self._confidence(best)
            self.job.trace.step("belief", patch=best.patch.id, confidence=round(believed, 4))
            if believed >= self.policy.confidence:
                if self._confirm(best):
                    return True
            elif self.asked_further or not self.judge.context.reproductions:
                return False
            else:
                self._reproduce(1, None)
        return False

    def _confidence(self, candidate: Candidate) -> float:
        return policies.confidence(
            self.policy,
            chance=candidate.attempt.chance,
            votes=candidate.votes,
            named=candidate.verification.evidence is Evidence.FAILING_TEST,
            held_by=self.judge.held_by(candidate),
        )

    def _confirmed(self) -> bool:
        """Whether the search is settled, the project's other tests included, which only the best candidates pay for."""
        while settled(self.pool):
            if self._confirm(self.pool.alive()[0]):
                return True
        return False

    def _confirm(self, candidate: Candidate) -> bool:
        """Whether a candidate passes the project's other tests; one that does not may be revised."""
        if candidate.confirmed or self.confirmation.confirm(candidate):
            return True
        self.failed.append(Failed(candidate.attempt, candidate.patch.id, candidate.verification.feedback, 1.0))
        return False

    def _rank(self) -> None:
        """Order what evidence leaves equal, and tell what goes with it."""
        self.confirmation.confirm_leaders()
        self._drop_contradicted()
        observed = distinguish(self.job, self.judge.context, self.pool)
        judge_ties(self.job, self.pool)
        if observed is not None:
            tell_differences(self.pool, observed)
        offer_test(self.job, self.judge.context, self.pool, self.judge.votes)

    def _drop_contradicted(self) -> None:
        votes = {r.path: self.judge.votes[r.path] for r in self.judge.context.reproductions}
        against = contradicted(self.pool, votes)
        if not against:
            return
        self.judge.drop(against, self.pool.by_key)
        self.job.note(
            f"{len(against)} of {len(votes)} reproductions contradict what the others and most candidates agree on "
            "and are not counted."
        )
        self.job.trace.step("contradicted", reproductions=sorted(against))

    def _reproduce(self, number: int, feedback: str | None) -> str | None:
        """Have tests written for the issue; returns why none is of use, if so.

        The first few samples are enough where one of their tests is; else, and where a fix needs more proof, all.
        """
        judge, job = self.judge, self.job
        openings: list[tuple[tuple[bool, int], ...]] = [FURTHER] if number else [FIRST, FURTHER]
        if number and feedback is not None:
            openings = [(*FIRST, *FURTHER)]
        known = len(judge.context.reproductions)
        found = None
        self.asked_further = number > 0
        for opening in openings:
            found = reproduce(
                job,
                self.beam.locations,
                judge.context,
                claims=self.claims,
                openings=opening,
                seed=job.seed + number * SEED_STRIDE,
                feedback=feedback,
            )
            judge.votes.update(found.votes)
            for reproduction in found.valid:
                judge.context = with_reproduction(judge.context, reproduction)
            if found.valid:
                break
        if len(judge.context.reproductions) > known:
            if not known:
                # The failing test now stands in the prompts, so every location begins again.
                self.beam.begin(narrow(job, self.beam.locations, judge.context.reproductions, self._passing()))
            for candidate in list(self.pool.by_key.values()):  # judged before there was all this to judge them by
                if candidate.alive:
                    candidate.confirmed = False  # its runs are told anew, those of the other tests included
                    self._judge(candidate)
        return found.feedback if found is not None and not found.valid else None

    def _passing(self) -> list[Ran]:
        """What the tests that pass before any patch were seen to run."""
        baseline = self.judge.context.baseline
        if baseline is None:
            return []
        report = baseline.report
        return [report.functions[test] for test in report.with_outcome("passed") if test in report.functions]

    def _widen(self) -> None:
        """Suspect further code once what failed says that the fault is probably at none of the locations so far."""
        beam, job, reproductions = self.beam, self.job, self.judge.context.reproductions
        doubt = beam.doubt(self.pool, self.judge)
        if doubt < self.policy.widen_elsewhere or beam.widened >= self.policy.widen_most:
            return
        if reproductions:
            size = len(beam.locations) + BEAM
            new = beam.add(narrow(job, beam.locations, reproductions, self._passing(), size=size))
        else:
            new = beam.add(locate_fault(job, self.files, page=beam.widened + 1))
        names = [heading(symbol) for scored in new for symbol in scored.location.symbols]
        job.trace.step("widened", elsewhere=round(doubt, 4), locations=names)

    def _standing(self) -> Standing:
        """What the policy decides by."""
        failures = tuple(
            Failure(self.beam.place(one.attempt.location), one.worth, self.revised[one.patch_id]) for one in self.failed
        )
        return self.beam.standing(self.pool, self.judge, failures)

    def _round(self, number: int, size: int) -> None:
        """All attempts of one round, verified in the order in which they were planned."""
        job, standing = self.job, self._standing()
        planned = policies.plan(self.policy, standing, size)
        self.beam.trace(job, number, standing, planned, [one.patch_id for one in self.failed])
        seed = job.seed + SEED_STRIDE * (number + ROUND_SEEDS)
        beam, shown, failed = self.beam, self._shown(), list(self.failed)
        with settling(self._settle, beside=self.beside) as settle:
            for place, gains in enumerate(planned.fresh):
                if gains:
                    location, earlier = beam.locations[place].location, beam.spent[place]
                    beam.spent[place] += len(gains)
                    repair(job, location, shown, settle.put, gains=gains, seed=seed, earlier=earlier)
                    settle.pause()
            for failure, gains in zip(failed, planned.revisions, strict=True):
                if gains:
                    self.revised[failure.patch_id] += len(gains)
                    revise(job, failure, settle.put, gains=gains, seed=seed)
                    settle.pause()

    def _shown(self) -> Shown | None:
        context = self.judge.context
        if context.reproductions:
            best = max(context.reproductions, key=lambda r: self.judge.votes[r.path])
            return Shown(best.source, best.failure)
        before = context.user_before
        if before is not None and before.exit_code != 0:
            return Shown(context.user_command or "", useful_lines(before.output))
        return None

    def _settle(self, attempt: Attempt) -> None:
        """Count one rollout, verify its patch unless an equal one was, keep what a revision could use."""
        job, result = self.job, attempt.result
        job.rollouts += 1
        if isinstance(result, Refusal):
            trace_refused(job, attempt, result)
            return
        known = self.pool.seen(result)
        if known:
            trace_again(job, attempt, known)
            return
        job.report("verify", f"running candidate {job.rollouts}")
        candidate = Candidate(result, attempt, UNJUDGED, 0.0)
        self.pool.add(candidate)
        self._judge(candidate)

    def _judge(self, candidate: Candidate) -> None:
        """Verify a candidate by all there is now, tell of it when it is the best so far, keep it when it failed."""
        self.judge.judge(candidate)
        tell_best(self.job, self.pool, candidate, self.on_fix)
        feedback = candidate.verification.feedback
        if feedback:
            # How near it came: how many of the votes for reproductions it satisfies.
            worth = policies.worth(self.policy, candidate.agreement)
            self.failed = [failed for failed in self.failed if failed.patch_id != candidate.patch.id]
            self.failed.append(Failed(candidate.attempt, candidate.patch.id, feedback, worth))
