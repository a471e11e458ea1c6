"""A small model that guesses for a large one of the same family (speculative decoding, Leviathan et al. 2023).

Prompt lookup guesses first and costs nothing; the small model is asked where the prompt has nothing alike. Whatever it
guesses, answers are those of the large model alone (see `speculate.py` for what is accepted).
Invariant: its sequences hold beginnings of the texts it was asked about, nothing of its own guesses.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from patchwright_engine.errors import ModelUnavailable
from patchwright_engine.model.llama import DecodeFailed, LlamaContext, Row
from patchwright_engine.model.prefix import common_length

SAMPLE_EVERY = 101
"""Tokens compared to tell whether two models have one vocabulary."""
PADDING = 1024
"""Sizes of one vocabulary differ by what a model pads it with."""


class DraftModel:
    """Owns a second context in the host's process; used by the thread that decodes."""

    def __init__(self, path: Path, base: LlamaContext) -> None:
        """Load the small model with as much context as `base` has.

        Raises:
            ModelUnavailable: it cannot be loaded, or has another vocabulary than `base`.
        """
        self._base = base
        self._context = LlamaContext(
            path, replace(base.parameters, adapters=(), draft_model="", n_gpu_layers=_layers(base))
        )
        self._last_row = 0
        self._held: list[list[int]] = [[] for _ in range(base.parameters.n_seq + 1)]
        if not self._context.forgets or not _one_vocabulary(base, self._context):
            self._context.close()
            raise ModelUnavailable(
                f"{path.name} cannot guess for this model: it has another vocabulary, or cannot forget wrong guesses",
                "Choose a small model of the same family as `draft_model` in config.toml, or take the line out.",
            )

    def draft(self, sequence: int, text: Sequence[int], limit: int) -> list[int]:
        """Up to `limit` tokens that may follow `text`; fewer where the small model would end the answer."""
        context, length = self._context, len(text)
        if limit < 1 or length + limit > context.context_tokens or not self._read(sequence, text):
            return []
        guesses: list[int] = []
        row = self._last_row
        while True:
            token = int(context.logits(row).argmax())
            if token >= self._base.n_vocab or self._base.is_end(token):
                break
            guesses.append(token)
            if len(guesses) == limit or self._base.aborted:
                break
            context.decode([Row(token, length + len(guesses) - 1, sequence, True)])
            row = 0
        context.drop(sequence, length)
        return guesses

    def close(self) -> None:
        """Free the small model."""
        self._context.close()

    def _read(self, sequence: int, text: Sequence[int]) -> bool:
        """Bring `text` into the sequence, its last token's logits at `_last_row`."""
        context, most = self._context, len(text) - 1
        best = max(range(len(self._held)), key=lambda other: common_length(self._held[other], text))
        if common_length(self._held[best], text) > common_length(self._held[sequence], text):
            context.drop(sequence)
            shared = min(common_length(self._held[best], text), most)
            context.fork(best, sequence, shared)
            self._held[sequence] = list(text[:shared])
        done = min(common_length(self._held[sequence], text), most)
        context.drop(sequence, done)
        del self._held[sequence][done:]
        size = context.parameters.n_batch
        for start in range(done, len(text), size):
            if self._base.aborted:
                return False
            rows = [Row(text[at], at, sequence, at == most) for at in range(start, min(len(text), start + size))]
            try:
                context.decode(rows)
            except DecodeFailed:  # full of texts that nobody asks about any more
                context.drop_all()
                self._held = [[] for _ in self._held]
                return False
            self._held[sequence] += [row.token for row in rows]
            self._last_row = len(rows) - 1
        return True


def _layers(base: LlamaContext) -> int:
    return -1 if base.parameters.n_gpu_layers else 0


def _one_vocabulary(one: LlamaContext, other: LlamaContext) -> bool:
    """Whether tokens mean the same to both, told by a sample and by what ends an answer."""
    if abs(one.n_vocab - other.n_vocab) > PADDING:
        return False
    tokens = range(0, min(one.n_vocab, other.n_vocab) - PADDING, SAMPLE_EVERY)
    return all(one.piece(token) == other.piece(token) and one.is_end(token) == other.is_end(token) for token in tokens)
