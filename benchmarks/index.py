"""How long do indexing and localization take against the least that parsing alone costs?

    python benchmarks/index.py [--quick] [--json OUT] [--repo DIR]

Floor: read every Python file, parse it and run one query, in one process. Cold: an empty cache. Warm: nothing
changed. One edit: one file with unsaved text. Without --repo the running Python's own library is indexed.
Best of three runs (--quick: one). Run it on a quiet machine.
"""

import argparse
import json
import os
import platform
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from patchwright_engine.control import CancelToken
from patchwright_engine.index import IndexReport, open_index
from patchwright_engine.localize import locate
from patchwright_engine.syntax.parse import parse_symbols
from patchwright_engine.types import Issue, Snapshot
from patchwright_engine.workspace.repository import find_repository
from patchwright_engine.workspace.snapshot import take_snapshot

Result = TypeVar("Result")
ISSUE = Issue(
    "json.loads raises RecursionError for deeply nested lists\n\n`JSONDecoder.decode` should say what is wrong."
)


def main() -> int:
    """Measure, print a table, and write OUT when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one run instead of the best of three")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--repo", type=Path, default=Path(sysconfig.get_path("stdlib")), metavar="DIR")
    arguments = parser.parse_args()
    runs = 1 if arguments.quick else 3
    root = find_repository(arguments.repo)
    snapshot_seconds, snapshot = best(runs, lambda: take_snapshot(root))
    floor_seconds, _ = best(runs, lambda: parse_all(snapshot))
    cold_seconds, report = best(runs, lambda: cold(snapshot))
    with tempfile.TemporaryDirectory() as cache, open_index(root, Path(cache)) as index:
        index.refresh(snapshot, CancelToken())
        warm_seconds, _ = best(runs, lambda: index.refresh(snapshot, CancelToken()))
        path = index.files()[0]
        edited = take_snapshot(root, {path: "def edited(): pass\n"})
        edit_seconds, _ = best(1, lambda: index.refresh(edited, CancelToken()))
        locate_seconds, _ = best(runs, lambda: locate(ISSUE, edited, index))
    rows = [
        {"what": "floor: read, parse, one query", "seconds": floor_seconds},
        {"what": "snapshot: list and hash", "seconds": snapshot_seconds},
        {"what": "index, cold", "seconds": cold_seconds},
        {"what": "index, warm", "seconds": warm_seconds},
        {"what": "index, one edit", "seconds": edit_seconds},
        {"what": "locate", "seconds": locate_seconds},
    ]
    table = Table(title=f"{report.files} files, {report.symbols} symbols, {report.bytes / 1e6:.1f} MB")
    table.add_column("what")
    table.add_column("seconds", justify="right")
    for row in rows:
        table.add_row(str(row["what"]), f"{row['seconds']:.3f}")
    Console().print(table)
    ratios = {"cold_vs_floor": (snapshot_seconds + cold_seconds) / floor_seconds}
    sys.stdout.write("".join(f"{name}: {value:.2f}\n" for name, value in ratios.items()))
    if arguments.json:
        machine = {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows, "ratios": ratios}, indent=1))
    return 0


def best(runs: int, work: Callable[[], Result]) -> tuple[float, Result]:
    """Shortest wall time of `runs` calls, and the last result."""
    shortest = float("inf")
    for _ in range(runs):
        started = time.perf_counter()
        result = work()
        shortest = min(shortest, time.perf_counter() - started)
    return shortest, result


def parse_all(snapshot: Snapshot) -> int:
    """The floor: symbols of every Python file, kept nowhere."""
    return sum(
        len(parse_symbols(path, snapshot.read_bytes(path)).symbols) for path in snapshot.files if path.endswith(".py")
    )


def cold(snapshot: Snapshot) -> IndexReport:
    """One refresh with an empty cache."""
    with tempfile.TemporaryDirectory() as cache, open_index(snapshot.root, Path(cache)) as index:
        return index.refresh(snapshot, CancelToken())


if __name__ == "__main__":
    raise SystemExit(main())
