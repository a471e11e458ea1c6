"""An OpenAI-compatible server as the model, over real HTTP on loopback."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled, ModelHostLost, ModelUnavailable
from patchwright_engine.model.backend import Completion, CompletionRequest, JudgeRequest, Message
from patchwright_engine.model.openai import OpenAIModel
from patchwright_engine.model.openai_values import Usage, completion_of
from patchwright_engine.model.parameters import default_threads
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


def test_a_server_on_this_machine_may_use_all_of_its_processor_and_another_uses_none() -> None:
    assert OpenAIModel("http://localhost:8080/v1").cpu_threads == default_threads()
    assert OpenAIModel("http://192.0.2.7:8080/v1").cpu_threads == 0


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


Reply = tuple[int, dict[str, Any]]


class Programmed(ThreadingHTTPServer):
    """Answers by a function of (path, body); `asked` keeps the pairs in order of arrival."""

    daemon_threads = True

    def __init__(self, answer: Callable[[str, dict[str, Any]], Reply], headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _ProgrammedHandler)
        self.answer = answer
        self.headers = headers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def completions(self) -> list[dict[str, Any]]:
        return [body for path, body in self.asked if path.endswith("/chat/completions")]


class _ProgrammedHandler(BaseHTTPRequestHandler):
    server: Programmed

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        self.server.asked.append((self.path, body))
        status, reply = self.server.answer(self.path, body)
        data = json.dumps(reply).encode()
        self.send_response(status)
        for name, value in {**self.server.headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        self.do_GET()


@contextlib.contextmanager
def programmed(
    answer: Callable[[str, dict[str, Any]], Reply], headers: dict[str, str] | None = None
) -> Iterator[Programmed]:
    with Programmed(answer, headers or {}) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def by_seed(body: dict[str, Any]) -> Reply:
    """Choices that tell the seed they were sampled with, as llama-server gives each child its own."""
    choices = [{"index": i, "message": {"content": f"seed {body['seed'] + i}"}} for i in range(body["n"])]
    return 200, {"choices": choices, "usage": {"prompt_tokens": 30, "completion_tokens": 5 * body["n"]}}


def llama_server(path: str, body: dict[str, Any]) -> Reply:
    """What a llama-server with four slots replies."""
    if path == "/props":
        return 200, {"total_slots": 4}
    if path == "/v1/models":
        return 200, {"data": [{"id": "m.gguf", "meta": {"n_ctx": 6000}}]}
    if body["n"] > 4:
        return 400, {"error": {"message": "n_cmpl must be at most 4"}}
    return by_seed(body)


def test_no_more_answers_are_asked_for_at_once_than_a_llama_server_has_slots() -> None:
    with programmed(llama_server) as server:
        got = answers(OpenAIModel(f"{server.root}/v1"), n=8, seed=10)
    assert got == [f"seed {10 + i}" for i in range(8)]
    asked = sorted((body["seed"], body["n"], body["temperature"]) for body in server.completions())
    assert asked == [(10, 1, 0.0), (11, 3, 0.8), (14, 3, 0.8), (17, 1, 0.8)]


def test_a_server_that_refuses_n_is_asked_one_by_one_from_then_on() -> None:
    def one_only(path: str, body: dict[str, Any]) -> Reply:
        if path != "/v1/chat/completions":
            return 404, {"error": "no such thing"}
        return by_seed(body) if body["n"] == 1 else (400, {"error": {"message": "n must be 1"}})

    with programmed(one_only) as server:
        model = OpenAIModel(f"{server.root}/v1", "m")
        assert answers(model, n=3) == ["seed 0", "seed 1", "seed 2"]
        refused = len([body for body in server.completions() if body["n"] > 1])
        assert answers(model, n=3, seed=5) == ["seed 5", "seed 6", "seed 7"]
    assert refused > 0
    assert len([body for body in server.completions() if body["n"] > 1]) == refused


def test_a_server_that_refuses_fields_of_other_servers_is_sent_none_from_then_on() -> None:
    def strict(path: str, body: dict[str, Any]) -> Reply:
        if set(body) - {"model", "messages", "n", "max_tokens", "temperature", "top_p", "seed", "stop"}:
            return 422, {"detail": "extra fields"}
        return by_seed(body) if body else (200, {"data": [{"id": "m"}]})

    with programmed(strict) as server:
        model = OpenAIModel(f"{server.root}/v1")
        asked = {"choices": ("a.py", "b.py")}
        assert answers(model, **asked) == ["seed 0"]
        assert answers(model, **asked) == ["seed 0"]
    assert ["grammar" in body for body in server.completions()] == [True, False, False]


@pytest.mark.parametrize(
    ("template", "bound"), [("{{ content }}", True), ("{{ content }}<think>", False), (None, False)]
)
def test_a_grammar_never_forbids_thoughts(template: str | None, bound: bool) -> None:
    def reply(path: str, body: dict[str, Any]) -> Reply:
        return (200, {"chat_template": template}) if path == "/props" else llama_server(path, body)

    with programmed(reply) as server:
        answers(OpenAIModel(f"{server.root}/v1"), choices=("a.py",), max_think_tokens=100)
    assert ["grammar" in body for body in server.completions()] == [bound]


def test_a_request_that_is_too_long_is_sent_once_and_told_with_a_cure() -> None:
    def full(path: str, body: dict[str, Any]) -> Reply:
        if not body:
            return 200, {"data": [{"id": "m"}]}
        said = "request (900 tokens) exceeds the available context size (512 tokens)"
        return 400, {"error": {"code": 400, "message": said, "type": "exceed_context_size_error"}}

    with programmed(full) as server, pytest.raises(BadInput, match=r"900 tokens") as error:
        OpenAIModel(f"{server.root}/v1").complete(CompletionRequest(ASK, first_greedy=False, n=4), CancelToken())
    assert "longer context" in error.value.cure
    assert "{" not in error.value.message
    assert len(server.completions()) == 1


def test_a_redirect_is_not_followed() -> None:
    with programmed(lambda path, body: (200, {"data": [{"id": "thief"}]})) as elsewhere:
        away = {"Location": f"{elsewhere.root}/v1/models"}
        for status in (301, 302, 307, 308):
            with (
                programmed(lambda path, body, status=status: (status, {}), away) as server,
                pytest.raises(ModelUnavailable, match="redirects") as error,
            ):
                OpenAIModel(f"{server.root}/v1", "m").complete(CompletionRequest(ASK), CancelToken())
            assert elsewhere.root in error.value.message
    assert elsewhere.asked == []


def test_a_server_that_loads_its_model_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchwright_engine.model.openai.RESEND_SECONDS", 0.01)
    tries: list[str] = []

    def loading(path: str, body: dict[str, Any]) -> Reply:
        tries.append(path)
        if len(tries) < 6:
            return 503, {"error": {"message": "Loading model", "code": 503}}
        return llama_server(path, body)

    with programmed(loading) as server:
        model = OpenAIModel(f"{server.root}/v1")
        model.connect(CancelToken())
        assert (model.name, model.context_tokens) == ("m.gguf", 6000)
        assert tries == ["/v1/models"] * 6 + ["/props"]


def test_answers_are_told_on_the_callers_thread() -> None:
    threads: set[int] = set()
    with programmed(llama_server) as server:
        OpenAIModel(f"{server.root}/v1").complete(
            CompletionRequest(ASK, n=6), CancelToken(), on_completion=lambda *_: threads.add(threading.get_ident())
        )
    assert threads == {threading.get_ident()}


def test_the_tokens_of_all_answers_count_although_llama_server_tells_those_of_the_first() -> None:
    usage = Usage()
    choices = [{"message": {"content": text}} for text in ("x" * 10, "x" * 30)]
    usage.add({"choices": choices, "usage": {"completion_tokens": 4}, "timings": {"predicted_n": 4}})
    assert usage.generated == 16
