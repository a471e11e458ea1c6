"""`patchwright locate ISSUE [--repo DIR] [--top K] [--test CMD] [--rerank] [--json]`: ranked files and symbols.

No model has a part in it unless `--rerank` asks for one.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from patchwright_engine.cli.display import SafeConsole, progress_display
from patchwright_engine.cli.inputs import check_test, read_issue
from patchwright_engine.config import load_settings
from patchwright_engine.control import CancelToken, Progress
from patchwright_engine.errors import BadInput
from patchwright_engine.index import open_index
from patchwright_engine.localize import locate
from patchwright_engine.localize.reasons import reasons
from patchwright_engine.localize.rerank import CANDIDATES, rerank_with
from patchwright_engine.sandbox.output import visible
from patchwright_engine.search.failing_test import TestRun, locate_with_test
from patchwright_engine.types import Issue, Ranking
from patchwright_engine.verify.execution import EXECUTION_SECONDS
from patchwright_engine.verify.kept import Bounds
from patchwright_engine.workspace.repository import find_repository
from patchwright_engine.workspace.snapshot import take_snapshot


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the subcommand."""
    parser = subparsers.add_parser("locate", help="rank files and symbols for an issue, without a model")
    parser.add_argument("issue", metavar="ISSUE", help="a file, '-' for standard input, or the text itself")
    parser.add_argument("--repo", default=".", type=Path, metavar="DIR", help="workspace (default: .)")
    parser.add_argument("--top", default=10, type=int, metavar="K", help="how many to print (default: 10)")
    parser.add_argument(
        "--test",
        metavar="CMD",
        help="a failing test (path::test, or a command that names it): it is run in the sandbox with the other tests "
        "of its file, and what it alone runs is suspected",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=EXECUTION_SECONDS,
        metavar="S",
        help=f"seconds for that run (default: {EXECUTION_SECONDS:g})",
    )
    parser.add_argument("--python", metavar="EXE", help="interpreter that runs the project's tests")
    parser.add_argument(
        "--runner", metavar="NAME", help="test runner, e.g. pytest, unittest or django (default: found)"
    )
    parser.add_argument("--rerank", action="store_true", help="let a model that runs here reorder the best files")
    parser.add_argument("--model", metavar="NAME|PATH", help="which one (default: the one that `fix` would take)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Rank and print.

    Raises:
        BadInput: the issue, the folder, or the test cannot be worked on.
        EnvironmentProblem: the test cannot be run on this machine.
    """
    if args.top < 1:
        raise BadInput(f"--top {args.top} shows nothing", "Give a number of 1 or more.")
    check_test(args.test, args.timeout)
    if args.model is not None and not args.rerank:
        raise BadInput("--model does nothing without --rerank", "Give both, or neither.")
    started = time.perf_counter()
    issue = Issue(read_issue(args.issue), test_command=args.test)
    root = find_repository(args.repo)
    cancel = CancelToken()
    with progress_display(SafeConsole(stderr=True)) as progress, open_index(root) as index:
        snapshot = take_snapshot(root, cancel=cancel, progress=progress)
        index.refresh(snapshot, cancel, progress)
        shown = max(args.top, CANDIDATES) if args.rerank else args.top
        if args.test is None:
            ranking = locate(issue, snapshot, index, shown)
        else:
            progress(Progress("locate", "following the failing test"))
            ranking = locate_with_test(issue, snapshot, index, _test_run(args), shown, cancel=cancel)
        if args.rerank:
            progress(Progress("model", "asking the model"))
            ranking = _cut(rerank_with(args.model, issue, ranking, cancel), args.top)
    seconds = time.perf_counter() - started
    sys.stdout.write(json.dumps(as_json(ranking, seconds)) + "\n" if args.json else _in_words(ranking))
    return 0


def _test_run(args: argparse.Namespace) -> TestRun:
    settings = load_settings()
    return TestRun(
        args.test,
        args.python or settings.python,
        args.runner or settings.runner,
        args.timeout,
        Bounds(bytes=settings.kept_copies_bytes),
    )


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


def _cut(ranking: Ranking, top: int) -> Ranking:
    return replace(ranking, files=ranking.files[:top], symbols=ranking.symbols[:top])
