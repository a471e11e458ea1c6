"""The answers to one request while they are decoded side by side: begun, decoded a step for all, retired.

Invariant: the order of work depends on the request alone. With speculation a step takes several tokens of an answer
at once, and takes none that a step of its own would not have taken (see `speculate.py`).
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from patchwright_engine.model.backend import Completion, CompletionRequest
from patchwright_engine.model.diverge import Divergence, find_divergences
from patchwright_engine.model.grammar import choices_grammar
from patchwright_engine.model.llama import LlamaContext, Row
from patchwright_engine.model.output import AnswerStream, Step
from patchwright_engine.model.prefix import BASE
from patchwright_engine.model.sampler import Sampler

CLOSE_THINK = "\n</think>\n\n"


@dataclass(slots=True)
class _Live:
    """An answer under way: its sequence, the tokens to decode next, and what was read so far."""

    index: int
    sequence: int
    position: int
    sampler: Sampler
    stream: AnswerStream
    pending: list[int] = field(default_factory=list)
    logprob: float = 0.0
    sampled: int = 0
    finish: str | None = None


@dataclass(slots=True)
class Answers:
    """The answers to one request: waiting, live and done."""

    context: LlamaContext
    request: CompletionRequest
    prompt: Sequence[int]
    thinking: bool
    free: deque[int]
    """Sequences nobody uses."""
    prompt_logits: Any = None
    reference: list[int] = field(default_factory=list)
    divergences: list[Divergence] = field(default_factory=list)
    scratch: int = -1
    """The sequence that holds prompt and reference, when there is one."""
    started: int = 0
    live: list[_Live] = field(default_factory=list)
    done: dict[int, Completion] = field(default_factory=dict)

    @property
    def unfinished(self) -> bool:
        return len(self.done) < self.request.n

    @property
    def generated(self) -> int:
        return sum(c.tokens for c in self.done.values()) + sum(one.stream.tokens for one in self.live)

    def diverge(self, reference: list[int], on_step: Callable[[int], None]) -> None:
        """Read the reference and choose one divergence for each candidate."""
        context = self.context
        self.scratch = self.free.pop()
        self.reference = reference
        found = find_divergences(
            context,
            len(self.prompt),
            reference,
            self.scratch,
            prompt_logits=self.prompt_logits,
            on_step=on_step,
        )
        self.divergences = found[self.request.skip_divergences :]

    def _divergence(self, index: int) -> Divergence | None:
        return self.divergences[index] if index < len(self.divergences) else None

    def step(self) -> list[tuple[int, Completion]]:
        """Begin answers where there is room, decode one step for all, and return those that ended."""
        while self.free and self.started < self.request.n:
            self._begin(self.started, self.free.popleft())
            self.started += 1
        if any(one.finish is None for one in self.live):
            self._decode([one for one in self.live if one.finish is None])
        ended = [one for one in self.live if one.finish]
        for one in ended:
            self.live.remove(one)
            self.context.drop(one.sequence)
            self.free.append(one.sequence)
            one.sampler.close()
            mean = one.logprob / one.sampled
            self.done[one.index] = Completion(
                one.stream.answer, one.stream.think, one.stream.tokens, one.finish or "", mean
            )
        return [(one.index, self.done[one.index]) for one in ended]

    def close(self) -> None:
        """Free the samplers of answers that did not end."""
        for one in self.live:
            one.sampler.close()

    def _begin(self, index: int, sequence: int) -> None:
        request, context = self.request, self.context
        divergence = self._divergence(index)
        copied = self.reference[: divergence.position] if divergence else []
        if divergence:
            context.fork(self.scratch, sequence, len(self.prompt) + len(copied))
        else:
            context.fork(BASE, sequence)
        # What follows a divergence is the model's best guess: the divergence itself makes candidates differ.
        greedy = divergence is not None or (request.first_greedy and index == 0)
        stream = AnswerStream(
            max_answer=request.max_answer_tokens,
            max_think=request.max_think_tokens,
            stop=request.stop,
            prefix=request.answer_prefix + b"".join(map(context.piece, copied)).decode("utf-8", "replace"),
            thinking=self.thinking,
        )
        sampler = context.sampler(0.0 if greedy else request.temperature, request.top_p, request.seed + index)
        one = _Live(index, sequence, len(self.prompt) + len(copied), sampler, stream)
        self.live.append(one)
        self._constrain(one)
        if divergence:
            one.sampled += 1
            one.logprob += math.log(divergence.probability)
            one.pending = [divergence.token]
            one.stream.feed(divergence.token, context.piece(divergence.token))
        else:
            self._take(one, sampler.sample_from(self.prompt_logits), self.prompt_logits)

    def _decode(self, live: list[_Live]) -> None:
        """Decode what every live answer has pending and sample its next token."""
        context = self.context
        rows: list[Row] = []
        wanted: list[tuple[_Live, int]] = []
        for one in live:
            # Forced tokens come several at a time; what does not fit this batch waits for the next step.
            room = context.parameters.n_batch - len(rows) - (len(live) - len(wanted) - 1)
            now, one.pending = one.pending[:room], one.pending[room:]
            last = len(now) - 1
            rows += [Row(token, one.position + i, one.sequence, i == last) for i, token in enumerate(now)]
            one.position += len(now)
            wanted.append((one, len(rows) - 1))
        context.decode(rows)
        for one, row in wanted:
            if not one.pending:
                self._take(one, one.sampler.sample(row), context.logits(row))

    def _constrain(self, one: _Live) -> None:
        """Let the answer be choices only; thoughts before it are free."""
        if self.request.choices and not one.stream.thinking and not one.sampler.constrained:
            one.sampler.constrain(choices_grammar(self.request.choices, self.request.max_choices))

    def _take(self, one: _Live, token: int, logits: Any) -> None:
        """Account for one sampled token and queue what is to be decoded next."""
        context = self.context
        one.logprob += _logprob(logits, token)
        one.sampled += 1
        if context.is_end(token):
            one.finish = "stop"
            return
        one.pending = [token]
        match one.stream.feed(token, context.piece(token)):
            case Step.STOP:
                one.finish = "stop"
            case Step.LENGTH:
                one.finish = "length"
            case Step.LOOP:
                one.finish = "loop"
            case Step.CLOSE_THINK:
                one.stream.close_think()
                one.pending += context.tokenize(CLOSE_THINK, special=True)
                one.pending += context.tokenize(self.request.answer_prefix)
            case Step.THINK_CLOSED if self.request.answer_prefix or self.request.choices:
                one.pending += context.tokenize("\n\n") + context.tokenize(self.request.answer_prefix)
            case Step.THINK_CLOSED | Step.GO_ON:
                pass
        self._constrain(one)


def _logprob(logits: Any, token: int) -> float:
    import numpy

    top = logits.max()
    return float(logits[token] - top - numpy.log(numpy.exp(logits - top).sum()))
