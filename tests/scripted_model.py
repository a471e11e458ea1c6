"""Models that answer from a script: one in process, one as a real OpenAI-compatible server for the front door.

    python tests/scripted_model.py --script FILE.json [--port 0]     prints the port, serves until killed

FILE holds a list of rules, tried in order against the last user message:
`{"match": REGEX, "answers": [TEXT, …], "yes": 0.9, "delay": SECONDS, "fault": KIND, "thoughts": [TEXT, …],
"tagged": HOW}` (all but `answers` optional). Candidate i gets answer i, cyclically, counted from the divergences that
earlier requests have used up. `yes` is P(yes) of verdicts.
Faults: 'hang' (answer never), 'drop' (hang up without a reply), 'garbage' (no JSON), 'status:503' and the like,
'no_logprobs', 'one_choice' (ignore `n`). Thought i goes before answer i where thoughts are wanted: in a field of its
own ('field'), in tags ('inline'), behind a tag that the prompt holds ('opened'), or so and also where none is wanted
('always'). At `max_tokens` a thought is cut, and nothing follows.
"""

import argparse
import contextlib
import json
import math
import re
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from patchwright_engine.control import CancelToken
from patchwright_engine.model.backend import (
    Completion,
    CompletionBatch,
    CompletionRequest,
    DecodeProgress,
    JudgeRequest,
    Message,
    Verdict,
)

