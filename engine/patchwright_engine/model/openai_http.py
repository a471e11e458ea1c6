"""HTTP exchanges with a model server that can be left at once.

Invariant: a caller waits at most `POLL_SECONDS` after its cancel, and the connection is closed behind it. Redirects
are not followed, and a proxy from the environment is never used for loopback.
"""

import contextlib
import ipaddress
import json
import queue
import re
import socket
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, ModelHostLost, ModelUnavailable
from patchwright_engine.model.openai_values import error_text

POLL_SECONDS = 0.05
MAX_REPLY_BYTES = 64 << 20
# llama-server: "exceeds the available context size"; vLLM and OpenAI: "maximum context length is …".
_TOO_LONG = re.compile(r"context (size|length|window)", re.IGNORECASE)


class PromptTooLong(BadInput):
    """The server's context is too short for the request."""


class StillLoading(ModelHostLost):
    """The server is there, its model is not yet."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask and how to prove who we are."""

    url: str
    """Base of the API, without a trailing slash."""
    key: str | None = None


def exchange(
    server: Server, method: str, path: str, body: dict[str, Any] | None, cancel: CancelToken
) -> dict[str, Any]:
    """One request and its JSON reply.

    Raises:
        Cancelled: the token was cancelled; the connection is closed.
        BadInput: the server refuses the request itself (400, 413, 422); PromptTooLong when it says so.
        ModelUnavailable: nobody answers, access is refused, or the other side speaks another language.
        ModelHostLost: the server failed, is busy or hung up; the request may be sent again. StillLoading: later.
    """
    cancel.check()
    results: queue.SimpleQueue[dict[str, Any] | BaseException] = queue.SimpleQueue()
    line = _Line()
    local = is_loopback(server.url)
    # Loading the certificates takes longer than a whole exchange on loopback.
    encrypted = server.url.startswith("https:")
    headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}

    def work() -> None:
        # Reading has no limit of its own: a long prompt on a slow machine takes minutes, and jobs have deadlines.
        timeout = httpx.Timeout(None, connect=10.0)
        try:
            with httpx.Client(timeout=timeout, trust_env=not local, verify=encrypted, headers=headers) as client:
                stream = client.stream(method, server.url + path, json=body, extensions=line.trace)
                results.put(_reply(server.url, stream))
        except BaseException as error:  # noqa: BLE001 - a worker's edge: handed to the caller
            results.put(error)

    threading.Thread(target=work, daemon=True).start()
    while True:
        try:
            result = results.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if cancel.cancelled:
                line.hang_up()
                cancel.check()
        else:
            break
    if isinstance(result, BaseException):
        raise result
    return result


def _reply(url: str, stream: contextlib.AbstractContextManager[httpx.Response]) -> dict[str, Any]:
    try:
        with stream as response:
            data = bytearray()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_REPLY_BYTES:
                    raise ModelUnavailable("the model server's reply has no end", "Check the server.")
            _check_status(url, response.status_code, bytes(data), response.headers.get("location", ""))
            reply = httpx.Response(200, content=bytes(data)).json()
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise ModelUnavailable(
            f"no model server answers at {url}: {error}", "Start the server, or mend the URL."
        ) from error
    except httpx.HTTPError as error:
        raise ModelHostLost(f"the model server at {url} hung up: {error or type(error).__name__}") from error
    except ValueError as error:
        raise _no_api(url, "its reply is not JSON") from error
    if not isinstance(reply, dict):
        raise _no_api(url, "its reply is no JSON object")
    return reply


def _check_status(url: str, status: int, data: bytes, location: str) -> None:
    if status < 300:
        return
    said = _said(data)
    if status < 400:
        # Whatever stands there, the user has not named it, and their code is in the request.
        raise _no_api(url, f"it redirects to '{location}', which is not followed")
    if status in {401, 403}:
        raise ModelUnavailable(
            f"the model server refuses access ({status})", "Put its key into the environment: PATCHWRIGHT_API_KEY."
        )
    if status in {400, 413, 422}:
        if _TOO_LONG.search(said):
            raise PromptTooLong(
                f"the request is too long for the model server ({status}): {said}",
                "Start it with a longer context (llama-server -c, vLLM --max-model-len), or narrow the issue.",
            )
        raise BadInput(f"the model server refuses the request ({status}): {said}", "Check the server and its version.")
    if status == 503 and "loading" in said.lower():
        raise StillLoading(f"the model server at {url} is still loading its model")
    if status >= 500 or status in {408, 429}:
        raise ModelHostLost(f"the model server failed ({status}): {said}")
    raise _no_api(url, f"it answers {status}: {said}")


def _said(data: bytes) -> str:
    """The message in an error reply, or its beginning."""
    text = data.decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError, RecursionError):
        text = error_text(json.loads(text)) or text
    return text[:300]


class _Line:
    """The sockets of one exchange, known through httpx's trace hook, so that another thread can hang up.

    Closing the client would not do: a thread that waits in `recv` keeps the connection open until data comes.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._hung_up = False
        self.trace = {"trace": self._trace}

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            connection = info["return_value"].get_extra_info("socket")
            with self._lock:
                if self._hung_up:
                    raise httpx.ReadError("cancelled")
                self._sockets.append(connection)

    def hang_up(self) -> None:
        """End the exchange now."""
        with self._lock:
            self._hung_up = True
            for connection in self._sockets:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _no_api(url: str, why: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"{url} is no OpenAI-compatible server: {why}", "Give the base URL of its API, usually ending in /v1."
    )


def is_loopback(url: str) -> bool:
    """Whether `url` names this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
