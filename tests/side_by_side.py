"""A project whose tests take long as far as anyone knows, opened with as many processes as a test wants."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil

from patchwright_engine.config import copies_folder
from patchwright_engine.types import FileEdit, Patch, RepoPath, Snapshot
from patchwright_engine.verify.context import VerificationContext
from patchwright_engine.verify.orphans import OWNER, try_lock
from patchwright_engine.verify.shards import Pace, Room

PLENTY = 64 << 30
SLEEPS = "import time\n\n\ndef test_sleeps():\n    open('debris', 'w').close()\n    time.sleep(600)\n"
"""Leaves a trace in its copy, by which it is known to run."""

Open = Callable[..., AbstractContextManager[VerificationContext]]


def pace(*files: str, workers: int) -> Pace:
    """For files that are known to take ten seconds each."""
    return Pace(Room(workers, PLENTY), dict.fromkeys(files, 10.0))


def edited(snapshot: Snapshot, path: str, old: str, new: str) -> Patch:
    before = snapshot.read_text(RepoPath(path))
    assert old in before
    return Patch((FileEdit(RepoPath(path), before, before.replace(old, new)),))


def wait_for_debris(count: int, seconds: float = 60.0) -> None:
    """Until tests run in `count` copies at the same time: each sleeps on once it has left its trace."""
    deadline = time.monotonic() + seconds
    while len(list(copies_folder().rglob("debris"))) < count:
        assert time.monotonic() < deadline, "the tests did not begin"
        time.sleep(0.02)


def runs_alive() -> list[int]:
    """Processes below this one that run tests, whichever sandbox they are in."""
    return [child.pid for child in psutil.Process().children(recursive=True) if _runs_tests(child)]


def _runs_tests(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and any("patchwright_" in word for word in process.cmdline())
    except psutil.Error:
        return False


def copies_in_use() -> Iterator[Path]:
    """Copies that somebody still holds."""
    for owner in copies_folder().rglob(OWNER):
        descriptor = os.open(owner, os.O_RDWR)
        try:
            if not try_lock(descriptor):
                yield owner.parent
        finally:
            os.close(descriptor)
