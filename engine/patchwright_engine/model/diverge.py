"""Divergence: where a model that mostly copies most wants to write something else.

A repaired definition is nine tenths a copy, and small models sampled freely copy all of it. So the original is read
as if it were the answer, in one prefill-speed pass, and the logits at every position tell which other token the
model would rather have written there. Each of the best divergences becomes a candidate: the original up to that
position, the other token, and then the model's own continuation. N candidates are N different edits, placed where
the model is least sure of the original, and none is a plain copy. The first is where a greedy answer leaves the
original, when it does. Changes of comments, of indentation alone, and before the first token are not found.

Measured on Qwen2.5-Coder-1.5B (benchmarks/LOG.md); no published source known to us.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from patchwright_engine.model.llama import LlamaContext, Row
from patchwright_engine.model.prefix import BASE

ALTERNATIVES = 4
PER_POSITION = 2
MIN_PROBABILITY = 1e-4
# Texts that begin a comment, a docstring or the end of the answer: changes that change nothing.
IDLE_STARTS = ("#", '"""', "'''", "`", "//", "/*")


@dataclass(frozen=True, slots=True)
class Divergence:
    """At reference token `position` the model would write `token` instead, with `probability`."""

    position: int
    token: int
    probability: float
    preferred: bool
    """Whether it is likelier than the original's own token: the first such one is where a greedy answer leaves."""


def find_divergences(
    context: LlamaContext,
    prompt_tokens: int,
    reference: Sequence[int],
    scratch: int,
    *,
    prompt_logits: Any,
    on_step: Callable[[int], None],
) -> list[Divergence]:
    """Read `reference` behind the prompt into sequence `scratch`; the greedy answer's divergence comes first (when it
    has one), then the others, likeliest first.

    Afterwards `scratch` holds prompt and reference, so that candidates fork from any position of it.
    Raises as `LlamaContext.decode`.
    """
    context.fork(BASE, scratch)
    found: list[Divergence] = []
    written = bytearray()
    logits: Any = prompt_logits
    size = context.parameters.n_batch
    for start in range(0, len(reference), size):
        chunk = reference[start : start + size]
        rows = [Row(token, prompt_tokens + start + i, scratch, True) for i, token in enumerate(chunk)]
        # The logits that chose a chunk's first token were computed before the chunk.
        found += _at(context, start, reference[start], logits, written)
        context.decode(rows)
        on_step(prompt_tokens)
        for i in range(1, len(chunk)):
            written += context.piece(chunk[i - 1])
            found += _at(context, start + i, chunk[i], context.logits(i - 1), written)
        written += context.piece(chunk[-1])
        logits = context.logits(len(chunk) - 1).copy()
    found.sort(key=lambda d: (-d.probability, d.position, d.token))
    greedy = min((d for d in found if d.preferred), key=lambda d: d.position, default=None)
    return found if greedy is None else [greedy, *(d for d in found if d is not greedy)]


def _at(context: LlamaContext, position: int, actual: int, logits: Any, written: bytearray) -> Iterator[Divergence]:
    """Divergences worth trying at one position."""
    import numpy

    if position == 0 or _in_comment(written):
        return
    top = numpy.argpartition(logits, -ALTERNATIVES - 1)[-ALTERNATIVES - 1 :]
    peak = logits.max()
    total = numpy.exp(logits - peak).sum()
    told = 0
    own = context.piece(actual).strip()
    for token in sorted((int(t) for t in top), key=lambda t: -float(logits[t])):
        probability = float(numpy.exp(logits[token] - peak) / total)
        if token == actual or probability < MIN_PROBABILITY or told == PER_POSITION:
            continue
        text = context.piece(token).strip()
        if text == own or text.decode("utf-8", "replace").startswith(IDLE_STARTS) or context.is_end(token):
            continue
        told += 1
        yield Divergence(position, token, probability, bool(logits[token] > logits[actual]))


def _in_comment(written: bytearray) -> bool:
    line = bytes(written[written.rfind(b"\n") + 1 :]).lstrip()
    return line.startswith((b"#", b"//"))
