"""Prompt-lookup speculation: the next tokens of an answer are guessed from where its last ones stood before.

Repair output is nine tenths a copy of its prompt, so most guesses hold once an answer copies. The sampler sees the
same logits in the same order as without guesses and takes what it would have taken: a guess only saves the step that
would have computed them. (Saxena 2023, prompt lookup decoding; Leviathan et al. 2023 for exact acceptance.)

A CPU pays dearly for rows: measured here (Qwen2.5-Coder 1.5B and 0.5B, 2 cores), a step of two rows costs twice a step
of one, but one of 16 only five times. So nothing is guessed until an answer is seen to copy, and then much at once.

Invariant: pure bookkeeping over tokens; nothing here sees the model or the clock, so equal requests do equal work.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

LONGEST, SHORTEST = 6, 2
"""Tokens of context that are looked up, the longest match first."""
REACHES = (3, 7, 11, 15)
"""How many tokens are guessed for each answer; the one that promises most tokens for its cost is taken."""
MODEL_REACH = 4
"""Tokens a draft model guesses at a time: each costs it a step of its own."""
LEARNING = 1 / 8
HOPELESS = 0.6
"""Trust below which an answer gets no guesses."""
WORTHWHILE = 1.15
"""How much faster guessing must promise to be, for the promise to be kept."""
TRUSTED_GAP = 0.6
"""Kernels for one row and for several round differently. Where a greedy choice is closer than this (in logits), the
token is decoded again without guesses. What is left is rounding in the KV cache: it turned 1 of 8 greedy answers of
200 tokens at a place where two tokens were all but equal (benchmarks/LOG.md)."""

StepCost = Callable[[int], float]
"""What a step of so many rows costs, in steps of one row."""


def cpu_cost(rows: int) -> float:
    """Measured on 2 cores; see the module's docstring and benchmarks/LOG.md."""
    return float(rows) if rows <= 2 else 2.5 + 0.18 * rows


def gpu_cost(rows: int) -> float:
    """A card reads the weights once a step, whatever the rows. Not measured: no card was at hand."""
    return 1.0 + 0.02 * (rows - 1)


@dataclass(slots=True)
class Drafter:
    """Guesses for one answer. `text` begins with the prompt and grows with the answer."""

    text: list[int] = field(default_factory=list)
    trust: float = 0.5
    """Share of the latest tokens that were, or would have been, guessed right."""
    _seen: dict[tuple[int, ...], int] = field(default_factory=dict)
    """For each n-gram, the position behind its latest occurrence but the one at the end."""

    @classmethod
    def of(cls, tokens: Iterable[int]) -> "Drafter":
        """A drafter that has read `tokens`."""
        drafter = cls()
        drafter.read(tokens)
        return drafter

    def fork(self, tokens: Iterable[int]) -> "Drafter":
        """A copy that has read `tokens` too."""
        copy = Drafter(list(self.text), self.trust, dict(self._seen))
        copy.read(tokens)
        return copy

    def read(self, tokens: Iterable[int]) -> None:
        """Take tokens that nobody guesses: the prompt, and what is forced."""
        for token in tokens:
            end = len(self.text)
            for size in range(SHORTEST, min(LONGEST, end) + 1):
                self._seen[tuple(self.text[end - size : end])] = end
            self.text.append(token)

    def follow(self, token: int) -> None:
        """Take a token of the answer and learn whether it would have been guessed."""
        guess = self.draft(1)
        if guess:
            self.trust += ((guess[0] == token) - self.trust) * LEARNING
        self.read([token])

    def draft(self, limit: int) -> list[int]:
        """Up to `limit` tokens that may follow; empty where nothing like the end was read before."""
        end = len(self.text)
        for size in range(min(LONGEST, end), SHORTEST - 1, -1):
            at = self._seen.get(tuple(self.text[end - size :]))
            if at is not None:
                return self.text[at : at + limit]
        return []


def expected(trust: float, length: int) -> float:
    """How many of `length` guesses hold, when each does with probability `trust` and the first wrong one ends it."""
    return sum(trust**n for n in range(1, length + 1))


def reach(trusts: Sequence[float], cost: StepCost) -> int:
    """How many tokens to guess for each answer under way that is trusted; 0 where a plain step is better."""
    live = len(trusts)
    hopeful = [trust for trust in trusts if trust >= HOPELESS]

    def worth(length: int) -> float:
        return (live + sum(expected(trust, length) for trust in hopeful)) / cost(live + length * len(hopeful))

    best = max(REACHES, key=worth)
    return best if hopeful and worth(best) >= worth(0) * WORTHWHILE else 0
