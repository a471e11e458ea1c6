"""What the model host and its clients say to each other: typed messages, length-prefixed JSON, one local socket.

Invariant: a connection carries one request at a time; whatever cannot be read as a known message ends it.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import select
import socket
import struct
import threading
import time
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchwright_engine.config import folders
from patchwright_engine.errors import EnvironmentProblem, ModelUnavailable
from patchwright_engine.model.backend import (
    Completion,
    CompletionBatch,
    CompletionRequest,
    DecodeProgress,
    JudgeRequest,
    Verdict,
)
from patchwright_engine.room import temporary_folder

VERSION = 6
"""Part of the meeting point: a host of an older language is left to idle out, never spoken to."""
MAX_FRAME = 64 << 20
MAX_HELLO = 4096
"""Bytes of a first message; whoever has not shown the token yet may not make the host hold more."""
POLL_SECONDS = 0.05
# Unix socket addresses hold 104 bytes on macOS, 108 on Linux.
MAX_ADDRESS = 100


class WireError(Exception):
    """The other side sent what is no message, or does not take what is sent."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of a client."""

    token: str
    client: str = ""
    """Who shares the model's time as one, over several connections; '' for this connection alone."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """The model is loaded. `n_ctx` is what the host was asked for, `context_tokens` what it found memory for."""

    n_ctx: int
    context_tokens: int
    pid: int
    adapters: tuple[str, ...] = ()
    """`adapters.identity` of each that is loaded."""
    gave_up: tuple[str, ...] = ()
    """What there was no memory for, in words."""
    cpu_threads: int = 0
    """As `backend.LanguageModel.cpu_threads`."""


@dataclass(frozen=True, slots=True)
class Complete:
    request: CompletionRequest


@dataclass(frozen=True, slots=True)
class Judge:
    requests: tuple[JudgeRequest, ...]


@dataclass(frozen=True, slots=True)
class Count:
    text: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the request under way; answered by `Failed` or by its result."""


@dataclass(frozen=True, slots=True)
class Retire:
    """Exit if nobody else is connected."""


@dataclass(frozen=True, slots=True)
class Retired:
    agreed: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """`kind` is 'cancelled', 'bad_input' or 'unavailable'."""

    kind: str
    message: str = ""
    cure: str = ""
    adapters: tuple[str, ...] = ()
    """Of 'unavailable': the adapters that were to be loaded too, as ROLE=PATH."""


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits until the host has served others."""


@dataclass(frozen=True, slots=True)
class Started:
    """The request no longer waits for others: a host that dies from here on died on it."""


@dataclass(frozen=True, slots=True)
class Progressed:
    progress: DecodeProgress


@dataclass(frozen=True, slots=True)
class Ended:
    """One candidate is done."""

    index: int
    completion: Completion


@dataclass(frozen=True, slots=True)
class Completed:
    batch: CompletionBatch


@dataclass(frozen=True, slots=True)
class Judged:
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    tokens: int


Message = (
    Hello
    | Welcome
    | Complete
    | Judge
    | Count
    | Cancel
    | Retire
    | Retired
    | Failed
    | Queued
    | Started
    | Progressed
    | Ended
    | Completed
    | Judged
    | Counted
)


def encode(message: Message) -> bytes:
    """One frame: four bytes of length, then JSON. Lone surrogates (undecodable bytes of files) survive."""
    fields = {"type": type(message).__name__, **dataclasses.asdict(message)}
    data = json.dumps(fields, separators=(",", ":")).encode("ascii")
    return struct.pack(">I", len(data)) + data


def decode(data: bytes) -> Message:
    """The message in a frame's body. Raises WireError."""
    kinds = {kind.__name__: kind for kind in typing.get_args(Message)}
    try:
        fields = json.loads(data)
        return typing.cast(Message, _build(kinds[fields.pop("type")], fields))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(f"not a message: {error!r}") from error


