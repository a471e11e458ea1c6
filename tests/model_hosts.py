"""Model hosts as tests start, find and end them."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled
from patchwright_engine.model.backend import CompletionRequest, Message
from patchwright_engine.model.client import HostedModel
from patchwright_engine.model.parameters import LoadParameters

PARAMETERS = LoadParameters(n_ctx=2048, context_tokens=2048, n_seq=4)
TALK = (Message("user", "Write a Python function that reverses a list. " * 8),)
TINY = CompletionRequest((Message("user", "hi"),), max_answer_tokens=1)
WORK = CompletionRequest(TALK, n=3, max_answer_tokens=24, seed=1)
LONG = CompletionRequest(TALK, n=4, max_answer_tokens=400)

Open = Callable[..., HostedModel]


def hosts() -> list[psutil.Process]:
    """Hosts this test process has started."""
    mine = psutil.Process().children()
    return [child for child in mine if is_host(child)]


def hosts_of(home: Path) -> list[psutil.Process]:
    """Hosts that anybody has started with `home` as theirs."""
    found = []
    for process in psutil.process_iter():
        try:
            if is_host(process) and process.environ().get("PATCHWRIGHT_HOME") == str(home):
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_host(process: psutil.Process) -> bool:
    try:
        return "patchwright_engine.model.host" in process.cmdline()
    except psutil.Error:
        return False


@contextlib.contextmanager
def at_work(model: HostedModel) -> Iterator[CancelToken]:
    """While the host does something long for `model`; the token ends that before."""
    began, stop = threading.Event(), CancelToken()

    def work() -> None:
        with pytest.raises(Cancelled):
            model.complete(LONG, stop, on_progress=lambda _progress: began.set())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert began.wait(60)
        yield stop
    finally:
        stop.cancel()
        thread.join()


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def kill_during(model: HostedModel, how: signal.Signals) -> Callable[[object], None]:
    """A progress watcher that sends the host a signal once it works."""
    sent: list[int] = []

    def watch(_progress: object) -> None:
        if not sent and model.host_pid:
            sent.append(model.host_pid)
            os.kill(model.host_pid, how)

    return watch
