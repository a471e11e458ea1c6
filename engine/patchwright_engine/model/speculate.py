"""Prompt-lookup speculation: the next tokens of an answer are guessed from where its last ones stood before.

Repair output is nine tenths a copy of its prompt, so a guess is right most of the time, and a step of eight rows
costs a CPU little more than twice a step of one. The sampler sees the same logits in the same order as without
guesses and takes what it would have taken: a guess only saves the step that would have computed them.
(Saxena 2023, prompt lookup decoding; Leviathan et al. 2023 for exact acceptance.)

Invariant: pure bookkeeping over tokens; nothing here sees the model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

LONGEST, SHORTEST = 6, 2
"""Tokens of context that are looked up, the longest match first."""
ROWS_ON_CPU = 8
"""Rows of one step up to which guessing pays: beyond, a row costs a CPU as much as a step of its own."""
ROWS_ON_GPU = 32
TRUSTED_GAP = 0.6
"""Kernels for one row and for several round differently. Where a greedy choice is closer than this (in logits), the
token is decoded again without guesses, so that the choice is the one made without speculation."""


@dataclass(slots=True)
class Drafter:
    """Guesses for one answer. `text` begins with the prompt and grows with the answer."""

    text: list[int] = field(default_factory=list)
    _seen: dict[tuple[int, ...], int] = field(default_factory=dict)
    """For each n-gram, the position behind its latest occurrence but the one at the end."""
    length: int = 4
    """How far to guess; follows from what was accepted before."""

    @classmethod
    def of(cls, tokens: Sequence[int]) -> "Drafter":
        """A drafter that has read `tokens`."""
        drafter = cls()
        drafter.extend(tokens)
        return drafter

    def fork(self, tokens: Sequence[int]) -> "Drafter":
        """A copy that has read `tokens` too."""
        copy = Drafter(list(self.text), dict(self._seen), self.length)
        copy.extend(tokens)
        return copy

    def extend(self, tokens: Iterable[int]) -> None:
        """Read further tokens."""
        for token in tokens:
            end = len(self.text)
            for size in range(SHORTEST, min(LONGEST, end) + 1):
                self._seen[tuple(self.text[end - size : end])] = end
            self.text.append(token)

    def draft(self, limit: int) -> list[int]:
        """Up to `limit` tokens that may follow; empty where nothing like the end was read before."""
        limit = min(limit, self.length)
        if limit < 1:
            return []
        end = len(self.text)
        for size in range(min(LONGEST, end), SHORTEST - 1, -1):
            at = self._seen.get(tuple(self.text[end - size :]))
            if at is not None:
                return self.text[at : at + limit]
        return []

    def learn(self, drafted: int, accepted: int) -> None:
        """Guess further after guesses that held, less far after ones that did not."""
        if accepted == drafted:
            self.length = min(ROWS_ON_GPU, self.length + 2)
        else:
            self.length = max(1, accepted + 1, self.length // 2)


def rows_to_spend(live: int, *, on_gpu: bool) -> int:
    """Guessed rows each of `live` answers may add to a step; 0 where guessing does not pay."""
    rows = ROWS_ON_GPU if on_gpu else ROWS_ON_CPU
    return max(0, rows // max(live, 1) - 1)
