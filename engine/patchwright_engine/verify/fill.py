"""Write the files of a copy, several at a time, and know what was written.

Reading, hashing and writing release Python's lock, so threads pay even on two cores.
Invariant: what is returned as written is hashed from the very bytes written, and is in the store.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.verify.contents_store import BLOCK, ContentsStore, copy_range, digest_of, write_all
from patchwright_engine.verify.stamps import Stamp, stamp_of
from patchwright_engine.workspace.contents import Entry
from patchwright_engine.workspace.scan import is_inside

_WORKERS = min(8, (os.cpu_count() or 1) + 2)
_CHUNK = 128
"""Files one thread takes at a time: neighbours, so that threads seldom meet in one folder."""
_LARGE = 1 << 20
"""Bytes from which a file is copied by the kernel rather than through memory, and of small ones gathered there."""

Written = Mapping[str, tuple[Entry, Stamp]]


@dataclass(frozen=True, slots=True)
class Filler:
    """Where the contents of one copy come from: the store, else unsaved buffers, else the user's disk."""

    snapshot: Snapshot
    copy: Path
    store: ContentsStore
    cancel: CancelToken

    def write_files(self, wanted: Mapping[str, Entry], *, exactly: bool) -> Written:
        """Create each file of `wanted`, none of which may exist, in folders that must exist.

        A file whose content changed on disk since the snapshot is written as it is now, and returned with that
        content; with `exactly` it is left out, as is one that can be read nowhere any more.

        Raises:
            OSError: the disk does not take it.
            Cancelled: the token was cancelled; what was written stays.
        """
        chunks = [dict(items) for items in _chunks(sorted(wanted.items()), _CHUNK)]
        if len(chunks) <= 1:
            parts: Iterable[Written] = [self._write_chunk(chunk, exactly) for chunk in chunks]
        else:
            with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
                futures = [pool.submit(self._write_chunk, chunk, exactly) for chunk in chunks]
                try:
                    parts = [future.result() for future in futures]
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
        return {path: written for part in parts for path, written in part.items()}

    def _write_chunk(self, wanted: Mapping[str, Entry], exactly: bool) -> Written:
        written: dict[str, tuple[Entry, Stamp]] = {}
        contents: list[tuple[str, bytes]] = []
        for path, entry in wanted.items():
            self.cancel.check()
            done = self._from_store(path, entry) or self._from_origin(path, entry, exactly, contents)
            if done is not None:
                written[path] = done
            if sum(len(content) for _, content in contents[-8:]) > _LARGE // 8:
                self.store.add(contents)
                contents.clear()
        self.store.add(contents)
        return written

    def _from_store(self, path: str, entry: Entry) -> tuple[Entry, Stamp] | None:
        if entry.content not in self.store:
            return None
        target = self._create(path, entry.mode)
        try:
            if self.store.take_out(entry.content, target):
                return entry, _finish(target, entry.mode)
        finally:
            os.close(target)
        (self.copy / path).unlink()
        return None

    def _from_origin(
        self, path: str, entry: Entry, exactly: bool, contents: list[tuple[str, bytes]]
    ) -> tuple[Entry, Stamp] | None:
        overlay = self.snapshot.overlays.get(RepoPath(path))
        if overlay is not None:
            return self._from_memory(path, entry, overlay, exactly, contents)
        try:
            source = os.open(f"{self.snapshot.root}/{path}", os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            info = os.fstat(source)
            if not stat.S_ISREG(info.st_mode):
                return None
            if info.st_size > _LARGE:
                return self._from_large(path, entry, source, exactly)
            return self._from_memory(path, entry, _read_all(source, info.st_size), exactly, contents)
        finally:
            os.close(source)

    def _from_memory(
        self, path: str, entry: Entry, content: bytes, exactly: bool, contents: list[tuple[str, bytes]]
    ) -> tuple[Entry, Stamp] | None:
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry.content:
            if exactly or not is_inside(self.snapshot.root, self.snapshot.root / path):
                return None
            entry = entry._replace(content=digest)
        target = self._create(path, entry.mode)
        try:
            write_all(target, content)
            contents.append((digest, content))
            return entry, _finish(target, entry.mode)
        finally:
            os.close(target)

    def _from_large(self, path: str, entry: Entry, source: int, exactly: bool) -> tuple[Entry, Stamp] | None:
        target = self._create(path, entry.mode)
        try:
            # The user may be writing to it: what is hashed and kept is what the copy got.
            size = copy_range(source, target, os.fstat(source).st_size, 0, 0)
            digest = digest_of(target, size)
            inside = digest == entry.content or is_inside(self.snapshot.root, self.snapshot.root / path)
            if inside and (digest == entry.content or not exactly):
                self.store.add_from(digest, target, size)
                return entry._replace(content=digest), _finish(target, entry.mode)
        finally:
            os.close(target)
        (self.copy / path).unlink()
        return None

    def _create(self, path: str, mode: int) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.open(f"{self.copy}/{path}", flags, mode & 0o777)


def _finish(target: int, mode: int) -> Stamp:
    """Give a written file its mode, whatever the umask took, and say how to know it again."""
    info = os.fstat(target)
    if stat.S_IMODE(info.st_mode) != mode:
        os.fchmod(target, mode)
        info = os.fstat(target)
    return stamp_of(info)


def _read_all(source: int, size: int) -> bytes:
    content = os.read(source, size + 1)
    while len(content) > size and (more := os.read(source, BLOCK)):  # It grew since its size was asked for.
        content += more
    return content


def _chunks(items: list[tuple[str, Entry]], size: int) -> Iterable[list[tuple[str, Entry]]]:
    return (items[start : start + size] for start in range(0, len(items), size))
