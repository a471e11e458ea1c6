"""Sequence 0 of the context: the prompt last computed, and earlier ones kept in memory or on disk beside the KV cache.

Invariant: whatever is reused, the logits after a prompt are the same bits as after computing it from nothing.
llama.cpp's kernels round differently for fewer than 64 rows and for rows beyond the last full tile, so
a prefix is cut at `GRID` and no step of a prefill is shorter than `TAIL`. (Measured on CPU: cutting elsewhere
moves logits by 0.3, enough to turn an answer. GPU kernels promise nothing of the kind.)
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from patchwright_engine.model.llama import Aborted, DecodeFailed, LlamaContext, Row, SequenceState
from patchwright_engine.model.prefix_store import PrefixStore

GRID = 16
TAIL = 64
WORTH_KEEPING = 256
"""Computed tokens below which a prompt is not worth a copy."""
BASE = 0


@dataclass(frozen=True, slots=True)
class _Kept:
    adapter: str
    tokens: tuple[int, ...]
    state: SequenceState


class PromptCache:
    """Brings prompts into sequence 0, computing only what is new."""

    def __init__(self, context: LlamaContext, limit_bytes: int, store: PrefixStore | None = None) -> None:
        """`store` holds what earlier processes saved; None: nothing is read from disk or written there."""
        self._context = context
        self._limit = limit_bytes
        self._store = store
        self._settled = True
        """Whether sequence 0 is known to hold `_tokens`; not in the middle of a prefill."""
        self.adapter = ""
        """Role whose adapter has read sequence 0; '' for the base alone."""
        self._tokens: list[int] = []
        self.last_row = 0
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._next_key = 0

    def prefill(self, tokens: Sequence[int], on_step: Callable[[int], None] | None = None, adapter: str = "") -> int:
        """Make sequence 0 hold exactly `tokens`, the last one's logits at row `last_row`; returns tokens reused.

        They are read by `adapter`, which stays in use; what another one has read is no match.
        `on_step` is told the number of tokens done after each step. Raises as `LlamaContext.decode`; the
        sequence then holds the part that was computed.
        """
        self._settled = False
        self._switch(adapter)
        self._fetch(tokens)
        reused = self._reuse(tokens)
        done = reused
        if on_step:
            on_step(done)
        for end in _steps(done, len(tokens), self._context.parameters.n_batch):
            rows = [Row(tokens[i], i, BASE, i == len(tokens) - 1) for i in range(done, end)]
            try:
                self._context.decode(rows)
            except (Aborted, DecodeFailed):
                self._truncate(done)
                self._settled = True
                raise
            self._tokens.extend(tokens[done:end])
            self.last_row = len(rows) - 1
            done = end
            if on_step:
                on_step(done)
        self._settled = True
        return reused

    def save(self) -> None:
        """Leave every prompt on disk for the next process, as far as there is a store and room."""
        if self._store is None:
            return
        if self._settled and len(self._tokens) >= WORTH_KEEPING:
            self._keep()
        for kept in self._kept.values():
            self._store.save(kept.adapter, kept.tokens, kept.state)

    def clear(self) -> None:
        """Forget every prompt, in the KV cache and beside it."""
        self._kept.clear()
        self._truncate(0)

    def _switch(self, adapter: str) -> None:
        self._context.use_adapter(adapter)
        if adapter != self.adapter:
            if len(self._tokens) >= WORTH_KEEPING:
                self._keep()
            self._truncate(0)
            self.adapter = adapter

    def _mine(self) -> dict[int, _Kept]:
        return {key: kept for key, kept in self._kept.items() if kept.adapter == self.adapter}

    def _fetch(self, tokens: Sequence[int]) -> None:
        """Bring into memory what the disk has of `tokens`, if that is much more than what memory has."""
        limit = max(0, len(tokens) - TAIL)
        if self._store is None or limit < WORTH_KEEPING:
            return
        had = [self._tokens, *(kept.tokens for kept in self._mine().values())]
        most = max(_usable(one, tokens, limit) for one in had)
        stored = [prompt for prompt in self._store.prompts if prompt.adapter == self.adapter]
        best = max(stored, key=lambda prompt: _usable(prompt.tokens, tokens, limit), default=None)
        if best is None or _usable(best.tokens, tokens, limit) - most < WORTH_KEEPING:
            return
        state = self._store.load(best)
        if state is not None:
            self._remember(best.tokens, state)

    def _reuse(self, tokens: Sequence[int]) -> int:
        limit = max(0, len(tokens) - TAIL)
        here = _usable(self._tokens, tokens, limit)
        best_key = max(self._mine(), key=lambda key: _usable(self._kept[key].tokens, tokens, limit), default=None)
        best = self._kept[best_key] if best_key is not None else None
        there = _usable(best.tokens, tokens, limit) if best else 0
        if best is None or best_key is None or there <= here:
            if len(self._tokens) - here >= WORTH_KEEPING:
                self._keep()
            self._truncate(here)
            return len(self._tokens)
        self._kept.move_to_end(best_key)
        if len(self._tokens) >= WORTH_KEEPING:
            self._keep()
        self._truncate(0)
        if self._context.load_sequence(BASE, best.state):
            self._tokens = list(best.tokens)
        self._truncate(there if self._tokens else 0)
        return len(self._tokens)

    def _keep(self) -> None:
        if any(kept.tokens[: len(self._tokens)] == tuple(self._tokens) for kept in self._mine().values()):
            return
        size = self._context.state_size(BASE)
        if size > self._limit:
            return
        mine = tuple(self._tokens)
        for key in [key for key, kept in self._mine().items() if mine[: len(kept.tokens)] == kept.tokens]:
            del self._kept[key]
        self._remember(mine, self._context.save_sequence(BASE))

    def _remember(self, tokens: tuple[int, ...], state: SequenceState) -> None:
        self._kept[self._next_key] = _Kept(self.adapter, tokens, state)
        self._next_key += 1
        while sum(kept.state.size for kept in self._kept.values()) > self._limit:
            self._kept.popitem(last=False)

    def _truncate(self, length: int) -> None:
        if length <= 0 or not self._context.drop(BASE, length):
            self._context.drop_all()
            length = 0
        del self._tokens[length:]


def _usable(have: Sequence[int], wanted: Sequence[int], limit: int) -> int:
    """Tokens of `wanted` that may be taken from `have` without changing a bit of the result."""
    if len(have) < TAIL:
        return 0
    return min(common_length(have, wanted), limit) // GRID * GRID


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens at the beginning that both have."""
    most = min(len(one), len(other))
    return next((i for i in range(most) if one[i] != other[i]), most)


def _steps(start: int, end: int, size: int) -> list[int]:
    """Ends of the prefill steps from `start` to `end`: at most `size` tokens each, the last no shorter than TAIL."""
    ends = list(range(start + size, end, size))
    if ends and end - ends[-1] < TAIL:
        ends[-1] -= TAIL
    return [*ends, end]
