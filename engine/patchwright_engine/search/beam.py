"""The locations of a search: what was spent at each, and the belief that the fault is there.

Invariant: the beliefs in all locations and in 'elsewhere' sum to 1, whatever is added.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field

from patchwright_engine.search import policy as policies
from patchwright_engine.search.candidates import Pool
from patchwright_engine.search.job import Job
from patchwright_engine.search.judging import Judge
from patchwright_engine.search.locate import ScoredLocation, heading
from patchwright_engine.search.policy import Failure, Place, Policy, Round, Standing
from patchwright_engine.types import Location


@dataclass(slots=True)
class Beam:
    """What `policy` knows of the locations; they are numbered in the order in which they were suspected."""

    policy: Policy
    first: InitVar[Sequence[ScoredLocation]]
    locations: tuple[ScoredLocation, ...] = ()
    spent: list[int] = field(default_factory=list)
    """Fresh rollouts at each."""
    beliefs: tuple[float, ...] = ()
    """Of each before any candidate was judged."""
    elsewhere: float = 1.0
    widened: int = 0
    """Times that further code was looked at."""

    def __post_init__(self, first: Sequence[ScoredLocation]) -> None:
        self.begin(first)

    def begin(self, locations: Sequence[ScoredLocation]) -> None:
        """Begin (again) with these, nothing spent."""
        self.locations = tuple(locations)
        self.elsewhere = self.policy.elsewhere
        self.beliefs = policies.beliefs(self.policy, [one.score for one in locations], 1 - self.elsewhere)
        self.spent = [0] * len(locations)

    def add(self, wider: Sequence[ScoredLocation]) -> list[ScoredLocation]:
        """Suspect what of `wider` is new, and return that: it takes its belief from 'elsewhere'."""
        known = {one.location.symbols for one in self.locations}
        new = [one for one in wider if one.location.symbols not in known]
        found = self.elsewhere * self.policy.widen_found if new else 0.0
        self.beliefs += policies.beliefs(self.policy, [one.score for one in new], found)
        self.elsewhere -= found
        self.locations += tuple(new)
        self.spent += [0] * len(new)
        self.widened += 1
        return new

    def doubt(self, pool: Pool, judge: Judge) -> float:
        """Belief that the fault is at none of the locations, by what failed there."""
        return policies.posterior(self.policy, self.standing(pool, judge))[1]

    def place(self, location: Location) -> int | None:
        """Number of a location; None when it is no longer among them."""
        symbols = [one.location.symbols for one in self.locations]
        return symbols.index(location.symbols) if location.symbols in symbols else None

    def standing(self, pool: Pool, judge: Judge, failures: tuple[Failure, ...] = ()) -> Standing:
        """What the policy decides by."""
        distinct, failed = Counter[int](), Counter[int]()
        for candidate in pool.by_key.values():
            place = self.place(candidate.attempt.location)
            if place is not None and candidate.attempt.revised is None:
                distinct[place] += 1
                failed[place] += judge.refuted(candidate)
        looked = enumerate(zip(self.beliefs, self.spent, strict=True))
        places = tuple(Place(belief, spent, distinct[number], failed[number]) for number, (belief, spent) in looked)
        return Standing(places, self.elsewhere, failures, told=judge.tells)

    def trace(self, job: Job, number: int, standing: Standing, planned: Round, revised: Sequence[str]) -> None:
        """Write what is planned, and why, to the trace; `revised` are the failures' patches."""
        now, elsewhere = policies.posterior(self.policy, standing)
        job.trace.step(
            "plan",
            number=number,
            elsewhere=round(elsewhere, 4),
            places=[
                {
                    "symbols": [heading(symbol) for symbol in scored.location.symbols],
                    "score": round(scored.score, 4),
                    "prior": round(place.belief, 4),
                    "belief": round(belief, 4),
                    "spent": place.spent,
                    "distinct": place.distinct,
                    "failed": place.failed,
                    "gains": [round(gain, 5) for gain in gains],
                }
                for scored, place, belief, gains in zip(
                    self.locations, standing.places, now, planned.fresh, strict=True
                )
            ],
            revisions=[
                {"patch": patch, "worth": round(failure.worth, 4), "gains": [round(gain, 5) for gain in gains]}
                for patch, failure, gains in zip(revised, standing.failures, planned.revisions, strict=True)
                if gains
            ],
        )
