"""`OpenAIModel`: the `LanguageModel` behind an OpenAI-compatible server the user runs (llama-server, vLLM, Ollama).

Invariant: only the configured URL is contacted, redirects are not followed, and a proxy is never used for loopback.
A cancel closes the connection, so the server sees a hang-up; a caller waits at most `POLL_SECONDS` for that.
The key comes from `PATCHWRIGHT_API_KEY` alone and is never written anywhere.
"""

import dataclasses
import functools
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled, ModelHostLost, ModelUnavailable
from patchwright_engine.model.backend import (
    Completion,
    CompletionBatch,
    CompletionRequest,
    DecodeProgress,
    JudgeRequest,
    Verdict,
)
from patchwright_engine.model.openai_habits import Habits, unanswered
from patchwright_engine.model.openai_http import PromptTooLong, Server, StillLoading, exchange, is_loopback
from patchwright_engine.model.openai_values import (
    Facts,
    Usage,
    begin_answer,
    choices_of,
    completion_body,
    facts_of,
    judge_body,
    p_yes,
    plain_body,
    with_tokens,
    without_beginning,
)
from patchwright_engine.model.parameters import default_threads
from patchwright_engine.model.thinking import ThinkStyle

BYTES_PER_TOKEN = 2.5
"""Code has three to four bytes a token; fewer makes the count an upper estimate."""
MAX_PARALLEL = 8
"""Requests under way at once; the server batches them."""
DECODE_COST = 8
"""A token costs at least this much more time decoded alone than as part of a prompt (CPU 8, GPU 30 and more)."""
UNASKED_TOKENS = 2048
"""For the thoughts of a model that was asked for none and has no switch: its answer comes after them or not at all."""
RESENDS = 2
RESEND_SECONDS = 0.5
LOADING_SECONDS = 300.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Part:
    """Candidates asked for in one request: `count` from `first` on."""

    first: int
    count: int
    greedy: bool = False