def _build(kind: Any, value: Any) -> Any:
    """`value` from JSON as an instance of the annotated type `kind`; raises TypeError when it is none."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        unknown = set(value) - set(hints)
        if unknown:
            raise TypeError(f"unknown fields {unknown}")
        return kind(**{name: _build(hints[name], item) for name, item in value.items()})  # type: ignore[operator]
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} is no list")
        return tuple(_build(args[0], item) for item in value)
    if origin in {types.UnionType, typing.Union}:
        return None if value is None and type(None) in args else _build(args[0], value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


class Channel:
    """Messages over a connected socket. One thread may receive while others send."""

    limit = MAX_FRAME
    """Bytes of the largest message that is received."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._buffer = bytearray()
        self._sending = threading.Lock()

    def close(self) -> None:
        """Hang up; a receive under way on another thread ends with EOFError."""
        with contextlib.suppress(OSError):  # The other side was faster.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def send(self, message: Message, *, seconds: float = 10.0, check: Callable[[], None] = lambda: None) -> None:
        """Send, calling `check` (which may raise) every 50 ms while the other side does not take it.

        Raises:
            EOFError: the other side hung up, or took nothing for `seconds`.
        """
        data = memoryview(encode(message))
        deadline = time.monotonic() + seconds
        with self._sending:
            while data:
                try:
                    data = data[self._socket.send(data) :]
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise EOFError("the other side does not read") from None
                    self._wait(select.POLLOUT, POLL_SECONDS)
                    check()
                except OSError as error:
                    raise EOFError("the other side hung up") from error

    def receive(self, seconds: float | None = None) -> Message | None:
        """The next message; None when none is complete after `seconds` (None waits for ever).

        Raises:
            EOFError: the other side hung up.
            WireError: it sent something that is no message.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            message = self._take()
            if message is not None:
                return message
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left < 0:
                return None
            if not self._wait(select.POLLIN, left):
                continue
            try:
                data = self._socket.recv(1 << 18)
            except BlockingIOError:
                continue
            except OSError as error:
                raise EOFError("the other side hung up") from error
            if not data:
                raise EOFError("the other side hung up")
            self._buffer += data

    def _take(self) -> Message | None:
        if len(self._buffer) < 4:
            return None
        size = struct.unpack(">I", self._buffer[:4])[0]
        if size > self.limit:
            raise WireError(f"a frame of {size} bytes")
        if len(self._buffer) < 4 + size:
            return None
        body = bytes(self._buffer[4 : 4 + size])
        del self._buffer[: 4 + size]
        return decode(body)

    def _wait(self, event: int, seconds: float | None) -> bool:
        number = self._socket.fileno()
        if number < 0:
            raise EOFError("closed")
        poll = select.poll()
        poll.register(number, event)
        return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))


def retires(channel: Channel) -> bool:
    """Whether the host at the other end is going, asked to exit if nobody else uses it."""
    try:
        channel.send(Retire())
        reply = channel.receive(5.0)
    except (EOFError, WireError):
        return True
    return isinstance(reply, Retired) and reply.agreed


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the host of one model file is found; every file is the user's alone."""

    socket: Path
    token: Path
    lock: Path


def endpoint(model: Path) -> Endpoint:
    """The meeting point for `model`, the same for every process of this user and none for another file or version.

    Raises:
        EnvironmentProblem: the folder for sockets belongs to somebody else or cannot be made.
        ModelUnavailable: the model file is gone.
    """
    runtime = folders().runtime
    try:
        whole = f"{VERSION}|{runtime}|{file_identity(model)}"
    except OSError as error:
        raise ModelUnavailable(
            f"the model file {model} is gone: {error.strerror}", "Run `patchwright models list` for what is installed."
        ) from error
    name = "model-" + hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    if len(os.fsencode(runtime / name)) + len(".sock") > MAX_ADDRESS:
        runtime = temporary_folder() / f"patchwright-{os.getuid()}"
    try:
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = runtime.lstat()
    except OSError as error:
        raise EnvironmentProblem(
            f"the folder {runtime} for the model host's socket cannot be made: {error.strerror}",
            "Set PATCHWRIGHT_HOME to a folder you can write.",
        ) from error
    if owner.st_uid != os.getuid() or not runtime.is_dir() or runtime.is_symlink():
        raise EnvironmentProblem(f"{runtime} is not a folder of yours", "Remove it, or set PATCHWRIGHT_HOME.")
    if owner.st_mode & 0o077:
        try:
            runtime.chmod(0o700)
        except OSError as error:
            raise EnvironmentProblem(
                f"{runtime} is open to others and cannot be made private: {error.strerror}", "Set PATCHWRIGHT_HOME."
            ) from error
    return Endpoint(runtime / f"{name}.sock", runtime / f"{name}.token", runtime / f"{name}.lock")


def file_identity(model: Path) -> str:
    """Changes when the file at `model` is replaced or written to, whatever it is called. Raises OSError."""
    status = model.stat()
    return f"{status.st_dev}|{status.st_ino}|{status.st_size}|{status.st_mtime_ns}"


def check_writable(place: Endpoint) -> None:
    """Make sure that a host can put its socket and its token there.

    Raises:
        EnvironmentProblem: the disk is full or read-only.
    """
    trial = place.token.with_suffix(f".{os.getpid()}")
    try:
        try:
            trial.write_bytes(bytes(4096))
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"the folder {place.token.parent} for the model host's socket cannot be written: {error.strerror}",
            "Free disk space there, or set PATCHWRIGHT_HOME to a folder you can write.",
        ) from error
