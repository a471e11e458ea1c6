"""The answers to one request while they are decoded side by side: begun, decoded a step for all, retired.

Invariant: the order of work depends on the request alone. With speculation a step takes several tokens of an answer
at once, and takes none, but for rounding, that a step of its own would not have taken; greedy requests, which must
not differ even by that, are decoded without (see `speculate.py`).
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from patchwright_engine.model.backend import Completion, CompletionRequest
from patchwright_engine.model.diverge import Divergence, find_divergences
from patchwright_engine.model.draft_model import DraftModel
from patchwright_engine.model.grammar import choices_grammar
from patchwright_engine.model.llama import LlamaContext, Row
from patchwright_engine.model.output import AnswerStream, Step
from patchwright_engine.model.prefix import BASE
from patchwright_engine.model.sampler import Sampler
from patchwright_engine.model.speculate import (
    HOPELESS,
    LEARNING,
    MODEL_REACH,
    REACH,
    Drafter,
    Guess,
    Trust,
    allot,
    cpu_cost,
    gpu_cost,
)
from patchwright_engine.model.thinking import CLOSE

CLOSE_THINK = f"\n{CLOSE}\n\n"
NO_GUESS = Guess(0, [])


@dataclass(slots=True)
class _Live:
    """An answer under way: its sequence, the tokens to decode next, and what was read so far."""

    index: int
    sequence: int
    position: int
    sampler: Sampler
    stream: AnswerStream
    drafter: Drafter
    guess: Guess = NO_GUESS
    """What the prompt says may follow; how much of it is decoded is another matter."""
    model_trust: float = 1.0
    """Share of the draft model's guesses that held of late; once too low, it is not asked again for this answer."""
    pending: list[int] = field(default_factory=list)
    logprob: float = 0.0
    sampled: int = 0
    finish: str | None = None


@dataclass(slots=True)
class Kept:
    """A finished answer whose sequence is still in the KV cache, so that a verdict on it costs its question alone."""

    sequence: int
    tokens: list[int]
    """What the sequence holds, the prompt first."""
    content: int
    """Where the answer begins in `tokens`, its forced beginning included."""
    prompt: int
    """Tokens of the prompt, the forced beginning of the answer included."""
    answer: str


