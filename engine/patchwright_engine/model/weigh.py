"""Weighing: how likely a model is to give each of a few short answers, word for word.

Invariant: nothing is sampled; a weight is the sum of log-softmaxes that a full recomputation gives, within rounding.
The prompt is read once, and so is what several answers begin with: one row of the batch belongs to all of them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.model.activation import cache_key
from patchwright_engine.model.backend import JudgeRequest, Verdict
from patchwright_engine.model.chat import tokens_of
from patchwright_engine.model.decode import Session
from patchwright_engine.model.llama import Aborted, LlamaContext, Row
from patchwright_engine.model.prefix import BASE

Tokens = tuple[int, ...]


def weigh(session: Session, request: JudgeRequest, cancel: CancelToken) -> Verdict:
    """The weights of the request's answers. Each counts with the line break that ends it, so that one which another
    goes on from (`a.py`, `a.pyi`) is not the likelier for being shorter. Raises as `decode.complete`."""
    context = session.context
    prompt = tokens_of(session.chat.pieces(request.messages, think=False), context)
    answers = [tuple(context.tokenize(f"{answer}\n")) for answer in request.answers]
    longest = max(map(len, answers))
    if len(prompt) + longest > context.context_tokens:
        raise BadInput(
            f"a prompt of {len(prompt)} tokens and an answer of {longest} do not fit"
            f" the context of {context.context_tokens} tokens",
            "Choose a model or machine with a longer context (`patchwright models plan`).",
        )
    session.drop_forks()
    weights: defaultdict[Tokens, float] = defaultdict(float)
    try:
        key = cache_key(context.adapters, request.adapter)
        cached = session.cache.prefill(prompt, lambda _done: cancel.check(), key)
        first = _log_softmax(context.logits(session.cache.last_row), {answer[0] for answer in answers})
        for group in _groups(context, sorted(set(answers)), context.parameters.n_ctx - len(prompt)):
            for answer in group:
                weights[answer] += first[answer[0]]
            _add_rest(context, group, len(prompt), weights, cancel)
            session.drop_forks()
    except BaseException as error:
        session.drop_forks()
        if isinstance(error, Aborted):
            cancel.check()
        raise
    return Verdict(None, len(prompt), cached, tuple(weights[answer] for answer in answers))


def _groups(context: LlamaContext, answers: Sequence[Tokens], cells: int) -> Iterator[list[Tokens]]:
    """As many neighbours at a time as there are sequences and, at worst, cells; sorted ones share most."""
    group: list[Tokens] = []
    used = 0
    for answer in answers:
        if group and (len(group) == context.parameters.n_seq or used + len(answer) > cells):
            yield group
            group, used = [], 0
        group.append(answer)
        used += len(answer)
    if group:
        yield group


def _add_rest(
    context: LlamaContext,
    answers: Sequence[Tokens],
    start: int,
    weights: "defaultdict[Tokens, float]",
    cancel: CancelToken,
) -> None:
    """Add to each answer's weight what its tokens after the first one weigh, all in one batch if it has room."""
    sharing: defaultdict[Tokens, list[int]] = defaultdict(list)
    for index, answer in enumerate(answers):
        context.fork(BASE, index + 1)
        for length in range(1, len(answer)):
            sharing[answer[:length]].append(index)
    beginnings = sorted(sharing, key=len)  # whatever a row goes on from stands before it
    size = context.parameters.n_batch
    for begin in range(0, len(beginnings), size):
        cancel.check()
        batch = beginnings[begin : begin + size]
        context.decode([_row(beginning, sharing[beginning], start) for beginning in batch])
        for at, beginning in enumerate(batch):
            whose = [answers[index] for index in sharing[beginning]]
            logs = _log_softmax(context.logits(at), {answer[len(beginning)] for answer in whose})
            for answer in whose:
                weights[answer] += logs[answer[len(beginning)]]


def _row(beginning: Tokens, indices: Sequence[int], start: int) -> Row:
    first, *others = (index + 1 for index in indices)
    return Row(beginning[-1], start + len(beginning) - 1, first, logits=True, also=tuple(others))


def _log_softmax(logits: Any, tokens: set[int]) -> Mapping[int, float]:
    """Of the given tokens only, against all."""
    import numpy

    top = float(logits.max())
    total = top + float(numpy.log(numpy.exp(logits - top, dtype="f8").sum()))
    return {token: float(logits[token]) - total for token in tokens}
