"""The fix jobs that run, kept on disk: what a server was at when it was killed, another one can go on with.

One file a job in the state folder, private to the user. Whoever works on a job, or offers it to the user, holds a lock
on its file, which the kernel takes back when that process ends, however it ends: an entry whose lock is free has no
owner, and taking the lock is what claims it. No process id can be mistaken for another's, not even after a restart of
the machine or from within a container.
Invariants: a file is there whole or not at all; of all processes one at most has a job; what cannot be read is dropped,
never repaired. Every call may touch the disk and none knows the event loop: `kept_jobs.py` keeps them apart.
"""

import errno
import json
import logging
import os
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

SCHEMA = 1
KEPT_SECONDS = 7 * 24 * 3600.0
"""An older job is not offered any more: nobody remembers what it was about."""
PART_SECONDS = 24 * 3600.0
"""When a half-written file is surely nobody's."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A fix job as it was begun."""

    job: str
    root: str
    """The workspace folder, links resolved."""
    text: str
    origin: str = "text"
    path: str | None = None
    line: int | None = None
    test_command: str | None = None
    test_here: bool = False
    budget: str | None = None
    """None: what the settings say."""
    resume: str | None = None
    """The trace that the job itself went on from."""
    trace: str | None = None
    """None: it never reached the engine."""
    since: int | float = 0.0
    """When it began, in seconds since 1970."""
    pid: int = 0
    """The server that had it last; for people."""
    closed: bool = False
    """The server was told to leave; without that it was killed."""
    dismissed: bool = False
    """The user was asked and did not answer."""


class Journal:
    """The entries in one folder. Used by one thread at a time."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._held: dict[str, IO[bytes]] = {}

    def write(self, entry: Entry) -> None:
        """Create the job's entry or replace it, and hold it from now on.

        Raises:
            OSError: the folder cannot be written, or its file system has no locks.
        """
        self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._path(entry.job).with_suffix(".part")
        file = os.fdopen(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        try:
            if not _lock(file.fileno()):
                raise BlockingIOError(errno.EAGAIN, "somebody else writes this entry", str(fresh))
            file.write(json.dumps({"schema": SCHEMA, **asdict(entry)}).encode())
            file.flush()
            fresh.replace(self._path(entry.job))
        except BaseException:
            fresh.unlink(missing_ok=True)
            file.close()
            raise
        before = self._held.pop(entry.job, None)
        self._held[entry.job] = file
        if before is not None:
            before.close()

    def drop(self, job: str) -> None:
        """Forget a job that is held: it ended."""
        file = self._held.pop(job, None)
        if file is not None:
            self._path(job).unlink(missing_ok=True)
            file.close()

    def leave(self, entry: Entry) -> None:
        """Keep a job for whoever comes next. Raises OSError as `write`."""
        self.write(entry)
        self._held.pop(entry.job).close()

    def take(self, root: Path) -> list[Entry]:
        """Claim the jobs of a workspace folder that nobody works on, the oldest first; they are held from now on.

        Raises:
            OSError: the folder cannot be read, or its file system has no locks.
        """
        if not self._place.is_dir():
            return []
        for part in self._place.glob("*.part"):
            if time.time() - part.stat().st_mtime > PART_SECONDS:
                part.unlink(missing_ok=True)
        taken = [self._claim(path, str(root)) for path in self._place.glob("*.json") if path.stem not in self._held]
        return sorted((entry for entry in taken if entry is not None), key=lambda entry: entry.since)

    def close(self) -> None:
        """Let go of everything that is held; the files stay."""
        while self._held:
            self._held.popitem()[1].close()

    def _path(self, job: str) -> Path:
        return self._place / f"{job}.json"

    def _claim(self, path: Path, root: str) -> Entry | None:
        entry = _read(path)
        if entry is not None and entry.root != root:
            return None  # another folder's: even a moment's lock could hide it from who looks for it
        try:
            file = path.open("rb")
        except OSError:
            return None  # it ended just now, or is not ours to read
        if not _lock(file.fileno()) or not _is_still(path, file):
            file.close()
            return None
        entry = _read(path)
        if entry is not None and time.time() - entry.since <= KEPT_SECONDS:
            self._held[entry.job] = file
            return entry
        log.warning("%s was dropped: %s", path, "it is too old" if entry else "it cannot be read")
        path.unlink(missing_ok=True)
        file.close()
        return None


def _read(path: Path) -> Entry | None:
    try:
        values: Any = json.loads(path.read_bytes())
        if values.pop("schema") != SCHEMA:
            return None
        entry = Entry(**values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    typed = all(isinstance(getattr(entry, field.name), field.type) for field in fields(Entry))  # type: ignore[arg-type]
    return entry if typed and entry.job == path.stem else None


def _lock(file: int) -> bool:
    """Take a file for this process alone; whether nobody else had it."""
    try:
        import fcntl
    except ImportError as error:
        raise OSError(errno.ENOTSUP, "this system has no file locks") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, file: IO[bytes]) -> bool:
    """Whether the file at `path` is the one that is open: its owner may have replaced or removed it meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False
