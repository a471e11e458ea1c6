"""Internal test-time scaling: how long the model may think, and how much it did (paper §3: thoughts grow with
difficulty). The numbers are data, in `thinking.toml`.

Difficulty is what the search knows: rounds that gave no verified fix, and how little the best candidate agrees with
the reproductions. Invariant: pure functions; no cap exceeds the room that prompt and answer leave, and equal searches
give equal caps, so that a recording is found again.
"""

import functools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from patchwright_engine.types import Evidence

CLASSES = ("easy", "medium", "hard")


@dataclass(frozen=True, slots=True)
class Caps:
    """`thinking.toml`, checked. Token counts are tokens, shares 0-1."""

    first: Mapping[str, int]
    factor: float
    most: int
    share: float
    least: int
    unsure: float
    settled: float
    medium: int
    hard: int


@functools.cache
def load_caps() -> Caps:
    """The policy that comes with the engine."""
    table = tomllib.loads(files(__package__).joinpath("thinking.toml").read_text(encoding="utf-8"))
    return Caps(first=table["first"], **table["growth"], **table["room"], **table["level"])


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How hard an issue is so far: 0 as it begins, one more for each round without a verified fix."""

    level: int = 0

    @property
    def name(self) -> str:
        """'easy', 'medium' or 'hard'."""
        policy = load_caps()
        return CLASSES[(self.level >= policy.medium) + (self.level >= policy.hard)]


def difficulty(rounds: int, alive: Iterable[tuple[Evidence | None, float]]) -> Difficulty:
    """How hard an issue is after `rounds`.

    Args:
        rounds: rounds that ended without settling it.
        alive: evidence and agreement (0-1, see `candidates.agreement`) of each candidate still in the race.
    """
    policy, known = load_caps(), list(alive)
    disagreement = 1.0 - max((agreement for _, agreement in known), default=0.0)
    verified = any(evidence is not None and evidence.verified for evidence, _ in known)
    if verified and disagreement < policy.settled:
        return Difficulty()
    return Difficulty(rounds + (rounds > 0 and disagreement > policy.unsure))


def think_cap(stage: str, now: Difficulty, room: int) -> int:
    """Tokens for one thought of a stage, 0 for none.

    Args:
        stage: a key of `[first]`; others are not thought about.
        now: how hard the issue is so far.
        room: tokens of the context that prompt and answer leave.
    """
    policy = load_caps()
    wanted = min(policy.first.get(stage, 0) * policy.factor**now.level, policy.most)
    cap = int(min(wanted, max(0, room) * policy.share))
    return cap if cap >= policy.least else 0


@dataclass(frozen=True, slots=True)
class Thoughts:
    """What a model thought and answered, in tokens, over some issues."""

    issues: int = 0
    answers: int = 0
    thought_tokens: int = 0
    answer_tokens: int = 0
    capped: int = 0
    """Thoughts that ended at their cap."""
    circles: int = 0
    """Thoughts that were cut because they went round."""

    def __add__(self, other: "Thoughts") -> "Thoughts":
        return Thoughts(
            self.issues + other.issues,
            self.answers + other.answers,
            self.thought_tokens + other.thought_tokens,
            self.answer_tokens + other.answer_tokens,
            self.capped + other.capped,
            self.circles + other.circles,
        )

    @property
    def per_issue(self) -> float:
        """Mean thought tokens of an issue."""
        return self.thought_tokens / self.issues if self.issues else 0.0


def thoughts_of(steps: Iterable[Mapping[str, Any]]) -> Thoughts:
    """What one trace holds, answers from a recording included. Damaged steps count for nothing."""
    total = Thoughts(issues=1)
    for answer in (answer for step in steps for answer in _answers(step)):
        thought, tokens = _count(answer.get("think_tokens")), _count(answer.get("tokens"))
        end = answer.get("think_end")
        total += Thoughts(0, 1, thought, max(0, tokens - thought), int(end == "length"), int(end == "loop"))
    return total


def difficulty_of(steps: Iterable[Mapping[str, Any]]) -> str:
    """The class of a finished search: the hardest level it asked anything at; one more where it ended unverified."""
    level, stopped = 0, ""
    for step in steps:
        if step.get("kind") == "complete":
            level = max(level, _count(step.get("difficulty")))
        elif step.get("kind") == "end":
            result = step.get("result")
            stopped = str(result.get("stopped")) if isinstance(result, Mapping) else ""
    return Difficulty(level + (stopped != "verified")).name


def thoughts_by_difficulty(traces: Iterable[Sequence[Mapping[str, Any]]]) -> dict[str, Thoughts]:
    """Thought tokens by class of difficulty ('easy', 'medium', 'hard', and 'all'), one trace an issue.

    `traces` are lists of steps, as `trace.read_trace` gives them.
    """
    report = dict.fromkeys((*CLASSES, "all"), Thoughts())
    for steps in traces:
        one = thoughts_of(steps)
        for name in (difficulty_of(steps), "all"):
            report[name] += one
    return report


def _answers(step: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    answers = step.get("answers") if step.get("kind") == "complete" else None
    return [one for one in answers if isinstance(one, Mapping)] if isinstance(answers, list) else []


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
