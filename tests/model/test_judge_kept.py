"""Verdicts on answers just generated, from their own KV cache, equal those of a full recomputation."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.model.backend import Completion, CompletionRequest, JudgeRequest, Message, Verdict
from patchwright_engine.model.llama import DecodeFailed, quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import LoadParameters

TALK = (
    Message("system", "You are a careful programmer."),
    Message("user", "Write a Python function `last(items)` that returns the last item of a list, or None. " * 3),
)
QUESTION = Message("user", "Is this answer right? Answer Yes or No.")
TOLERANCE = 0.5
"""In log-odds. llama.cpp's kernels round differently for few rows and for many: logits move by up to 0.46 on a CPU."""


@pytest.fixture(scope="module", params=["0.5b", "1.5b"])
def model(request: pytest.FixtureRequest) -> Iterator[LocalModel]:
    os.environ.update(quiet_environment())
    path: Path = request.getfixturevalue("small_model_path" if request.param == "0.5b" else "demo_model_path")
    loaded = LocalModel(path, LoadParameters(n_ctx=3072, context_tokens=2048, n_seq=4))
    yield loaded
    loaded.close()


def answer(model: LocalModel, **fields: Any) -> tuple[Completion, ...]:
    request = CompletionRequest(TALK, **{"n": 4, "seed": 2, "max_answer_tokens": 40, **fields})
    return model.complete(request, CancelToken()).completions


def questions(answers: Sequence[Completion]) -> list[JudgeRequest]:
    return [JudgeRequest((*TALK, Message("assistant", one.answer), QUESTION)) for one in answers]


def log_odds(verdicts: Sequence[Verdict]) -> list[float]:
    return [math.log(p / (1 - p)) for p in (verdict.probability or 0.5 for verdict in verdicts)]


def scores(model: LocalModel, requests: Sequence[JudgeRequest]) -> list[float]:
    return log_odds(model.judge(requests, CancelToken()))


def recomputed(model: LocalModel, requests: Sequence[JudgeRequest]) -> list[float]:
    """One by one from an empty cache."""
    found = []
    for request in requests:
        model._session.drop_forks()
        model._session.cache.clear()
        found += scores(model, [request])
    return found


@pytest.mark.model
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"answer_prefix": "```python\ndef last(items):\n", "stop": ("\n```",)},
        {"n": 7},
        {"n": 1},
        {
            "answer_prefix": "```python\n",
            "stop": ("\n```",),
            "reference": "def last(items):\n    if items:\n        return items[0]\n    return None\n```",
        },
    ],
    ids=["plain", "opened and stopped", "more than sequences", "one", "divergent"],
)
def test_verdicts_from_the_cache_equal_a_full_recomputation(model: LocalModel, fields: dict[str, Any]) -> None:
    requests = questions(answer(model, **fields))
    kept = [k.answer for k in model._session.kept]
    verdicts = model.judge(requests, CancelToken())
    alike = {request.messages[2].content for request in requests}
    for verdict, request in zip(verdicts, requests, strict=True):
        if request.messages[2].content in kept:
            question = verdict.prompt_tokens - verdict.cached_tokens
            assert question < 40, "the answer was read again"
    assert kept
    assert set(kept) <= alike
    assert log_odds(verdicts) == pytest.approx(recomputed(model, requests), abs=TOLERANCE)


@pytest.mark.model
def test_several_questions_about_one_answer_are_all_answered_from_its_cache(model: LocalModel) -> None:
    (one,) = answer(model, n=1)
    asked = [
        JudgeRequest((*TALK, Message("assistant", one.answer), Message("user", text)))
        for text in ("Is this answer right? Answer Yes or No.", "Does it handle empty lists? Answer Yes or No.")
    ]
    verdicts = model.judge([*asked, asked[0]], CancelToken())
    assert all(verdict.cached_tokens > verdict.prompt_tokens // 2 for verdict in verdicts)
    first, _, third = log_odds(verdicts)
    assert first == pytest.approx(third, abs=TOLERANCE)
    again = model.judge(asked, CancelToken())
    assert log_odds(again) == pytest.approx(log_odds(verdicts[:2]), abs=TOLERANCE)


@pytest.mark.model
def test_without_room_beside_the_answers_they_are_judged_from_nothing(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = questions(answer(model))
    decode = model._session.context.decode
    calls = []

    def full_once(rows: Any) -> None:
        calls.append(rows)
        if len(calls) == 1:
            raise DecodeFailed(1, "no room")
        decode(rows)

    monkeypatch.setattr(model._session.context, "decode", full_once)
    found = scores(model, requests)
    monkeypatch.undo()
    assert found == pytest.approx(recomputed(model, requests), abs=TOLERANCE)


@pytest.mark.model
def test_the_next_request_finds_all_of_the_context_free(model: LocalModel) -> None:
    answer(model)
    assert model._session.kept
    other = CompletionRequest((Message("user", "Say hello. " * 200),), n=1, max_answer_tokens=400)
    assert model.complete(other, CancelToken()).completions[0].tokens > 0
    assert len(model._session.kept) == 1
