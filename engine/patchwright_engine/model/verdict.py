"""Judging: the probability of one word against another as the next token of a conversation.

Invariant: nothing is sampled; the score is a softmax over logits and equals a full recomputation within rounding.
Requests that share a beginning pay for it once: it lies in sequence 0, their ends in forks decoded together.
"""

from collections.abc import Sequence
from typing import Any

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.model.backend import JudgeRequest, Verdict
from patchwright_engine.model.chat import tokens_of
from patchwright_engine.model.decode import Session
from patchwright_engine.model.llama import Aborted, LlamaContext, Row
from patchwright_engine.model.prefix import BASE

WORTH_SHARING = 64
"""Shared tokens below which requests are decoded one by one."""


def judge(session: Session, requests: Sequence[JudgeRequest], cancel: CancelToken) -> tuple[Verdict, ...]:
    """P(yes) for each request, in order. Raises as `decode.complete`."""
    context = session.context
    prompts = [tokens_of(session.chat.pieces(request.messages, think=False), context) for request in requests]
    for prompt in prompts:
        if len(prompt) > context.context_tokens:
            raise BadInput(
                f"a prompt of {len(prompt)} tokens does not fit the context of {context.context_tokens} tokens",
                "Choose a model or machine with a longer context (`patchwright models plan`).",
            )
    verdicts: list[Verdict] = []
    try:
        while len(verdicts) < len(prompts):
            rest = prompts[len(verdicts) :]
            group = _group(context, rest)
            wanted = requests[len(verdicts) : len(verdicts) + len(group)]
            verdicts += (
                _judge_one(session, wanted[0], group[0], cancel)
                if len(group) == 1
                else _judge_forked(session, wanted, group, cancel)
            )
    except Aborted:
        cancel.check()
        raise
    finally:
        session.drop_forks()
    return tuple(verdicts)


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


def _group(context: LlamaContext, prompts: Sequence[list[int]]) -> Sequence[list[int]]:
    """The first prompts that share enough to be judged together and fit the KV cache side by side."""
    group = [prompts[0]]
    for prompt in prompts[1 : context.parameters.n_seq]:
        shared = _shared([*group, prompt])
        cells = shared + sum(len(one) - shared for one in [*group, prompt])
        if shared < WORTH_SHARING or cells > context.parameters.n_ctx:
            break
        group.append(prompt)
    return group


def _judge_one(session: Session, request: JudgeRequest, prompt: list[int], cancel: CancelToken) -> list[Verdict]:
    cached = session.cache.prefill(prompt, lambda _done: cancel.check())
    words = first_tokens(session.context, request.yes, request.no)
    return [Verdict(probability(session.context.logits(session.cache.last_row), *words), len(prompt), cached)]


def _judge_forked(
    session: Session, requests: Sequence[JudgeRequest], prompts: Sequence[list[int]], cancel: CancelToken
) -> list[Verdict]:
    context = session.context
    shared = _shared(prompts)
    cached = session.cache.prefill(prompts[0][:shared], lambda _done: cancel.check())
    rows: list[Row] = []
    for sequence, prompt in enumerate(prompts, start=1):
        context.fork(BASE, sequence)
        last = len(prompt) - 1
        rows += [Row(prompt[i], i, sequence, i == last) for i in range(shared, len(prompt))]
    scores: dict[int, float] = {}
    size = context.parameters.n_batch
    for start in range(0, len(rows), size):
        cancel.check()
        batch = rows[start : start + size]
        context.decode(batch)
        for index, row in enumerate(batch):
            if row.logits:
                request = requests[row.sequence - 1]
                words = first_tokens(context, request.yes, request.no)
                scores[row.sequence] = probability(context.logits(index), *words)
    for sequence in scores:
        context.drop(sequence)
    return [
        Verdict(scores[sequence], len(prompt), cached if sequence == 1 else shared)
        for sequence, prompt in enumerate(prompts, start=1)
    ]


def _shared(prompts: Sequence[list[int]]) -> int:
    """Length of the common beginning, leaving at least the last token of each to decode."""
    most = min(len(prompt) for prompt in prompts) - 1
    first = prompts[0]
    return next((i for i in range(most) if any(prompt[i] != first[i] for prompt in prompts)), most)
