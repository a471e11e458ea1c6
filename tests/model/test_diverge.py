"""The real 0.5B model on what it would mostly copy: every candidate leaves the original at a place of its own."""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled
from patchwright_engine.model.backend import Completion, CompletionRequest, Message
from patchwright_engine.model.chat import tokens_of
from patchwright_engine.model.diverge import IDLE_STARTS, Divergence, find_divergences
from patchwright_engine.model.llama import quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import LoadParameters

pytestmark = pytest.mark.model

FENCE = "```python\n"
CODE = """\
def mean(values):
    # add them all up
    total = 0
    for value in values:
        total += value
    return total / len(values)"""
REFERENCE = CODE + "\n```"
ISSUE = "mean([]) raises ZeroDivisionError. It should return 0 for an empty list."
# The issue names the change, so that the greedy answer is no copy even for the smallest model.
TOLD = "Rename `total` to `amount` everywhere in it."


def prompt(text: str) -> tuple[Message, ...]:
    return (
        Message("system", "You fix code with the smallest correct change."),
        Message("user", f"{text}\n\nThe code:\n\n{FENCE}{CODE}\n```\n\nAnswer with the complete corrected definition."),
    )


@pytest.fixture(scope="module")
def model(small_model_path: Path) -> Iterator[LocalModel]:
    os.environ.update(quiet_environment())
    loaded = LocalModel(small_model_path, LoadParameters(n_ctx=4096, context_tokens=2048, n_seq=8))
    yield loaded
    loaded.close()


def request(text: str = ISSUE, **fields: Any) -> CompletionRequest:
    wanted = {"n": 6, "max_answer_tokens": 96, "answer_prefix": FENCE, "stop": ("\n```",), "reference": REFERENCE}
    return CompletionRequest(prompt(text), **{**wanted, **fields})


def candidates(model: LocalModel, text: str = ISSUE, **fields: Any) -> list[str]:
    """Answers without their forced beginning, but with the fence that ended them."""
    done = model.complete(request(text, **fields), CancelToken()).completions
    return [text_of(one) for one in done]


def text_of(completion: Completion) -> str:
    assert completion.answer.startswith(FENCE)
    return completion.answer.removeprefix(FENCE) + ("\n```" if completion.finish == "stop" else "")


def shared(one: str, other: str) -> str:
    """Their common beginning."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(letter for letter, _ in pairs)


def test_every_candidate_leaves_the_original_at_a_place_of_its_own(model: LocalModel) -> None:
    answers = candidates(model)
    left = [shared(answer, REFERENCE) for answer in answers]
    for answer, same in zip(answers, left, strict=True):
        assert answer != REFERENCE
        assert same.startswith("def")  # the original's own text up to there
    changes = [(same, answer[len(same) : len(same) + 12]) for answer, same in zip(answers, left, strict=True)]
    assert len(set(changes)) == len(answers)


def test_the_first_candidate_is_the_greedy_answer_when_that_is_no_copy(model: LocalModel) -> None:
    greedy = candidates(model, TOLD, n=1, reference="")[0]
    assert greedy.startswith("def mean")
    assert greedy != REFERENCE
    check_same_change(candidates(model, TOLD, n=2)[0], greedy)


def test_skipping_goes_on_where_an_earlier_request_ended(model: LocalModel) -> None:
    every = candidates(model, n=6)
    assert candidates(model, n=6) == every
    for skipped, n in ((3, 3), (1, 2)):
        later = candidates(model, n=n, skip_divergences=skipped)
        for one, other in zip(later, every[skipped:][:n], strict=True):
            check_same_change(one, other)


def check_same_change(one: str, other: str) -> None:
    """Both leave the original at the same place with the same token. What follows may differ: answers decoded beside
    more or fewer others take other kernels, so a tie within their rounding may fall either way."""
    left = [len(shared(answer, REFERENCE)) for answer in (one, other)]
    assert left[0] == left[1]
    assert len(shared(one, other)) > left[0]


def test_more_candidates_than_divergences_are_sampled_freely(model: LocalModel) -> None:
    answers = candidates(model, n=2, skip_divergences=10_000, max_answer_tokens=16)
    assert len(answers) == 2
    assert all(answers)


@pytest.fixture
def divergences(model: LocalModel) -> list[tuple[Divergence, str, str, str]]:
    """Each divergence with the original's text before it, the original's own token and the other one."""
    session, context = model._session, model._session.context
    with model._turn:
        session.drop_forks()  # an earlier answer may still be kept there
        tokens = tokens_of(session.chat.pieces(prompt(ISSUE), think=False, answer_prefix=FENCE), context)
        session.cache.prefill(tokens)
        logits = context.logits(session.cache.last_row).copy()
        reference = context.tokenize(REFERENCE)
        found = find_divergences(context, len(tokens), reference, 1, prompt_logits=logits, on_step=lambda _done: None)
        session.drop_forks()
    pieces = [context.piece(token).decode("utf-8", "replace") for token in reference]
    return [
        (d, "".join(pieces[: d.position]), pieces[d.position], context.piece(d.token).decode("utf-8", "replace"))
        for d in found
    ]


def test_changes_that_change_nothing_are_not_offered(divergences: list[tuple[Divergence, str, str, str]]) -> None:
    assert len(divergences) > 10
    for divergence, before, own, other in divergences:
        assert divergence.position > 0
        assert other.strip() != own.strip()
        assert not other.strip().startswith(IDLE_STARTS)
        assert not before.rpartition("\n")[2].lstrip().startswith("#")
    assert any("total" in own for _, _, own, _ in divergences)  # only comments are passed over


def test_divergences_are_ordered_by_how_much_the_model_wants_them(
    divergences: list[tuple[Divergence, str, str, str]],
) -> None:
    found = [d for d, *_ in divergences]
    preferred = [d for d in found if d.preferred]
    if preferred:
        assert found[0] is min(preferred, key=lambda d: d.position)
        del found[0]
    assert [d.probability for d in found] == sorted((d.probability for d in found), reverse=True)
    assert len({(d.position, d.token) for d in found}) == len(found)


def test_where_the_original_does_not_fit_beside_an_answer_it_is_sampled(small_model_path: Path) -> None:
    reference = "\n".join(f"    total_{n} = {n}" for n in range(60)) + "\n```"
    small = LocalModel(small_model_path, LoadParameters(n_ctx=512, context_tokens=512, n_seq=4))
    try:
        assert small.count_tokens(reference) > 400
        answers = candidates(small, n=2, reference=reference, max_answer_tokens=24)
        free = candidates(small, n=2, reference="", max_answer_tokens=24)
    finally:
        small.close()
    assert answers == free


def test_a_cancel_while_the_original_is_read_is_felt(model: LocalModel) -> None:
    model.complete(request(n=1, reference="", max_answer_tokens=1), CancelToken())  # the prompt is in the cache
    cancel = CancelToken()
    cancelled_at: list[float] = []

    def cancel_now() -> None:
        cancelled_at.append(time.monotonic())
        cancel.cancel()

    reference = "".join(f"    value_{n} = values[{n}] + {n * 7}\n" for n in range(140))
    assert model.count_tokens(reference) > 1500
    timer = threading.Timer(0.2, cancel_now)
    timer.start()
    generated: list[int] = []
    with pytest.raises(Cancelled):
        model.complete(request(reference=reference), cancel, on_progress=lambda p: generated.append(p.generated_tokens))
    assert time.monotonic() - cancelled_at[0] < 0.5
    assert set(generated) <= {0}  # no answer had begun
    assert candidates(model, n=1, max_answer_tokens=8)
