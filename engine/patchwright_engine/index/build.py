"""Make the records of many files: in this process for a few, in a pool of processes for many.

Invariant: the pool is an optimisation only. If it cannot start or dies, the rest is done here; results
come in batches so that the caller can store, report and stop between them.
"""

import gc
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from patchwright_engine.control import CancelToken
from patchwright_engine.index.records import Record, SourceFile, make_record
from patchwright_engine.types import Skipped

POOL_FROM = 200
"""Below this many files starting processes costs more than it saves (about 2 ms a file, 0.3 s a pool)."""
BATCH = 25
"""Files between two looks at the cancel token: about 50 ms of parsing."""
MAX_WORKERS = 8
GARBAGE_FROM = 100_000
"""New objects in a worker before Python looks for cycles."""

Batch = list[tuple[SourceFile, Record | Skipped]]


def make_records(files: Sequence[SourceFile], cancel: CancelToken, pool_from: int = POOL_FROM) -> Iterator[Batch]:
    """Records of `files` in batches, in any order. Raises Cancelled."""
    batches = [list(files[start : start + BATCH]) for start in range(0, len(files), BATCH)]
    workers = min(_usable_cores(), MAX_WORKERS, len(batches))
    if len(files) >= pool_from and workers > 1:
        done: set[int] = set()
        try:
            for number, batch in _in_pool(batches, workers, cancel):
                done.add(number)
                yield batch
            return
        except (BrokenProcessPool, OSError, RuntimeError, EOFError, AssertionError):  # the last: a daemonic process
            batches = [batch for number, batch in enumerate(batches) if number not in done]
    for waiting in batches:
        cancel.check()
        yield list(zip(waiting, _records(waiting), strict=True))


def _in_pool(batches: Sequence[list[SourceFile]], workers: int, cancel: CancelToken) -> Iterator[tuple[int, Batch]]:
    # Spawned, not forked: a fork of a process with threads and model memory may deadlock or balloon.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _prepare_worker)
    try:
        pending: dict[Future[list[Record | Skipped]], int] = {
            pool.submit(_records, batch): number for number, batch in enumerate(batches)
        }
        while pending:
            ready, _ = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
            cancel.check()
            for future in ready:
                number = pending.pop(future)
                yield number, list(zip(batches[number], future.result(), strict=True))
    finally:
        pool.shutdown(wait=not cancel.cancelled, cancel_futures=True)


def _records(files: list[SourceFile]) -> list[Record | Skipped]:
    return [make_record(file) for file in files]


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent decides.
    # A parsed file is tens of thousands of objects that die together: looking for cycles among them took a sixth.
    gc.freeze()
    gc.set_threshold(GARBAGE_FROM)


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1
