"""How sure a share is: 95 % intervals, the instances being what another draw would have changed.

Bootstrap (Efron 1979): the instances are drawn again with replacement, percentiles of the mean. Repetitions of one
instance are not independent of one another, so they count as one value each, their mean.
"""

import random
from collections.abc import Mapping, Sequence
from statistics import fmean

from patchwright_engine.bench.summary import wilson

_ROUNDS = 2000
_SIDE = 0.025


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """For the mean of one value an instance; the same values, the same interval. Without values: anything."""
    if not values:
        return -1.0, 1.0
    draw = random.Random(0)
    means = sorted(fmean(draw.choices(values, k=len(values))) for _ in range(_ROUNDS))
    return means[int(_SIDE * _ROUNDS)], means[int((1 - _SIDE) * _ROUNDS) - 1]


def share_interval(values: Mapping[str, Sequence[bool]]) -> tuple[float, float]:
    """For the share of successes, by instance: Wilson's where each was tried once, else the bootstrap's."""
    tries = [list(each) for each in values.values() if each]
    if all(len(each) == 1 for each in tries):
        return wilson(sum(each[0] for each in tries), len(tries))
    return bootstrap([fmean(each) for each in tries])


def paired_difference(
    first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]
) -> tuple[float, tuple[float, float], int]:
    """Mean of first − second over the instances that both have, its interval, and how many those are."""
    both = [fmean(first[name]) - fmean(second[name]) for name in first if name in second]
    return (fmean(both) if both else 0.0), bootstrap(both), len(both)
