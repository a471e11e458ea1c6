"""Thoughts behind an OpenAI-compatible server, in all the ways servers tell them, over real HTTP on loopback."""

from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.model.backend import Completion, CompletionBatch, CompletionRequest, JudgeRequest, Message
from patchwright_engine.model.openai import UNASKED_TOKENS, OpenAIModel
from patchwright_engine.model.openai_values import facts_of
from patchwright_engine.model.thinking import ThinkStyle
from scripted_model import Rule, serve_scripted

TEMPLATES = Path(__file__).parent / "chat_templates"
ASK = (Message("user", "fix it"),)
CODE = "```python\nx = 1\n```"
THOUGHT = "I would write\n```python\nevil = 1\n```\nbut not that"
LONG = THOUGHT + "\n" + "and then " * 440
TAGS = ["field", "inline", "opened", "always"]


def ask(model: OpenAIModel, **fields: Any) -> CompletionBatch:
    request = CompletionRequest(ASK, **{"max_think_tokens": 400, "max_answer_tokens": 50, **fields})
    return model.complete(request, CancelToken())


def one(batch: CompletionBatch) -> Completion:
    (completion,) = batch.completions
    return completion


@pytest.mark.parametrize("tagged", TAGS)
@pytest.mark.parametrize("n", [1, 4])
def test_however_a_server_tells_a_thought_it_is_apart_from_the_answer(tagged: str, n: int) -> None:
    with serve_scripted(Rule((CODE,), thoughts=(THOUGHT,), tagged=tagged)) as server:
        batch = ask(OpenAIModel(server.url), n=n)
    for completion in batch.completions:
        assert (completion.answer, completion.think, completion.think_end) == (CODE, THOUGHT, "closed")
        assert 0 < completion.think_tokens < completion.tokens
    share = len(THOUGHT) / (len(THOUGHT) + len(CODE))
    assert batch.thought_tokens == pytest.approx(batch.generated_tokens * share, abs=n)


@pytest.mark.parametrize("tagged", TAGS)
@pytest.mark.parametrize("n", [1, 4])
def test_a_thought_that_takes_all_the_room_is_followed_by_a_request_for_the_answer(tagged: str, n: int) -> None:
    heard: list[int] = []
    with serve_scripted(Rule((CODE,), thoughts=(LONG,), tagged=tagged)) as server:
        model = OpenAIModel(server.url)
        ask(model)  # shows how it thinks
        request = CompletionRequest(ASK, n=n, max_think_tokens=400, max_answer_tokens=50)
        batch = model.complete(request, CancelToken(), on_completion=lambda index, _: heard.append(index))
    assert sorted(heard) == list(range(n))
    for completion in batch.completions:
        assert completion.answer == CODE
        assert completion.think.startswith(THOUGHT)
        assert completion.think_end in {"length", "closed"}
        assert completion.think_tokens > 300


def test_a_bare_thought_that_was_cut_is_never_taken_for_the_answer() -> None:
    """No tag at all: the prompt opened the block, and the cap came before the end. Nothing else was seen before."""
    with serve_scripted(Rule((CODE,), thoughts=(LONG,), tagged="opened")) as server:
        completion = one(ask(OpenAIModel(server.url)))
    assert completion.answer == CODE
    assert "evil" in completion.think


def test_a_server_that_just_talks_at_length_keeps_its_answer() -> None:
    with serve_scripted(Rule((CODE,), thoughts=("word " * 9000,), tagged="always")) as server:
        completion = one(ask(OpenAIModel(server.url)))
    assert completion.finish == "length"
    assert completion.answer.startswith("word word")
    assert (completion.think, completion.think_tokens, completion.think_end) == ("", 0, "")


def test_stop_strings_hold_for_the_answer_and_not_in_a_thought() -> None:
    with serve_scripted(Rule((CODE + "\nAs you see",), thoughts=(THOUGHT,), tagged="inline")) as server:
        completion = one(ask(OpenAIModel(server.url), answer_prefix="```python\n", stop=("\n```",)))
    assert (completion.answer, completion.finish) == ("```python\nx = 1", "stop")
    assert completion.think == THOUGHT
    assert "stop" not in server.bodies[0]


def test_once_a_server_was_seen_not_to_think_it_stops_by_itself() -> None:
    with serve_scripted(Rule((CODE,))) as server:
        model = OpenAIModel(server.url)
        for _ in range(2):
            assert one(ask(model, stop=("\n```",))).answer == "```python\nx = 1"
    assert ["stop" in body for body in server.bodies] == [False, True]


@pytest.mark.parametrize("wanted", [0, 400])
def test_both_names_of_the_switch_are_set(wanted: int) -> None:
    with serve_scripted(Rule((CODE,))) as server:
        ask(OpenAIModel(server.url), max_think_tokens=wanted)
    on = wanted > 0
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": on, "thinking": on}


def test_a_switched_off_model_answers_at_once_and_one_without_a_switch_gets_room_and_no_grammar() -> None:
    names = {"max_think_tokens": 0, "choices": ("a.py", "b.py")}
    with serve_scripted(Rule(("a.py",), thoughts=(THOUGHT,), tagged="field")) as server:
        completion = one(ask(OpenAIModel(server.url), **names))
    assert (completion.answer, completion.think) == ("a.py", "")
    assert ["grammar" in body for body in server.bodies] == [True]
    with serve_scripted(Rule(("a.py",), thoughts=(LONG[:3000],), tagged="always")) as server:
        model = OpenAIModel(server.url)
        ask(model)
        for _ in range(2):
            assert one(ask(model, **names)).answer == "a.py"
    last = server.bodies[-1]
    assert "grammar" not in last
    assert last["max_tokens"] == 50 + UNASKED_TOKENS


def test_what_a_server_counts_as_thought_is_taken_from_it() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 90, "completion_tokens_details": {"reasoning_tokens": 70}}
    reply = {
        "choices": [{"message": {"content": CODE, "reasoning": "hm"}, "finish_reason": "stop"}],
        "usage": usage,
    }
    model = OpenAIModel("http://localhost/v1", "m")
    model._facts = facts_of({}, {})
    model._post = lambda _body, _cancel: reply  # type: ignore[method-assign]
    batch = ask(model)
    assert (batch.thought_tokens, batch.generated_tokens) == (70, 90)
    assert one(batch).think == "hm"


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("qwen25_coder", ThinkStyle.NEVER),
        ("qwen3", ThinkStyle.SWITCHED),
        ("deepseek_r1_distill_first", ThinkStyle.ALWAYS),
    ],
)
def test_llama_server_shows_its_template(name: str, style: ThinkStyle) -> None:
    assert facts_of({}, {"chat_template": (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")}).thinks is style


def test_a_verdict_of_a_model_without_a_switch_goes_on_from_a_begun_answer() -> None:
    with serve_scripted(Rule((CODE,), yes=0.8, thoughts=("hm",), tagged="always")) as server:
        model = OpenAIModel(server.url)
        asked = [JudgeRequest(ASK)]
        model.judge(asked, CancelToken())
        ask(model, max_think_tokens=0)
        (verdict,) = model.judge(asked, CancelToken())
    assert verdict.probability == pytest.approx(0.8)
    assert [body["messages"][-1]["role"] for body in server.bodies if body.get("logprobs")] == ["user", "assistant"]
