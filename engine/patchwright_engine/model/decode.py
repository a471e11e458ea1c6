"""Shared-prefix batch decoding: one prefill, N sequences forked from it, one step for all of them at a time.

Invariant: the order of work depends on the request alone, so that equal requests give equal answers. Sequence 0
holds the prompt; answers live in sequences 1 to `n_seq`, and one that ends makes room for the next that waits.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.model.activation import cache_key
from patchwright_engine.model.answers import CLOSE_THINK, Answers, Kept
from patchwright_engine.model.backend import Completion, CompletionBatch, CompletionRequest, DecodeProgress
from patchwright_engine.model.chat import ChatFormat, tokens_of
from patchwright_engine.model.draft_model import DraftModel
from patchwright_engine.model.llama import Aborted, LlamaContext
from patchwright_engine.model.prefix import PromptCache

PROGRESS_SECONDS = 0.25


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
    draft: DraftModel | None = None
    kept: list[Kept] = field(default_factory=list)
    """Answers to the last request that are still in the KV cache."""

    def drop_forks(self) -> None:
        """Forget every sequence but the prompt."""
        self.kept.clear()
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
    session.drop_forks()
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

    each = max(room, min(context.context_tokens - len(prompt), cells // side_by_side))
    # A model that opens a thought nobody planned for gets what is left over for it.
    spare = max(0, each - room - len(context.tokenize(CLOSE_THINK)))
    run = Answers(
        context,
        request,
        prompt,
        thinking,
        free=deque(range(1, side_by_side + 1)),
        max_think=request.max_think_tokens if thinking else min(request.max_think_tokens, spare),
        room=each,
        draft=session.draft,
    )
    try:
        cached = session.cache.prefill(prompt, on_step, cache_key(context.adapters, request.adapter))
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
        for sequence in [*run.free, *run.scratches]:
            context.drop(sequence)
        session.kept.extend(run.kept)
    except BaseException as error:
        session.drop_forks()
        if isinstance(error, Aborted):
            cancel.check()
        raise
    finally:
        run.close()
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