Answers = Callable[[CompletionRequest], Sequence[str]]
Yes = Callable[[JudgeRequest], float]
Weigh = Callable[[JudgeRequest], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do with conversations whose last user message matches."""

    answers: tuple[str, ...] = ("ok",)
    match: str = ""
    yes: float = 0.5
    delay: float = 0.0
    fault: str = ""
    thoughts: tuple[str, ...] = ()
    tagged: str = "field"

    def thought(self, candidate: int, *, wanted: bool) -> str:
        return self.thoughts[candidate % len(self.thoughts)] if self.thoughts and (wanted or self.always) else ""

    @property
    def always(self) -> bool:
        return self.tagged == "always"

    def fits(self, messages: Sequence[Message]) -> bool:
        last = next((m.content for m in reversed(messages) if m.role == "user"), "")
        return re.search(self.match, last, re.DOTALL) is not None


@dataclass(frozen=True, slots=True)
class Script:
    """Rules in order; a conversation no rule fits is answered with nothing that helps."""

    rules: tuple[Rule, ...]

    def rule(self, messages: Sequence[Message]) -> Rule:
        return next((rule for rule in self.rules if rule.fits(messages)), Rule(("I do not know.",)))

    def answers(self, request: CompletionRequest) -> Sequence[str]:
        return self.rule(request.messages).answers

    def yes(self, request: JudgeRequest) -> float:
        return self.rule(request.messages).yes

    def thought(self, request: CompletionRequest, candidate: int) -> str:
        return self.rule(request.messages).thought(candidate, wanted=request.max_think_tokens > 0)

    @staticmethod
    def load(path: Path) -> "Script":
        return Script(
            tuple(
                Rule(**{**rule, "answers": tuple(rule["answers"]), "thoughts": tuple(rule.get("thoughts", ()))})
                for rule in json.loads(path.read_text())
            )
        )


@dataclass
class ScriptedModel:
    """A `LanguageModel` in process. `requests` and `judged` keep what it was asked, in order. Without `weights` it
    cannot weigh answers, as servers cannot."""

    answers: Answers
    yes: Yes = lambda _request: 0.5
    weights: Weigh = lambda _request: ()
    name: str = "scripted"
    context_tokens: int = 8192
    cpu_threads: int = 0
    seconds: float = 0.0
    """How long each call takes; a cancel cuts it short."""
    gave_up: tuple[str, ...] = ()
    """What a model host found no memory for."""
    thought: Callable[[CompletionRequest, int], str] = lambda _request, _candidate: ""
    requests: list[CompletionRequest] = field(default_factory=list)
    judged: list[JudgeRequest] = field(default_factory=list)

    @staticmethod
    def of(*rules: Rule) -> "ScriptedModel":
        script = Script(rules)
        return ScriptedModel(script.answers, script.yes, thought=script.thought)

    def count_tokens(self, text: str) -> int:
        return math.ceil(len(text.encode("utf-8", "surrogateescape")) / 3)

    def complete(
        self,
        request: CompletionRequest,
        cancel: CancelToken,
        *,
        on_progress: Callable[[DecodeProgress], None] | None = None,
        on_completion: Callable[[int, Completion], None] | None = None,
    ) -> CompletionBatch:
        cancel.check()
        self.requests.append(request)
        cancel.wait(self.seconds)
        cancel.check()
        texts = list(self.answers(request))
        prompt = sum(self.count_tokens(message.content) for message in request.messages)
        done = []
        for index in range(request.n):
            text = texts[(request.skip_divergences + index) % len(texts)]
            if not text.startswith(request.answer_prefix):
                text = request.answer_prefix + text
            think = self.thought(request, index)
            thought = min(self.count_tokens(think), request.max_think_tokens)
            tokens = self.count_tokens(text) + thought
            end = "" if not think else "length" if self.count_tokens(think) > thought else "closed"
            done.append(Completion(text, think[: 3 * thought], tokens, think_tokens=thought, think_end=end))
            if on_completion:
                on_completion(index, done[-1])
        generated = sum(one.tokens for one in done)
        if on_progress:
            on_progress(DecodeProgress(prompt, prompt, generated, 100.0))
        return CompletionBatch(tuple(done), prompt, 0, generated, self.seconds)

    def judge(self, requests: Sequence[JudgeRequest], cancel: CancelToken) -> tuple[Verdict, ...]:
        cancel.check()
        self.judged += requests
        return tuple(
            Verdict(
                None if one.answers else self.yes(one),
                sum(self.count_tokens(m.content) for m in one.messages),
                weights=tuple(self.weights(one)) if one.answers else (),
            )
            for one in requests
        )

    def close(self) -> None:
        pass


class ScriptedServer(ThreadingHTTPServer):
    """Speaks the chat completions API from a script. `bodies` keeps what it was asked; `hang_ups` counts clients
    that left before their answer."""

    daemon_threads = True

    def __init__(self, script: Script, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.hang_ups = 0
        self.closing = threading.Event()
        self._given: dict[str, int] = {}
        self._seeds: dict[str, int] = {}
        self._turn = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def first_candidate(self, conversation: str, wanted: int, *, greedy: bool) -> int:
        """Which candidate a request begins with: one at temperature 0 begins again, others go on."""
        with self._turn:
            first = 0 if greedy else self._given.get(conversation, 0)
            self._given[conversation] = first + wanted
            return first

    def candidate_of_seed(self, conversation: str, seed: int) -> int:
        """Which candidate a request for one is for, when several are under way: told by its seed."""
        with self._turn:
            return seed - self._seeds.setdefault(conversation, seed)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        self.server.headers.append(dict(self.headers))
        messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
        rule = self.server.script.rule(messages)
        forever = rule.fault == "hang"
        if (rule.delay or forever) and not self._wait(math.inf if forever else rule.delay):
            return
        if rule.fault == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif rule.fault == "garbage":
            self._reply(200, b"<html>no json</html>")
        elif rule.fault.startswith("status:"):
            self._reply(int(rule.fault.partition(":")[2]), b'{"error": "scripted"}')
        elif body.get("logprobs"):
            self._send(self._verdict(rule))
        else:
            self._send(self._answer(rule, body, messages))

    def _answer(self, rule: Rule, body: dict[str, Any], messages: tuple[Message, ...]) -> dict[str, Any]:
        prefix = messages[-1].content if messages[-1].role == "assistant" else ""
        conversation = json.dumps(body["messages"])
        greedy = body.get("temperature") == 0
        if rule.fault == "one_choice":
            wanted, first = 1, self.server.candidate_of_seed(conversation, int(body.get("seed", 0)))
        else:
            wanted = int(body.get("n", 1))
            first = self.server.first_candidate(conversation, wanted, greedy=greedy)
        texts = [rule.answers[(first + i) % len(rule.answers)].removeprefix(prefix) for i in range(wanted)]
        on = body.get("chat_template_kwargs", {}).get("enable_thinking", True)
        thoughts = [rule.thought(first + i, wanted=on and not prefix) for i in range(wanted)]
        cap = 3 * int(body["max_tokens"])
        choices = [
            {"index": i, **_message(thought, text, rule.tagged, cap)}
            for i, (thought, text) in enumerate(zip(thoughts, texts, strict=True))
        ]
        usage = {
            "prompt_tokens": sum(len(m.content) for m in messages) // 3,
            "completion_tokens": sum(len(text) for text in [*texts, *thoughts]) // 3,
        }
        return {"object": "chat.completion", "model": "scripted", "choices": choices, "usage": usage}

    def _verdict(self, rule: Rule) -> dict[str, Any]:
        words = (("Yes", rule.yes), ("No", 1 - rule.yes))
        top = [{"token": word, "logprob": math.log(p)} for word, p in words if p > 0]
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": "length",
            "message": {"role": "assistant", "content": "Yes"},
        }
        if rule.fault != "no_logprobs":
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 1}}

    def _wait(self, seconds: float) -> bool:
        """Sleep; False when the client left or the server closes meanwhile."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.server.closing.is_set():
            readable, _, _ = select.select([self.connection], [], [], min(0.02, max(0.0, deadline - time.monotonic())))
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                self.server.hang_ups += 1
                self.close_connection = True
                return False
        return not self.server.closing.is_set()

    def _send(self, reply: dict[str, Any]) -> None:
        self._reply(200, json.dumps(reply).encode())

    def _reply(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _message(thought: str, text: str, tagged: str, cap: int) -> dict[str, Any]:
    """A choice as servers with and without a reasoning parser send it, cut after `cap` characters of a thought."""
    message = {"role": "assistant", "content": text}
    cut = len(thought) >= cap
    thought = thought[:cap]
    if thought and tagged == "field":
        message |= {"content": "" if cut else text, "reasoning_content": thought}
    elif thought:
        opened = "" if tagged in {"opened", "always"} else "<think>\n"
        message["content"] = opened + thought + ("" if cut else f"\n</think>\n\n{text}")
    return {"finish_reason": "length" if cut else "stop", "message": message}


@contextlib.contextmanager
def serve_scripted(*rules: Rule) -> Iterator[ScriptedServer]:
    """A scripted server on a free port of 127.0.0.1; `server.url` is what `--model` takes."""
    with ScriptedServer(Script(rules)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a scripted model.")
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    with ScriptedServer(Script.load(args.script), args.port) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
