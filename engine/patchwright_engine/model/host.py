"""The model host: the one process of a user that loads a model's weights, and serves every window and command.

    python -m patchwright_engine.model.host --model FILE.gguf [--idle-seconds 300] [load parameters]

Invariant: at most one host a model file (an exclusive lock held for life); requests are served one at a time in
the order they came, and a connection has one at a time, so connections take turns. The host exits when nobody
asked for anything for a while, when its socket file is gone, and when anything happens that it does not understand:
clients start a new one and ask again.
"""

import argparse
import contextlib
import fcntl
import hmac
import logging
import os
import queue
import secrets
import signal
import socket
import struct
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
from patchwright_engine.model.llama import quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import EXIT_TAKEN, LoadParameters

LOG_BYTES = 1 << 20
WATCH_SECONDS = 0.5

log = logging.getLogger("patchwright.model-host")


@dataclass(slots=True)
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
        self._endpoint = wire.endpoint(model)
        self._token = secrets.token_hex(32)
        self._jobs: queue.Queue[_Job] = queue.Queue()
        self._peers: set[_Peer] = set()
        self._lock = threading.Lock()
        self._loaded = threading.Event()
        self._last_use = time.monotonic()
        self._retired = False
        self._served = False
        self.failure: EnvironmentProblem | None = None
        self.model: LocalModel | None = None

    def serve(self) -> None:
        """Load and serve. Raises EnvironmentProblem when the model cannot be loaded (clients are told first)."""
        with self._listening() as listener:
            inode = self._endpoint.socket.stat().st_ino
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            try:
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
            while self._wanted(inode):
                with contextlib.suppress(queue.Empty):
                    self._run(self._jobs.get(timeout=WATCH_SECONDS), self.model)
        self._close_peers()
        self.model.close()

    @contextlib.contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        place = self._endpoint
        for stale in (place.socket, place.token):
            stale.unlink(missing_ok=True)
        number = os.open(place.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w") as file:
            file.write(self._token)
        with socket.socket(socket.AF_UNIX) as listener:
            old = os.umask(0o177)
            try:
                listener.bind(str(place.socket))
            finally:
                os.umask(old)
            listener.listen(16)
            inode = place.socket.stat().st_ino
            try:
                yield listener
            finally:
                # Files somebody else has put there since are not ours to remove.
                with contextlib.suppress(FileNotFoundError):
                    if place.socket.stat().st_ino == inode:
                        place.socket.unlink()
                        place.token.unlink()

    def _wanted(self, inode: int) -> bool:
        if self._retired:
            return False
        try:
            if self._endpoint.socket.stat().st_ino != inode:
                return False
        except FileNotFoundError:
            log.info("the socket is gone")
            return False
        if self._jobs.empty() and time.monotonic() - self._last_use > self._idle_seconds:
            log.info("idle")
            return False
        return True

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
                return
            if not _same_user(connection):
                connection.close()
                continue
            peer = _Peer(wire.Channel(connection))
            threading.Thread(target=self._attend, args=(peer,), daemon=True).start()

    def _attend(self, peer: "_Peer") -> None:
        with self._lock:
            self._peers.add(peer)
            self._served = True
        try:
            hello = peer.channel.receive(seconds=10.0)
            if isinstance(hello, wire.Hello) and hmac.compare_digest(hello.token, self._token):
                self._welcome(peer)
                while (message := peer.channel.receive()) is not None:
                    self._hear(peer, message)
        except (EOFError, wire.WireError):
            pass  # A client that leaves or talks nonsense is simply gone.
        finally:
            if peer.job:
                peer.job.cancel.cancel("shutdown")
            peer.channel.close()
            with self._lock:
                self._peers.discard(peer)

    def _welcome(self, peer: "_Peer") -> None:
        self._loaded.wait()
        if self.failure or self.model is None:
            error = self.failure or EnvironmentProblem("the model host is stopping")
            peer.channel.send(wire.Failed("unavailable", error.message, error.cure))
            return
        self._touch()
        peer.channel.send(wire.Welcome(self._parameters.n_ctx, self.model.context_tokens, os.getpid()))

    def _hear(self, peer: "_Peer", message: wire.Message) -> None:
        match message:
            case wire.Complete() | wire.Judge():
                self._touch()
                peer.job = _Job(message, peer)
                self._jobs.put(peer.job)
            case wire.Cancel():
                if peer.job:
                    peer.job.cancel.cancel()
            case wire.Count() if self.model:
                self._touch()
                peer.channel.send(wire.Counted(self.model.count_tokens(message.text)))
            case wire.Retire():
                with self._lock:
                    self._retired = self._retired or len(self._peers) == 1
                peer.channel.send(wire.Retired(self._retired))
            case _:
                raise wire.WireError(f"unexpected {type(message).__name__}")

    # Computing, on the main thread

    def _run(self, job: _Job, model: LocalModel) -> None:
        started = time.monotonic()
        try:
            reply = self._answer(job, model)
        except Cancelled:
            reply = wire.Failed("cancelled")
        except BadInput as error:
            reply = wire.Failed("bad_input", error.message, error.cure)
        log.info("%s: %s in %.1f s", type(job.work).__name__, type(reply).__name__, time.monotonic() - started)
        self._touch()
        with contextlib.suppress(EOFError):
            job.peer.channel.send(reply)

    def _answer(self, job: _Job, model: LocalModel) -> wire.Message:
        def tell(message: wire.Message) -> None:
            try:
                job.peer.channel.send(message)
            except EOFError:
                job.cancel.cancel("shutdown")

        match job.work:
            case wire.Complete(request):
                batch = model.complete(
                    request,
                    job.cancel,
                    on_progress=lambda progress: tell(wire.Progressed(progress)),
                    on_completion=lambda index, completion: tell(wire.Ended(index, completion)),
                )
                return wire.Completed(batch)
            case wire.Judge(requests):
                return wire.Judged(model.judge(requests, job.cancel))


@dataclass(eq=False, slots=True)
class _Peer:
    channel: wire.Channel
    job: _Job | None = None


class _BoundedLog(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error and empties that file when it has grown past `LOG_BYTES`."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            status = os.fstat(2)
            if status.st_size > LOG_BYTES:
                os.ftruncate(2, 0)
        super().emit(record)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a host. Exit status 0: no longer wanted; 3: the model cannot be loaded; 75: another host has it."""
    parser = argparse.ArgumentParser(prog="patchwright-model-host", description="Serves one local model.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--idle-seconds", type=float, default=300.0)
    for item in fields(LoadParameters):
        parser.add_argument(f"--{item.name.replace('_', '-')}", type=type(item.default), default=item.default)
    args = parser.parse_args(argv)
    parameters = LoadParameters(**{item.name: getattr(args, item.name) for item in fields(LoadParameters)})
    # The library reads these when it is loaded, which happens after this line.
    os.environ.update(quiet_environment())
    logging.basicConfig(
        level=logging.INFO, handlers=[_BoundedLog(sys.stderr)], format="%(asctime)s %(process)d %(message)s"
    )
    with _only_one(wire.endpoint(args.model).lock) as alone:
        if not alone:
            return EXIT_TAKEN
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        host = Host(args.model, parameters, args.idle_seconds)
        try:
            host.serve()
        except EnvironmentProblem as error:
            return error.exit_code
        except SystemExit:
            if host.model:
                host.model.save_prompts()  # for the next host
            raise
    return 0


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[bool]:
    number = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(number)


def _same_user(connection: socket.socket) -> bool:
    """Linux tells who connected; elsewhere the folder, the socket's mode and the token stand alone."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", data)[1] == os.getuid())


if __name__ == "__main__":
    # Threads of clients may still wait in the kernel; nothing is left to do for them.
    status = main()
    logging.shutdown()
    os._exit(status)
