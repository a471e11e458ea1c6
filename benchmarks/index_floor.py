"""The floor of `benchmarks/index.py`: reading, parsing and querying, with nothing kept."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import tree_sitter

from patchwright_engine.index.build import MAX_WORKERS
from patchwright_engine.index.records import MAX_BYTES
from patchwright_engine.syntax.languages import find_grammar
from patchwright_engine.types import RepoPath

BATCH = 25


@contextmanager
def warm_pool(tree: Path, sources: Sequence[str]) -> Iterator[ProcessPoolExecutor]:
    """As many processes as the index would use, with grammars loaded and queries compiled."""
    workers = min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, MAX_WORKERS
    )
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        samples = list({path.rpartition(".")[2]: str(tree / path) for path in sources}.values())
        list(pool.map(_parse, [samples] * workers * 4))
        yield pool


def parse_everything(pool: ProcessPoolExecutor, tree: Path, sources: Sequence[str]) -> float:
    """Seconds for all files."""
    batches = [[str(tree / path) for path in sources[start : start + BATCH]] for start in range(0, len(sources), BATCH)]
    started = time.perf_counter()
    list(pool.map(_parse, batches))
    return time.perf_counter() - started


def _parse(paths: Sequence[str]) -> int:
    found = 0
    for path in paths:
        grammar = find_grammar(RepoPath(path))
        content = Path(path).read_bytes()
        if grammar is None or len(content) > MAX_BYTES:
            continue
        root = tree_sitter.Parser(grammar.language).parse(content).root_node
        found += len(tree_sitter.QueryCursor(grammar.query).captures(root))
    return found
