"""`HostedModel`: the `LanguageModel` that lives in the model host, started when needed and restarted when it dies.

Invariant: a caller never waits on a host that does not answer once its token is cancelled: 0.3 s after the cancel
the connection is closed, which the host takes as a cancel too. Without a cancel a stopped host is waited for
`child.STOPPED_SECONDS` and then named. A request interrupted by the host's death is sent again (seeds make the
answers the same) at most `RESENDS` times, deaths before its turn not counted.
"""

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled, ModelHostLost, ModelUnavailable
from patchwright_engine.model import wire
from patchwright_engine.model.adapters import files_identity, identity
from patchwright_engine.model.backend import (
    Completion,
    CompletionBatch,
    CompletionRequest,
    DecodeProgress,
    JudgeRequest,
    Verdict,
)
from patchwright_engine.model.child import Child, StopWatch, holder, log_path
from patchwright_engine.model.ladder import least_memory, less_memory
from patchwright_engine.model.llama import check_model_file
from patchwright_engine.model.parameters import EXIT_NO_MEMORY, EXIT_TAKEN, LoadParameters, default_threads

RESENDS = 2
MAX_SENDS = 10
"""How often a request is sent at all; hosts that die of other clients' requests take the waiting ones along."""
START_SECONDS = 60.0
"""How long a started host may take until it listens; loading the weights comes after."""
MAX_STARTS = 2
"""Hosts that may die before they listen; more would die the same way."""
RESTART_SECONDS = 0.5
RETIRE_SECONDS = 5.0
"""How long a host that agreed to exit may still welcome others."""
CANCEL_GRACE_SECONDS = 0.3

Hear = Callable[[wire.Message], None]


