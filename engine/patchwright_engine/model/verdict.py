"""Judging: the probability of one word against another as the next token of a conversation.

Invariant: nothing is sampled; the score is a softmax over logits and equals a full recomputation within rounding.
A request that goes on from an answer just generated pays for its question alone; others that share a beginning pay
for it once: it lies in sequence 0, their ends in forks decoded together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.model.activation import activation_start, cache_key, decode_as
from patchwright_engine.model.answers import Kept
from patchwright_engine.model.backend import JudgeRequest, Verdict
from patchwright_engine.model.decode import Session
from patchwright_engine.model.llama import Aborted, DecodeFailed, LlamaContext, Row
from patchwright_engine.model.prefix import BASE, common_length
from patchwright_engine.model.weigh import weigh

CUT_TOKENS = 4
"""A stop string takes so many tokens of an answer's end, at most."""
WORTH_SHARING = 64
"""Shared tokens below which requests are decoded one by one."""


def judge(session: Session, requests: Sequence[JudgeRequest], cancel: CancelToken) -> tuple[Verdict, ...]:
    """P(yes), or the weights of its answers, for each request, in order. Raises as `decode.complete`."""
    if any(request.answers for request in requests):
        weighed = {i: weigh(session, request, cancel) for i, request in enumerate(requests) if request.answers}
        asked = iter(judge(session, [request for request in requests if not request.answers], cancel))
        return tuple(weighed[i] if i in weighed else next(asked) for i in range(len(requests)))
    context = session.context
    prompts = [prompt_tokens(session, request) for request in requests]
    for prompt in prompts:
        if len(prompt) > context.context_tokens:
            raise BadInput(
                f"a prompt of {len(prompt)} tokens does not fit the context of {context.context_tokens} tokens",
                "Choose a model or machine with a longer context (`patchwright models plan`).",
            )
    starts = [
        activation_start(context, request.adapter, prompt) for request, prompt in zip(requests, prompts, strict=True)
    ]
    try:
        verdicts = dict(judge_kept(session, requests, prompts, starts, cancel))
        rest = [i for i in range(len(prompts)) if i not in verdicts]
        if rest:
            session.drop_forks()
        while rest:
            alike = [i for i in rest if requests[i].adapter == requests[rest[0]].adapter]
            group = _group(context, [prompts[i] for i in alike], [starts[i] for i in alike])
            now = alike[: len(group)]
            rest = [i for i in rest if i not in now]
            wanted = [requests[i] for i in now]
            found = (
                _judge_one(session, wanted[0], group[0], cancel)
                if len(group) == 1 and starts[now[0]] == len(group[0])
                else _judge_forked(session, wanted, group, [starts[i] for i in now], cancel)
            )
            verdicts.update(zip(now, found, strict=True))
            session.drop_forks()
    except BaseException as error:
        session.drop_forks()
        if isinstance(error, Aborted):
            cancel.check()
        raise
    return tuple(verdicts[i] for i in range(len(prompts)))


def prompt_tokens(session: Session, request: JudgeRequest) -> list[int]:
    """The conversation as tokens. An answer that was just generated keeps the tokens it was generated with: the same
    text cut otherwise would miss the KV cache."""
    context = session.context
    tokens: list[int] = []
    for piece in session.chat.pieces(request.messages, think=False):
        own = None if piece.trusted else _kept_tokens(session, tokens, piece.text)
        tokens += own or context.tokenize(piece.text, special=piece.trusted, start=not tokens)
    return tokens


def _kept_tokens(session: Session, before: list[int], text: str) -> list[int] | None:
    for kept in session.kept:
        if kept.answer == text and kept.tokens[: kept.content] == before:
            data, read, count = text.encode("utf-8", "surrogateescape"), 0, 0
            for token in kept.tokens[kept.content :]:
                piece = session.context.piece(token)
                if not piece or data[read : read + len(piece)] != piece:
                    break
                read, count = read + len(piece), count + 1
            rest = data[read:].decode("utf-8", "surrogateescape")
            tokens = kept.tokens[kept.content : kept.content + count]
            return [*tokens, *(session.context.tokenize(rest) if rest else [])]
    return None


def judge_kept(
    session: Session,
    requests: Sequence[JudgeRequest],
    prompts: Sequence[list[int]],
    starts: Sequence[int],
    cancel: CancelToken,
) -> Iterator[tuple[int, Verdict]]:
    """(index, verdict) of the requests that go on from an answer still in the KV cache, all answers in one batch.

    Only what follows the answer is decoded, into the answer's own sequence, and forgotten again.
    """
    context = session.context
    waiting = {
        i: kept
        for i, prompt in enumerate(prompts)
        if cache_key(context.adapters, requests[i].adapter) == session.cache.adapter
        and (kept := _begun_by(session, prompt)) is not None
    }
    while waiting:
        cancel.check()
        now: dict[int, tuple[Kept, int]] = {}
        rows: list[Row] = []
        for i, kept in waiting.items():
            prompt = prompts[i]
            start = min(common_length(kept.tokens, prompt), len(prompt) - 1, starts[i])
            if any(kept is other or requests[i].adapter != requests[j].adapter for j, (other, _) in now.items()):
                continue  # another question about the same answer, or another judge: in the next batch
            if len(rows) + len(prompt) - start <= context.parameters.n_batch:
                last = len(prompt) - 1
                rows += [Row(prompt[at], at, kept.sequence, at == last) for at in range(start, len(prompt))]
                now[i] = kept, start
        if not rows:
            return  # a question longer than a batch
        for kept, start in now.values():
            context.drop(kept.sequence, start)
            del kept.tokens[start:]
        try:
            asked = {kept.sequence: requests[i] for i, (kept, _) in now.items()}
            scores = _scores(context, asked, rows, {kept.sequence: starts[i] for i, (kept, _) in now.items()})
        except DecodeFailed:
            return  # no room beside the answers: the caller starts from nothing
        finally:
            for kept, start in now.values():
                context.drop(kept.sequence, start)
        for i, (kept, start) in now.items():
            yield i, Verdict(scores[kept.sequence], len(prompts[i]), start)
            del waiting[i]


