"""The first content of every file of a copy, one after the other in a single file, so that the copy can be restored.

One big file costs a fraction of what thousands of small ones do, and it lies where no test can write.
Invariant: what comes out has the digest it was asked for by, or nothing comes out.
"""

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

Span = tuple[int, int]
"""(offset, size) in bytes."""

BLOCK = 1 << 20
_ALIGNMENT = 1 << 12
"""File systems that share blocks between files (btrfs, XFS) share whole ones only."""


class ContentsStore:
    """Owns one open file; adding and taking out are thread-safe."""

    def __init__(self, path: Path, spans: Mapping[str, Span] | None = None) -> None:
        """Start an empty store at `path`, or go on with the one there when `spans` tell what it holds.

        Raises:
            OSError: it cannot be opened.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | (os.O_TRUNC if spans is None else 0)
        self._descriptor = os.open(path, flags, 0o600)
        self._spans: dict[str, Span] = dict(spans or {})
        self._end = max((offset + size for offset, size in self._spans.values()), default=0)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Repeated calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __contains__(self, digest: str) -> bool:
        return digest in self._spans

    @property
    def spans(self) -> Mapping[str, Span]:
        return self._spans

    @property
    def size(self) -> int:
        """Bytes on disk, those of contents no longer asked for included."""
        return self._end

    def add(self, contents: Sequence[tuple[str, bytes]]) -> None:
        """Append (digest, content) pairs not yet held. Raises OSError when the disk does not take them."""
        with self._lock:
            new = {digest: content for digest, content in contents if digest not in self._spans}
            offset = start = self._end
            for digest, content in new.items():
                self._spans[digest] = (offset, len(content))
                offset += len(content)
            self._end = offset
        write_all(self._descriptor, b"".join(new.values()), start)

    def add_from(self, digest: str, source: int, size: int) -> None:
        """Append the first `size` bytes of an open file, sharing its blocks where the file system can."""
        with self._lock:
            if digest in self._spans:
                return
            start = -(-self._end // _ALIGNMENT) * _ALIGNMENT
            self._spans[digest] = (start, size)
            self._end = start + size
        copy_range(source, self._descriptor, size, 0, start)

    def take_out(self, digest: str, target: int) -> bool:
        """Write the content into an empty open file; False, and the file as it may be, when the store is damaged."""
        offset, size = self._spans[digest]
        copied = copy_range(self._descriptor, target, size, offset, 0)
        return copied == size and digest_of(target, size) == digest


def copy_range(source: int, target: int, size: int, source_offset: int, target_offset: int) -> int:
    """Copy inside the kernel, or by sharing blocks where the file system can; the bytes copied, fewer at the end.

    Raises:
        OSError: the disk does not take them.
    """
    copied = 0
    while copied < size:
        try:
            count = os.copy_file_range(source, target, size - copied, source_offset + copied, target_offset + copied)
        except (OSError, AttributeError):  # Not on this system, or not between these two: the plain way tells why.
            count = 0
        if count == 0:
            block = os.pread(source, min(BLOCK, size - copied), source_offset + copied)
            write_all(target, block, target_offset + copied)
            count = len(block)
        if count == 0:
            break
        copied += count
    return copied


def digest_of(descriptor: int, size: int) -> str:
    """sha256 of the first `size` bytes of an open file."""
    digest, offset = hashlib.sha256(), 0
    while offset < size and (block := os.pread(descriptor, min(BLOCK, size - offset), offset)):
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()


def write_all(descriptor: int, content: bytes, offset: int = 0) -> None:
    """`os.pwrite` until everything is written. Raises OSError."""
    view = memoryview(content)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
