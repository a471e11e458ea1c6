"""The fixed strategies: N walks that know nothing of one another, and one choice among what they wrote.

For comparison with Dev-Search: no scores, no failing test in a prompt, no revision, no early end. What `exec` and
`orm-exec` run is what Dev-Search runs, and their reproduction tests are its first try.

Invariant: candidate i does not depend on how many there are, and they are settled in order: the first rollouts of a
large budget are those of a small one. (As far as the model answers alike for equal seeds, alone or among others.)
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from patchwright_engine.model.parameters import default_threads
from patchwright_engine.model.prompting import render
from patchwright_engine.repair.refusal import Refusal
from patchwright_engine.repair.summary import normalize_patch
from patchwright_engine.search.candidates import Candidate, Pool, tell_best
from patchwright_engine.search.confirm import LEADERS, Confirmation
from patchwright_engine.search.dev_search import UNJUDGED, OpenVerification
from patchwright_engine.search.job import CODE_SHARE, Job
from patchwright_engine.search.judging import Judge, trace_again, trace_candidate, trace_refused
from patchwright_engine.search.locate import BEAM, ScoredLocation, heading
from patchwright_engine.search.overlap import Settling, settling
from patchwright_engine.search.repair_stage import Attempt, repair
from patchwright_engine.search.reproduce import FIRST, FURTHER, Claims, reproduce
from patchwright_engine.search.rollouts import Drawn, Rollout, drawn_to_json, ranked, undecided
from patchwright_engine.search.strategies import DIVERGENT, EXEC, ORM_EXEC, SINGLE
from patchwright_engine.search.walks import Walk, walk
from patchwright_engine.types import Evidence, Fix, Location, Patch
from patchwright_engine.verify.background import other_tests, spare_cores
from patchwright_engine.verify.cheating import inspect_patch
from patchwright_engine.verify.context import with_reproduction
from patchwright_engine.verify.discovery import refused_paths
from patchwright_engine.verify.evidence import Verification, verify_patch

WAVE = 8
"""Walks that are repaired together and then settled: as many as the model answers side by side."""


def draw(
    job: Job,
    open_context: OpenVerification,
    pool: Pool,
    strategy: str,
    *,
    sampling: str = DIVERGENT,
    on_fix: Callable[[Fix], None] | None = None,
) -> tuple[Drawn, str]:
    """Draw the budget's rollouts and judge them as far as `strategy` looks at them.

    `pool` gathers the candidates, and at the end their order; an interrupted draw leaves there and in the trace what
    was settled, which are the first rollouts.

    Returns the rollouts, and why it stopped: 'budget' or 'no_candidates'.

    Raises:
        Cancelled: by the user or the deadline.
    """
    drawing = _Drawing(job, pool, strategy, sampling, on_fix)
    try:
        stopped = drawing.run(open_context)
    finally:
        drawn = drawing.drawn()
        pool.order = ranked(drawn, max(1, len(drawn.rollouts)), strategy)
        job.trace.step("drawn", **drawn_to_json(drawn))
    return drawn, stopped


@dataclass(slots=True)
class _Drawing:
    """The rollouts of one job under way."""

    job: Job
    pool: Pool
    strategy: str
    sampling: str
    on_fix: Callable[[Fix], None] | None
    judge: Judge | None = None
    """None: nothing is run."""
    reproduction_tokens: int = 0
    settled: list[Rollout] = field(default_factory=list)
    """In order; what is known of their patches is filled in by `drawn`."""
    unproven: set[str] = field(default_factory=set)
    """Ids of patches that satisfy no reproduction and were run against the project's tests all the same."""
    asked_orm: set[str] = field(default_factory=set)

    @property
    def asked(self) -> int:
        return 1 if self.strategy == SINGLE else self.job.budget.rollouts

    def run(self, open_context: OpenVerification) -> str:
        job = self.job
        walks = walk(job, self.asked)
        if not walks:
            job.note("No function or class was found that could be at fault.")
            return "no_candidates"
        if self.strategy in (EXEC, ORM_EXEC):
            self._run_tests(open_context, walks)
        else:
            job.note(f"No candidate was run: the strategy '{self.strategy}' looks at answers only.")
            self._repair(walks, beside=False)
        return "budget" if self.pool.alive() else "no_candidates"

    def _run_tests(self, open_context: OpenVerification, walks: Sequence[Walk]) -> None:
        job = self.job
        job.report("verify", "running the project's tests as they are")
        suspected = tuple(dict.fromkeys(s.path for one in walks for s in one.location.symbols))
        with open_context(suspected) as context:
            for note in context.notes:
                job.note(note)
            judge = self.judge = Judge(job, context)
            spare = spare_cores(default_threads(), job.model.cpu_threads)
            with other_tests(context, job.cancel, spare) as others:
                self._reproduce(judge, walks[0])
                self._repair(walks, beside=spare > 0)
                self._compare(judge, Confirmation(job, self.pool, others, len(context.rest)))

    def drawn(self) -> Drawn:
        """What is known now."""
        return Drawn(
            tuple(self._known(rollout) for rollout in self.settled),
            self.strategy,
            self.asked,
            self.sampling,
            self.job.seed,
            self.reproduction_tokens,
            len(self.judge.context.reproductions) if self.judge else 0,
        )

    def _known(self, rollout: Rollout) -> Rollout:
        if rollout.key is None:
            return rollout
        candidate = self.pool.by_key[rollout.key]
        return replace(
            rollout,
            patch_id=candidate.patch.id,
            evidence=candidate.verification.evidence,
            agreement=candidate.agreement,
            flags=len(candidate.verification.flags),
            orm=candidate.orm,
            diff_chars=len(candidate.patch.diff),
        )

    def _reproduce(self, judge: Judge, greedy: Walk) -> None:
        """Write reproduction tests, once. Where they look does not depend on the number of walks either."""
        job = self.job
        if judge.context.workspace is None:
            return
        suspects = dict.fromkeys((*greedy.location.symbols, *greedy.suspects))
        places = [ScoredLocation(Location((symbol,), 0), 0.0, 0.0, None) for symbol in suspects][:BEAM]
        before = job.generated_tokens
        openings = (*FIRST, *FURTHER)
        found = reproduce(job, places, judge.context, claims=Claims(), openings=openings, seed=job.seed)
        self.reproduction_tokens = job.generated_tokens - before
        judge.votes.update(found.votes)
        for reproduction in found.valid:
            judge.context = with_reproduction(judge.context, reproduction)
        if not found.valid:
            job.note("No test could be written that shows the issue: describe an exact call and its expected result.")

    def _repair(self, walks: Sequence[Walk], *, beside: bool) -> None:
        """The next attempt at its location for every walk, some walks at a time, each settled in its turn."""
        job = self.job
        made: Counter[Location] = Counter()
        for start in range(0, len(walks), WAVE):
            if job.generated_tokens >= job.budget.tokens:
                job.note("The search reached its limit of generated tokens.")
                return
            wave = walks[start : start + WAVE]
            places: dict[Location, list[Walk]] = {}
            for one in wave:
                places.setdefault(one.location, []).append(one)
            with settling(self._settle, beside=beside) as settle:
                written = _InOrder(wave, settle)
                for location, members in places.items():
                    earlier = made[location]
                    made[location] += len(members)
                    repair(
                        job,
                        location,
                        None,
                        written.taker(members),
                        gains=(0.0,) * len(members),
                        seed=job.seed + earlier,
                        earlier=earlier,
                        sampling=self.sampling,
                    )
                    settle.pause()

    def _settle(self, written: tuple[Walk, Attempt]) -> None:
        """Count one rollout, and judge its patch unless an equal one was."""
        job = self.job
        one, attempt = written
        job.rollouts += 1
        result = attempt.result
        place = tuple(heading(symbol) for symbol in one.location.symbols)
        tokens = one.tokens + attempt.tokens
        refusal = result if isinstance(result, Refusal) else self._objection(result)
        if refusal is not None:
            self.settled.append(Rollout(one.number, place, None, None, refusal.reason, tokens))
            trace_refused(job, attempt, refusal)
            return
        assert isinstance(result, Patch)
        known = self.pool.seen(result)
        if known:
            trace_again(job, attempt, known)
        else:
            candidate = Candidate(result, attempt, UNJUDGED, 0.0)
            self.pool.add(candidate)
            self._judge(candidate)
        self.settled.append(Rollout(one.number, place, result.id, normalize_patch(result), "", tokens))

    def _objection(self, patch: Patch) -> Refusal | None:
        """Why a patch cannot be offered by any strategy, whatever its runs say."""
        refused = refused_paths(patch, self.job.snapshot)
        if refused:
            return Refusal("forbidden", "; ".join(refused.values()), "Change the code that the issue is about.")
        found = inspect_patch(patch, self._issue).refused
        if found:
            return Refusal("harmful", "; ".join(f"it {words}" for words in found), "Mend the code itself.")
        return None

    def _issue(self) -> tuple[str]:
        return (self.job.issue.text,)

    def _judge(self, candidate: Candidate) -> None:
        job = self.job
        if self.judge is None:
            flags = inspect_patch(candidate.patch, self._issue).flags
            candidate.verification = Verification(Evidence.PARSES, (), 0, None, "", flags=flags)
            candidate.agreement = 1.0
            trace_candidate(job, candidate)
        else:
            job.report("verify", f"running candidate {job.rollouts}")
            self.judge.judge(candidate)
        tell_best(self.job, self.pool, candidate, self.on_fix)

    def _try_unproven(self, judge: Judge) -> None:
        """The regression tests over what satisfies no reproduction, where no earlier candidate does better.

        So every budget has what it would choose had all candidates run everything.
        """
        for candidate in self.pool.by_key.values():
            if candidate.patch.id in self.unproven:
                continue
            if candidate.alive:
                return
            kinds = {run.kind for run in candidate.verification.runs}
            if "reproduction" in kinds and "regression" not in kinds:
                self.unproven.add(candidate.patch.id)
                self.job.report("verify", "running the project's tests over unproven candidates")
                candidate.verification = verify_patch(candidate.patch, judge.context, self.job.cancel)
                trace_candidate(self.job, candidate)
                tell_best(self.job, self.pool, candidate, self.on_fix)

    def _compare(self, judge: Judge, confirmation: Confirmation) -> None:
        """Run and judge what the choice still depends on, the project's other tests over the best included."""
        while True:
            self._try_unproven(judge)
            if self.strategy == ORM_EXEC:
                self._ask_orm()
            drawn = self.drawn()
            self.pool.order = ranked(drawn, max(1, len(drawn.rollouts)), self.strategy)
            leaders = (c for c in self.pool.alive()[:LEADERS] if not c.confirmed)
            candidate = next((c for c in leaders if c.verification.evidence and c.verification.evidence.verified), None)
            if candidate is None:
                return
            confirmation.confirm(candidate)

    def _ask_orm(self) -> None:
        """The ORM's verdict (issue and patch only) on whatever runs leave tied at the top, at any budget."""
        job, drawn = self.job, self.drawn()
        tied = {one for budget in range(1, len(drawn.rollouts) + 1) for one in undecided(drawn, budget)}
        limit = job.tokens(CODE_SHARE)
        asked = [
            c
            for c in self.pool.by_key.values()
            if c.patch.id in tied and c.patch.id not in self.asked_orm and job.model.count_tokens(c.patch.diff) <= limit
        ]
        if not asked:
            return
        self.asked_orm.update(c.patch.id for c in asked)
        job.report("rank", f"judging {len(asked)} candidates")
        questions = [render("judge_patch", diff=c.patch.diff) for c in asked]
        for candidate, probability in zip(asked, job.judge_issue("rank", questions), strict=True):
            candidate.orm = probability


class _InOrder:
    """Passes attempts on in the order of their walks, whichever is written first."""

    def __init__(self, wave: Sequence[Walk], settle: Settling[tuple[Walk, Attempt]]) -> None:
        self._waiting = list(wave)
        self._settle = settle
        self._written: dict[int, Attempt] = {}

    def taker(self, members: Sequence[Walk]) -> Callable[[Attempt], None]:
        """Takes the next attempt of one of `members` at each call."""
        left = iter(members)

        def take(attempt: Attempt) -> None:
            self._written[next(left).number] = attempt
            while self._waiting and self._waiting[0].number in self._written:
                one = self._waiting.pop(0)
                self._settle.put((one, self._written.pop(one.number)))

        return take
