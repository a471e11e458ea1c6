"""Prompt-lookup speculation: the next tokens of an answer are guessed from where its last ones stood before.

Repair output is nine tenths a copy of its prompt, so most guesses hold once an answer copies. The sampler sees the
same logits in the same order as without guesses and takes what it would have taken: a guess only saves the step that
would have computed them. (Saxena 2023, prompt lookup decoding; Leviathan et al. 2023 for exact acceptance.)

Guesses are rows of a step, and rows cost. So each step asks what one more row would probably save: the likeliest
guesses of all answers are taken for as long as the tokens of the step grow faster than its cost (`allot`). How likely
a guess is follows from how many tokens of context it matched, as learned from the request's own answers.

"Taken what it would have taken" holds but for rounding: llama.cpp's kernels for one row and for several differ by up
to half a logit here (benchmarks/LOG.md). So greedy requests, whose answers must be the same with and without, are
decoded without guesses; sampled answers and those that follow a divergence have them.

Invariant: pure bookkeeping over tokens; nothing here sees the model or the clock, so equal requests do equal work.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

LONGEST, SHORTEST = 10, 2
"""Tokens of context that are looked up, the longest match first."""
REACH = 15
"""Most tokens guessed for one answer in one step."""
MODEL_REACH = 4
"""Tokens a draft model guesses at a time: each costs it a step of its own."""
HOPELESS = 0.6
"""Share of a draft model's guesses that must hold for it to be asked again."""
LEARNING = 1 / 16
WORTHWHILE = 1.05
"""How much faster guessing must promise to be, for the promise to be kept."""
ATTENTION = 0.115
"""What a row costs more for each 1,024 cells, on a CPU with flash attention."""
_LONG_MATCH = 4
_PRIOR_TOKENS = 4

StepCost = Callable[[int], float]
"""What a step of so many rows costs, in steps of one row."""


def cpu_cost(rows: int, cells: int = 0) -> float:
    """Measured on 2 cores with Qwen2.5-Coder 0.5B and 1.5B: kernels take rows by fours, and best by sixteens; every row
    looks at all cells of the context that are in use."""
    by_fours = -(-rows // 4) * 4
    attention = ATTENTION * rows * cells / 1024
    if by_fours <= 4:
        return attention + (1.0 if rows <= 1 else 3.0)
    return attention + 2.4 + 0.24 * by_fours + (0.4 if by_fours % 16 else 0.0)


def gpu_cost(rows: int) -> float:
    """A card reads the weights once a step, whatever the rows. Not measured: no card was at hand."""
    return 1.0 + 0.02 * (rows - 1)


@dataclass(frozen=True, slots=True)
class Guess:
    """What may follow, and how many tokens of context say so; 0 and nothing where nothing alike was read."""

    matched: int
    tokens: list[int]


@dataclass(slots=True)
class Drafter:
    """Guesses for one answer. `text` begins with the prompt and grows with the answer."""

    text: list[int] = field(default_factory=list)
    _seen: dict[tuple[int, ...], int] = field(default_factory=dict)
    """For each n-gram, the position behind its latest occurrence but the one at the end."""
    _prompt: dict[tuple[int, ...], int] = field(default_factory=dict)
    """The same of what all answers begin with, which they share."""

    @classmethod
    def of(cls, tokens: Iterable[int]) -> "Drafter":
        """A drafter that has read `tokens`."""
        drafter = cls()
        drafter.read(tokens)
        return drafter

    def fork(self, tokens: Iterable[int]) -> "Drafter":
        """One that begins with this one's text, of which no more may be read here, and has read `tokens` too."""
        copy = Drafter(list(self.text), {}, self._seen)
        copy.read(tokens)
        return copy

    def read(self, tokens: Iterable[int]) -> None:
        """Take tokens: the prompt, the answer's own, and what is forced."""
        text, seen = self.text, self._seen
        for token in tokens:
            end = len(text)
            for size in range(SHORTEST, min(LONGEST, end) + 1):
                seen[tuple(text[end - size : end])] = end
            text.append(token)

    def guess(self, limit: int) -> Guess:
        """Up to `limit` tokens that may follow, by the longest match and of those the latest."""
        end = len(self.text)
        for size in range(min(LONGEST, end), SHORTEST - 1, -1):
            context = tuple(self.text[end - size :])
            at = self._seen.get(context) or self._prompt.get(context)
            if at is not None:
                return Guess(size, self.text[at : at + limit])
        return Guess(0, [])


@dataclass(slots=True)
class Trust:
    """How likely a guess holds, by the length of its match; learned from all answers to one request."""

    _shares: dict[int, float] = field(default_factory=dict)
    _learned: Counter[int] = field(default_factory=Counter)

    def of(self, guess: Guess) -> float:
        """The probability that the next token of `guess` holds when those before it did."""
        return self._shares.get(guess.matched, 0.75 if guess.matched >= _LONG_MATCH else 0.5)

    def learn(self, guess: Guess, *, held: bool) -> None:
        """Take what became of one token of `guess`."""
        before, size = self.of(guess), guess.matched
        # The prior counts as a few tokens; later the latest count most.
        self._shares[size] = before + (held - before) * max(LEARNING, 1 / (_PRIOR_TOKENS + self._learned[size]))
        self._learned[size] += 1


def allot(offers: Sequence[tuple[float, int]], rows: int, room: int, cost: StepCost) -> list[int]:
    """How many guessed tokens to decode for each answer beside its own.

    Args:
        offers: for each answer the probability that a guessed token holds, and how many are guessed.
        rows: rows of the step without any guess.
        room: most guessed tokens.
        cost: of a step by its rows.
    """
    worth = sorted(
        ((trust**far, index) for index, (trust, length) in enumerate(offers) for far in range(1, length + 1)),
        key=lambda one: -one[0],
    )[:room]
    plain = len(offers) / cost(rows)
    best, taken, tokens = plain * WORTHWHILE, 0, float(len(offers))
    for count, (share, _) in enumerate(worth, 1):
        tokens += share
        if tokens / cost(rows + count) > best:
            best, taken = tokens / cost(rows + count), count
    counts = [0] * len(offers)
    for _, index in worth[:taken]:
        counts[index] += 1
    return counts
