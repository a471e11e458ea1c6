"""Spread independent work over processes that may be stopped, or may die, without taking the campaign with them.

Invariant: every item gives one answer: its result, or `Died` when the process that worked on it went away.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

from patchwright_engine.control import CancelToken

Item = TypeVar("Item")
Result = TypeVar("Result")
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Died:
    """A process ended in the middle of its work."""

    exit_code: int | None
    """Negative: the number of the signal that ended it."""


@dataclass(slots=True)
class _Worker(Generic[Item, Result]):
    process: BaseProcess
    connection: "Connection[Item | None, Result]"
    item: Item | None = None


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], jobs: int, cancel: CancelToken
) -> Iterator[tuple[Item, Result | Died]]:
    """`work` of every item, in the order in which they are done. `work` and the items must pickle.

    With `jobs` 1 too the work is done in a process of its own, so that no count of jobs behaves unlike another.
    Leaving the iterator early, as a cancel does, ends the processes at once.

    Raises:
        Cancelled: the token was cancelled.
    """
    todo = deque(items)
    workers: list[_Worker[Item, Result]] = []
    try:
        while todo and len(workers) < jobs:
            workers.append(_start(work, todo.popleft()))
        while workers:
            ready = wait([worker.connection for worker in workers], timeout=_LOOK_SECONDS)
            cancel.check()
            for worker in [one for one in workers if one.connection in ready]:
                item = worker.item
                assert item is not None
                result: Result | Died
                try:
                    result = worker.connection.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    workers.remove(worker)
                    worker.connection.close()
                    if todo:
                        workers.append(_start(work, todo.popleft()))
                    yield item, Died(worker.process.exitcode)
                    continue
                if todo:
                    worker.item = todo.popleft()
                    worker.connection.send(worker.item)
                else:
                    worker.connection.send(None)
                    worker.process.join()
                    workers.remove(worker)
                    worker.connection.close()
                yield item, result
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()
            worker.connection.close()


def _start(work: Callable[[Item], Result], item: Item) -> _Worker[Item, Result]:
    # Spawned: a fork of a process with threads may deadlock. A daemon: it never outlives us, and starts no pool of its
    # own, for the cores are taken.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(work, theirs), daemon=True)
    process.start()
    theirs.close()
    ours.send(item)
    return _Worker(process, ours, item)


def _serve(work: Callable[[Item], Result], connection: "Connection[Result, Item | None]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A Ctrl-C reaches the whole group; the parent decides.
    with suppress(EOFError, BrokenPipeError):
        while (item := connection.recv()) is not None:
            connection.send(work(item))
