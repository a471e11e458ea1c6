"""The SQLite side of the index: parsed contents by key, and this connection's view of which file holds which.

Invariant: the file on disk holds only what is keyed by content and schema version; which path has which
content lives in a temporary table of the connection, so two editors with different unsaved texts share it.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
    """One open database. Raises sqlite3.Error; `view.py` decides what an error means."""

    def __init__(self, location: Path | None) -> None:
        """`location` is the database file, or None for one in memory."""
        self.location = location
        self._connection = sqlite3.connect(
            ":memory:" if location is None else location, timeout=10.0, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query."""
        return self._connection.execute(sql, values).fetchall()

    def ids(self, keys: Iterable[str]) -> dict[str, int]:
        """The row of each known key."""
        known: dict[str, int] = {}
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), 500):
            batch = wanted[start : start + 500]
            marks = ",".join("?" * len(batch))
            known.update(self.rows(f"SELECT key, id FROM parsed WHERE key IN ({marks})", batch))
        return known

    def add(self, records: Iterable[Record]) -> None:
        """Store records in one transaction; those another process stored meanwhile are left as they are."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
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
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def vectors(self, files: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """The packed vectors of some rows; a row that is gone is left out."""
        for start in range(0, len(files), 500):
            batch = files[start : start + 500]
            yield from self.rows(f"SELECT id, vectors FROM parsed WHERE id IN ({','.join('?' * len(batch))})", batch)

    def show(self, files: Mapping[RepoPath, int]) -> None:
        """Make `files` (path to row) the view of this connection."""
        self._connection.execute("BEGIN")
        self._connection.execute("DELETE FROM current")
        self._connection.executemany("INSERT INTO current VALUES (?, ?)", files.items())
        self._connection.execute("COMMIT")

    def forget_stale(self) -> None:
        """Drop the oldest contents out of view once they outnumber what is worth keeping."""
        (total,) = self.rows("SELECT count(*) FROM parsed")[0]
        (shown,) = self.rows("SELECT count(*) FROM current")[0]
        surplus = total - max(KEEP_AT_LEAST, KEEP_STALE * shown)
        if surplus <= 0:
            return
        stale = self.rows(
            "SELECT id FROM parsed WHERE id NOT IN (SELECT file FROM current) ORDER BY id LIMIT ?", (surplus,)
        )
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany("DELETE FROM symbol WHERE file = ?", stale)
            self._connection.executemany("DELETE FROM parsed WHERE id = ?", stale)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _prepare(self) -> None:
        execute = self._connection.execute
        if self.location is not None:
            execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA temp_store = MEMORY")
        execute("BEGIN IMMEDIATE")
        if not self.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'"):
            for statement in TABLES.split(";"):
                execute(statement)
            execute("INSERT INTO meta VALUES (?)", (schema_version(),))
        found = self.rows("SELECT schema FROM meta")
        execute("COMMIT")
        if found != [(schema_version(),)]:
            raise sqlite3.DatabaseError("another schema version")
        self._connection.executescript(VIEW)


def delete_database(location: Path) -> None:
    """Remove a database with its journal files; missing ones are fine. Raises OSError."""
    for suffix in ("", "-wal", "-shm"):
        location.with_name(location.name + suffix).unlink(missing_ok=True)
