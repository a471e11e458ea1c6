"""`patchwright locate ISSUE [--repo DIR] [--top K] [--json]`: ranked files and symbols, without a model."""

import argparse
import json
import sys
import time
from pathlib import Path

from patchwright_engine.cli.display import SafeConsole, progress_display
from patchwright_engine.cli.inputs import read_issue
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.index import open_index
from patchwright_engine.localize import locate
from patchwright_engine.localize.reasons import reasons
from patchwright_engine.sandbox.output import visible
from patchwright_engine.types import Issue, Ranking
from patchwright_engine.workspace.repository import find_repository
from patchwright_engine.workspace.snapshot import take_snapshot


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the subcommand."""
    parser = subparsers.add_parser("locate", help="rank files and symbols for an issue, without a model")
    parser.add_argument("issue", metavar="ISSUE", help="a file, '-' for standard input, or the text itself")
    parser.add_argument("--repo", default=".", type=Path, metavar="DIR", help="workspace (default: .)")
    parser.add_argument("--top", default=10, type=int, metavar="K", help="how many to print (default: 10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Rank and print. Raises BadInput for an issue or folder that cannot be worked on."""
    if args.top < 1:
        raise BadInput(f"--top {args.top} shows nothing", "Give a number of 1 or more.")
    started = time.perf_counter()
    issue = Issue(read_issue(args.issue))
    root = find_repository(args.repo)
    cancel = CancelToken()
    with progress_display(SafeConsole(stderr=True)) as progress, open_index(root) as index:
        snapshot = take_snapshot(root, cancel=cancel, progress=progress)
        index.refresh(snapshot, cancel, progress)
        ranking = locate(issue, snapshot, index, args.top)
    seconds = time.perf_counter() - started
    sys.stdout.write(json.dumps(as_json(ranking, seconds)) + "\n" if args.json else _in_words(ranking))
    return 0


def as_json(ranking: Ranking, seconds: float) -> dict[str, object]:
    """The object that `locate --json` prints (DESIGN §3). `seconds` is the whole command's time."""
    return {
        "schema": 1,
        "files": [
            {
                "path": item.path,
                "score": round(item.score, 4),
                "signals": {name: round(value, 4) for name, value in item.signals.items()},
            }
            for item in ranking.files
        ],
        "symbols": [
            {
                "path": item.symbol.path,
                "name": item.symbol.name,
                "kind": item.symbol.kind,
                "start_line": item.symbol.start_line,
                "end_line": item.symbol.end_line,
                "score": round(item.score, 4),
            }
            for item in ranking.symbols
        ],
        "seconds": round(seconds, 3),
    }


def _in_words(ranking: Ranking) -> str:
    if not ranking.files:
        return "Nothing in this workspace matches the issue.\n"
    lines = ["Files"]
    lines += [f"  {item.score:.2f}  {item.path}  ({', '.join(reasons(item.signals))})" for item in ranking.files]
    lines.append("Symbols")
    lines += [
        f"  {item.score:.2f}  {item.symbol.path}:{item.symbol.start_line}  {item.symbol.kind} {item.symbol.name}"
        f"  ({', '.join(reasons(item.signals))})"
        for item in ranking.symbols
    ]
    return visible("\n".join(lines) + "\n")
