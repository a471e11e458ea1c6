"""Shared-prefix batch decoding: one prefill, N sequences forked from it, one step for all of them at a time.

Invariant: the order of work depends on the request alone, so that equal requests give equal answers. Sequence 0
holds the prompt; answers live in sequences 1 to `n_seq`, and one that ends makes room for the next that waits.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.model.backend import Completion, CompletionBatch, CompletionRequest, DecodeProgress
from patchwright_engine.model.chat import ChatFormat, tokens_of
from patchwright_engine.model.diverge import Divergence, find_divergences
from patchwright_engine.model.llama import Aborted, LlamaContext, Row, Sampler
from patchwright_engine.model.output import AnswerStream, Step
from patchwright_engine.model.prefix import BASE, PromptCache

PROGRESS_SECONDS = 0.25
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
class _Meter:
    """Reports progress, a few times a second at most."""

    report: Callable[[DecodeProgress], None] | None
    prompt_tokens: int
    generated: int = 0
    decoding_since: float | None = None
    _last: float = 0.0

    def tell(self, prompt_done: int) -> None:
        now = time.monotonic()
        if self.report is None or now - self._last < PROGRESS_SECONDS:
            return
        self._last = now
        rate = self.generated / max(now - self.decoding_since, 1e-3) if self.decoding_since else 0.0
        self.report(DecodeProgress(self.prompt_tokens, prompt_done, self.generated, rate))


@dataclass(frozen=True, slots=True)
class Session:
    """A loaded model as the decoders need it."""

    context: LlamaContext
    cache: PromptCache
    chat: ChatFormat

    def drop_forks(self) -> None:
        """Forget every sequence but the prompt."""
        for sequence in range(1, self.context.parameters.n_seq + 1):
            self.context.drop(sequence)


def complete(
    session: Session,
    request: CompletionRequest,
    cancel: CancelToken,
    on_progress: Callable[[DecodeProgress], None] | None = None,
    on_completion: Callable[[int, Completion], None] | None = None,
) -> CompletionBatch:
    """All answers to `request`.

    Raises:
        Cancelled: the token was cancelled (together with `context.abort`, at once).
        BadInput: prompt and caps do not fit the context.
        DecodeFailed: llama.cpp failed.
    """
    started = time.monotonic()
    context = session.context
    thinking = session.chat.thinks and request.max_think_tokens > 0
    pieces = session.chat.pieces(request.messages, think=thinking, answer_prefix=request.answer_prefix)
    prompt = tokens_of(pieces, context)
    room = room_for_one(context, request, len(prompt), thinking)
    reference = [] if thinking else context.tokenize(request.reference)
    cells = context.parameters.n_ctx - len(prompt) - len(reference)
    side_by_side = min(context.parameters.n_seq, max(1, cells // room))
    meter = _Meter(on_progress, len(prompt))

    def on_step(tokens_done: int) -> None:
        cancel.check()
        meter.tell(tokens_done)

    run = _Run(session, request, len(prompt), thinking, free=deque(range(1, side_by_side + 1)))
    try:
        cached = session.cache.prefill(prompt, on_step)
        run.prompt_logits = context.logits(session.cache.last_row).copy()
        if reference and side_by_side > 1 and cells >= room:
            run.diverge(reference, on_step)
        meter.decoding_since = time.monotonic()
        while run.unfinished:
            cancel.check()
            for index, completion in run.step():
                if on_completion:
                    on_completion(index, completion)
            meter.generated = run.generated
            meter.tell(len(prompt))
    except Aborted:
        cancel.check()
        raise
    finally:
        run.close()
        session.drop_forks()
    completions = tuple(run.done[index] for index in range(request.n))
    return CompletionBatch(completions, len(prompt), cached, run.generated, time.monotonic() - started)


def room_for_one(context: LlamaContext, request: CompletionRequest, prompt_tokens: int, thinking: bool) -> int:
    """KV cells one answer may need beyond the prompt.

    Raises:
        BadInput: prompt and answer do not fit the context; prompts are budgeted before and never cut here.
    """
    forced = len(context.tokenize(CLOSE_THINK + request.answer_prefix)) if thinking else 0
    room = request.max_answer_tokens + (request.max_think_tokens if thinking else 0) + forced
    if request.n < 1 or request.max_answer_tokens < 1:
        raise BadInput("a completion needs at least one answer of at least one token")
    if prompt_tokens + room > context.context_tokens:
        raise BadInput(
            f"a prompt of {prompt_tokens} tokens and an answer of {room} do not fit"
            f" the context of {context.context_tokens} tokens",
            "Narrow the issue, or choose a model or machine with a longer context (`patchwright models plan`).",
        )
    return room


@dataclass(slots=True)
class _Run:
    """The answers to one request: waiting, live and done."""

    session: Session
    request: CompletionRequest
    prompt_tokens: int
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
        context = self.session.context
        self.scratch = self.free.pop()
        self.reference = reference
        found = find_divergences(
            context,
            self.prompt_tokens,
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
            self.session.context.drop(one.sequence)
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
        request, context = self.request, self.session.context
        divergence = self._divergence(index)
        copied = self.reference[: divergence.position] if divergence else []
        if divergence:
            context.fork(self.scratch, sequence, self.prompt_tokens + len(copied))
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
        one = _Live(index, sequence, self.prompt_tokens + len(copied), sampler, stream)
        self.live.append(one)
        if divergence:
            one.sampled += 1
            one.logprob += math.log(divergence.probability)
            one.pending = [divergence.token]
            one.stream.feed(divergence.token, context.piece(divergence.token))
        else:
            self._take(one, sampler.sample_from(self.prompt_logits), self.prompt_logits)

    def _decode(self, live: list[_Live]) -> None:
        """Decode what every live answer has pending and sample its next token."""
        context = self.session.context
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

    def _take(self, one: _Live, token: int, logits: Any) -> None:
        """Account for one sampled token and queue what is to be decoded next."""
        context = self.session.context
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
            case Step.THINK_CLOSED if self.request.answer_prefix:
                one.pending += context.tokenize("\n\n") + context.tokenize(self.request.answer_prefix)
            case Step.THINK_CLOSED | Step.GO_ON:
                pass


def _logprob(logits: Any, token: int) -> float:
    import numpy

    top = logits.max()
    return float(logits[token] - top - numpy.log(numpy.exp(logits - top).sum()))
