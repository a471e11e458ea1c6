"""The SQLite side of the index: parsed contents by key, and this connection's view of which file holds which.

Invariant: the file on disk holds only what is keyed by content and schema version; which path has which
content lives in a temporary table of the connection, so two editors with different unsaved texts share it. From `show`
on, questions are answered from one unchanging state of the file, whatever this or another process writes or forgets.
"""

import errno
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from patchwright_engine.index.lease import Lease
from patchwright_engine.index.records import Record, schema_version
from patchwright_engine.types import RepoPath

TABLES = """
CREATE TABLE meta(schema TEXT NOT NULL);
CREATE TABLE parsed(
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
    symbol_count INTEGER NOT NULL, refs TEXT NOT NULL, imports TEXT NOT NULL, vectors BLOB NOT NULL
);
CREATE TABLE symbol(
    file INTEGER NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL, last TEXT NOT NULL, kind TEXT NOT NULL,
    start_line INTEGER NOT NULL, end_line INTEGER NOT NULL, signature TEXT NOT NULL,
    PRIMARY KEY (file, position)
) WITHOUT ROWID;
CREATE INDEX symbol_last ON symbol(last);
"""
VIEW = """
CREATE TEMP TABLE current(path TEXT PRIMARY KEY, file INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX temp.current_file ON current(file);
"""
KEEP_STALE = 4
"""Contents no longer in view are kept (branches come back) up to this many times the files in view."""
KEEP_AT_LEAST = 2_000


class Store:
    """One open database. Raises sqlite3.Error and OSError; `view.py` decides what an error means."""

    def __init__(self, location: Path | None) -> None:
        """`location` is the database file, or None for one in memory."""
        self.location = location
        with ExitStack() as opened:
            if location is not None:
                opened.callback(Lease(location).end)
            self._writer = self._reader = opened.enter_context(closing(_connect(location)))
            self._prepare()
            if location is not None:
                self._reader = opened.enter_context(closing(_connect(location)))
            self._reader.executescript(VIEW)
            self._shown: dict[RepoPath, int] = {}
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query about the view."""
        return self._reader.execute(sql, values).fetchall()

    def ids(self, keys: Iterable[str]) -> dict[str, int]:
        """The row of each key that is known now."""
        known: dict[str, int] = {}
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), 500):
            batch = wanted[start : start + 500]
            marks = ",".join("?" * len(batch))
            known.update(self._writer.execute(f"SELECT key, id FROM parsed WHERE key IN ({marks})", batch))
        return known

    def add(self, records: Iterable[Record]) -> None:
        """Store records in one transaction; those another process stored meanwhile are left as they are."""
        with self._writing() as connection:
            for record in records:
                cursor = connection.execute(
                    "INSERT OR IGNORE INTO parsed(key, size, symbol_count, refs, imports, vectors)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        record.key,
                        record.size,
                        len(record.symbols),
                        record.references_json,
                        record.imports_json,
                        record.vectors,
                    ),
                )
                if cursor.rowcount == 1:
                    file = cursor.lastrowid
                    connection.executemany(
                        "INSERT INTO symbol VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        [
                            (
                                file,
                                position,
                                row.name,
                                row.name.rpartition(".")[2],
                                row.kind,
                                row.start_line,
                                row.end_line,
                                row.signature,
                            )
                            for position, row in enumerate(record.symbols)
                        ],
                    )

    def vectors(self, files: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """The packed vectors of some rows; a row that is gone is left out."""
        for start in range(0, len(files), 500):
            batch = files[start : start + 500]
            yield from self.rows(f"SELECT id, vectors FROM parsed WHERE id IN ({','.join('?' * len(batch))})", batch)

    def show(self, files: Mapping[RepoPath, int]) -> list[RepoPath]:
        """Make `files` (path to row) the view that questions are about.

        Returns the paths whose rows another process has forgotten meanwhile; the view lacks them.
        """
        reader = self._reader
        if reader.in_transaction:
            reader.execute("COMMIT")
        reader.execute("BEGIN")
        shown = self._shown
        gone = [(path,) for path, row in shown.items() if files.get(path) != row]
        new = [(path, row) for path, row in files.items() if shown.get(path) != row]
        reader.executemany("DELETE FROM current WHERE path = ?", gone)
        reader.executemany("INSERT INTO current VALUES (?, ?)", new)
        lost = self.rows("SELECT path FROM current WHERE file NOT IN (SELECT id FROM parsed)")
        reader.executemany("DELETE FROM current WHERE path = ?", lost)
        self._shown = dict(files)
        for (path,) in lost:
            del self._shown[path]
        if reader is self._writer:  # In memory nobody else writes.
            reader.execute("COMMIT")
        return [path for (path,) in lost]

    def forget_stale(self) -> None:
        """Drop the oldest contents out of view once they outnumber what is worth keeping."""
        [(shown,)] = self.rows("SELECT count(*) FROM current")
        [(total,)] = self._writer.execute("SELECT count(*) FROM parsed")
        surplus = total - max(KEEP_AT_LEAST, KEEP_STALE * shown)
        if surplus <= 0:
            return
        viewed = {file for (file,) in self.rows("SELECT file FROM current")}
        with self._writing() as connection:
            oldest = connection.execute("SELECT id FROM parsed ORDER BY id").fetchall()
            stale = [row for row in oldest if row[0] not in viewed][:surplus]
            connection.executemany("DELETE FROM symbol WHERE file = ?", stale)
            connection.executemany("DELETE FROM parsed WHERE id = ?", stale)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that writes: all of it or nothing."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:  # A full disk has ended it already.
                self._writer.execute("ROLLBACK")
            raise

    def _prepare(self) -> None:
        execute = self._writer.execute
        if self.location is not None and execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise OSError(errno.ENOTSUP, "its file system cannot share a database")
        with self._writing():
            if not execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'").fetchone():
                for statement in TABLES.split(";"):
                    execute(statement)
                execute("INSERT INTO meta VALUES (?)", (schema_version(),))
            found = execute("SELECT schema FROM meta").fetchall()
        if found != [(schema_version(),)]:
            raise sqlite3.DatabaseError("another schema version")


def _connect(location: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(
        ":memory:" if location is None else location, timeout=10.0, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection
