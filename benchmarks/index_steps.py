"""One step of `benchmarks/index.py` in a process of its own, by `main`; prints what it took, by name, as JSON.

Its arguments: cold|warm|edit|switch TREE CACHE [ISSUES|BRANCH]
"""

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from patchwright_engine.control import CancelToken
from patchwright_engine.index import Index, open_index
from patchwright_engine.localize import locate
from patchwright_engine.types import Issue, Snapshot
from patchwright_engine.workspace.snapshot import take_snapshot

EDITS = 7
Result = TypeVar("Result")


def cold(tree: Path, cache: Path) -> dict[str, float]:
    """An empty cache filled; the index's own workers included."""
    with _MemoryWatch() as memory:
        started = time.perf_counter()
        snapshot = take_snapshot(tree)
        listed = time.perf_counter()
        with open_index(tree, cache) as index:
            index.refresh(snapshot, CancelToken())
            done = time.perf_counter()
    disk = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    return {
        "cold: list and hash": listed - started,
        "cold: index": done - listed,
        "cold: all of it": done - started,
        "memory while cold, MB": memory.peak / 1e6,
        "disk": disk,
    }


def warm(tree: Path, cache: Path, issues: Path) -> dict[str, float]:
    """Nothing has changed since the last time; then questions."""
    texts = json.loads(issues.read_text(encoding="utf-8"))
    started = time.perf_counter()
    snapshot = take_snapshot(tree)
    listed = time.perf_counter()
    with open_index(tree, cache) as index:
        index.refresh(snapshot, CancelToken())
        opened = time.perf_counter()
        queries = [_seconds(lambda text=text: locate(Issue(text), snapshot, index))[0] for text in texts]
        resident = psutil.Process().memory_info().rss
    return {
        "warm: list and hash": listed - started,
        "warm: open": opened - listed,
        "warm: all of it": opened - started,
        "warm: first query": queries[0],
        "query": statistics.median(queries[1:]),
        "query, slowest": max(queries[1:]),
        "memory with queries, MB": resident / 1e6,
    }


def edit(tree: Path, cache: Path, issues: Path) -> dict[str, float]:
    """One file saved, several times over; medians."""
    text = json.loads(issues.read_text(encoding="utf-8"))[0]
    took: list[tuple[float, float, float]] = []
    with open_index(tree, cache) as index:
        index.refresh(take_snapshot(tree), CancelToken())
        paths = sorted(index.files(), key=lambda path: (tree / path).stat().st_size)
        target = tree / paths[len(paths) // 2]
        before = target.read_bytes()
        for number in range(EDITS):
            target.write_bytes(before + b"\n# edit %d\n" % number)
            took.append(_follow_and_ask(tree, index, Issue(text)))
        target.write_bytes(before)
    listing, indexing, asking = zip(*took, strict=True)
    return {
        "saved file: list and hash": statistics.median(listing),
        "saved file: index": statistics.median(indexing),
        "saved file: next query": statistics.median(asking[1:]),
    }


def switch(tree: Path, cache: Path, branch: str) -> dict[str, float]:
    """To a branch that touches many files and back; git's own time not counted."""
    with open_index(tree, cache) as index:
        index.refresh(take_snapshot(tree), CancelToken())
        _git(tree, "switch", "-q", branch)
        there = _seconds(lambda: _follow(tree, index))[0]
        _git(tree, "switch", "-q", "-")
        back = _seconds(lambda: _follow(tree, index))[0]
    return {"branch switch: index": there, "branch switch: back again": back}


def _follow_and_ask(tree: Path, index: Index, issue: Issue) -> tuple[float, float, float]:
    listing, snapshot = _seconds(lambda: take_snapshot(tree))
    indexing, _ = _seconds(lambda: index.refresh(snapshot, CancelToken()))
    asking, _ = _seconds(lambda: locate(issue, snapshot, index))
    return listing, indexing, asking


def _follow(tree: Path, index: Index) -> Snapshot:
    snapshot = take_snapshot(tree)
    index.refresh(snapshot, CancelToken())
    return snapshot


def _git(tree: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", tree, *arguments], check=True, capture_output=True)


def _seconds(work: Callable[[], Result]) -> tuple[float, Result]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


class _MemoryWatch:
    """The most that this process and its children held at once; shared pages are counted for each."""

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        over = False
        while not over:  # and once more at the end: a small tree is done before the first look
            over = self._over.wait(0.1)
            self.peak = max(self.peak, sum(_resident(process) for process in (me, *me.children(recursive=True))))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def main() -> int:
    name, tree, cache, *more = sys.argv[1:]
    if name == "cold":
        found = cold(Path(tree), Path(cache))
    elif name == "switch":
        found = switch(Path(tree), Path(cache), more[0])
    else:
        found = {"warm": warm, "edit": edit}[name](Path(tree), Path(cache), Path(more[0]))
    sys.stdout.write(json.dumps(found))
    return 0
