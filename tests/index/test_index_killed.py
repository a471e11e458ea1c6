"""Kill -9 anywhere in a refresh: the index that is opened afterwards says what a fresh one says."""

import random
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from index_answers import said, said_fresh
from index_process import IndexProcess, texts
from patchwright_engine.control import CancelToken
from patchwright_engine.index import open_index
from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.snapshot import take_snapshot

STATEMENTS = {
    "CREATE TABLE parsed": 1,
    "INSERT INTO meta": 1,
    "BEGIN IMMEDIATE": 4,
    "INSERT OR IGNORE INTO parsed": 30,
    "INSERT INTO symbol": 90,
    "COMMIT": 4,
    "INSERT INTO current": 60,
    "SELECT path FROM current": 1,
    "DELETE FROM symbol": 20,
    "DELETE FROM parsed": 20,
}
"""Beginnings of the statements of a refresh, and how many there are at least in each of those below."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path


@pytest.fixture
def process(place: Path) -> Iterator[IndexProcess]:
    with IndexProcess(place / "root", place / "cache") as process:
        yield process


def kill(process: IndexProcess, place: Path, seed: int, **at: Any) -> bool:
    """Have a refresh killed, look at what it left, and say whether it was killed before its end."""
    killed = process.ask("die", seed=seed, at=at)
    assert killed in (0, signal.SIGKILL)
    for database in (place / "cache").glob("*/index.sqlite"):
        connection = sqlite3.connect(database)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'parsed'").fetchall():
            half = "SELECT key FROM parsed WHERE symbol_count != (SELECT count(*) FROM symbol WHERE file = id)"
            assert connection.execute(half).fetchall() == []
            orphans = "SELECT file FROM symbol WHERE file NOT IN (SELECT id FROM parsed)"
            assert connection.execute(orphans).fetchall() == []
        connection.close()
    overlays = {RepoPath(path): text for path, text in texts(seed).items()}
    snapshot = take_snapshot(place / "root", overlays)
    with open_index(place / "root", place / "cache") as index:
        report = index.refresh(snapshot, CancelToken())
        assert report.notes == (), "the database was thrown away, though nothing in it was wrong"
        assert said(index) == said_fresh(snapshot, place / f"fresh{seed}")
    return bool(killed)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_killed_as_a_statement_begins(process: IndexProcess, place: Path, statement: str) -> None:
    rounds = 1 if STATEMENTS[statement] == 1 else 2
    if not statement.startswith(("CREATE", "INSERT INTO meta")):
        assert not process.ask("die", seed=1, at={})  # What there is to forget.
    for seed in range(4, 4 + 3 * rounds, 3):
        number = random.Random(seed).randrange(STATEMENTS[statement]) + 1
        assert kill(process, place, seed, statement=statement, number=number), "it never began"


def test_killed_in_the_middle_of_statements_and_at_any_time(process: IndexProcess, place: Path) -> None:
    chance = random.Random(1)
    killed = sum(kill(process, place, 3 * n, steps=int(10 ** chance.uniform(0, 3.3))) for n in range(1, 7))
    assert killed >= 3
    killed = sum(kill(process, place, 100 + 3 * n, seconds=chance.uniform(0, 0.12)) for n in range(5))
    assert killed >= 1
