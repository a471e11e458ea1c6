"""The model host: the one process of a user that loads a model's weights, and serves every window and command.

    python -m patchwright_engine.model.host --model FILE.gguf [--idle-seconds 300] [load parameters]

Invariant: at most one host a model file (an exclusive lock held for life); requests are served one at a time, whole,
in the order `turns.py` gives: clients share the time, a connection has one request at a time. The host exits when
nobody asked for anything for a while, when nobody comes for it at all or stays while it loads, when its socket is gone
or its model file is another one, and when anything happens that it does not understand: clients start a new one and
ask again.
"""

import argparse
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from patchwright_engine.config import folders
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled, EnvironmentProblem
from patchwright_engine.model import wire
from patchwright_engine.model.adapters import identity
from patchwright_engine.model.host_guard import BoundedLog, equal_secrets, only_one, same_user
from patchwright_engine.model.llama import lacked_memory, quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import EXIT_NO_MEMORY, EXIT_TAKEN, AdapterFile, LoadParameters
from patchwright_engine.model.turns import Turns

WATCH_SECONDS = 0.5
FIRST_USE_SECONDS = 15.0
"""How long a host waits, once loaded, for a client to come: the one that started it may have died."""
ABANDONED_SECONDS = 3.0
"""How long a host goes on loading when nobody waits for it any more: who cancelled may begin again at once."""
HELLO_SECONDS = 10.0
DEAF_SECONDS = 2.0
"""How long a client that does not read may hold up everybody before it is hung up on."""
EXIT_CRASH = 70

log = logging.getLogger("patchwright.model-host")


@dataclass(eq=False, slots=True)
class _Job:
    work: wire.Complete | wire.Judge
    peer: "_Peer"
    cancel: CancelToken = field(default_factory=CancelToken)


