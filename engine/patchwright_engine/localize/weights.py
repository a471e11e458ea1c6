"""What each signal is worth: read from `weights.toml`, which `benchmarks/learn_localization.py` wrote.

Invariant: a ranking is a sum of signals times these weights; nothing else decides it.
"""

import math
import tomllib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
STEEPNESS = 4
"""Shares of 1 fall off steeply; their fourth root is a scale on which other evidence, 0-1 too, can be added."""


@dataclass(frozen=True, slots=True)
class Weights:
    """By signal: how many nats of log-odds one unit of it adds."""

    files: Mapping[str, float]
    symbols: Mapping[str, float]


@lru_cache(maxsize=1)
def learned_weights() -> Weights:
    """The weights that ship with the engine."""
    content = tomllib.loads(Path(__file__).with_name("weights.toml").read_text("utf-8"))
    return Weights(files=content["files"], symbols=content["symbols"])


def weighted_sum(signals: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The log-odds of one place; signals without a weight count nothing."""
    return sum([value * weights.get(name, 0.0) for name, value in signals.items()])


def shares(log_odds: Mapping[Key, float]) -> dict[Key, float]:
    """Log-odds as shares of 1: how likely each is the place, if one of them is."""
    best = max(log_odds.values(), default=0.0)
    odds = {key: math.exp(value - best) for key, value in log_odds.items()}
    total = sum(odds.values())
    return {key: value / total for key, value in odds.items()}


def standing(share: float, best: float) -> float:
    """How a place stands to the best one, 0-1, on a scale on which it can be added to other evidence."""
    return (share / best) ** (1 / STEEPNESS) if best > 0 else 0.0


def shares_of(standings: Mapping[Key, float]) -> dict[Key, float]:
    """Shares of 1 that have these standings."""
    raised = {key: value**STEEPNESS for key, value in standings.items()}
    total = sum(raised.values()) or 1.0
    return {key: value / total for key, value in raised.items()}
