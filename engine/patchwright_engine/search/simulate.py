"""Replay recorded searches under other policies, without a model: what would have been found, for how many tokens?

A trace of a search that spent its whole budget holds, for each arm (fresh candidates of a location, revisions of a
candidate), what the model wrote next and what its runs said. A policy draws from these arms in its own order.

Locations that were suspected later in the recording are known from the beginning here.

Invariant: nothing is made up. An arm of which no more was recorded gives nothing, and the replay says how often that
happened; verdicts are those of all tests that the recorded search had.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from patchwright_engine.search import policy as policies
from patchwright_engine.search.budget import round_sizes
from patchwright_engine.search.candidates import SETTLED_AGREEMENT
from patchwright_engine.search.policy import Failure, Place, Policy, Standing
from patchwright_engine.types import Evidence

_Arm = tuple[tuple[str, ...], str | None]
"""Symbols of a location, and the patch that is revised there, or None."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One recorded attempt."""

    patch: str | None
    """None: the answer was no patch."""
    tokens: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the recorded search came to think of one patch."""

    evidence: Evidence | None
    agreement: float
    diff_chars: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded search."""

    scores: Mapping[tuple[str, ...], float]
    """Location → score, in the order in which they were suspected."""
    arms: Mapping[_Arm, tuple[Tried, ...]]
    verdicts: Mapping[str, Verdict]
    first_votes: int
    """Of the samples that wrote valid reproductions before the first candidate."""
    votes: int
    """Of all such samples."""
    shared_tokens: int
    """Generated before the first candidate."""
    further_tokens: int
    """Generated for tests after it."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a policy would have found."""

    patch: str | None
    evidence: Evidence | None
    rollouts: int
    tokens: int
    """Generated up to the last candidate; what is asked to tell the survivors apart comes on top."""
    missing: int
    """Rollouts for which nothing was recorded."""


@dataclass(slots=True)
class _State:
    policy: Policy
    places: list[Place]
    drawn: Counter[_Arm] = field(default_factory=Counter)
    votes: Counter[str] = field(default_factory=Counter)
    chances: dict[str, float] = field(default_factory=dict)
    failures: dict[str, tuple[tuple[str, ...], float]] = field(default_factory=dict)
    """Failed patch → its location and how near it came."""
    rollouts: int = 0
    tokens: int = 0
    missing: int = 0
    further: bool = False


def record(steps: Iterable[Mapping[str, Any]]) -> Recorded | None:
    """What a trace of Dev-Search holds for replays; None where it wrote no candidates."""
    scores: dict[tuple[str, ...], float] = {}
    arms: dict[_Arm, list[Tried]] = {}
    verdicts: dict[str, Verdict] = {}
    claims: dict[str, int] = {}
    shared = further = first_votes = 0
    for step in steps:
        match step["kind"]:
            case "plan":
                for place in step["places"]:
                    scores.setdefault(tuple(place["symbols"]), place["score"])
            case "complete" if step["stage"] == "reproduce" and arms:
                further += step["generated_tokens"]
            case "complete" if step["stage"] != "repair" and not arms:
                shared += step["generated_tokens"]
            case "reproduction" if step["valid"]:
                claims[step["source"]] = step["votes"]
                first_votes = first_votes if arms else sum(claims.values())
            case "candidate" if "location" in step:
                patch = step.get("patch")
                if patch is not None and "evidence" in step:
                    again = patch in verdicts
                    evidence = Evidence(step["evidence"]) if step["evidence"] else None
                    verdicts[patch] = Verdict(evidence, step["agreement"], len(step["diff"]))
                    if again:  # judged anew, not written anew
                        continue
                arm = (tuple(step["location"]), step["revised"])
                arms.setdefault(arm, []).append(Tried(patch, step["tokens"]))
    if not arms:
        return None
    kept = {arm: tuple(tried) for arm, tried in arms.items()}
    return Recorded(scores, kept, verdicts, first_votes, sum(claims.values()), shared, further)


