"""The model host as a child process: how it is started, how it ended, and whether somebody has stopped it.

Invariant: every child is waited for, so none stays a zombie, however long its parent lives after it.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import psutil

from patchwright_engine.config import folders
from patchwright_engine.errors import ModelHostLost, ModelUnavailable
from patchwright_engine.model.llama import quiet_environment
from patchwright_engine.model.parameters import EXIT_NO_MEMORY, LoadParameters

LOG_NAME = "model-host.log"
STOPPED_SECONDS = 10.0
"""How long a host may be stopped before those who wait for it are told."""
LOOK_SECONDS = 1.0


class Child:
    """The host process this client started, if it did."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ended.set()
        self.status: int | None = None
        """How the last host ended: its exit status, or minus the signal that killed it."""

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    @property
    def may_have_lacked_memory(self) -> bool:
        """Whether the last host said so, or ended the way the kernel's memory killer or ggml's assertions end one."""
        return self.status in {EXIT_NO_MEMORY, -signal.SIGKILL, -signal.SIGABRT}

    def start(self, path: Path, parameters: LoadParameters, idle_seconds: float) -> None:
        """Start a host of its own session; it ends by itself when another one has the model.

        Raises:
            ModelUnavailable: this machine starts no more processes.
        """
        argv = [sys.executable, "-P", "-m", "patchwright_engine.model.host", "--model", str(path.absolute())]
        argv += ["--idle-seconds", str(idle_seconds)]
        argv += [f"--adapters={file}" for file in parameters.adapters]
        for item in fields(LoadParameters):
            if item.name == "adapters":
                continue
            argv += [f"--{item.name.replace('_', '-')}={getattr(parameters, item.name)}"]
        null = os.devnull
        log = str(_writable_log() or null)
        environment = {**os.environ, **quiet_environment()}
        if home := environment.get("PATCHWRIGHT_HOME"):
            environment["PATCHWRIGHT_HOME"] = str(Path(home).expanduser().absolute())  # the host goes elsewhere
        with self._lock:
            if self.running:
                return
            try:
                # No Popen: the host outlives this process, and an unreaped Popen complains about that.
                pid = os.posix_spawn(
                    sys.executable,
                    argv,
                    environment,
                    file_actions=[
                        (os.POSIX_SPAWN_OPEN, 0, null, os.O_RDONLY, 0),
                        (os.POSIX_SPAWN_OPEN, 1, null, os.O_WRONLY, 0),
                        (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                    ],
                    setsid=True,
                )
            except OSError as error:
                raise ModelUnavailable(
                    f"the model host cannot be started: {error.strerror}", "Close other programs and try again."
                ) from error
            self._ended = threading.Event()
            threading.Thread(target=self._reap, args=(pid, self._ended), daemon=True, name="model-host-reaper").start()

    def wait(self, seconds: float) -> None:
        """Give a dying host time to be gone, so that its exit status can be read."""
        self._ended.wait(seconds)

    def raise_if_illegal(self) -> None:
        """Raise ModelUnavailable when the host died of an instruction this processor does not have."""
        if not self.running and self.status == -signal.SIGILL:
            raise ModelUnavailable(
                "llama.cpp was built for another processor (the model host died of an illegal instruction)",
                "Run `patchwright doctor`: it shows the command that rebuilds llama-cpp-python with safe flags.",
            )

    def why_not_up(self) -> ModelUnavailable:
        """The error for a host that ended before it had the model."""
        if self.status == -signal.SIGKILL:
            return ModelUnavailable(
                "the model host was killed while it loaded the model, most likely because memory ran out",
                "Close other programs, or choose a smaller model (`patchwright models plan`).",
            )
        return ModelUnavailable(
            f"the model host does not come up (last exit status {self.status})",
            f"Its log is {log_path()}; `patchwright doctor` checks the set-up.",
        )

    def _reap(self, pid: int, ended: threading.Event) -> None:
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:  # Somebody else waited for it.
            status = 0
        self.status = os.waitstatus_to_exitcode(status)
        ended.set()


class StopWatch:
    """Looks, while a client waits, whether the host it waits for is stopped: then it would wait for ever."""

    def __init__(self, find: Callable[[], int | None]) -> None:
        """`find` gives the host's process id, asked before every look."""
        self._find = find
        self._next = 0.0
        self._since: float | None = None

    def check(self) -> None:
        """Raise ModelHostLost when the host has been stopped for `STOPPED_SECONDS`; cheap enough for every poll."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LOOK_SECONDS
        pid = self._find()
        if pid is None or not _stopped(pid):
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= STOPPED_SECONDS:
            raise ModelHostLost(
                f"the model host (process {pid}) is stopped and answers nobody",
                f"Let it go on with `kill -CONT {pid}`, or end it with `kill -KILL {pid}`: the next"
                " request starts a new one.",
            )


def holder(lock: Path) -> int | None:
    """Process id of the host that holds `lock`, or of the last one that did."""
    try:
        return int(lock.read_text())
    except (OSError, ValueError):
        return None


def log_path() -> Path:
    """Where hosts write what happens to them."""
    return folders().state / "log" / LOG_NAME


def _writable_log() -> Path | None:
    """The log, or None where it cannot be written: a host without a log is better than none."""
    path = log_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError:
        return None
    return path


def _stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() in {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}
    except psutil.Error:
        return False
