"""Guessing tokens from the prompt saves steps and, but for rounding at near ties, changes no answer."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.model.backend import CompletionBatch, CompletionRequest, Message
from patchwright_engine.model.llama import quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import LoadParameters
from patchwright_engine.model.speculate import HOPELESS, Drafter, StepCost, cpu_cost, gpu_cost, reach

FUNCTIONS = [
    '''\
def wrap(text, width=70):
    """Split text into lines of at most width characters."""
    lines = []
    current = ""
    for word in text.split():
        if len(current) + len(word) + 1 > width:
            lines.append(current)
            current = word
        else:
            current = current + " " + word if current else word
    lines.append(current)
    return lines
''',
    """\
def merge(left, right):
    result = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            result.append(left[i])
            i += 1
        else:
            result.append(right[j])
            j += 1
    result.extend(left[i:])
    result.extend(right[j:])
    return result
""",
]


def ask(function: str, **fields: Any) -> CompletionRequest:
    text = (
        f"The code:\n\n```python\n{function}```\n\nRaise TypeError when an argument is None. Answer with the complete"
    )
    messages = (Message("system", "You fix Python code."), Message("user", f"{text} function in one block."))
    return CompletionRequest(messages, answer_prefix="```python\n", stop=("\n```",), **fields)


def test_what_followed_the_same_words_is_guessed() -> None:
    drafter = Drafter.of([1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2])
    assert drafter.draft(3) == [3, 4, 5]
    drafter.follow(3)
    assert drafter.draft(2) == [4, 5]


def test_the_longest_match_counts_before_the_latest() -> None:
    assert Drafter.of([7, 8, 9, 1, 5, 8, 9, 2, 6, 7, 8, 9]).draft(1) == [1]


@pytest.mark.parametrize("tokens", [[], [1], [1, 2, 3, 4]])
def test_nothing_is_guessed_where_nothing_like_it_was_read(tokens: list[int]) -> None:
    assert Drafter.of(tokens).draft(8) == []


def test_an_answer_that_copies_is_trusted_and_one_that_does_not_is_not() -> None:
    copying, other = Drafter.of([*range(100), 0, 1]), Drafter.of([*range(100), 0, 1])
    for token in range(2, 30):
        copying.follow(token)
        other.follow(token + 500 if token % 3 == 0 else token)
    assert copying.trust > 0.9
    assert other.trust < HOPELESS
    assert reach([copying.trust], cpu_cost) > 7
    assert reach([other.trust], cpu_cost) == 0


def test_a_copy_of_a_drafter_does_not_touch_the_first() -> None:
    first = Drafter.of([1, 2, 3, 1, 2])
    second = first.fork([9])
    second.follow(4)
    assert (first.text, first.draft(1)) == ([1, 2, 3, 1, 2], [3])
    assert second.text == [1, 2, 3, 1, 2, 9, 4]


@pytest.mark.parametrize("cost", [cpu_cost, gpu_cost])
def test_nothing_is_guessed_unless_it_pays(cost: StepCost) -> None:
    for live in (1, 2, 4, 8):
        reached = [reach([trust] * live, cost) for trust in (0.0, 0.3, 0.7, 0.9, 0.97)]
        assert reached[:2] == [0, 0]
        assert reached[-1] > 0


@pytest.fixture(scope="module")
def models(small_model_path: Path) -> Iterator[tuple[LocalModel, LocalModel]]:
    """One model that guesses and one that does not."""
    os.environ.update(quiet_environment())
    loaded = [
        LocalModel(small_model_path, LoadParameters(n_ctx=2048, context_tokens=2048, n_seq=4, speculate=guess))
        for guess in (True, False)
    ]
    yield loaded[0], loaded[1]
    for model in loaded:
        model.close()


def steps(model: LocalModel, request: CompletionRequest) -> tuple[CompletionBatch, int]:
    """The answers and how many times the model was run for them."""
    context = model._session.context
    model.complete(CompletionRequest(request.messages, max_answer_tokens=1), CancelToken())  # the prompt is paid for
    decode, calls = context.decode, []

    def counted(rows: Any) -> None:
        calls.append(len(rows))
        decode(rows)

    context.decode = counted  # type: ignore[method-assign]
    try:
        return model.complete(request, CancelToken()), len(calls)
    finally:
        context.decode = decode  # type: ignore[method-assign]


@pytest.mark.model
@pytest.mark.parametrize("function", FUNCTIONS, ids=["wrap", "merge"])
def test_greedy_answers_are_identical_and_take_fewer_steps(
    models: tuple[LocalModel, LocalModel], function: str
) -> None:
    request = ask(function, temperature=0.0, max_answer_tokens=200)
    (guessed, few), (plain, many) = (steps(model, request) for model in models)
    assert guessed.completions[0].answer == plain.completions[0].answer
    assert guessed.completions[0].finish == plain.completions[0].finish
    assert guessed.completions[0].tokens == plain.completions[0].tokens
    assert few < many * 0.7


@pytest.mark.model
def test_caps_and_stops_hold_inside_accepted_guesses(models: tuple[LocalModel, LocalModel]) -> None:
    for cap in (5, 17, 40):
        request = ask(FUNCTIONS[1], temperature=0.0, max_answer_tokens=cap)
        answers = [model.complete(request, CancelToken()).completions[0] for model in models]
        assert answers[0] == answers[0].__class__(**{**_fields(answers[1]), "mean_logprob": answers[0].mean_logprob})
        assert answers[0].tokens == cap
        assert answers[0].mean_logprob == pytest.approx(answers[1].mean_logprob, abs=0.05)


@pytest.mark.model
def test_sampled_answers_with_guesses_are_those_of_their_seed(models: tuple[LocalModel, LocalModel]) -> None:
    alike = 0
    for seed in (4, 14, 24):
        request = ask(FUNCTIONS[0], n=2, seed=seed, first_greedy=False, temperature=0.7, max_answer_tokens=20)
        guessed = models[0].complete(request, CancelToken()).completions
        assert guessed == models[0].complete(request, CancelToken()).completions
        plain = models[1].complete(request, CancelToken()).completions
        alike += sum(a.answer == b.answer for a, b in zip(guessed, plain, strict=True))
    # A draw at the edge of two tokens' shares may fall either way within the kernels' rounding, now and then.
    assert alike >= 4


def _fields(completion: Any) -> dict[str, Any]:
    return {name: getattr(completion, name) for name in completion.__dataclass_fields__}
