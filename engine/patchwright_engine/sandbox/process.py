"""Run one process tree to its end: bounded output, time, memory, processes and disk, and a kill that leaves nobody.

Shared by every sandbox level. Invariant: when `run_bounded` returns or raises, no process of the tree is alive.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.disk import DiskWatch
from patchwright_engine.sandbox.output import BoundedOutput
from patchwright_engine.types import Command, RunReport

TICK_SECONDS = 0.05
WATCH_SECONDS = 0.2
BLOCK = 1 << 16
_CHILDREN_FILE = Path("/proc/thread-self/children")
"""Absent where the kernel was built without CONFIG_PROC_CHILDREN."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the tree. `started` runs right after the start; what it raises ends the run."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    pass_fds: tuple[int, ...] = ()
    started: Callable[[], None] = lambda: None
    writable: tuple[Path, ...] = ()
    """Folders of the disk that the tree may write: what it adds to them is bounded."""
    scratch: Callable[[], Sequence[Path]] = lambda: ()
    """Its private file systems in memory, as seen from here, once they exist."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How it ended. `exit_code` is None unless the tree's root exited by itself."""

    exit_code: int | None
    output: str
    seconds: float
    outcome: str
    truncated: bool

    def report(self, command: Command, level: str) -> RunReport:
        """The run as callers see it: what was asked, how it ended, and which sandbox isolated it."""
        return RunReport(
            argv=command.argv,
            exit_code=self.exit_code,
            output=self.output,
            seconds=self.seconds,
            outcome=self.outcome,
            truncated=self.truncated,
            sandbox=level,
        )


def run_bounded(launch: Launch, command: Command, cancel: CancelToken) -> Finished:
    """Start, read, watch, end. Of `command` only the limits count; `launch` says what really starts.

    Raises:
        Cancelled: the token was cancelled; the tree is dead by then.
        OSError: the program could not be started.
    """
    cancel.check()
    begin = time.monotonic()
    process = subprocess.Popen(
        launch.argv,
        env=dict(launch.env),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=launch.pass_fds,
        start_new_session=True,
    )
    output = BoundedOutput(command.output_bytes)
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    try:
        launch.started()
        with DiskWatch(launch.writable, command.disk_bytes, launch.scratch) as disk:
            stop = _follow(process, output, command, begin=begin, cancel=cancel, disk=disk)
    finally:
        end_tree(process)
        _drain(process.stdout.fileno(), output)
        process.stdout.close()
    seconds = time.monotonic() - begin
    cancel.check()
    text = output.text()
    if stop is not None:
        outcome, reason = stop
        return Finished(None, f"{text}\n[stopped: {reason}]\n", seconds, outcome, output.truncated)
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return Finished(None, f"{text}\n[ended by {name}]\n", seconds, "signalled", output.truncated)
    return Finished(process.returncode, text, seconds, "exited", output.truncated)


def _follow(
    process: subprocess.Popen[bytes],
    output: BoundedOutput,
    command: Command,
    *,
    begin: float,
    cancel: CancelToken,
    disk: DiskWatch,
) -> tuple[str, str] | None:
    """Read until the root exits. Returns (outcome, reason) when it had to be stopped."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    next_watch = begin + WATCH_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while process.poll() is None:
            if selector.get_map():
                if selector.select(TICK_SECONDS) and not _read(pipe, output):
                    selector.unregister(pipe)
            else:  # It closed its output and goes on, or is about to exit.
                _wait(process, TICK_SECONDS)
            if cancel.cancelled:
                return "cancelled", "cancelled"
            now = time.monotonic()
            if now - begin > command.timeout_seconds:
                return "timeout", f"still running after {command.timeout_seconds:g} s"
            if disk.exceeded is not None:
                return "signalled", disk.exceeded
            if now >= next_watch:
                reason = _over_bounds(process.pid, command)
                if reason is not None:
                    return "signalled", reason
                next_watch = time.monotonic() + WATCH_SECONDS
    return None


def _read(pipe: int, output: BoundedOutput) -> bool:
    try:
        block = os.read(pipe, BLOCK)
    except BlockingIOError:
        return True
    output.add(block)
    return bool(block)


def _drain(pipe: int, output: BoundedOutput) -> None:
    """Take what the dead left in the pipe: at most the kernel's pipe buffer."""
    try:
        while block := os.read(pipe, BLOCK):
            output.add(block)
    except BlockingIOError:
        return


def _over_bounds(root: int, command: Command) -> str | None:
    processes = descendants(root)
    if len(processes) > command.max_processes:
        return f"more than {command.max_processes} processes"
    used = 0
    for pid in processes:
        with suppress(psutil.Error):
            used += psutil.Process(pid).memory_info().rss
    if used > command.memory_bytes:
        return f"more than {command.memory_bytes >> 20} MiB of memory"
    return None


def descendants(root: int) -> list[int]:
    """The ids of all processes below `root`, which itself is left out; the dead whom nobody has asked after too.

    Asked of the kernel, parent by parent: to list every process of the machine takes so long that one that forks
    and ends, again and again, is never found where it was seen.
    """
    found: dict[int, None] = {}
    pending = [root]
    while pending:
        fresh = [pid for pid in _children(pending.pop()) if pid not in found]
        found.update(dict.fromkeys(fresh))
        pending += fresh
    return list(found)


def _children(pid: int) -> list[int]:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
        texts = [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in tasks]
    except (FileNotFoundError, ProcessLookupError):
        if _CHILDREN_FILE.exists():
            return []  # It has ended; its children are now another's.
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children()]
        return []
    return [int(child) for text in texts for child in text.split()]


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill the root's group and everything below it, and wait until they are gone."""
    below = kill_below(process.pid) if process.poll() is None else set()
    if process.poll() is None:
        _signal(process.pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _await_end(below)


def kill_below(root: int) -> set[int]:
    """Kill every process below `root`; returns their ids.

    They are stopped from the top down before they are killed, so that nothing can fork while it dies.
    """
    seen: set[int] = set()
    quiet = 0
    while quiet < 2:  # Once is not enough: the kernel's list may skip one while another leaves it.
        fresh = [pid for pid in descendants(root) if pid not in seen]
        for pid in fresh:
            _signal(pid, signal.SIGSTOP)
        seen.update(fresh)
        quiet = 0 if fresh else quiet + 1
    for pid in seen:
        _signal(pid, signal.SIGKILL)
    return seen


def _await_end(pids: set[int]) -> None:
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        if not any(_alive(pid) for pid in pids):
            return
        time.sleep(0.005)


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
