"""What keeps a model host alone, private and small: one host a model, one user, a secret, a bounded log."""

import contextlib
import fcntl
import hmac
import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

LOG_BYTES = 1 << 20


class BoundedLog(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error and empties that file when it has grown past `LOG_BYTES`."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            status = os.fstat(2)
            if status.st_size > LOG_BYTES:
                os.ftruncate(2, 0)
        super().emit(record)


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[bool]:
    number = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            with contextlib.suppress(OSError):  # Only clients that find this host stopped want to know.
                os.ftruncate(number, 0)
                os.write(number, str(os.getpid()).encode())
            yield True
    finally:
        os.close(number)


def equal_secrets(given: str, wanted: str) -> bool:
    """Compared in constant time; whatever text was sent."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def same_user(connection: socket.socket) -> bool:
    """Linux tells who connected; elsewhere the folder, the socket's mode and the token stand alone."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", data)[1] == os.getuid())