class OpenAIModel:
    """One model of one server. Thread-safe."""

    def __init__(self, url: str, model: str | None = None, *, context_tokens: int = 16384) -> None:
        """`url` is the API's base, e.g. 'http://127.0.0.1:8080/v1'; without `model` the server's first is taken.

        `context_tokens` is what prompts are budgeted for, less where the server says that it takes less.

        Raises:
            BadInput: the URL is not http or https.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadInput(f"'{url}' is no URL of a model server", "Give one like http://127.0.0.1:8080/v1.")
        self._server = Server(url.rstrip("/"), os.environ.get("PATCHWRIGHT_API_KEY"))
        self._model = model
        self._context_tokens = context_tokens
        self._facts: Facts | None = None
        self._plain = False
        self._one_by_one = False
        self._habits = Habits()

    @property
    def name(self) -> str:
        return self._model or self._server.url

    @property
    def identity(self) -> str:
        """What the server calls its model, which is all it tells; '' before it was asked, or did not answer."""
        return f"served:{self.name}" if self._facts else ""

    @property
    def context_tokens(self) -> int:
        said = self._facts.context_tokens if self._facts else None
        return min(self._context_tokens, said or self._context_tokens)

    @property
    def cpu_threads(self) -> int:
        """None of another machine's server; of one on this machine all, since it does not tell what it computes on."""
        return default_threads() if is_loopback(self._server.url) else 0

    def connect(self, cancel: CancelToken) -> None:
        """Ask the server what it is, waiting while it loads its model; later calls do nothing.

        Raises:
            Cancelled: meanwhile.
            ModelUnavailable: nobody answers, or it is no such server.
        """
        self._known(cancel)

    def count_tokens(self, text: str) -> int:
        """An upper estimate for code and English; the server's tokenizer is out of reach."""
        return math.ceil(len(text.encode("utf-8", "surrogateescape")) / BYTES_PER_TOKEN)

    def complete(
        self,
        request: CompletionRequest,
        cancel: CancelToken,
        *,
        on_progress: Callable[[DecodeProgress], None] | None = None,
        on_completion: Callable[[int, Completion], None] | None = None,
    ) -> CompletionBatch:
        """As `backend.LanguageModel.complete`. `on_completion` is called as the server's replies come.

        Also raises ModelUnavailable when the server cannot be used. A server that ignores `n` is asked again.
        """
        started = time.monotonic()
        facts = self._known(cancel)
        if facts.straight:
            request = dataclasses.replace(request, max_think_tokens=0)
        done: dict[int, Completion] = {}
        usage = Usage()
        while len(done) < request.n:
            parts = self._parts(request, [index for index in range(request.n) if index not in done], facts)
            tasks = [functools.partial(self._ask, request, part, 0) for part in parts]
            # A prompt nobody has computed yet is better computed once than by every request for itself.
            warm = bool(done) or (facts.batches and self._decoding_dominates(request))
            for number, reply in in_parallel(tasks, cancel, MAX_PARALLEL if warm else 1):
                part, choices = parts[number], choices_of(reply)
                usage.add(reply)
                for index, choice in enumerate(choices[: part.count], start=part.first):
                    done[index] = self._habits.read(choice, request)
                    if on_completion and not unanswered(done[index]):
                        on_completion(index, done[index])
                if len(choices) < part.count:
                    self._one_by_one = True
                if on_progress:
                    spent = max(time.monotonic() - started, 1e-3)
                    on_progress(DecodeProgress(usage.prompt, usage.prompt, usage.generated, usage.generated / spent))
        self._finish_thoughts(request, done, usage, cancel, on_completion)
        completions = with_tokens([done[index] for index in range(request.n)], usage.generated, usage.thought)
        seconds = time.monotonic() - started
        return CompletionBatch(tuple(completions), usage.prompt, usage.cached, usage.generated, seconds)

    def judge(self, requests: Sequence[JudgeRequest], cancel: CancelToken) -> tuple[Verdict, ...]:
        """As `backend.LanguageModel.judge`; probability None when the server gives no log-probabilities, and never
        weights: the API tells the probabilities of what a server says, not of a given text."""
        tasks = [functools.partial(self._judge, one) for one in requests]
        # llama-server keeps a prompt for each slot: verdicts one after another each find the slot that holds most of
        # theirs, while eight at once would compute what they share eight times.
        workers = 1 if self._known(cancel).slots else MAX_PARALLEL
        verdicts = dict(in_parallel(tasks, cancel, workers))
        return tuple(verdicts[index] for index in range(len(requests)))

    def close(self) -> None:
        """Nothing is kept open between requests."""

    def _known(self, cancel: CancelToken) -> Facts:
        if self._facts is None:
            models: dict[str, Any] = {}
            try:
                models = self._send("GET", "/models", None, cancel)
            except ModelUnavailable:
                if self._model is None:
                    raise
            props: dict[str, Any] = {}
            root = self._server.url.removesuffix("/v1")
            if root != self._server.url:
                try:
                    props = exchange(Server(root, self._server.key), "GET", "/props", None, cancel)
                except Cancelled:
                    raise
                except (BadInput, ModelHostLost, ModelUnavailable):
                    pass  # only llama-server has it
            self._facts = facts_of(models, props)
            self._model = self._model or self._facts.model
        return self._facts

    def _parts(self, request: CompletionRequest, missing: Sequence[int], facts: Facts) -> list[_Part]:
        """Which candidates are asked for together: temperature is one for a request, and slots bound `n`."""
        most = 1 if self._one_by_one else (facts.slots or request.n)
        if request.first_greedy and request.n > 1 and most > 1 and facts.slots:
            most -= 1
        parts: list[_Part] = []
        for index in missing:
            last = parts[-1] if parts else None
            if request.first_greedy and index == 0:
                parts.append(_Part(0, 1, greedy=True))
            elif last and not last.greedy and last.count < most and last.first + last.count == index:
                parts[-1] = _Part(last.first, last.count + 1)
            else:
                parts.append(_Part(index, 1))
        return parts

    def _finish_thoughts(
        self,
        request: CompletionRequest,
        done: dict[int, Completion],
        usage: Usage,
        cancel: CancelToken,
        on_completion: Callable[[int, Completion], None] | None,
    ) -> None:
        """Ask for the answers that thoughts have left no room for, now without any; once more where that is no use."""
        short = dataclasses.replace(request, max_think_tokens=0)
        late = [index for index in range(request.n) if unanswered(done[index])]
        talk: dict[int, str] = {}
        suspect = not self._known(cancel).slots  # llama-server does go on from an answer that is begun, or switches
        for room in (0, UNASKED_TOKENS):
            lacking = [index for index in late if unanswered(done[index])]
            parts = [_Part(index, 1, greedy=request.first_greedy and index == 0) for index in lacking]
            tasks = [functools.partial(self._ask, short, part, room) for part in parts]
            for number, reply in in_parallel(tasks, cancel, MAX_PARALLEL):
                usage.add(reply)
                index = lacking[number]
                again = self._habits.read(choices_of(reply)[0], short, suspect=suspect)
                talk.setdefault(index, request.answer_prefix + again.think)
                think = "\n".join(filter(None, (done[index].think, again.think)))
                done[index] = dataclasses.replace(again, think=think, think_end=done[index].think_end)
        for index in late:
            if unanswered(done[index]) and not self._habits.thinks:
                # No tag was ever seen: it just talks, and this is its answer as far as it came.
                done[index] = dataclasses.replace(done[index], answer=talk[index], think="", think_end="")
            if on_completion:
                on_completion(index, done[index])

    def _decoding_dominates(self, request: CompletionRequest) -> bool:
        prompt = sum(self.count_tokens(message.content) for message in request.messages)
        return prompt <= DECODE_COST * (request.max_answer_tokens + request.max_think_tokens)

    def _ask(self, request: CompletionRequest, part: _Part, room: int, cancel: CancelToken) -> dict[str, Any]:
        """The reply for `part`, with `room` for thoughts nobody asked for.

        One with fewer choices, even none, when the server will not give that many at once. Raises as `complete`.
        """
        facts = self._known(cancel)
        unasked = UNASKED_TOKENS if self._habits.unasked else room
        straight = facts.straight or (self._habits.thinks is False and not request.choices)
        body = completion_body(request, part.first, part.count, greedy=part.greedy, straight=straight, unasked=unasked)
        # An answer that is begun for it keeps a model without a switch from thinking, where the server goes on from it.
        begun = facts.thinks is ThinkStyle.ALWAYS and not (request.max_think_tokens or unasked or request.answer_prefix)
        if begun:
            body = begin_answer(body)
        if facts.slots and request.max_think_tokens:
            body["thinking_budget_tokens"] = request.max_think_tokens  # llama-server closes a thought there itself
        try:
            reply = self._post(body, cancel)
        except PromptTooLong:
            raise
        except BadInput:
            if part.count == 1:
                raise
            return {}
        reply = without_beginning(reply) if begun else reply
        if not choices_of(reply):
            raise ModelUnavailable("the model server answered without a choice", "Check the server and its model.")
        return reply

    def _judge(self, request: JudgeRequest, cancel: CancelToken) -> Verdict:
        if request.answers:
            return Verdict(None)
        thinks = self._habits.unasked or self._known(cancel).thinks is ThinkStyle.ALWAYS
        reply = self._post(judge_body(request, thinks=thinks), cancel)
        usage = Usage()
        usage.add(reply)
        choices = choices_of(reply)
        return Verdict(p_yes(choices[0] if choices else {}, request.yes, request.no), usage.prompt, usage.cached)

    def _post(self, body: dict[str, Any], cancel: CancelToken) -> dict[str, Any]:
        """Ask for a completion; servers that check every field get none that is not OpenAI's."""
        body = {"model": self._model, **body}
        plain = plain_body(body)
        if self._plain:
            return self._send("POST", "/chat/completions", plain, cancel)
        try:
            return self._send("POST", "/chat/completions", body, cancel)
        except PromptTooLong:
            raise
        except BadInput:
            if plain == body:
                raise
            reply = self._send("POST", "/chat/completions", plain, cancel)
            self._plain = True
            return reply

    def _send(self, method: str, path: str, body: dict[str, Any] | None, cancel: CancelToken) -> dict[str, Any]:
        """One exchange; a server that fails or hangs up is asked again, one that loads its model is waited for."""
        failures, patience = 0, time.monotonic() + LOADING_SECONDS
        while True:
            try:
                return exchange(self._server, method, path, body, cancel)
            except StillLoading:
                if time.monotonic() > patience:
                    raise
            except ModelHostLost:
                failures += 1
                if failures > RESENDS:
                    raise
            cancel.wait(RESEND_SECONDS)


def in_parallel(
    tasks: Sequence[Callable[[CancelToken], Result]], cancel: CancelToken, workers: int
) -> Iterator[tuple[int, Result]]:
    """(index, result) as each task ends, on the caller's thread; the first failure stops the rest and is raised.

    Every task gets a token of its own and must raise soon after its cancel.
    """
    inner = CancelToken(cancel.deadline)
    forget = cancel.on_cancel(inner.cancel)
    ended: queue.SimpleQueue[tuple[int, Result] | BaseException] = queue.SimpleQueue()
    todo = iter(enumerate(tasks))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                index, task = next(todo, (0, None))
            if task is None:
                return
            try:
                ended.put((index, task(inner)))
            except BaseException as error:  # noqa: BLE001 - a worker's edge: handed to the caller
                ended.put(error)
                return

    try:
        for _ in range(min(workers, len(tasks))):
            threading.Thread(target=work, daemon=True).start()
        for _ in tasks:
            result = ended.get()
            if isinstance(result, BaseException):
                cancel.check()
                raise result
            yield result
    finally:
        forget()
        inner.cancel("shutdown")
