"""Many files at once: the pool gives what one process gives, and its failure costs nothing."""

import hashlib
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled
from patchwright_engine.index import build
from patchwright_engine.index.records import Record, SourceFile, make_record
from patchwright_engine.types import RepoPath, Skipped


@pytest.fixture
def files(tmp_path: Path) -> list[SourceFile]:
    found = []
    for number in range(60):
        path = RepoPath(f"m{number}.py")
        content = f"def f{number}(): return g{number}()\n".encode()
        (tmp_path / path).write_bytes(content)
        found.append(SourceFile(path, tmp_path / path, hashlib.sha256(content).hexdigest()))
    return found


def keyed(batches: Iterator[build.Batch]) -> dict[RepoPath, Record | Skipped]:
    return {file.path: record for batch in batches for file, record in batch}


def test_the_pool_and_one_process_make_equal_records(files: list[SourceFile]) -> None:
    expected = {file.path: make_record(file) for file in files}
    assert keyed(build.make_records(files, CancelToken())) == expected
    assert keyed(build.make_records(files, CancelToken(), pool_from=1)) == expected


def test_a_pool_that_dies_midway_loses_no_file(files: list[SourceFile], monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(batches: list[list[SourceFile]], workers: int, cancel: CancelToken) -> Iterator[tuple[int, build.Batch]]:
        yield 1, [(file, make_record(file)) for file in batches[1]]
        raise BrokenProcessPool

    monkeypatch.setattr(build, "_in_pool", dies)
    monkeypatch.setattr(build, "_usable_cores", lambda: 2)
    assert set(keyed(build.make_records(files, CancelToken(), pool_from=1))) == {file.path for file in files}


def test_a_cancel_between_batches_ends_the_work(files: list[SourceFile]) -> None:
    cancel = CancelToken()
    batches = build.make_records(files, cancel)
    next(batches)
    cancel.cancel()
    with pytest.raises(Cancelled):
        next(batches)
