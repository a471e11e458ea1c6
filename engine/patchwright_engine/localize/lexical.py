"""Scores on a common scale."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def normalised(scores: Mapping[Key, float]) -> dict[Key, float]:
    """The same scores with the best at 1."""
    best = max(scores.values(), default=0.0)
    return {key: score / best for key, score in scores.items()} if best > 0 else {}
