"""A cache folder that is full, or cannot be written: the index works all the same and says so."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from index_answers import said_fresh
from index_process import SEARCHED
from patchwright_engine.control import CancelToken
from patchwright_engine.index import open_index
from patchwright_engine.workspace.snapshot import take_snapshot

PROGRAM = """
import json, sys
from pathlib import Path
from index_answers import said
from patchwright_engine.control import CancelToken
from patchwright_engine.index import open_index
from patchwright_engine.workspace.snapshot import take_snapshot
root, cache = map(Path, sys.argv[1:])
with open_index(root, cache) as index:
    report = index.refresh(take_snapshot(root), CancelToken())
    print(json.dumps({"said": said(index), "notes": report.notes, "hits": report.cache_hits}))
"""


def bubblewrap(*arguments: object) -> list[str]:
    return ["bwrap", "--dev-bind", "/", "/", *map(str, arguments)]


def can_bubblewrap() -> bool:
    return (
        shutil.which("bwrap") is not None
        and not subprocess.run(bubblewrap("true"), capture_output=True, check=False).returncode
    )


pytestmark = pytest.mark.skipif(not can_bubblewrap(), reason="bubblewrap makes the small and the read-only disk")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    for number in range(50):
        lines = [f"def first{number}_{line}(value):\n    return second(value, {line})\n" for line in range(20)]
        (root / f"m{number}.py").write_text(f"LIMIT = {number}\n" + "\n".join(lines))
    return root


def indexed(root: Path, cache: Path, *disk: object) -> Any:
    done = subprocess.run(
        [*bubblewrap(*disk), sys.executable, "-P", "-c", PROGRAM, str(root), str(cache)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, SEARCHED))},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kilobytes", [16, 128])
def test_a_full_disk_leaves_the_index_in_memory_and_says_so(root: Path, tmp_path: Path, kilobytes: int) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    found = indexed(root, cache, "--size", kilobytes << 10, "--tmpfs", cache)
    [note] = found["notes"]
    assert "kept in memory only" in note
    assert "Free some space" in note
    assert found["said"] == said_fresh(take_snapshot(root), tmp_path / "fresh")


def test_a_disk_that_is_large_enough_is_used(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    assert indexed(root, cache, "--size", 64 << 20, "--tmpfs", cache)["notes"] == []


@pytest.mark.parametrize("filled", [False, True])
def test_a_read_only_cache_leaves_the_index_in_memory_and_says_so(root: Path, tmp_path: Path, filled: bool) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    if filled:
        with open_index(root, cache) as index:
            index.refresh(take_snapshot(root), CancelToken())
    before = {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    found = indexed(root, cache, "--ro-bind", cache, cache)
    [note] = found["notes"]
    assert "Read-only file system" in note
    assert "make the folder writable" in note
    assert found["said"] == said_fresh(take_snapshot(root), tmp_path / "fresh")
    assert {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()} == before
