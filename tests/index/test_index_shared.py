"""Two real processes on one index: neither can make the other say something wrong."""

from pathlib import Path

import pytest

from index_answers import said, said_fresh
from index_process import IndexProcess, texts
from patchwright_engine.control import CancelToken
from patchwright_engine.index import lease, open_index, store
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.workspace.snapshot import take_snapshot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def snapshot(root: Path, seed: int) -> Snapshot:
    return take_snapshot(root, {RepoPath(path): text for path, text in texts(seed).items()})


def test_what_another_process_forgets_is_still_known_to_who_uses_it(root: Path, cache: Path, tmp_path: Path) -> None:
    expected = said_fresh(snapshot(root, 0), tmp_path / "fresh")
    with open_index(root, cache) as index, IndexProcess(root, cache) as other:
        index.refresh(snapshot(root, 0), CancelToken())
        for seed in range(5, 30, 5):
            other.ask("refresh", seed=seed)
        assert index.symbols(RepoPath("m0.py"))
        assert said(index) == expected
        report = index.refresh(snapshot(root, 0), CancelToken())
        assert report.cache_hits < report.files, "nothing had been forgotten, so nothing was tested"
        assert report.notes == ()
        assert said(index) == expected


def test_what_is_forgotten_between_two_steps_of_a_refresh_is_made_again(
    root: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = said_fresh(snapshot(root, 0), tmp_path / "fresh")
    show = store.Store.show
    with open_index(root, cache) as index, IndexProcess(root, cache) as other:
        waiting = list(range(5, 20, 5))

        def interrupted(self: store.Store, files: dict[RepoPath, int]) -> list[RepoPath]:
            if waiting:
                other.ask("refresh", seed=waiting.pop())
            return show(self, files)

        monkeypatch.setattr(store.Store, "show", interrupted)
        index.refresh(snapshot(root, 0), CancelToken())
        assert not waiting, "no row was lost"
        assert said(index) == expected


def test_two_that_refresh_all_the_time_both_say_what_a_fresh_one_says(root: Path, cache: Path, tmp_path: Path) -> None:
    seeds = [[seed, seed + 3, seed + 1, seed + 7] * 2 for seed in (0, 4)]
    with IndexProcess(root, cache) as one, IndexProcess(root, cache) as other:
        for process, own in zip((one, other), seeds, strict=True):
            process.tell("rounds", seeds=own)
        answers = [one.answer(), other.answer()]
    expected = {seed: said_fresh(snapshot(root, seed), tmp_path / f"fresh{seed}") for seed in {*seeds[0], *seeds[1]}}
    for own, answered in zip(seeds, answers, strict=True):
        for seed, answer in zip(own, answered, strict=True):
            assert answer == expected[seed]


def test_a_database_that_another_process_has_open_is_not_deleted(root: Path, cache: Path) -> None:
    with IndexProcess(root, cache) as other:
        other.ask("refresh", seed=1)
        [database] = cache.glob("*/index.sqlite")
        with pytest.raises(BlockingIOError):
            lease.delete_database(database)
        assert database.exists()
        other.ask("close")
        lease.delete_database(database)
        assert not database.exists()


def test_a_broken_database_that_another_process_has_open_is_left_to_it(root: Path, cache: Path, tmp_path: Path) -> None:
    expected = said_fresh(snapshot(root, 0), tmp_path / "fresh")
    with IndexProcess(root, cache) as other:
        before = other.ask("refresh", seed=1) or other.ask("said")
        [database] = cache.glob("*/index.sqlite")
        database.with_name(database.name + "-wal").write_bytes(b"")
        database.write_bytes(b"not a database at all" * 1000)
        with open_index(root, cache) as index:
            report = index.refresh(snapshot(root, 0), CancelToken())
            assert "in memory" in report.notes[0]
            assert "close other windows" in report.notes[0]
            assert said(index) == expected
        assert other.ask("said") == before
    with open_index(root, cache) as index:
        assert index.refresh(snapshot(root, 0), CancelToken()).notes == ()