def replay(recorded: Recorded, policy: Policy, rollouts: int) -> Replayed:
    """Search again by `policy` with at most this many rollouts."""
    locations = list(recorded.scores)
    priors = policies.beliefs(policy, list(recorded.scores.values()), 1 - policy.elsewhere)
    state = _State(policy, [Place(prior) for prior in priors], tokens=recorded.shared_tokens)
    for size in round_sizes(rollouts):
        failures = list(state.failures)
        standing = Standing(
            tuple(state.places),
            policy.elsewhere,
            tuple(_failure(recorded, state, locations, patch) for patch in failures),
            told=recorded.votes > 0 or any(_named(v) for v in recorded.verdicts.values()),
        )
        if not policies.pays(policy, standing):
            break
        planned = policies.plan(policy, standing, size)
        for index, gains in enumerate(planned.fresh):
            for gain in gains:
                _draw(recorded, state, (locations[index], None), index, gain)
        for patch, gains in zip(failures, planned.revisions, strict=True):
            for gain in gains:
                _draw(recorded, state, (state.failures[patch][0], patch), None, gain)
        if _enough(recorded, state):
            break
    best = _best(recorded, state)
    evidence = recorded.verdicts[best].evidence if best else None
    return Replayed(best, evidence, state.rollouts, state.tokens, state.missing)


def _draw(recorded: Recorded, state: _State, arm: _Arm, place: int | None, gain: float) -> None:
    """Take the next recorded attempt of an arm."""
    tried = recorded.arms.get(arm, ())
    number = state.drawn[arm]
    state.drawn[arm] += 1
    state.rollouts += 1
    attempt = tried[number] if number < len(tried) else None
    if attempt is None:
        state.missing += 1
    patch = attempt.patch if attempt else None
    state.tokens += attempt.tokens if attempt else 0
    new = patch is not None and patch not in state.votes
    wrong = False
    if patch is not None:
        state.votes[patch] += 1
        if new:
            state.chances[patch] = gain
            verdict = recorded.verdicts[patch]
            wrong = verdict.evidence is None or (recorded.votes > 0 and not verdict.evidence.verified)
            if wrong:
                state.failures[patch] = (arm[0], policies.worth(state.policy, verdict.agreement))
    if place is not None:
        here = state.places[place]
        state.places[place] = Place(here.belief, here.spent + 1, here.distinct + new, here.failed + wrong)


def _failure(recorded: Recorded, state: _State, locations: list[tuple[str, ...]], patch: str) -> Failure:
    location, worth = state.failures[patch]
    if (location, patch) not in recorded.arms:  # never revised in the recording: nothing to draw
        worth = 0.0
    return Failure(locations.index(location), worth, state.drawn[location, patch])


def _enough(recorded: Recorded, state: _State) -> bool:
    best = _best(recorded, state)
    verdict = recorded.verdicts[best] if best else None
    if best is None or verdict is None or verdict.evidence is None or not verdict.evidence.verified:
        return False
    if verdict.agreement < SETTLED_AGREEMENT:
        return False

    def believed() -> bool:
        votes = recorded.votes if state.further else recorded.first_votes
        held_by, named = round(votes * verdict.agreement), _named(verdict)
        chance = state.chances[best]
        sure = policies.confidence(state.policy, chance=chance, votes=state.votes[best], named=named, held_by=held_by)
        return sure >= state.policy.confidence

    if believed():
        return True
    if state.further or not recorded.further_tokens:
        return False
    state.further = True
    state.tokens += recorded.further_tokens
    return believed()


def _best(recorded: Recorded, state: _State) -> str | None:
    """The candidate that would be offered first: evidence, agreement, votes, shorter diff."""

    def key(patch: str) -> tuple[int, float, int, int]:
        verdict = recorded.verdicts[patch]
        strength = verdict.evidence.strength if verdict.evidence else -1
        return strength, verdict.agreement, state.votes[patch], -verdict.diff_chars

    alive = [patch for patch in state.votes if recorded.verdicts[patch].evidence is not None]
    return max(alive, key=key, default=None)


def _named(verdict: Verdict) -> bool:
    return verdict.evidence is Evidence.FAILING_TEST
