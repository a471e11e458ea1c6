"""A small model guesses for a large one: fewer steps of the large one, the same answers."""

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import ModelUnavailable
from patchwright_engine.model import draft_model
from patchwright_engine.model.backend import CompletionRequest, Message
from patchwright_engine.model.llama import quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import LoadParameters

PARAMETERS = LoadParameters(n_ctx=1024, context_tokens=1024, n_seq=2, n_batch=128)
TALK = (Message("user", "Write a Python function that says whether a number is prime. Only code."),)


@pytest.fixture(scope="module")
def models(small_model_path: Path, demo_model_path: Path) -> Iterator[tuple[LocalModel, LocalModel]]:
    """The 1.5B with the 0.5B guessing for it, and the 1.5B alone without any guesses."""
    os.environ.update(quiet_environment())
    guessed = dataclasses.replace(PARAMETERS, draft_model=str(small_model_path))
    loaded = [LocalModel(demo_model_path, p) for p in (guessed, dataclasses.replace(PARAMETERS, speculate=False))]
    yield loaded[0], loaded[1]
    for model in loaded:
        model.close()


def steps(model: LocalModel, request: CompletionRequest) -> tuple[Any, int]:
    context = model._session.context
    decode, calls = context.decode, []
    context.decode = lambda rows: (calls.append(len(rows)), decode(rows))[1]  # type: ignore[method-assign,func-returns-value]
    try:
        return model.complete(request, CancelToken()).completions, len(calls)
    finally:
        context.decode = decode  # type: ignore[method-assign]


@pytest.mark.model
def test_answers_are_those_of_the_large_model_alone(models: tuple[LocalModel, LocalModel]) -> None:
    request = CompletionRequest(TALK, first_greedy=False, temperature=0.01, max_answer_tokens=60)
    (guessed, few), (plain, many) = (steps(model, request) for model in models)
    assert guessed[0].answer == plain[0].answer
    assert few < many * 0.8
    greedy = CompletionRequest(TALK, temperature=0.0, max_answer_tokens=60)
    (guessed, few), (plain, many) = (steps(model, greedy) for model in models)
    assert (guessed, few) == (plain, many)


@pytest.mark.model
def test_answers_side_by_side_and_one_after_the_other_use_it_too(models: tuple[LocalModel, LocalModel]) -> None:
    request = CompletionRequest(TALK, n=3, seed=1, max_answer_tokens=30)
    once, again = (models[0].complete(request, CancelToken()).completions for _ in range(2))
    assert [one.answer for one in once] == [one.answer for one in again]
    assert all(one.tokens <= 30 for one in once)


@dataclass
class Vocabulary:
    """What is compared of a model."""

    n_vocab: int
    shift: int = 0

    def piece(self, token: int) -> bytes:
        return str(token + self.shift).encode()

    def is_end(self, token: int) -> bool:
        return token == 0


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Vocabulary(50_000), True),
        (Vocabulary(50_512), True),
        (Vocabulary(32_000), False),
        (Vocabulary(50_000, 1), False),
    ],
    ids=["equal", "padded", "another size", "other words"],
)
def test_only_models_of_one_vocabulary_understand_each_other(other: Any, same: bool) -> None:
    base: Any = Vocabulary(50_000)
    assert draft_model._one_vocabulary(base, other) == same


@pytest.mark.model
def test_a_model_of_another_vocabulary_is_refused(small_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_model, "_one_vocabulary", lambda _base, _other: False)
    with pytest.raises(ModelUnavailable, match="another vocabulary") as error:
        LocalModel(small_model_path, dataclasses.replace(PARAMETERS, draft_model=str(small_model_path)))
    assert "draft_model" in error.value.cure
