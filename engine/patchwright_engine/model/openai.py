"""`OpenAIModel`: the `LanguageModel` behind an OpenAI-compatible server the user runs (llama-server, vLLM, Ollama).

Invariant: only the configured URL is contacted, redirects are not followed, and a proxy is never used for loopback.
A cancel closes the connection, so the server sees a hang-up; a caller waits at most `POLL_SECONDS` for that.
The key comes from `PATCHWRIGHT_API_KEY` alone and is never written anywhere.
"""

import contextlib
import functools
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, ModelHostLost, ModelUnavailable
from patchwright_engine.model.backend import (
    Completion,
    CompletionBatch,
    CompletionRequest,
    DecodeProgress,
    JudgeRequest,
    Verdict,
)
from patchwright_engine.model.openai_http import Server, exchange
from patchwright_engine.model.openai_values import (
    Usage,
    choices_of,
    completion_body,
    completion_of,
    judge_body,
    p_yes,
    with_tokens,
)

BYTES_PER_TOKEN = 2.5
"""Code has three to four bytes a token; fewer makes the count an upper estimate."""
MAX_JUDGES = 8
"""Verdicts asked for at once; the server batches them."""
RESENDS = 2
RESEND_SECONDS = 0.5


class OpenAIModel:
    """One model of one server. Thread-safe."""

    def __init__(self, url: str, model: str | None = None, *, context_tokens: int = 16384) -> None:
        """`url` is the API's base, e.g. 'http://127.0.0.1:8080/v1'; without `model` the server's first is taken.

        `context_tokens` is what prompts are budgeted for; the server decides what it takes.

        Raises:
            BadInput: the URL is not http or https.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadInput(f"'{url}' is no URL of a model server", "Give one like http://127.0.0.1:8080/v1.")
        self._server = Server(url.rstrip("/"), os.environ.get("PATCHWRIGHT_API_KEY"))
        self._model = model
        self._context_tokens = context_tokens
        self._strict = False

    @property
    def name(self) -> str:
        return self._model or self._server.url

    @property
    def context_tokens(self) -> int:
        return self._context_tokens

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
        done: list[Completion] = []
        usage = Usage()
        while len(done) < request.n:
            greedy = request.first_greedy and not done
            wanted = 1 if greedy else request.n - len(done)
            reply = self._post(completion_body(request, len(done), wanted, greedy=greedy), cancel)
            choices = choices_of(reply)
            if not choices:
                raise ModelUnavailable("the model server answered without a choice", "Check the server and its model.")
            usage.add(reply, first=not done)
            for choice in choices[:wanted]:
                done.append(completion_of(choice, request.answer_prefix))
                if on_completion:
                    on_completion(len(done) - 1, done[-1])
            if on_progress:
                spent = max(time.monotonic() - started, 1e-3)
                on_progress(DecodeProgress(usage.prompt, usage.prompt, usage.generated, usage.generated / spent))
        done = with_tokens(done, usage.generated)
        return CompletionBatch(tuple(done), usage.prompt, usage.cached, usage.generated, time.monotonic() - started)

    def judge(self, requests: Sequence[JudgeRequest], cancel: CancelToken) -> tuple[Verdict, ...]:
        """As `backend.LanguageModel.judge`; probability None when the server gives no log-probabilities."""
        inner = CancelToken(cancel.deadline)
        with _linked(cancel, inner):
            return tuple(_in_parallel([functools.partial(self._judge, one, inner) for one in requests], inner))

    def close(self) -> None:
        """Nothing is kept open between requests."""

    def _judge(self, request: JudgeRequest, cancel: CancelToken) -> Verdict:
        reply = self._post(judge_body(request), cancel)
        usage = Usage()
        usage.add(reply, first=True)
        choices = choices_of(reply)
        return Verdict(p_yes(choices[0] if choices else {}, request.yes, request.no), usage.prompt, usage.cached)

    def _post(self, body: dict[str, Any], cancel: CancelToken) -> dict[str, Any]:
        """Ask for a completion; a server that fails or hangs up is asked again."""
        if self._model is None:
            self._model = self._first_model(cancel)
        body = {"model": self._model, **body}
        if self._strict:
            body.pop("chat_template_kwargs", None)
        for attempt in range(RESENDS + 1):
            try:
                return exchange(self._server, "POST", "/chat/completions", body, cancel)
            except BadInput:
                # Servers that check every field refuse this one; llama-server and vLLM know it, others ignore it.
                if body.pop("chat_template_kwargs", None) is None:
                    raise
                self._strict = True
            except ModelHostLost:
                if attempt == RESENDS:
                    raise
                cancel.wait(RESEND_SECONDS)
        return exchange(self._server, "POST", "/chat/completions", body, cancel)

    def _first_model(self, cancel: CancelToken) -> str:
        listed = exchange(self._server, "GET", "/models", None, cancel).get("data")
        try:
            return str(listed[0]["id"])  # type: ignore[index]
        except (TypeError, LookupError):
            return "default"


def _in_parallel(tasks: Sequence[Callable[[], Verdict]], cancel: CancelToken) -> Iterator[Verdict]:
    """Results in order, up to `MAX_JUDGES` at once; the first failure stops the rest."""
    results: dict[int, Verdict] = {}
    errors: list[BaseException] = []
    todo = iter(enumerate(tasks))
    lock = threading.Lock()

    def work() -> None:
        while not errors:
            with lock:
                index, task = next(todo, (None, None))
            if index is None or task is None:
                return
            try:
                results[index] = task()
            except BaseException as error:  # noqa: BLE001 - a worker's edge: handed to the caller
                errors.append(error)
                cancel.cancel("shutdown")

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(MAX_JUDGES, len(tasks)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    for index in range(len(tasks)):
        yield results[index]


@contextlib.contextmanager
def _linked(outer: CancelToken, inner: CancelToken) -> Iterator[None]:
    forget = outer.on_cancel(inner.cancel)
    try:
        yield
    finally:
        forget()
