"""The adaptive budget: where the next rollouts go and when more of them do not pay.

Search theory (Koopman 1946, "Search and Screening") on code: each location holds the fault with some belief, taken from
its score, in which votes, the index and the PRM are summed up; a candidate that fails there is a look that found
nothing, so belief moves to the other locations and to 'elsewhere'. The next rollout goes where the chance of a right
fix is largest: belief × chance that the next candidate there is right × chance that it is a new one. Revisions of
failed candidates compete with fresh ones on the same scale. Easy issues end after one rollout, hard ones get more, and
issues on which no arm is worth a rollout end before their budget.

Pure: numbers in, numbers out; the numbers of `policy.toml` are all there is to tune, and `simulate` replays recorded
searches under other ones. Invariant: no decision depends on how much budget is left, so a deeper search begins with the
decisions of a shallower one.
"""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from patchwright_engine.errors import BadInput


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers of `policy.toml`, all shares of 1 but `temperature` (> 0) and counts."""

    temperature: float
    elsewhere: float
    right: float
    decay: float
    revised: float
    failed_worth: float
    revised_decay: float
    false_pass: float
    false_pass_named: float
    widen_elsewhere: float
    widen_found: float
    widen_most: int
    confidence: float
    gain: float
    untold: int


@dataclass(frozen=True, slots=True)
class Place:
    """What was done at one location."""

    belief: float
    """That the fault is here, before any candidate was judged."""
    spent: int = 0
    """Rollouts, equal answers and refused ones included."""
    distinct: int = 0
    """Different patches among them."""
    failed: int = 0
    """Those of them that a run proved wrong."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed candidate that may be revised."""

    place: int | None
    """Index of its location; None when that is no longer among them."""
    worth: float
    """How near it came, 0-1."""
    revisions: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """All that the next decision may depend on."""

    places: tuple[Place, ...]
    elsewhere: float
    """Belief, before any candidate was judged, that the fault is at none of them."""
    failures: tuple[Failure, ...] = ()
    told: bool = True
    """Whether a test tells right from wrong."""


@dataclass(frozen=True, slots=True)
class Round:
    """The next rollouts."""

    fresh: tuple[tuple[float, ...], ...]
    """For each location the rollouts there, each as the chance of a right fix that it was given for."""
    revisions: tuple[tuple[float, ...], ...]
    """The same for each failure."""

    @property
    def size(self) -> int:
        return sum(map(len, (*self.fresh, *self.revisions)))


def load_policy(text: str | None = None) -> Policy:
    """The packaged policy, or that of a TOML text of the same form.

    Raises:
        BadInput: something is missing, unknown, or no share.
    """
    source = text or files("patchwright_engine.search").joinpath("policy.toml").read_text("utf-8")
    cure = "Begin with a copy of the packaged search/policy.toml and change its numbers."
    try:
        table = tomllib.loads(source)
        belief, chance, widen, stop = (table.pop(name) for name in ("belief", "chance", "widen", "stop"))
        most = widen.pop("most")
        policy = Policy(
            **belief,
            **chance,
            **{f"widen_{key}": value for key, value in widen.items()},
            widen_most=most,
            **stop,
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"this is no search policy: {error}", cure) from error
    counts = {"widen_most", "untold"}
    shares = [getattr(policy, name) for name in Policy.__dataclass_fields__ if name not in counts | {"temperature"}]
    right = all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares)
    counted = all(isinstance(count, int) and count >= 0 for count in (policy.widen_most, policy.untold))
    if table or not right or not counted or not policy.temperature > 0:
        raise BadInput("this is no search policy: a value is out of its range or unknown", cure)
    return policy


def beliefs(policy: Policy, scores: Sequence[float], share: float) -> tuple[float, ...]:
    """Belief in each of the locations with these scores, `share` in all."""
    peak = max(scores, default=0.0)
    weights = [math.exp((score - peak) / policy.temperature) for score in scores]
    return tuple(share * weight / sum(weights) for weight in weights)


