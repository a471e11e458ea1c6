"""An OpenAI-compatible server as the model, over real HTTP on loopback."""

import socket
import threading
import time

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled, ModelHostLost, ModelUnavailable
from patchwright_engine.model.backend import Completion, CompletionRequest, JudgeRequest, Message
from patchwright_engine.model.openai import OpenAIModel
from patchwright_engine.model.openai_values import completion_of
from scripted_model import Rule, serve_scripted

ASK = (Message("system", "be brief"), Message("user", "fix it"))


def answers(model: OpenAIModel, **fields: object) -> list[str]:
    request = CompletionRequest(ASK, **fields)  # type: ignore[arg-type]
    return [one.answer for one in model.complete(request, CancelToken()).completions]


def test_candidates_come_in_order_the_first_one_greedy() -> None:
    with serve_scripted(Rule(("a", "b", "c"))) as server:
        assert answers(OpenAIModel(server.url), n=3, seed=7) == ["a", "b", "c"]
    assert [(b["n"], b["temperature"], b["seed"]) for b in server.bodies] == [(1, 0.0, 7), (2, 0.8, 8)]
    assert {b["model"] for b in server.bodies} == {"scripted"}


def test_a_server_that_ignores_n_is_asked_again() -> None:
    with serve_scripted(Rule(("a", "b", "c"), fault="one_choice")) as server:
        seen: list[tuple[int, str]] = []
        batch = OpenAIModel(server.url).complete(
            CompletionRequest(ASK, n=3), CancelToken(), on_completion=lambda i, c: seen.append((i, c.answer))
        )
    assert [one.answer for one in batch.completions] == ["a", "b", "c"]
    assert seen == [(0, "a"), (1, "b"), (2, "c")]


@pytest.mark.parametrize("said", ["x = 1\n```", "```python\nx = 1\n```", "Sure:\n```python\nx = 1\n```"])
def test_the_answer_begins_with_the_prefix_once_however_the_server_takes_it(said: str) -> None:
    choice = {"message": {"content": said}}
    assert completion_of(choice, "```python\n").answer == "```python\nx = 1\n```"


def test_the_prefix_is_sent_as_the_last_assistant_message() -> None:
    with serve_scripted(Rule(("```python\nx\n```",))) as server:
        assert answers(OpenAIModel(server.url), answer_prefix="```python\n") == ["```python\nx\n```"]
    assert server.bodies[0]["messages"][-1] == {"role": "assistant", "content": "```python\n"}


@pytest.mark.parametrize(
    ("message", "think", "answer"),
    [
        ({"content": "<think>\nwhy\n</think>\n\nyes"}, "why", "yes"),
        ({"content": "yes", "reasoning_content": "why"}, "why", "yes"),
        ({"content": "<think>cut off"}, "cut off", ""),
        ({"content": None}, "", ""),
    ],
)
def test_thinking_is_kept_apart_from_the_answer(message: dict[str, str], think: str, answer: str) -> None:
    got = completion_of({"message": message}, "")
    assert (got.think, got.answer) == (think, answer)


def test_a_cut_answer_says_so() -> None:
    assert completion_of({"message": {"content": "x"}, "finish_reason": "length"}, "") == Completion(
        "x", finish="length"
    )


def test_the_verdict_is_the_share_of_yes() -> None:
    with serve_scripted(Rule(match="good", yes=0.9), Rule(match="bad", yes=0.2)) as server:
        requests = [JudgeRequest((Message("user", text),)) for text in ("good", "bad", "good")]
        verdicts = OpenAIModel(server.url).judge(requests, CancelToken())
    assert [v.probability for v in verdicts] == [pytest.approx(0.9), pytest.approx(0.2), pytest.approx(0.9)]


def test_without_log_probabilities_there_is_no_verdict() -> None:
    with serve_scripted(Rule(fault="no_logprobs")) as server:
        (verdict,) = OpenAIModel(server.url).judge([JudgeRequest(ASK)], CancelToken())
    assert verdict.probability is None


def test_a_cancel_leaves_at_once_and_hangs_up() -> None:
    with serve_scripted(Rule(fault="hang")) as server:
        cancel = CancelToken()
        threading.Timer(0.3, cancel.cancel).start()
        started = time.monotonic()
        with pytest.raises(Cancelled):
            OpenAIModel(server.url).complete(CompletionRequest(ASK), cancel)
        assert time.monotonic() - started < 0.8
        deadline = time.monotonic() + 2
        while not server.hang_ups and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.hang_ups == 1


def test_a_cancelled_judgement_leaves_at_once() -> None:
    with serve_scripted(Rule(fault="hang")) as server:
        cancel = CancelToken(deadline=time.monotonic() + 0.3)
        started = time.monotonic()
        with pytest.raises(Cancelled):
            OpenAIModel(server.url).judge([JudgeRequest(ASK)] * 3, cancel)
        assert time.monotonic() - started < 0.8


def test_a_refused_connection_names_the_url_and_the_cure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(ModelUnavailable, match="no model server answers") as error:
            OpenAIModel(url).complete(CompletionRequest(ASK), CancelToken())
    assert url in error.value.message
    assert error.value.cure


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("garbage", ModelUnavailable, "not JSON"),
        ("status:401", ModelUnavailable, "refuses access"),
        ("status:404", ModelUnavailable, "404"),
        ("status:400", BadInput, "400"),
        ("drop", ModelHostLost, "hung up"),
        ("status:503", ModelHostLost, "503"),
    ],
)
def test_what_goes_wrong_is_named(
    fault: str, kind: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchwright_engine.model.openai.RESEND_SECONDS", 0.01)
    with serve_scripted(Rule(fault=fault)) as server, pytest.raises(kind, match=words):
        OpenAIModel(server.url).complete(CompletionRequest(ASK), CancelToken())


def test_the_key_comes_from_the_environment_and_a_proxy_is_not_used_for_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATCHWRIGHT_API_KEY", "s3cret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with serve_scripted(Rule(("a",))) as server:
        assert answers(OpenAIModel(server.url)) == ["a"]
    assert server.headers[0]["Authorization"] == "Bearer s3cret"


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(BadInput):
        OpenAIModel("file:///etc/passwd")


def test_token_counts_are_estimated_high() -> None:
    code = "def f(x):\n    return [y for y in range(x) if y % 2]\n"
    assert OpenAIModel("http://localhost/v1").count_tokens(code) >= len(code) / 3
