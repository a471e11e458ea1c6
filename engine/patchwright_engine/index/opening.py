"""Open the database of an index, or replace one that failed: rebuilt where it is broken, else one in memory.

Invariant: there is always a store to go on with, and a note says what it is worth.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path

from patchwright_engine.index.lease import delete_database
from patchwright_engine.index.store import Store

BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA, None})
"""Codes that a new database cures; a locked, full or read-only one is left alone (None: our own version check)."""


def open_store(location: Path, notes: list[str]) -> Store:
    """The store at `location`; what is to be told about it is added to `notes`."""
    try:
        location.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return Store(location)
        except sqlite3.Error as error:
            if not _is_broken(error):
                raise
            return _rebuild(location)
    except (OSError, sqlite3.Error) as error:
        return _in_memory(location, error, notes)


def replace_store(store: Store, error: sqlite3.Error, notes: list[str], *, rebuild: bool) -> Store:
    """Close a store that failed with `error` while in use, and open another one."""
    location = store.location
    store.close()
    if location is None:
        return Store(None)
    reason: Exception = error
    if rebuild and _is_broken(error):
        try:
            rebuilt = _rebuild(location)
        except (OSError, sqlite3.Error) as failure:
            reason = failure
        else:
            notes.append("The index was broken and has been rebuilt.")
            return rebuilt
    return _in_memory(location, reason, notes)


def _in_memory(location: Path, error: Exception, notes: list[str]) -> Store:
    notes.append(
        f"The index is kept in memory only and made anew each time, since {location.parent} is not usable: {error}."
        " Free some space there, make the folder writable, or close other windows that use it; PATCHWRIGHT_HOME"
        " names another place for it."
    )
    return Store(None)


def _rebuild(location: Path) -> Store:
    """The database made anew; as it is where another process has it open, which may have rebuilt it already."""
    with suppress(BlockingIOError):
        delete_database(location)
    return Store(location)


def _is_broken(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return (code & 0xFF if code is not None else None) in BROKEN