def posterior(policy: Policy, standing: Standing) -> tuple[tuple[float, ...], float]:
    """Belief in each location and in 'elsewhere', now that some candidates failed (Bayes)."""
    left = [place.belief * _missed(policy, place.failed) for place in standing.places]
    total = sum(left) + standing.elsewhere
    if total <= 0:
        return tuple(0.0 for _ in left), 1.0
    return tuple(belief / total for belief in left), standing.elsewhere / total


def plan(policy: Policy, standing: Standing, size: int) -> Round:
    """Give out `size` rollouts one by one, each where it is worth most if those before it fail."""
    fresh: list[list[float]] = [[] for _ in standing.places]
    revisions: list[list[float]] = [[] for _ in standing.failures]
    places, failures = list(standing.places), list(standing.failures)
    for _ in range(size):
        at_places, of_failures = _gains(policy, replace(standing, places=tuple(places), failures=tuple(failures)))
        best = max((*at_places, *of_failures), default=0.0)
        if best in at_places:
            index = at_places.index(best)
            fresh[index].append(best)
            place = places[index]
            places[index] = replace(
                place, spent=place.spent + 1, distinct=place.distinct + 1, failed=place.failed + standing.told
            )
        elif of_failures:
            index = of_failures.index(best)
            revisions[index].append(best)
            failures[index] = replace(failures[index], revisions=failures[index].revisions + 1)
    return Round(tuple(map(tuple, fresh)), tuple(map(tuple, revisions)))


def _gains(policy: Policy, standing: Standing) -> tuple[list[float], list[float]]:
    """Chance of a right fix with the next rollout at each location, and with a revision of each failure."""
    now, _ = posterior(policy, standing)
    at_places = [
        belief * policy.right * policy.decay**place.distinct * _new(place)
        for belief, place in zip(now, standing.places, strict=True)
    ]
    of_failures = [
        (now[failure.place] if failure.place is not None else 0.0)
        * policy.revised
        * failure.worth
        * policy.revised_decay**failure.revisions
        for failure in standing.failures
    ]
    return at_places, of_failures


def best_gain(policy: Policy, standing: Standing) -> float:
    """Chance of a right fix with the best next rollout."""
    at_places, of_failures = _gains(policy, standing)
    return max((*at_places, *of_failures), default=0.0)


def pays(policy: Policy, standing: Standing) -> bool:
    """Whether the next rollout is worth it."""
    if not standing.told and sum(place.distinct for place in standing.places) >= policy.untold:
        return False
    return best_gain(policy, standing) >= policy.gain


def confidence(policy: Policy, *, chance: float, votes: int, named: bool, held_by: int) -> float:
    """Belief that a fix which passed everything is right (Bayes).

    The later and the less likely a candidate was tried, the likelier it is that it passes by accident.

    Args:
        chance: that it was right, before it was judged: the gain its rollout was given for.
        votes: how often it was written.
        named: it passes a failing test that the user named.
        held_by: votes of the samples that wrote the reproductions it passes.
    """
    before = 1 - (1 - min(max(chance, 1e-6), 1 - 1e-6)) ** max(1, votes)
    accident = policy.false_pass_named if named else policy.false_pass / max(1, held_by)
    return before / (before + (1 - before) * accident)


def worth(policy: Policy, agreement: float) -> float:
    """How near a failed candidate came (0-1), by the share of the votes for reproductions that it satisfies."""
    return policy.failed_worth + (1 - policy.failed_worth) * agreement


def _new(place: Place) -> float:
    """Chance that the next candidate is unlike all before it, by how often it was so far (Laplace)."""
    return min(1.0, (place.distinct + 1) / (place.spent + 1))


def _missed(policy: Policy, failed: int) -> float:
    """Chance that this many candidates at the faulty location all fail."""
    missed = 1.0
    for number in range(failed):
        missed *= 1 - policy.right * policy.decay**number
    return missed