@dataclass(slots=True)
class Answers:
    """The answers to one request: waiting, live and done."""

    context: LlamaContext
    request: CompletionRequest
    prompt: Sequence[int]
    thinking: bool
    free: deque[int]
    """Sequences nobody uses."""
    max_think: int = 0
    """Cap on thoughts; where the prompt opens none, what room there is for one that the model opens by itself."""
    room: int | None = None
    """Tokens there are cells for behind the prompt, for each answer; None: as many as the caps allow."""
    draft: DraftModel | None = None
    prompt_logits: Any = None
    reference: list[int] = field(default_factory=list)
    divergences: list[Divergence] = field(default_factory=list)
    scratches: list[int] = field(default_factory=list)
    """The one sequence that holds prompt and reference, when there is one."""
    started: int = 0
    drafter: Drafter | None = None
    """Has read the prompt; every answer's own begins as its copy."""
    trust: Trust = field(default_factory=Trust)
    live: list[_Live] = field(default_factory=list)
    done: dict[int, Completion] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    """Answers whose sequences nobody needed again."""

    @property
    def unfinished(self) -> bool:
        return len(self.done) < self.request.n

    @property
    def generated(self) -> int:
        return sum(c.tokens for c in self.done.values()) + sum(one.stream.tokens for one in self.live)

    def diverge(self, reference: list[int], on_step: Callable[[int], None]) -> None:
        """Read the reference and choose one divergence for each candidate."""
        context = self.context
        self.scratches = [self.free.pop()]
        self.reference = reference
        found = find_divergences(
            context,
            len(self.prompt),
            reference,
            self.scratches[0],
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
            one.sampler.close()
            if self.started < self.request.n:
                self.context.drop(one.sequence)
                self.free.append(one.sequence)
            elif not (self.thinking or one.stream.think_end):
                self.kept.append(self._keep(one))
            mean = one.logprob / one.sampled
            stream = one.stream
            self.done[one.index] = Completion(
                stream.answer,
                stream.think,
                stream.tokens,
                one.finish or "",
                mean,
                stream.think_tokens,
                stream.think_end,
            )
        return [(one.index, self.done[one.index]) for one in ended]

    def _keep(self, one: _Live) -> Kept:
        forced = len(self.context.tokenize(self.request.answer_prefix))
        tokens, prompt = one.drafter.text[: one.position], len(self.prompt)
        return Kept(one.sequence, tokens, prompt - forced, prompt, one.stream.answer)

    def close(self) -> None:
        """Free the samplers of answers that did not end."""
        for one in self.live:
            one.sampler.close()

    def _begin(self, index: int, sequence: int) -> None:
        request, context = self.request, self.context
        divergence = self._divergence(index)
        copied = self.reference[: divergence.position] if divergence else []
        if divergence:
            context.fork(self.scratches[0], sequence, len(self.prompt) + len(copied))
        else:
            context.fork(BASE, sequence)
        # What follows a divergence is the model's best guess: the divergence itself makes candidates differ.
        greedy = divergence is not None or (request.first_greedy and index == 0) or request.temperature <= 0
        stream = AnswerStream(
            max_answer=request.max_answer_tokens,
            max_think=self.max_think,
            stop=request.stop,
            prefix=request.answer_prefix + b"".join(map(context.piece, copied)).decode("utf-8", "replace"),
            thinking=self.thinking,
            room=self.room,
        )
        sampler = context.sampler(0.0 if greedy else request.temperature, request.top_p, request.seed + index)
        self.drafter = self.drafter or Drafter.of(self.prompt)
        drafter = self.drafter.fork(copied)
        one = _Live(index, sequence, len(self.prompt) + len(copied), sampler, stream, drafter)
        self.live.append(one)
        self._constrain(one)
        if divergence:
            one.sampled += 1
            one.logprob += math.log(divergence.probability)
            one.pending = [divergence.token]
            one.drafter.read([divergence.token])
            one.stream.feed(divergence.token, context.piece(divergence.token))
        else:
            self._take(one, sampler.sample_from(self.prompt_logits), self.prompt_logits)

    def _decode(self, live: list[_Live]) -> None:
        """Decode what every live answer has pending, and guesses behind it, and sample what follows."""
        context = self.context
        rows: list[Row] = []
        wanted: list[tuple[_Live, int, list[int]]] = []
        now: list[list[int]] = []
        for one in live:
            # Forced tokens come several at a time; what does not fit this batch waits for the next step.
            room = context.parameters.n_batch - sum(map(len, now)) - (len(live) - len(now) - 1)
            now.append(one.pending[:room])
            one.pending = one.pending[room:]
        guesses = self._guesses(live, sum(map(len, now))) if self._guessing else [[] for _ in live]
        for one, forced, guess in zip(live, now, guesses, strict=True):
            last = len(forced) - 1
            rows += [Row(token, one.position + i, one.sequence, i >= last) for i, token in enumerate([*forced, *guess])]
            one.position += len(forced)
            wanted.append((one, len(rows) - 1 - len(guess), guess))
        context.decode(rows)
        for one, row, guess in wanted:
            if not one.pending:
                self._accept(one, row, guess)

    @property
    def _guessing(self) -> bool:
        greedy = self.request.temperature <= 0 and not self.divergences
        return self.context.parameters.speculate and self.context.forgets and not greedy and not self.request.choices

    def _guesses(self, live: list[_Live], rows: int) -> list[list[int]]:
        """For each answer what may follow, by the prompt or else by the draft model, as far as it pays."""
        prompt = len(self.prompt)
        cells = prompt + sum(one.position - prompt for one in live)
        cost = gpu_cost if self.context.parameters.n_gpu_layers else partial(cpu_cost, cells=cells)
        limits = [0 if one.pending else max(0, one.stream.left - 1) for one in live]
        for one, limit in zip(live, limits, strict=True):
            one.guess = one.drafter.guess(min(REACH, limit)) if limit else NO_GUESS
        room = self.context.parameters.n_batch - rows
        offers = [(self.trust.of(one.guess), len(one.guess.tokens)) for one in live]
        guesses = [one.guess.tokens[:count] for one, count in zip(live, allot(offers, rows, room, cost), strict=True)]
        if self.draft is None:
            return guesses
        room -= sum(map(len, guesses))
        for index, (one, limit) in enumerate(zip(live, limits, strict=True)):
            if not one.guess.tokens and one.model_trust >= HOPELESS and min(limit, room) > 0:
                guesses[index] = self.draft.draft(one.sequence, one.drafter.text, min(limit, room, MODEL_REACH))
                room -= len(guesses[index])
        return guesses

    def _accept(self, one: _Live, row: int, guess: list[int]) -> None:
        """Sample row by row for as long as the guesses are what would have been sampled anyway."""
        context, offered = self.context, one.guess.tokens
        accepted = 0
        while True:
            token = one.sampler.sample(row + accepted)
            self._take(one, token, context.logits(row + accepted))
            if accepted < max(1, len(guess)) and accepted < len(offered):
                self.trust.learn(one.guess, held=token == offered[accepted])
            if one.finish or accepted == len(guess) or one.pending != [guess[accepted]]:
                break
            one.pending = []
            one.position += 1
            accepted += 1
        if guess and not offered:
            one.model_trust += (accepted / len(guess) - one.model_trust) * LEARNING
        if guess:
            context.drop(one.sequence, one.position)

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
            if not one.stream.thinking:
                one.finish = "stop"
                return
            self._close_think(one)  # it ended everything in the middle of a thought
            one.drafter.read(one.pending)
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
                self._close_think(one)
            case Step.THINK_CLOSED if self.request.answer_prefix or self.request.choices:
                forced = context.tokenize("\n\n") + context.tokenize(self.request.answer_prefix)
                one.stream.force(len(forced))
                one.pending += forced
            case Step.THINK_CLOSED | Step.GO_ON:
                pass
        self._constrain(one)
        one.drafter.read(one.pending)

    def _close_think(self, one: _Live) -> None:
        """Say in the model's place that it has thought enough, so that its answer comes."""
        context = self.context
        forced = context.tokenize(CLOSE_THINK, special=True) + context.tokenize(self.request.answer_prefix)
        one.stream.close_think(len(forced))
        one.pending += forced
        self._constrain(one)


def _logprob(logits: Any, token: int) -> float:
    import numpy

    top = logits.max()
    return float(logits[token] - top - numpy.log(numpy.exp(logits - top).sum()))