class HostedModel:
    """One model, served by its host. Thread-safe: every call takes a connection of its own; to the host they are
    all one client, which shares the model's time with others."""

    def __init__(
        self,
        path: Path,
        name: str,
        parameters: LoadParameters = LoadParameters(),  # noqa: B008 - frozen
        *,
        idle_seconds: float = 300.0,
    ) -> None:
        """Nothing is started before the first use. `parameters` count only if no host has the model loaded yet, but
        a host that lacks one of their adapters is replaced, never used."""
        self._path = path
        self._name = name
        self._parameters = parameters
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._replacing = threading.Lock()
        self._free: list[wire.Channel] = []
        self._welcome: wire.Welcome | None = None
        self._child = Child()
        self._gave_up: list[str] = []
        self._client = secrets.token_hex(8)
        self._ending = CancelToken()
        self._forget: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        return self._name

    @property
    def identity(self) -> str:
        """Weights and adapters: equal for two models only if they answer alike. '' when a file cannot be read."""
        return files_identity(self._path, self._parameters.adapters)

    @property
    def context_tokens(self) -> int:
        """As the running host has it; starts one if need be."""
        if self._welcome is None:
            self._give_back(self._borrow(self._ending))
        assert self._welcome is not None
        return self._welcome.context_tokens

    @property
    def cpu_threads(self) -> int:
        """As the host last spoken to says, which may have found no room on the GPU; before one was, all."""
        return self._welcome.cpu_threads if self._welcome else default_threads()

    def connect(self, cancel: CancelToken) -> None:
        """Wait until a host has the weights, at most until `cancel`, which from here on also ends `count_tokens`.

        Raises as `complete`.
        """
        self._forget()
        self._ending = CancelToken()
        self._forget = cancel.on_cancel(self._ending.cancel)
        self._give_back(self._borrow(cancel))

    @property
    def gave_up(self) -> tuple[str, ...]:
        """What there was no memory for, in words; grows when hosts die of it."""
        return (*self._gave_up, *(self._welcome.gave_up if self._welcome else ()))

    @property
    def host_pid(self) -> int | None:
        """Process id of the host last spoken to."""
        return self._welcome.pid if self._welcome else None

    def count_tokens(self, text: str) -> int:
        """Exact; answered also while the host decodes. Raises Cancelled when the token of `connect` is cancelled."""
        reply = self._ask(wire.Count(text), self._ending, lambda _message: None)
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
                case wire.Queued() if on_progress:
                    on_progress(DecodeProgress(0, 0, 0, 0.0, waiting=True))
                case wire.Progressed(progress) if on_progress:
                    on_progress(progress)
                case wire.Ended(index, completion) if on_completion and index not in told:
                    told.add(index)
                    on_completion(index, completion)
                case _:
                    pass

        request = replace(request, adapter=self._mine(request.adapter))
        reply = self._ask(wire.Complete(request), cancel, hear)
        assert isinstance(reply, wire.Completed)
        return reply.batch

    def judge(self, requests: Sequence[JudgeRequest], cancel: CancelToken) -> tuple[Verdict, ...]:
        """As `backend.LanguageModel.judge`."""
        if not requests:
            return ()
        own = tuple(replace(request, adapter=self._mine(request.adapter)) for request in requests)
        reply = self._ask(wire.Judge(own), cancel, lambda _message: None)
        assert isinstance(reply, wire.Judged)
        return reply.verdicts

    def close(self) -> None:
        """Hang up; the host lives on for others and ends itself when idle."""
        self._forget()
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            channels, self._free = self._free, []
        for channel in channels:
            channel.close()

    def retire(self) -> bool:
        """Ask the host to exit if nobody else uses it; True if it does. Starts none."""
        self._hang_up()
        try:
            channel = self._connect_once(CancelToken())
        except (OSError, EOFError, wire.WireError, ModelUnavailable):
            return True
        try:
            return wire.retires(channel)
        finally:
            channel.close()

    # One request

    def _ask(self, message: wire.Message, cancel: CancelToken, hear: Hear) -> wire.Message:
        deaths = 0
        for sent in range(1, MAX_SENDS + 1):
            channel = self._borrow(cancel)
            begun = False

            def heard(news: wire.Message) -> None:
                nonlocal begun
                begun = begun or not isinstance(news, wire.Queued)
                hear(news)

            try:
                return self._converse(channel, message, cancel, heard)
            except (EOFError, wire.WireError) as error:
                channel.close()
                self._hang_up()
                cancel.check()
                self._child.wait(0.2)
                self._child.raise_if_illegal()
                deaths += begun
                if deaths == RESENDS or self._child.status == EXIT_NO_MEMORY:
                    self._make_do()
                if deaths > RESENDS or sent == MAX_SENDS:
                    raise ModelHostLost(
                        f"the model host died {deaths or sent} times on this request",
                        f"Its log is {log_path()}. If memory was short, close other programs or choose a smaller"
                        " model (`patchwright models plan`).",
                    ) from error
        raise AssertionError

    def _converse(self, channel: wire.Channel, message: wire.Message, cancel: CancelToken, hear: Hear) -> wire.Message:
        pid = self.host_pid
        watch = StopWatch(lambda: pid)

        def check() -> None:
            cancel.check()
            watch.check()

        try:
            channel.send(message, seconds=float("inf"), check=check)
            while True:
                reply = channel.receive(wire.POLL_SECONDS)
                match reply:
                    case None:
                        check()
                    case wire.Queued() | wire.Started() | wire.Progressed() | wire.Ended():
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
        have, want = self._welcome, self._parameters
        too_short = have and have.context_tokens < want.context_tokens and have.n_ctx < want.n_ctx
        if too_short and wire.retires(channel):  # started by somebody with less need, who is gone
            channel.close()
            channel = self._connect(cancel)
        return self._with_adapters(channel, cancel)

    def _mine(self, role: str) -> str:
        """`role` if this client has an adapter for it: the host may have some that others brought."""
        return role if any(file.role == role for file in self._parameters.adapters) else ""

    def _with_adapters(self, channel: wire.Channel, cancel: CancelToken) -> wire.Channel:
        """`channel`, or one to a host that replaces its host, which lacks adapters of ours.

        Raises:
            ModelUnavailable: others use that host.
        """
        wanted = {identity(file): file for file in self._parameters.adapters}
        if self._lacking(wanted) == set():
            return channel
        channel.close()
        while not self._replacing.acquire(timeout=wire.POLL_SECONDS):
            cancel.check()
        try:
            channel = self._connect(cancel)
            old = self.host_pid
            if self._lacking(wanted):
                deadline = time.monotonic() + (RETIRE_SECONDS if wire.retires(channel) else 0.0)
                while self._lacking(wanted) and self.host_pid == old and time.monotonic() < deadline:
                    channel.close()
                    cancel.wait(wire.POLL_SECONDS)
                    channel = self._connect(cancel)
        finally:
            self._replacing.release()
        lacking = self._lacking(wanted)
        if not lacking:
            return channel
        channel.close()
        raise ModelUnavailable(
            f"the model host (process {self.host_pid}) runs without the adapter"
            f" {', '.join(str(wanted[name]) for name in sorted(lacking))}, and others use it",
            "Wait until their work is done and try again: the host is then started anew with the adapters you set.",
        )

    def _lacking(self, wanted: Iterable[str]) -> set[str]:
        return set(wanted) - set(self._welcome.adapters if self._welcome else ())

    def _connect(self, cancel: CancelToken) -> wire.Channel:
        """A welcomed connection; starts a host when none listens."""
        check_model_file(self._path)
        place = wire.endpoint(self._path)
        watch = StopWatch(partial(holder, place.lock))
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
                    if starts and self._make_do():
                        gone, deadline = False, time.monotonic() + START_SECONDS
                if gone or time.monotonic() > deadline:
                    raise self._child.why_not_up() from error
            if not self._child.running:
                if self._child.status == EXIT_TAKEN and starts:
                    # Another process's host is leaving, or stopped.
                    watch.check()
                    cancel.wait(RESTART_SECONDS)
                wire.check_writable(place)
                self._child.start(self._path, self._parameters, self._idle_seconds)
                starts += 1
            cancel.wait(wire.POLL_SECONDS)

    def _make_do(self) -> bool:
        """Ask the next host for less, when the last one died as hosts do that run out of memory.

        False: it died of something else, or there is no less.
        """
        lower = least_memory(self._parameters) or less_memory(self._parameters)
        if lower is None or not self._child.may_have_lacked_memory:
            return False
        self._parameters, words = lower
        self._gave_up.append(words)
        return True

    def _connect_once(self, cancel: CancelToken) -> wire.Channel:
        place = wire.endpoint(self._path)
        token = place.token.read_text(errors="replace")
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(1.0)
            connection.connect(str(place.socket))
        except OSError:
            connection.close()
            raise
        channel = wire.Channel(connection)
        try:
            channel.send(wire.Hello(token, self._client), check=cancel.check)
            watch = StopWatch(partial(holder, place.lock))
            while (reply := channel.receive(wire.POLL_SECONDS)) is None:
                cancel.check()
                watch.check()
        except BaseException:
            channel.close()
            raise
        if isinstance(reply, wire.Welcome):
            self._welcome = reply
            return channel
        channel.close()
        # Who asked for adapters that we do not want may have failed for them: its host is soon gone.
        if isinstance(reply, wire.Failed) and set(reply.adapters) <= set(map(str, self._parameters.adapters)):
            raise ModelUnavailable(reply.message, reply.cure)
        raise EOFError("no welcome")
