"""Scores on a common scale, and the best of them."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

Key = TypeVar("Key", bound=Hashable)


def normalised(scores: Mapping[Key, float]) -> dict[Key, float]:
    """The same scores with the best at 1."""
    best = max(scores.values(), default=0.0)
    return {key: score / best for key, score in scores.items()} if best > 0 else {}


def best_of(scores: Mapping[Key, float], count: int, order: Callable[[Key], Any]) -> list[Key]:
    """The `count` keys with the highest scores, best first, equal ones by `order`; only these are put in order."""
    if count < len(scores):
        least = sorted(scores.values(), reverse=True)[count]
        scores = {key: score for key, score in scores.items() if score >= least}
    return sorted(scores, key=lambda key: (-scores[key], order(key)))[:count]
