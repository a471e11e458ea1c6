"""`HostedModel`: the `LanguageModel` that lives in the model host, started when needed and restarted when it dies.

Invariant: a caller never waits on a host that does not answer once its token is cancelled: 0.3 s after the cancel
the connection is closed, which the host takes as a cancel too. A request interrupted by the host's death is sent
again (seeds make the answers the same) at most `RESENDS` times.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from patchwright_engine.config import folders
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled, ModelHostLost, ModelUnavailable
from patchwright_engine.model import wire
from patchwright_engine.model.backend import (
    Completion,
    CompletionBatch,
    CompletionRequest,
    DecodeProgress,
    JudgeRequest,
    Verdict,
)
from patchwright_engine.model.llama import check_model_file, quiet_environment
from patchwright_engine.model.parameters import EXIT_TAKEN, LoadParameters

RESENDS = 2
START_SECONDS = 60.0
"""How long a started host may take until it listens; loading the weights comes after."""
MAX_STARTS = 2
"""Hosts that may die before they listen; more would die the same way."""
RESTART_SECONDS = 0.5
CANCEL_GRACE_SECONDS = 0.3
LOG_NAME = "model-host.log"

Hear = Callable[[wire.Message], None]


class HostedModel:
    """One model, served by its host. Thread-safe: every call takes a connection of its own."""

    def __init__(
        self,
        path: Path,
        name: str,
        parameters: LoadParameters = LoadParameters(),  # noqa: B008 - frozen
        *,
        idle_seconds: float = 300.0,
    ) -> None:
        """Nothing is started before the first use. `parameters` count only if no host has the model loaded yet."""
        self._path = path
        self._name = name
        self._parameters = parameters
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._free: list[wire.Channel] = []
        self._welcome: wire.Welcome | None = None
        self._child = _Child()

    @property
    def name(self) -> str:
        return self._name

    @property
    def context_tokens(self) -> int:
        """As the running host has it; starts one if need be."""
        if self._welcome is None:
            self._give_back(self._borrow(CancelToken()))
        assert self._welcome is not None
        return self._welcome.context_tokens

    def connect(self, cancel: CancelToken) -> None:
        """Wait until a host has the weights, at most until `cancel`. Raises as `complete`."""
        self._give_back(self._borrow(cancel))

    @property
    def host_pid(self) -> int | None:
        """Process id of the host last spoken to."""
        return self._welcome.pid if self._welcome else None

    def count_tokens(self, text: str) -> int:
        """Exact; answered also while the host decodes."""
        reply = self._ask(wire.Count(text), CancelToken(), lambda _message: None)
        assert isinstance(reply, wire.Counted)
        return reply.tokens

    def complete(
        self,
        request: CompletionRequest,
        cancel: CancelToken,
        *,
        on_progress: Callable[[DecodeProgress], None] | None = None,
        on_completion: Callable[[int, Completion], None] | None = None,
    ) -> CompletionBatch:
        """As `backend.LanguageModel.complete`; also raises ModelUnavailable when no host can be started."""
        told: set[int] = set()

        def hear(message: wire.Message) -> None:
            match message:
                case wire.Progressed(progress) if on_progress:
                    on_progress(progress)
                case wire.Ended(index, completion) if on_completion and index not in told:
                    told.add(index)
                    on_completion(index, completion)
                case _:
                    pass

        reply = self._ask(wire.Complete(request), cancel, hear)
        assert isinstance(reply, wire.Completed)
        return reply.batch

    def judge(self, requests: Sequence[JudgeRequest], cancel: CancelToken) -> tuple[Verdict, ...]:
        """As `backend.LanguageModel.judge`."""
        if not requests:
            return ()
        reply = self._ask(wire.Judge(tuple(requests)), cancel, lambda _message: None)
        assert isinstance(reply, wire.Judged)
        return reply.verdicts

    def close(self) -> None:
        """Hang up; the host lives on for others and ends itself when idle."""
        with self._lock:
            channels, self._free = self._free, []
        for channel in channels:
            channel.close()

    def retire(self) -> bool:
        """Ask the host to exit if nobody else uses it; True if it does. Starts none."""
        self.close()
        try:
            channel = self._connect_once(CancelToken())
        except (OSError, EOFError, wire.WireError):
            return True
        try:
            channel.send(wire.Retire())
            reply = channel.receive(5.0)
        except (EOFError, wire.WireError):
            return True
        finally:
            channel.close()
        return isinstance(reply, wire.Retired) and reply.agreed

    # One request

    def _ask(self, message: wire.Message, cancel: CancelToken, hear: Hear) -> wire.Message:
        for attempt in range(RESENDS + 1):
            channel = self._borrow(cancel)
            try:
                return self._converse(channel, message, cancel, hear)
            except (EOFError, wire.WireError) as error:
                channel.close()
                self.close()
                cancel.check()
                self._child.wait(0.2)
                self._child.raise_if_illegal()
                if attempt == RESENDS:
                    raise ModelHostLost(
                        f"the model host died {attempt + 1} times on this request",
                        f"Its log is {_log_path()}. If memory was short, close other programs or choose a smaller"
                        " model (`patchwright models plan`).",
                    ) from error
        raise AssertionError

    def _converse(self, channel: wire.Channel, message: wire.Message, cancel: CancelToken, hear: Hear) -> wire.Message:
        try:
            channel.send(message, seconds=float("inf"), check=cancel.check)
            while True:
                reply = channel.receive(wire.POLL_SECONDS)
                match reply:
                    case None:
                        cancel.check()
                    case wire.Progressed() | wire.Ended():
                        cancel.check()
                        hear(reply)
                    case wire.Failed("bad_input", text, cure):
                        self._give_back(channel)
                        raise BadInput(text, cure)
                    case wire.Failed():
                        raise EOFError(reply.kind)
                    case _:
                        self._give_back(channel)
                        return reply
        except Cancelled:
            self._part(channel)
            raise
        except BadInput:
            raise
        except BaseException:
            channel.close()
            raise

    def _part(self, channel: wire.Channel) -> None:
        """After a cancel: keep the connection if the host confirms at once, hang up otherwise."""
        deadline = time.monotonic() + CANCEL_GRACE_SECONDS
        try:
            channel.send(wire.Cancel(), seconds=CANCEL_GRACE_SECONDS / 2)
            while (left := deadline - time.monotonic()) > 0:
                reply = channel.receive(left)
                if isinstance(reply, wire.Failed | wire.Completed | wire.Judged | wire.Counted):
                    self._give_back(channel)
                    return
        except (EOFError, wire.WireError):
            pass  # Gone already, which is as good.
        channel.close()

    # Connections

    def _give_back(self, channel: wire.Channel) -> None:
        with self._lock:
            self._free.append(channel)

    def _borrow(self, cancel: CancelToken) -> wire.Channel:
        with self._lock:
            if self._free:
                return self._free.pop()
        channel = self._connect(cancel)
        welcome = self._welcome
        if (
            welcome
            and welcome.context_tokens < self._parameters.context_tokens
            and welcome.n_ctx < self._parameters.n_ctx
        ):
            # Started by somebody with less need; replaced if that one is gone.
            with contextlib.suppress(EOFError, wire.WireError):
                channel.send(wire.Retire())
                reply = channel.receive(5.0)
                if isinstance(reply, wire.Retired) and not reply.agreed:
                    return channel
            channel.close()
            channel = self._connect(cancel)
        return channel

    def _connect(self, cancel: CancelToken) -> wire.Channel:
        """A welcomed connection; starts a host when none listens."""
        check_model_file(self._path)
        deadline = time.monotonic() + START_SECONDS
        starts = 0
        while True:
            cancel.check()
            try:
                return self._connect_once(cancel)
            except (OSError, EOFError, wire.WireError) as error:
                if self._child.running:
                    gone = False
                else:
                    self._child.raise_if_illegal()
                    gone = starts >= MAX_STARTS and self._child.status not in {0, EXIT_TAKEN}
                if gone or time.monotonic() > deadline:
                    raise ModelUnavailable(
                        f"the model host does not come up (last exit status {self._child.status})",
                        f"Its log is {_log_path()}; `patchwright doctor` checks the set-up.",
                    ) from error
            if not self._child.running:
                if self._child.status == EXIT_TAKEN and starts:
                    # Another process's host is loading or leaving.
                    cancel.wait(RESTART_SECONDS)
                self._child.start(self._path, self._parameters, self._idle_seconds)
                starts += 1
            cancel.wait(wire.POLL_SECONDS)

    def _connect_once(self, cancel: CancelToken) -> wire.Channel:
        place = wire.endpoint(self._path)
        token = place.token.read_text()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(1.0)
            connection.connect(str(place.socket))
        except OSError:
            connection.close()
            raise
        channel = wire.Channel(connection)
        try:
            channel.send(wire.Hello(token), check=cancel.check)
            while (reply := channel.receive(wire.POLL_SECONDS)) is None:
                cancel.check()
        except BaseException:
            channel.close()
            raise
        if isinstance(reply, wire.Welcome):
            self._welcome = reply
            return channel
        channel.close()
        if isinstance(reply, wire.Failed):
            raise ModelUnavailable(reply.message, reply.cure)
        raise EOFError("no welcome")


class _Child:
    """The host process this client started, if it did."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid: int | None = None
        self.status: int | None = None
        """How the last host ended: its exit status, or minus the signal that killed it."""

    @property
    def running(self) -> bool:
        with self._lock:
            self._reap()
            return self._pid is not None

    def start(self, path: Path, parameters: LoadParameters, idle_seconds: float) -> None:
        """Start a host of its own session; it ends by itself when another one has the model."""
        log = _log_path()
        log.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-P", "-m", "patchwright_engine.model.host", "--model", str(path.absolute())]
        argv += ["--idle-seconds", str(idle_seconds)]
        for item in fields(LoadParameters):
            argv += [f"--{item.name.replace('_', '-')}={getattr(parameters, item.name)}"]
        null = os.devnull
        with self._lock:
            self._reap()
            if self._pid is not None:
                return
            # No Popen: the host outlives this process, and an unreaped Popen complains about that.
            self._pid = os.posix_spawn(
                sys.executable,
                argv,
                {**os.environ, **quiet_environment()},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, null, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, null, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                ],
                setsid=True,
            )

    def wait(self, seconds: float) -> None:
        """Give a dying host time to be gone, so that its exit status can be read."""
        deadline = time.monotonic() + seconds
        while self.running and time.monotonic() < deadline:
            time.sleep(0.01)

    def raise_if_illegal(self) -> None:
        """Raise ModelUnavailable when the host died of an instruction this processor does not have."""
        if not self.running and self.status == -signal.SIGILL:
            raise ModelUnavailable(
                "llama.cpp was built for another processor (the model host died of an illegal instruction)",
                "Run `patchwright doctor`: it shows the command that rebuilds llama-cpp-python with safe flags.",
            )

    def _reap(self) -> None:
        if self._pid is None:
            return
        try:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self._pid, 0
        if pid:
            self._pid = None
            self.status = os.waitstatus_to_exitcode(status)


def _log_path() -> Path:
    return folders().state / "log" / LOG_NAME
