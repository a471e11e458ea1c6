"""Choose what goes into a text of limited tokens: most worth for its tokens first, counted as the whole it becomes.

Invariant: the text chosen never has more tokens than the budget by the caller's own count, which is asked of whole
texts and a handful of times, however many things there are to choose from.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CountTokens = Callable[[str], int]
MAX_COUNTS = 8
"""Texts that are counted at most. Each is a round trip to the model's process and costs as much as it is long."""
FULL = 0.97
"""A text that uses this much of its budget is full."""
_FIRST_GUESS = 0.9
_STEP_BACK = 0.98


@dataclass(frozen=True, slots=True)
class Item:
    """Something that may be shown. Worth and cost are on any scale, the same for all items."""

    worth: float
    cost: float
    needs: int | None = None
    """An earlier item without which it cannot be shown."""


def fill(
    items: Sequence[Item], render: Callable[[frozenset[int]], str], count_tokens: CountTokens, budget_tokens: int
) -> tuple[str, frozenset[int]]:
    """The text with the most worth, and the items in it; ('', nothing) when not even one item fits."""
    order = sorted(range(len(items)), key=lambda at: -items[at].worth / max(items[at].cost, 1.0))
    best, best_chosen = "", frozenset[int]()
    total = sum(item.cost for item in items) + 1.0
    low, high = 0.0, math.inf
    limit = min(total, budget_tokens * _FIRST_GUESS)
    for _ in range(MAX_COUNTS):
        if limit <= 0:
            break
        chosen = _choose(items, order, limit)
        text = render(chosen)
        tokens = count_tokens(text) if chosen else 0
        if tokens <= budget_tokens:
            if len(text) >= len(best):
                best, best_chosen = text, chosen
            low = limit
            if len(chosen) == len(items) or tokens >= FULL * budget_tokens:
                break
        else:
            high = limit
        if high - low < 1:
            break
        scaled = min(total, limit * budget_tokens / max(tokens, 1) * (1.0 if tokens <= budget_tokens else _STEP_BACK))
        limit = scaled if low < scaled < high else (low + high) / 2
    return best, best_chosen


def _choose(items: Sequence[Item], order: Sequence[int], limit: float) -> frozenset[int]:
    """As many items as cost no more than `limit` together, each with all that it needs."""
    chosen: set[int] = set()
    used = 0.0
    for at in order:
        missing: list[int] = []
        one: int | None = at
        while one is not None and one not in chosen:
            missing.append(one)
            one = items[one].needs
        cost = sum(items[needed].cost for needed in missing)
        if used + cost <= limit:
            chosen.update(missing)
            used += cost
    return frozenset(chosen)