class Host:
    """Listens, queues and computes. `serve` runs on the main thread until there is no reason to go on."""

    def __init__(self, model: Path, parameters: LoadParameters, idle_seconds: float) -> None:
        self._path = model
        self._parameters = parameters
        self._idle_seconds = idle_seconds
        self._file = wire.file_identity(model)
        self.endpoint = wire.endpoint(model)
        self._token = secrets.token_hex(32)
        self._turns: Turns[_Job] = Turns()
        self._peers: set[_Peer] = set()
        self._lock = threading.Lock()
        self._loaded = threading.Event()
        self._last_use = time.monotonic()
        self._retired = False
        self._served = False
        self._serving = False
        self._welcomed = False
        self._adapters: tuple[str, ...] = ()
        self.failure: EnvironmentProblem | None = None
        self.model: LocalModel | None = None

    def serve(self) -> None:
        """Load and serve. Raises EnvironmentProblem when the model cannot be loaded (clients are told first)."""
        with self._listening() as listener:
            inode = self.endpoint.socket.stat().st_ino
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            threading.Thread(target=self._leave_when_abandoned, daemon=True).start()
            try:
                self._adapters = tuple(map(identity, self._parameters.adapters))
                self.model = LocalModel(self._path, self._parameters, prefixes=folders().cache / "prefixes")
            except EnvironmentProblem as error:
                log.error("%s", error)
                self.failure = error
                self._loaded.set()
                self._farewell()
                raise
            self._loaded.set()
            self._touch()
            log.info("loaded %s", self._path.name)
            for what in self.model.gave_up:
                log.warning("memory is short: %s", what)
            while self._wanted(inode) and self._current():
                job = self._turns.take(WATCH_SECONDS)
                if job:
                    self._run(job, self.model)
        self._close_peers()
        if self.endpoint.lock.exists():  # A home that was removed is not to come back with computed prompts in it.
            self.model.close()

    @contextlib.contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        place = self.endpoint
        self._withdraw()  # what a host left that was killed
        number = os.open(place.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w") as file:
            file.write(self._token)
        with socket.socket(socket.AF_UNIX) as listener:
            old = os.umask(0o177)
            try:
                listener.bind(str(place.socket))
            finally:
                os.umask(old)
            listener.listen(128)
            inode = place.socket.stat().st_ino
            try:
                yield listener
            finally:
                # Files somebody else has put there since are not ours to remove.
                with contextlib.suppress(OSError):
                    if place.socket.stat().st_ino == inode:
                        self._withdraw()

    def _withdraw(self) -> None:
        for file in (self.endpoint.socket, self.endpoint.token):
            file.unlink(missing_ok=True)

    def _wanted(self, inode: int) -> bool:
        if self._retired:
            return False
        try:
            if self.endpoint.socket.stat().st_ino != inode:
                return False
        except OSError:
            log.info("the socket is gone")
            return False
        patience = self._idle_seconds if self._welcomed else min(self._idle_seconds, FIRST_USE_SECONDS)
        if not self._turns and time.monotonic() - self._last_use > patience:
            log.info("idle" if self._welcomed else "nobody came")
            return False
        return True

    def _leave_when_abandoned(self) -> None:
        """End the process when all who waited for the weights are gone: a load cannot be stopped in any other way."""
        alone_since = time.monotonic()
        while not self._loaded.wait(wire.POLL_SECONDS):
            with self._lock:
                if self._peers:
                    alone_since = time.monotonic()
                elif time.monotonic() - alone_since > ABANDONED_SECONDS:
                    self._withdraw()
                    log.info("nobody came, or stayed, for the weights that were loading")
                    logging.shutdown()
                    os._exit(0)

    def _current(self) -> bool:
        """Whether the model file is still the one that was loaded; one deleted stays for those who work with it."""
        try:
            current = wire.file_identity(self._path) == self._file
        except FileNotFoundError:
            current = bool(self._peers)
        except OSError:
            current = True  # A disk that is away for a while says nothing about the file.
        if not current:
            log.info("the model file is another one, or gone")
        return current

    def _farewell(self) -> None:
        """Give the client that started this host a moment to come and read why there is no model."""
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline and (self._peers or not self._served):
            time.sleep(0.05)

    def _close_peers(self) -> None:
        with self._lock:
            peers = list(self._peers)
        for peer in peers:
            peer.channel.close()

    def _touch(self) -> None:
        self._last_use = time.monotonic()

    # Connections, each on a thread of its own

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                if listener.fileno() < 0:
                    return
                time.sleep(0.1)  # Out of file descriptors: whoever says no hello is hung up on soon.
                continue
            if not same_user(connection):
                connection.close()
                continue
            peer = _Peer(wire.Channel(connection))
            try:
                threading.Thread(target=self._attend, args=(peer,), daemon=True).start()
            except RuntimeError:  # no more threads
                connection.close()

    def _attend(self, peer: "_Peer") -> None:
        with self._lock:
            self._peers.add(peer)
            self._served = True
        try:
            peer.channel.limit = wire.MAX_HELLO
            hello = peer.channel.receive(HELLO_SECONDS)
            if isinstance(hello, wire.Hello) and equal_secrets(hello.token, self._token):
                peer.channel.limit = wire.MAX_FRAME
                peer.client = hello.client or f"connection {id(peer)}"
                self._welcome(peer)
                while (message := peer.channel.receive()) is not None:
                    self._hear(peer, message)
        except (EOFError, wire.WireError):
            pass  # A client that leaves or talks nonsense is simply gone.
        finally:
            if job := peer.job:
                job.cancel.cancel("shutdown")
                self._turns.remove(peer.client, job)
            peer.channel.close()
            with self._lock:
                self._peers.discard(peer)

    def _welcome(self, peer: "_Peer") -> None:
        while not self._loaded.is_set():
            if peer.channel.receive(wire.POLL_SECONDS) is not None:  # It raises when the client hangs up.
                raise wire.WireError("a message before the welcome")
        if self.failure or self.model is None:
            error = self.failure or EnvironmentProblem("the model host is stopping")
            adapters = tuple(map(str, self._parameters.adapters))
            peer.channel.send(wire.Failed("unavailable", error.message, error.cure, adapters))
            return
        self._touch()
        asked, model = self._parameters.n_ctx, self.model
        welcome = wire.Welcome(
            asked, model.context_tokens, os.getpid(), self._adapters, model.gave_up, model.cpu_threads
        )
        peer.channel.send(welcome)
        self._welcomed = True  # and not when the client died while the weights were loading

    def _hear(self, peer: "_Peer", message: wire.Message) -> None:
        match message:
            case wire.Complete() | wire.Judge():
                if peer.job:
                    raise wire.WireError("a request before the last one was answered")
                self._touch()
                peer.job = _Job(message, peer)
                if self._serving or self._turns:
                    self._tell(peer.job, wire.Queued())
                self._turns.put(peer.client, peer.job)
            case wire.Cancel():
                if job := peer.job:
                    job.cancel.cancel()
                    if self._turns.remove(peer.client, job):
                        self._reply(job, wire.Failed("cancelled"))
            case wire.Count() if self.model:
                self._touch()
                peer.channel.send(wire.Counted(self.model.count_tokens(message.text)))
            case wire.Retire():
                with self._lock:
                    self._retired = self._retired or len(self._peers) == 1
                    if self._retired:
                        self._withdraw()  # before the answer, after which the client looks for another host
                peer.channel.send(wire.Retired(self._retired))
            case _:
                raise wire.WireError(f"unexpected {type(message).__name__}")

    # Computing, on the main thread

    def _run(self, job: _Job, model: LocalModel) -> None:
        started = time.monotonic()
        self._serving = True
        self._tell(job, wire.Started())
        try:
            reply = self._answer(job, model)
        except Cancelled:
            reply = wire.Failed("cancelled")
        except BadInput as error:
            reply = wire.Failed("bad_input", error.message, error.cure)
        seconds = time.monotonic() - started
        self._turns.charge(job.peer.client, seconds)
        self._serving = False
        log.info("%s: %s in %.1f s", type(job.work).__name__, type(reply).__name__, seconds)
        self._touch()
        self._reply(job, reply)

    def _reply(self, job: _Job, reply: wire.Message) -> None:
        job.peer.job = None  # before the reply, after which the client may ask again
        with contextlib.suppress(EOFError):
            job.peer.channel.send(reply, seconds=DEAF_SECONDS)

    def _tell(self, job: _Job, message: wire.Message) -> None:
        try:
            job.peer.channel.send(message, seconds=DEAF_SECONDS)
        except EOFError:
            job.cancel.cancel("shutdown")

    def _answer(self, job: _Job, model: LocalModel) -> wire.Message:
        match job.work:
            case wire.Complete(request):
                batch = model.complete(
                    request,
                    job.cancel,
                    on_progress=lambda progress: self._tell(job, wire.Progressed(progress)),
                    on_completion=lambda index, completion: self._tell(job, wire.Ended(index, completion)),
                )
                return wire.Completed(batch)
            case wire.Judge(requests):
                return wire.Judged(model.judge(requests, job.cancel))


@dataclass(eq=False, slots=True)
class _Peer:
    channel: wire.Channel
    client: str = ""
    job: _Job | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run a host. Exit status 0: no longer wanted; 3: the model cannot be loaded; 70: it broke, as its log says;
    71: it ran out of memory; 75: another host has the model."""
    parser = argparse.ArgumentParser(prog="patchwright-model-host", description="Serves one local model.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--idle-seconds", type=float, default=300.0)
    parser.add_argument("--adapters", type=AdapterFile.parse, action="append", default=[], metavar="ROLE=PATH")
    for item in fields(LoadParameters):
        if item.name == "adapters":
            continue
        kind = _flag if isinstance(item.default, bool) else type(item.default)
        parser.add_argument(f"--{item.name.replace('_', '-')}", type=kind, default=item.default)
    args = parser.parse_args(argv)
    args.adapters = tuple(args.adapters)
    parameters = LoadParameters(**{item.name: getattr(args, item.name) for item in fields(LoadParameters)})
    model = args.model.absolute()
    # The library reads these when it is loaded, which happens after this line.
    os.environ.update(quiet_environment())
    logging.basicConfig(
        level=logging.INFO, handlers=[BoundedLog(sys.stderr)], format="%(asctime)s %(process)d %(message)s"
    )
    try:
        host = Host(model, parameters, args.idle_seconds)
        with only_one(host.endpoint.lock) as alone:
            if not alone:
                return EXIT_TAKEN
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            os.chdir("/")  # The client's folder may be on a disk that somebody wants to unmount.
            try:
                host.serve()
            except SystemExit:
                if host.model:
                    host.model.save_prompts()  # for the next host
                raise
    except EnvironmentProblem as error:
        return error.exit_code
    except SystemExit:
        return 0
    except Exception as error:
        log.exception("the host broke")
        return EXIT_NO_MEMORY if lacked_memory(error) else EXIT_CRASH
    return 0


def _flag(text: str) -> bool:
    return text == "True"


if __name__ == "__main__":
    # Threads of clients may still wait in the kernel; nothing is left to do for them.
    status = main()
    logging.shutdown()
    os._exit(status)
