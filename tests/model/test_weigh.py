"""What an answer weighs is what its tokens weigh one after the other, whatever is weighed beside it."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy
import pytest

from model_hosts import Open
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled
from patchwright_engine.model.backend import JudgeRequest, Message
from patchwright_engine.model.chat import ChatFormat
from patchwright_engine.model.decode import Session
from patchwright_engine.model.llama import LlamaContext, Row, quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import LoadParameters
from patchwright_engine.model.prefix import PromptCache
from patchwright_engine.model.verdict import judge

TALK = (Message("system", "You maintain a shop."), Message("user", "Totals are wrong. Which file? Answer with a path."))
PATHS = (
    "shop/cart.py",
    "shop/cart.pyi",
    "shop/mail.py",
    "a",
    "shop/models/tax.py",
    "docs/a.md",
    "shop/cart.py",
    "b/c",
    "x" * 150,
)
TOLERANCE = 0.5
"""Nats. Kernels round differently for few rows and for many, see test_judge_kept."""


class ToyContext:
    """A model whose tokens are characters and whose next one depends on all before. It checks where rows belong."""

    def __init__(self, *, n_seq: int, n_batch: int = 512) -> None:
        self.parameters = LoadParameters(n_ctx=800, context_tokens=400, n_seq=n_seq, n_batch=n_batch)
        self.context_tokens = 400
        self.adapters: dict[str, Any] = {}
        self.forgets = True
        self.rows = 0
        self._held: dict[int, list[int]] = {}
        self._after: list[list[int]] = []

    def tokenize(self, text: str, *, special: bool = False, start: bool = False) -> list[int]:
        return [ord(character) for character in text]

    def use_adapter(self, role: str) -> None:
        assert role == ""

    def fork(self, source: int, target: int, end: int = -1) -> None:
        self._held[target] = self._held[source][: end if end >= 0 else None]

    def drop(self, sequence: int, start: int = -1) -> bool:
        self._held[sequence] = self._held.get(sequence, [])[: max(0, start)]
        return True

    def drop_all(self) -> None:
        self._held.clear()

    def decode(self, rows: Sequence[Row]) -> None:
        assert len(rows) <= self.parameters.n_batch
        self._after = []
        for row in rows:
            for sequence in (row.sequence, *row.also):
                assert 0 <= sequence <= self.parameters.n_seq
                held = self._held.setdefault(sequence, [])
                assert row.position == len(held)
                held.append(row.token)
            alike = {tuple(self._held[sequence]) for sequence in (row.sequence, *row.also)}
            assert len(alike) == 1  # a row that belongs to several goes on from the same in all
            self._after.append(list(alike.pop()))
        self.rows += len(rows)

    def logits(self, index: int) -> Any:
        return toy_logits(self._after[index])


def toy_logits(tokens: Sequence[int]) -> Any:
    return numpy.random.default_rng(list(tokens)).normal(size=128).astype("f4")


def toy_session(context: ToyContext) -> Session:
    real = cast(LlamaContext, context)
    return Session(real, PromptCache(real, 0), ChatFormat(None, lambda _template, _messages: None))


def one_by_one(messages: tuple[Message, ...], answer: str) -> float:
    pieces = ChatFormat(None, lambda _template, _messages: None).pieces(messages, think=False)
    tokens = [ord(character) for piece in pieces for character in piece.text]
    weight = 0.0
    for character in f"{answer}\n":
        logits = toy_logits(tokens).astype("f8")
        weight += float(logits[ord(character)] - numpy.log(numpy.exp(logits).sum()))
        tokens.append(ord(character))
    return weight


@pytest.mark.parametrize(("n_seq", "n_batch"), [(8, 512), (3, 512), (1, 512), (8, 128)])
def test_weights_are_those_of_each_answer_alone(n_seq: int, n_batch: int) -> None:
    [verdict] = judge(
        toy_session(ToyContext(n_seq=n_seq, n_batch=n_batch)), [JudgeRequest(TALK, answers=PATHS)], CancelToken()
    )
    assert verdict.probability is None
    assert verdict.weights == pytest.approx([one_by_one(TALK, path) for path in PATHS], abs=1e-4)


def test_what_answers_begin_with_is_read_once() -> None:
    context = ToyContext(n_seq=8)
    answers = ("shop/cart.py", "shop/card.py", "shop/cart.py")
    [verdict] = judge(toy_session(context), [JudgeRequest(TALK, answers=answers)], CancelToken())
    assert context.rows - verdict.prompt_tokens == len("shop/cart.py") + len("d.py")


def test_weighing_and_verdicts_come_in_the_order_of_the_requests() -> None:
    context = ToyContext(n_seq=4)
    question = JudgeRequest((*TALK, Message("assistant", "a"), Message("user", "Right?")), yes="Yes", no="No")
    requests = [JudgeRequest(TALK, answers=("a", "b/c")), question, JudgeRequest(TALK, answers=("b/c",))]
    first, second, third = judge(toy_session(context), requests, CancelToken())
    assert first.weights[1] == pytest.approx(third.weights[0], abs=1e-4)
    assert second.weights == ()
    assert second.probability is not None


def test_an_answer_that_does_not_fit_is_refused_with_a_cure() -> None:
    with pytest.raises(BadInput) as caught:
        judge(toy_session(ToyContext(n_seq=2)), [JudgeRequest(TALK, answers=("a", "x" * 400))], CancelToken())
    assert caught.value.cure


def test_a_cancelled_weighing_leaves_no_forks() -> None:
    context, cancel = ToyContext(n_seq=4), CancelToken()
    session = toy_session(context)
    cancel.cancel()
    with pytest.raises(Cancelled):
        judge(session, [JudgeRequest(TALK, answers=PATHS)], cancel)
    [verdict] = judge(session, [JudgeRequest(TALK, answers=("a",))], CancelToken())
    assert verdict.weights == pytest.approx([one_by_one(TALK, "a")], abs=1e-4)


@pytest.fixture(scope="module")
def model(small_model_path: Path) -> Iterator[LocalModel]:
    os.environ.update(quiet_environment())
    loaded = LocalModel(small_model_path, LoadParameters(n_ctx=1024, context_tokens=768, n_seq=4))
    yield loaded
    loaded.close()


@pytest.mark.model
def test_a_real_model_weighs_answers_together_as_it_does_apart(model: LocalModel) -> None:
    [together] = model.judge([JudgeRequest(TALK, answers=PATHS)], CancelToken())
    apart = [model.judge([JudgeRequest(TALK, answers=(path,))], CancelToken())[0].weights[0] for path in PATHS]
    assert together.weights == pytest.approx(apart, abs=TOLERANCE)
    assert sum(map(math.exp, set(together.weights))) <= 1


@pytest.mark.model
def test_a_model_host_weighs_too(open_hosted: Open) -> None:
    [verdict] = open_hosted().judge([JudgeRequest(TALK, answers=PATHS)], CancelToken())
    assert len(verdict.weights) == len(PATHS)
    assert verdict.weights[PATHS.index("shop/cart.py")] > verdict.weights[PATHS.index("x" * 150)]
