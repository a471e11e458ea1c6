"""Typed reading of one step of a trace, which may come from a crash, another version or a hand.

Invariant: a field of the wrong kind raises `DamagedError` and nothing else.
"""

import math
from collections.abc import Mapping
from typing import Any

Step = Mapping[str, Any]


class DamagedError(Exception):
    """A step lacks a field, or has another thing in its place; the message names the field."""


def text(step: Step, key: str) -> str:
    value = step.get(key)
    if not isinstance(value, str):
        raise DamagedError(key)
    return value


def maybe_text(step: Step, key: str) -> str | None:
    return None if step.get(key) is None else text(step, key)


def number(step: Step, key: str) -> float:
    value = step.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DamagedError(key)
    return float(value)


def maybe_number(step: Step, key: str) -> float | None:
    return None if step.get(key) is None else number(step, key)


def whole(step: Step, key: str) -> int:
    return int(number(step, key))


def maybe_whole(step: Step, key: str) -> int | None:
    return None if step.get(key) is None else whole(step, key)


def truth(step: Step, key: str) -> bool:
    value = step.get(key)
    if not isinstance(value, bool):
        raise DamagedError(key)
    return value


def texts(step: Step, key: str) -> tuple[str, ...]:
    value = step.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DamagedError(key)
    return tuple(value)


def maybe_texts(step: Step, key: str) -> tuple[str, ...]:
    return () if step.get(key) is None else texts(step, key)


def rows(step: Step, key: str) -> tuple[Step, ...]:
    value = step.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DamagedError(key)
    return tuple(value)


def maybe_rows(step: Step, key: str) -> tuple[Step, ...]:
    return () if step.get(key) is None else rows(step, key)


def length(step: Step, key: str) -> int:
    """How many things a list holds; none where there is no list."""
    value = step.get(key)
    if value is not None and not isinstance(value, list):
        raise DamagedError(key)
    return len(value or ())


def scored(step: Step, key: str) -> tuple[tuple[str, float], ...]:
    """A list of [name, score] pairs."""
    value = step.get(key)
    if not isinstance(value, list):
        raise DamagedError(key)
    found = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            raise DamagedError(key)
        found.append((text({key: pair[0]}, key), number({key: pair[1]}, key)))
    return tuple(found)
