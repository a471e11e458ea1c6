"""How fast and how small is the index, against the least that parsing costs and against what others build?

    python benchmarks/index.py [--repo DIR] [--aider PYTHON] [--growth] [--quick] [--json OUT]

Without --repo the running Python's own library is indexed. The source files are copied first, into a git repository in
the temporary folder, so that files can be saved and branches switched; DIR itself is only read. What is measured:

floor    read every file, parse it and run the index's query over it: as many processes as the index uses, warmed up
cold     an empty cache: list, hash, parse, store; every run in a new process that starts its own workers
warm     a new process with the cache there: open and look up; then issues made from the repository's own code
edit     one file saved; switch: `git switch` to a branch with 200 files changed, and back
peers    aider's repo map and a bm25s index, run by PYTHON, and Universal Ctags if it is installed

PYTHON is the interpreter of an environment that has them: `python -m venv peers; peers/bin/pip install aider-chat
bm25s`, then `--aider peers/bin/python`. What is not there is left out of the table and of the ratios. A ratio against
aider is its seconds over ours, both from nothing (or a warm cache) to a first answer, imports not counted.
Best of three runs of everything, in turn (--quick: one). --growth instead indexes trees of 1,000 to 100,000 files
made by copying DIR's (--quick: to 10,000). Run it on a quiet machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from index_floor import parse_everything, warm_pool
from index_peers import aider_seconds, bm25s_seconds, ctags_seconds
from index_trees import BRANCH, copy_sources, grow, make_issues
from patchwright_engine.workspace.repository import find_repository
from patchwright_engine.workspace.snapshot import take_snapshot

STEP = "import sys; sys.path.insert(0, sys.argv.pop(1)); import index_steps; sys.exit(index_steps.main())"
"""Not a file: the index's workers would import it, with all that it imports; those of our commands need not either."""
GOALS: Mapping[str, str] = {
    "cold: all of it": "2.5 floors",
    "warm: open": "0.2",
    "saved file: index": "0.05",
    "branch switch: index": "2",
    "query": "0.05",
    "memory while cold, MB": "300",
    "memory with queries, MB": "300",
    "disk, share of the source": "1",
}
GROWTH = (1_000, 3_000, 10_000, 30_000, 100_000)
QUICK_GROWTH = 10_000
LIMIT = 3_600.0
"""Seconds for one step of ours or one run of another's."""
QUICK_LIMIT = 100.0
"""For another's with --quick, which is to end within five minutes: on a busy machine aider alone takes longer."""

Row = dict[str, Any]


