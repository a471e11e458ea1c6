"""Sees when a model goes round: the same tokens again and again, or the same thoughts in another order.

Invariant: over token numbers alone, and far cheaper than the token it looks at.
"""

from collections import Counter, deque
from collections.abc import Sequence

LOOP_PERIODS = 128
LOOP_TOKENS = 128
LOOP_REPEATS = 4
LOOP_CHECK_EVERY = 16

GRAM = 8
"""Tokens that are compared at once: about a clause."""
ROUND_TOKENS = 256
ROUND_SHARE = 0.9
ROUNDS = 3
"""A draft is written once and said again as the result; what comes a third time is no thought any more."""


def loop_start(tokens: Sequence[int]) -> int | None:
    """Where the second round of a repetition that fills the tail begins, or None; looks at some lengths only.

    A period p counts when it was repeated `LOOP_REPEATS` times and over `LOOP_TOKENS` tokens; code that
    repeats itself honestly (tables, runs of asserts) varies sooner than that.
    """
    if len(tokens) < LOOP_TOKENS or len(tokens) % LOOP_CHECK_EVERY:
        return None
    for period in range(1, LOOP_PERIODS + 1):
        need = period * max(LOOP_REPEATS, -(-LOOP_TOKENS // period))
        if need > len(tokens) or tokens[-1] != tokens[-1 - period]:
            continue
        if tokens[-need:-period] == tokens[-need + period :]:
            return len(tokens) - need + period
    return None


class Circles:
    """Watches a thought as it grows, whatever the length of its rounds and with some words changed."""

    def __init__(self) -> None:
        self._last: deque[int] = deque(maxlen=GRAM)
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._stale: deque[bool] = deque(maxlen=ROUND_TOKENS)
        self._count = 0

    def turning(self, token: int) -> bool:
        """Take the next token; whether nearly all of the last `ROUND_TOKENS` come for the third time or more."""
        self._last.append(token)
        gram = tuple(self._last)
        self._seen[gram] += 1
        if len(self._stale) == ROUND_TOKENS:
            self._count -= self._stale[0]
        self._stale.append(self._seen[gram] >= ROUNDS)
        self._count += self._stale[-1]
        return self._count >= ROUND_SHARE * ROUND_TOKENS