def _scores(
    context: LlamaContext,
    requests: Mapping[int, JudgeRequest],
    rows: Sequence[Row],
    starts: Mapping[int, int],
    check: Callable[[], None] = lambda: None,
) -> dict[int, float]:
    """P(yes) for the request in each sequence, all of one role, once `rows` are decoded; `check` before each batch."""
    role = next(iter(requests.values())).adapter
    scores: dict[int, float] = {}
    for batch in decode_as(context, role, rows, starts, check):
        for index, row in enumerate(batch):
            if row.logits:
                request = requests[row.sequence]
                words = first_tokens(context, request.yes, request.no)
                scores[row.sequence] = probability(context.logits(index), *words)
    return scores


def _begun_by(session: Session, prompt: list[int]) -> Kept | None:
    """The kept answer that `prompt` goes on from; all of it but the end that a stop string cut off."""
    if not session.context.forgets:
        return None
    best = max(session.kept, key=lambda kept: common_length(kept.tokens, prompt), default=None)
    return (
        best if best and common_length(best.tokens, prompt) >= max(best.prompt, len(best.tokens) - CUT_TOKENS) else None
    )


def probability(logits: Any, yes: Sequence[int], no: Sequence[int]) -> float:
    """P(yes) when only the tokens of the two words count."""
    import numpy

    top = max(float(logits[list(yes)].max()), float(logits[list(no)].max()))
    p_yes = float(numpy.exp(logits[list(yes)].astype("f8") - top).sum())
    p_no = float(numpy.exp(logits[list(no)].astype("f8") - top).sum())
    return p_yes / (p_yes + p_no)


def first_tokens(context: LlamaContext, yes: str, no: str) -> tuple[list[int], list[int]]:
    """The tokens either word may begin with, with and without a leading space; none belongs to both.

    Raises:
        BadInput: the words begin with the same tokens.
    """
    starts = [{context.tokenize(form)[0] for form in (word, " " + word)} for word in (yes, no)]
    common = starts[0] & starts[1]
    if not starts[0] - common or not starts[1] - common:
        raise BadInput(f"'{yes}' and '{no}' begin with the same token of this model", "Choose other verdict words.")
    return sorted(starts[0] - common), sorted(starts[1] - common)


def _group(context: LlamaContext, prompts: Sequence[list[int]], starts: Sequence[int]) -> Sequence[list[int]]:
    """The first prompts that share enough to be judged together and fit the KV cache side by side."""
    group = [prompts[0]]
    for prompt in prompts[1 : context.parameters.n_seq]:
        shared = _shared([*group, prompt], starts[: len(group) + 1])
        cells = shared + sum(len(one) - shared for one in [*group, prompt])
        if shared < WORTH_SHARING or cells > context.parameters.n_ctx:
            break
        group.append(prompt)
    return group


def _judge_one(session: Session, request: JudgeRequest, prompt: list[int], cancel: CancelToken) -> list[Verdict]:
    key = cache_key(session.context.adapters, request.adapter)
    cached = session.cache.prefill(prompt, lambda _done: cancel.check(), key)
    words = first_tokens(session.context, request.yes, request.no)
    return [Verdict(probability(session.context.logits(session.cache.last_row), *words), len(prompt), cached)]


def _judge_forked(
    session: Session,
    requests: Sequence[JudgeRequest],
    prompts: Sequence[list[int]],
    starts: Sequence[int],
    cancel: CancelToken,
) -> list[Verdict]:
    context = session.context
    shared = _shared(prompts, starts)
    key = cache_key(context.adapters, requests[0].adapter)
    cached = session.cache.prefill(prompts[0][:shared], lambda _done: cancel.check(), key)
    rows: list[Row] = []
    for sequence, prompt in enumerate(prompts, start=1):
        context.fork(BASE, sequence)
        last = len(prompt) - 1
        rows += [Row(prompt[i], i, sequence, i == last) for i in range(shared, len(prompt))]
    asked = dict(enumerate(requests, start=1))
    scores = _scores(context, asked, rows, dict(enumerate(starts, start=1)), cancel.check)
    return [
        Verdict(scores[sequence], len(prompt), cached if sequence == 1 else shared)
        for sequence, prompt in enumerate(prompts, start=1)
    ]


def _shared(prompts: Sequence[list[int]], starts: Sequence[int]) -> int:
    """Length of the common beginning before `starts`, leaving at least the last token of each to decode."""
    most = min(*(len(prompt) - 1 for prompt in prompts), *starts)
    first = prompts[0]
    return next((i for i in range(most) if any(prompt[i] != first[i] for prompt in prompts)), most)