def main() -> int:
    """Measure, print a table, and write OUT when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one run instead of the best of three")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--repo", type=Path, default=Path(sysconfig.get_path("stdlib")), metavar="DIR")
    parser.add_argument("--aider", type=Path, metavar="PYTHON", help="interpreter with aider-chat and bm25s")
    parser.add_argument("--growth", action="store_true", help="trees of growing size instead")
    arguments = parser.parse_args()
    root = find_repository(arguments.repo)
    with tempfile.TemporaryDirectory(prefix="patchwright-index-") as scratch:
        if arguments.growth:
            rows, ratios = measure_growth(root, Path(scratch), arguments.quick)
        else:
            rows, ratios = measure(root, Path(scratch), arguments.aider, 1 if arguments.quick else 3)
    sys.stdout.write("".join(f"{name}: {value:.2f}\n" for name, value in ratios.items()))
    if arguments.json:
        machine = {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows, "ratios": ratios}, indent=1))
    return 0


def measure(root: Path, scratch: Path, peers: Path | None, runs: int) -> tuple[list[Row], dict[str, float]]:
    """The rows of the table and the ratios."""
    tree = scratch / "tree"
    sources = copy_sources(take_snapshot(root), tree)
    issues = scratch / "issues.json"
    issues.write_text(json.dumps(make_issues(tree, sources)))
    everything: list[dict[str, float]] = []
    with warm_pool(tree, sources) as pool:
        for run in range(runs):
            cache = scratch / f"cache{run}"
            seen = {"floor: parse and query alone": parse_everything(pool, tree, sources)}
            seen |= step("cold", tree, cache)
            seen |= step("warm", tree, cache, issues)
            seen |= step("edit", tree, cache, issues)
            seen |= step("switch", tree, cache, Path(BRANCH))
            everything.append(seen)
    others: list[dict[str, float]] = []
    notes: list[str] = []
    for run in range(runs):
        seen, notes = peer_seconds(tree, sources, peers, scratch / f"peers{run}", QUICK_LIMIT if runs == 1 else LIMIT)
        others.append(seen)
    best = {name: min(run[name] for run in everything) for name in everything[0]}
    best |= {name: min(run[name] for run in others) for name in others[0]}
    size = sum((tree / path).stat().st_size for path in sources)
    best["disk, share of the source"] = best.pop("disk") / size
    rows = [{"what": what, "value": round(value, 4), "goal": GOALS.get(what, "")} for what, value in best.items()]
    show(f"{len(sources)} files, {size / 1e6:.1f} MB; seconds, the best of {runs}", rows)
    Console().print("\n".join(notes), highlight=False)
    floor, cold, warm = best["floor: parse and query alone"], best["cold: all of it"], best["warm: all of it"]
    ratios = {"cold_vs_floor": cold / floor}
    if "aider's repo map, cold" in best:
        ratios["vs_aider_cold"] = best["aider's repo map, cold"] / (cold + best["warm: first query"])
        ratios["vs_aider_warm"] = best["aider's repo map, warm"] / (warm + best["warm: first query"])
    return rows, ratios


def peer_seconds(
    tree: Path, sources: Sequence[str], python: Path | None, scratch: Path, limit: float
) -> tuple[dict[str, float], list[str]]:
    """What the others take, and for each that is not here, how to get it."""
    seen: dict[str, float] = {}
    notes: list[str] = []
    for found in (
        aider_seconds(python, tree, sources, scratch, limit),
        bm25s_seconds(python, tree, sources, limit),
        ctags_seconds(tree, sources, scratch),
    ):
        if isinstance(found, str):
            notes.append(found)
        else:
            seen |= found
    return seen, notes


def measure_growth(root: Path, scratch: Path, quick: bool) -> tuple[list[Row], dict[str, float]]:
    """One row for each size of tree; the ratio is the last one's seconds a file over the first one's."""
    snapshot = take_snapshot(root)
    rows: list[Row] = []
    for size in GROWTH:
        if quick and size > QUICK_GROWTH:
            break
        tree, cache = scratch / f"tree{size}", scratch / f"cache{size}"
        sources = grow(snapshot, tree, size)
        issues = scratch / "issues.json"
        issues.write_text(json.dumps(make_issues(tree, sources)))
        seen = step("cold", tree, cache) | step("warm", tree, cache, issues) | step("edit", tree, cache, issues)
        megabytes = sum((tree / path).stat().st_size for path in sources) / 1e6
        seen["disk, share of the source"] = seen.pop("disk") / megabytes / 1e6
        rows.append(
            {"files": size, "MB": round(megabytes, 1), **{name: round(value, 4) for name, value in seen.items()}}
        )
        subprocess.run(["rm", "-rf", tree, cache], check=True)
    table = Table("", *(f"{row['files']:,} files" for row in rows), title="growth; seconds")
    for name in rows[0]:
        table.add_row(name, *(f"{row[name]:,.3f}" if isinstance(row[name], float) else str(row[name]) for row in rows))
    Console().print(table)
    each = [row["cold: all of it"] / row["files"] for row in rows]
    return rows, {"cold_a_file_last_vs_first": each[-1] / each[0]}


def step(name: str, *arguments: Path) -> dict[str, float]:
    """One step of ours in a process of its own; what it took by name."""
    sys.stderr.write(f"{name} ...\n")
    done = subprocess.run(
        [sys.executable, "-P", "-c", STEP, Path(__file__).parent, name, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def show(title: str, rows: Sequence[Row]) -> None:
    table = Table(title=title)
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("goal", justify="right")
    for row in rows:
        table.add_row(str(row["what"]), f"{row['value']:.3f}", str(row["goal"]))
    Console().print(table)


if __name__ == "__main__":
    raise SystemExit(main())
