"""Thoughts on the real 0.5B model. It was not trained to think: told that it does (`thinks = true` in the catalog), it
rambles in its block, which is what caps, closings and the answer after them have to stand."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.model import decode
from patchwright_engine.model.backend import Completion, CompletionRequest, JudgeRequest, Message
from patchwright_engine.model.chat import ChatFormat
from patchwright_engine.model.llama import LlamaContext, quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import LoadParameters
from patchwright_engine.model.prefix import PromptCache
from patchwright_engine.model.sampler import Sampler
from patchwright_engine.model.thinking import think_format

pytestmark = pytest.mark.model

PARAMETERS = LoadParameters(n_ctx=2048, context_tokens=1024, n_seq=4, thinks=True)
CODE = "def mean(values):\n    return sum(values) / len(values)\n"
ASK = (Message("user", f"This fails on an empty list. Write it anew.\n\n{CODE}"),)
FILES = ("stats/mean.py", "stats/median.py", "tests/test_mean.py")
NAME = (Message("user", "Which file holds `mean`?\n" + "\n".join(FILES)),)
FENCE = "```python\n"
TEMPLATES = sorted((Path(__file__).parent / "chat_templates").glob("*.jinja"))


@pytest.fixture(scope="module")
def thinker(small_model_path: Path) -> Iterator[LocalModel]:
    os.environ.update(quiet_environment())
    loaded = LocalModel(small_model_path, PARAMETERS)
    yield loaded
    loaded.close()


def ask(model: LocalModel, messages: tuple[Message, ...] = ASK, **fields: Any) -> tuple[Completion, ...]:
    request = CompletionRequest(messages, **{"max_answer_tokens": 24, "max_think_tokens": 20, **fields})
    batch = model.complete(request, CancelToken())
    assert batch.thought_tokens == sum(one.think_tokens for one in batch.completions)
    assert batch.generated_tokens == sum(one.tokens for one in batch.completions)
    return batch.completions


@pytest.mark.parametrize("n", [1, 6])
def test_a_thought_at_its_cap_is_closed_and_the_answer_comes_whole(thinker: LocalModel, n: int) -> None:
    given = ask(thinker, n=n, max_think_tokens=12)
    assert len(given) == n
    for one in given:
        assert one.answer.strip()
        assert "</think>" not in one.answer + one.think
        assert one.think_tokens <= 12
        assert one.think_end in {"length", "closed", "stop"}
        # The thought takes nothing from the answer's own cap.
        assert one.finish == "stop" or one.tokens - one.think_tokens == 24
    assert any(one.think_end == "length" and one.think for one in given)


def test_the_answers_prefix_stands_behind_the_thought(thinker: LocalModel) -> None:
    given = ask(thinker, n=4, answer_prefix=FENCE, stop=("\n```",), max_answer_tokens=60)
    assert all(one.answer.startswith(FENCE + "def mean") for one in given)
    assert all(FENCE not in one.think and one.think_tokens for one in given)


def test_names_hold_behind_thoughts_that_are_free(thinker: LocalModel) -> None:
    given = ask(thinker, NAME, n=4, temperature=1.5, first_greedy=False, choices=FILES, max_choices=2)
    for one in given:
        lines = one.answer.split("\n")
        assert set(filter(None, lines)) <= set(FILES)
        assert one.answer.strip(), "the grammar needs one name at least"
    assert any(one.think not in FILES for one in given)


def test_without_thoughts_wanted_there_are_none_and_names_come_at_once(thinker: LocalModel) -> None:
    for one in ask(thinker, NAME, n=3, max_think_tokens=0, choices=FILES):
        assert (one.think, one.think_tokens, one.think_end) == ("", 0, "")
        assert one.answer.strip() in FILES


def test_an_end_in_the_middle_of_a_thought_closes_the_thought_only(
    thinker: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = thinker._session.context
    drawn: list[int] = []

    def ends(token: int) -> bool:
        drawn.append(token)
        return len(drawn) == 3 or context._lib.llama_vocab_is_eog(context._vocab, token)

    monkeypatch.setattr(context, "is_end", ends, raising=False)
    (one,) = ask(thinker, answer_prefix=FENCE)
    assert (one.think_end, one.think_tokens) == ("stop", 2)
    assert one.answer.startswith(FENCE + "def mean")


def test_a_judge_reads_answers_without_what_was_thought_before_them(thinker: LocalModel) -> None:
    one = ask(thinker, answer_prefix=FENCE)[0]
    talk = (*ASK, Message("assistant", one.answer), Message("user", "Is that right? Yes or No."))
    (verdict,) = thinker.judge([JudgeRequest(talk)], CancelToken())
    assert verdict.probability is not None
    plain = thinker.count_tokens("".join(message.content for message in talk))
    assert verdict.prompt_tokens < plain + 60, "more than the turns and a closed block was read"


def test_a_thought_nobody_planned_for_keeps_within_the_room(small_model_path: Path) -> None:
    tight = replace(PARAMETERS, n_ctx=256, context_tokens=160, n_seq=2, thinks=False)
    with LlamaContext(small_model_path, tight) as context:
        session = decode.Session(
            context, PromptCache(context, 0), ChatFormat(context.chat_template, context.apply_template)
        )
        endless = context.tokenize("<think>\n" + " ".join(map(str, range(200))))

        class Rambling(Sampler):
            """Draws a thought that never ends, whatever the model says."""

            def sample_from(self, logits: Any) -> int:
                self.said = 0
                return endless[0]

            def sample(self, index: int) -> int:
                self.said += 1
                return endless[self.said]

        context.sampler = lambda *drawing: Rambling(context._lib, context._context, *drawing)  # type: ignore[method-assign]
        request = CompletionRequest((Message("user", "Count to a hundred."),), n=3, max_answer_tokens=40)
        for wanted, some in ((0, False), (500, True)):
            batch = decode.complete(session, replace(request, max_think_tokens=wanted), CancelToken())
            for one in batch.completions:
                assert one.think_end == "length"
                assert bool(one.think) is some
                assert one.answer.strip()[0].isdigit()
                assert batch.prompt_tokens + one.tokens <= context.context_tokens


@pytest.mark.parametrize("path", TEMPLATES, ids=[path.stem for path in TEMPLATES])
def test_llama_cpp_renders_the_families_and_their_prompts_end_in_their_own_way(thinker: LocalModel, path: Path) -> None:
    template = path.read_text(encoding="utf-8")
    chat, found = ChatFormat(template, thinker._session.context.apply_template), think_format(template)
    header = "<｜Assistant｜>" if "<｜Assistant｜>" in template else "<|im_start|>assistant\n"

    def prompt(*, think: bool) -> str:
        return "".join(piece.text for piece in chat.pieces(ASK, think=think, answer_prefix="PREFIX"))

    opened, closed = (found.opened, found.closed + "PREFIX") if found.thinks else ("PREFIX", "PREFIX")
    assert prompt(think=True).endswith(f"\n{header}{opened}" if header.startswith("<|") else header + opened)
    assert prompt(think=False).endswith(header + closed)
