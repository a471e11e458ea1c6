"""Rollouts drawn once, and what each fixed strategy makes of the first so many of them.

Invariant: a choice depends on the first `budget` rollouts alone, so every strategy and budget sees the same samples.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from patchwright_engine.errors import BadInput
from patchwright_engine.search.strategies import DIVERGENT, EXEC, ORM_EXEC, SINGLE, STRATEGIES, VOTING
from patchwright_engine.types import Evidence

UNDECIDED = 0.5
"""What counts for the ORM's verdict where it was not asked or gave none."""
_ENOUGH = {
    SINGLE: (SINGLE, VOTING, EXEC, ORM_EXEC),
    VOTING: (VOTING, EXEC, ORM_EXEC),
    EXEC: (EXEC, ORM_EXEC),
    ORM_EXEC: (ORM_EXEC,),
}
"""Strategy → for which strategies rollouts must have been drawn to hold what it looks at."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One walk understand → locate → repair, and what is known of its patch."""

    number: int
    """From 1."""
    location: tuple[str, ...]
    """What was to be repaired, as 'path::name'; empty when nothing could be found."""
    patch_id: str | None
    """Of the first patch that was equal to it. None: there is no patch."""
    key: str | None
    """The normalised patch (`normalize_patch`): equal patches are votes for one another."""
    refused: str
    """Why there is no patch; '' when there is one."""
    tokens: int
    """Generated for it alone: its answers to understanding, localization and repair, thoughts included."""
    evidence: Evidence | None = None
    """None: rejected, or no patch."""
    agreement: float = 0.0
    """Share (0-1) of the votes for reproductions that it satisfies; 1 when there are none."""
    flags: int = 0
    """How many things about it are often a cheat."""
    orm: float | None = None
    """The ORM's P(right). None: it was not asked, since nothing depended on it, or gives none."""
    diff_chars: int = 0


@dataclass(frozen=True, slots=True)
class Drawn:
    """The rollouts of one job, in order, and what was spent on all of them together."""

    rollouts: tuple[Rollout, ...]
    strategy: str
    """For which they were drawn: 'orm-exec' holds what every fixed strategy looks at."""
    asked: int
    """How many were to be drawn; there are fewer when time or tokens ran out."""
    sampling: str = DIVERGENT
    """How repairs were sampled, see `strategies.SAMPLINGS`."""
    seed: int = 0
    reproduction_tokens: int = 0
    """Generated for the reproduction tests, once."""
    reproductions: int = 0
    """Valid ones."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a strategy offers and what that took: rollouts and tokens that it has no use for are not counted."""

    patch_id: str | None
    rollouts: int
    tokens: int
    """Generated ones, reproduction tests included."""
    orm_calls: int
    """Verdicts that the ORM had to give."""


@dataclass(frozen=True, slots=True)
class _Option:
    """A distinct patch among the rollouts that may be seen."""

    first: Rollout
    patch_id: str
    votes: int

    @property
    def proven(self) -> tuple[int, float, int]:
        """What runs tell of it; larger is better."""
        rollout = self.first
        return rollout.evidence.strength if rollout.evidence else -1, rollout.agreement, -rollout.flags


def choose(drawn: Drawn, budget: int, strategy: str) -> Choice:
    """The patch that a fixed strategy offers after `budget` rollouts.

    - single: the first rollout's, whatever the budget.
    - voting: what most rollouts wrote; of equally many, what was written first. Nothing is run.
    - exec: evidence, then agreement with the reproductions, fewer flags, votes, shorter diff.
    - orm-exec: as exec, with the ORM's verdict (on issue and patch) before votes.

    Raises:
        ValueError: a budget below 1, a strategy that is none of these, or one that looks at what was not drawn.
    """
    ranking = ranked(drawn, budget, strategy)
    seen = drawn.rollouts[: 1 if strategy == SINGLE else budget]
    tokens = sum(rollout.tokens for rollout in seen)
    if strategy in (EXEC, ORM_EXEC):
        tokens += drawn.reproduction_tokens
    calls = 0
    if strategy == ORM_EXEC:
        tied = set(undecided(drawn, budget))
        calls = len({rollout.key for rollout in seen if rollout.patch_id in tied and rollout.orm is not None})
    return Choice(ranking[0] if ranking else None, len(seen), tokens, calls)


def ranked(drawn: Drawn, budget: int, strategy: str) -> tuple[str, ...]:
    """Ids of all patches that a fixed strategy would offer after `budget` rollouts, best first. Raises: as `choose`."""
    if budget < 1 or strategy not in _ENOUGH:
        fixed = ", ".join(name for name in STRATEGIES if name in _ENOUGH)
        raise ValueError(f"no choice after {budget} rollouts by '{strategy}': at least one, and one of {fixed}")
    if drawn.strategy not in _ENOUGH[strategy]:
        raise ValueError(f"rollouts drawn for {drawn.strategy} do not hold what {strategy} looks at")
    options = _options(drawn, 1 if strategy == SINGLE else budget)
    if strategy in (EXEC, ORM_EXEC):
        options = [option for option in options if option.first.evidence is not None]
        options.sort(key=_by_orm if strategy == ORM_EXEC else _by_runs, reverse=True)
    else:
        options.sort(key=lambda option: option.votes, reverse=True)
    return tuple(option.patch_id for option in options)


def undecided(drawn: Drawn, budget: int) -> tuple[str, ...]:
    """Ids of the patches that runs alone leave tied at the top after `budget` rollouts: the ORM is to order them."""
    options = [option for option in _options(drawn, budget) if option.first.evidence is not None]
    best = max((option.proven for option in options), default=None)
    tied = tuple(option.patch_id for option in options if option.proven == best)
    return tied if len(tied) > 1 else ()


def _options(drawn: Drawn, budget: int) -> list[_Option]:
    """The distinct patches of the first rollouts, in the order in which they were written."""
    found: dict[str, _Option] = {}
    for rollout in drawn.rollouts[:budget]:
        if rollout.key is None or rollout.patch_id is None:
            continue
        known = found.get(rollout.key)
        first, votes = (known.first, known.votes + 1) if known else (rollout, 1)
        found[rollout.key] = _Option(first, first.patch_id or rollout.patch_id, votes)
    return list(found.values())


def _by_runs(option: _Option) -> tuple[int, float, int, int, int]:
    return *option.proven, option.votes, -option.first.diff_chars


def _by_orm(option: _Option) -> tuple[int, float, int, float, int, int]:
    orm = option.first.orm
    return *option.proven, UNDECIDED if orm is None else orm, option.votes, -option.first.diff_chars


def drawn_to_json(drawn: Drawn) -> dict[str, Any]:
    """As the trace holds it, in the step 'drawn'."""
    return asdict(drawn)


def drawn_from_json(value: Mapping[str, Any]) -> Drawn:
    """The inverse of `drawn_to_json`; what a later version added is passed over.

    Raises:
        BadInput: something is missing or of another kind.
    """
    try:
        rollouts = tuple(_rollout(each) for each in value["rollouts"])
        return Drawn(**{**_known(Drawn, value), "rollouts": rollouts})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"the trace's rollouts are damaged ({error})", "Draw them again: run the search without this trace."
        ) from error


def _rollout(value: Mapping[str, Any]) -> Rollout:
    evidence = value.get("evidence")
    known = _known(Rollout, value)
    return Rollout(
        **{**known, "location": tuple(value["location"]), "evidence": Evidence(evidence) if evidence else None}
    )


def _known(kind: type[Rollout] | type[Drawn], value: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: value[field.name] for field in fields(kind) if field.name in value}
