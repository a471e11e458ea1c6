"""Who has an index database open: SQLite guards what is in it, this guards the files themselves.

Invariant: no database is deleted while any process has it open, for that process would go on writing to files that
nobody finds, or read a new journal beside an old database.
"""

import os
import time
from pathlib import Path

PATIENCE_SECONDS = 5.0
"""How long opening waits for a deletion, which takes milliseconds."""


class Lease:
    """The right to use the database at a location, shared with others, until `end`."""

    def __init__(self, location: Path) -> None:
        """Raises OSError where the folder cannot be written, or somebody deletes without end."""
        self._file: int | None = _take(location, alone=False)

    def end(self) -> None:
        """Give it back. Repeated calls do nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def delete_database(location: Path) -> None:
    """Remove a database with its journal files; missing ones are fine.

    Raises:
        OSError: they cannot be removed, or somebody has the database open (`BlockingIOError`).
    """
    file = _take(location, alone=True)
    try:
        for suffix in ("", "-wal", "-shm"):
            location.with_name(location.name + suffix).unlink(missing_ok=True)
    finally:
        if file is not None:
            os.close(file)


def _take(location: Path, *, alone: bool) -> int | None:
    """A descriptor that holds the lock; None on Windows, where nobody can delete what is open."""
    try:
        import fcntl
    except ImportError:
        return None
    file = os.open(location.with_name(location.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        give_up = time.monotonic() + (0 if alone else PATIENCE_SECONDS)
        while True:
            try:
                fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    raise
                time.sleep(0.01)
    except BaseException:
        os.close(file)
        raise
