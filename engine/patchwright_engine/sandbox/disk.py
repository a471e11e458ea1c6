"""Bound what a run writes: many files fill a disk as well as one, and no kernel limit counts their sum.

A thread looks at the free space often, and adds up what the run wrote when that shrinks, and now and then anyway.
Invariant: only what changed after the run began counts, so neither the copy nor another program's files ever do.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

LOOK_SECONDS = 0.2
SUM_SECONDS = 5.0
"""At the latest so long after the last time, the files are added up; longer when that itself takes long."""
ENTRY_BYTES = 4096
"""What an empty file counts: its directory entry and inode take room too."""
SCRATCH_FILES = 1 << 18
"""Files in the temporary folders in memory: each takes about a kilobyte of the kernel's memory, whatever it holds."""
_SHARE = 8


class DiskWatch:
    """Watches folders while a run writes to them; a context manager. `exceeded` then says why the run must end."""

    def __init__(
        self, folders: Sequence[Path], disk_bytes: int, scratch: Callable[[], Sequence[Path]] = lambda: ()
    ) -> None:
        """`folders` lie on the disk; `scratch` names file systems in memory, as seen from here, once they exist.

        A run may add `disk_bytes` to the folders, and never more than half of what is free.
        """
        self.exceeded: str | None = None
        self._folders = tuple(folders)
        self._scratch = scratch
        self._since = time.time()
        self._first = _free(self._folders)
        self._allowed = min([disk_bytes, *(size // 2 for size, _ in self._first)])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="disk-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        last, due = self._first, time.monotonic() + SUM_SECONDS
        while self.exceeded is None and not self._stop.wait(LOOK_SECONDS):
            free = _free(self._folders)
            if any(now < before // _SHARE for (now, _), (before, _) in zip(free, self._first, strict=True)):
                self.exceeded = "the disk is nearly full"
            elif _files_of(self._scratch()) > SCRATCH_FILES:
                self.exceeded = f"more than {SCRATCH_FILES} files in its temporary folders"
            elif time.monotonic() >= due or self._shrunk(last, free):
                begin = time.monotonic()
                try:
                    if self._added() > self._allowed:
                        self.exceeded = f"more than {self._allowed >> 20} MiB of disk"
                except _TooDeep:
                    self.exceeded = "folders nested deeper than a path can name"
                last = free
                due = time.monotonic() + max(SUM_SECONDS, 20 * (time.monotonic() - begin))

    def _shrunk(self, before: Sequence[tuple[int, int]], now: Sequence[tuple[int, int]]) -> bool:
        step = self._allowed // _SHARE
        return any(
            size - size_now > step or files - files_now > step // ENTRY_BYTES
            for (size, files), (size_now, files_now) in zip(before, now, strict=True)
        )

    def _added(self) -> int:
        """Bytes of everything below the folders that changed since the start; stops counting beyond the bound.

        The change time counts, because a program can set the modification time back.
        """
        total = 0
        pending = [str(folder) for folder in self._folders]
        while pending and total <= self._allowed and not self._stop.is_set():
            for entry in _entries(pending.pop()):
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                with suppress(OSError):  # gone meanwhile
                    info = entry.stat(follow_symlinks=False)
                    if info.st_ctime >= self._since:
                        total += max(info.st_blocks * 512, ENTRY_BYTES)
        return total


class _TooDeep(Exception):
    """What lies there cannot be counted, and hardly be deleted."""


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What a folder holds; nothing for one that is gone, or that a test has locked."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise _TooDeep from error
        return []


def _free(folders: Sequence[Path]) -> list[tuple[int, int]]:
    """Free bytes and free inodes of the file systems that hold the folders."""
    found = []
    for folder in folders:
        info = os.statvfs(folder)
        found.append((info.f_bavail * info.f_frsize, info.f_favail))
    return found


def _files_of(mounts: Sequence[Path]) -> int:
    """Files on file systems in memory. One that is not there yet shows the machine's own, which does not count."""
    total = 0
    for mount in mounts:
        with suppress(OSError):
            if mount.stat().st_dev not in {Path("/").stat().st_dev, Path("/tmp").stat().st_dev}:
                info = os.statvfs(mount)
                total += info.f_files - info.f_ffree
    return total
