"""`patchwright index [DIR] [--json]`: build or refresh the index of a workspace."""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from patchwright_engine.cli.display import SafeConsole, progress_display
from patchwright_engine.control import CancelToken
from patchwright_engine.index import IndexReport, open_index
from patchwright_engine.sandbox.output import visible
from patchwright_engine.types import Skipped
from patchwright_engine.workspace.repository import find_repository
from patchwright_engine.workspace.snapshot import take_snapshot

SHOWN = 20
"""Skipped files named to a person; more are counted by reason."""
EXAMPLES = 3
"""Named of each reason."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the subcommand."""
    parser = subparsers.add_parser("index", help="build or refresh the index of a workspace")
    parser.add_argument("directory", nargs="?", default=".", metavar="DIR", type=Path, help="workspace (default: .)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Refresh and print what the index holds. Raises BadInput for a folder that is no workspace."""
    root = find_repository(args.directory)
    cancel = CancelToken()
    with progress_display(SafeConsole(stderr=True)) as progress, open_index(root) as index:
        report = index.refresh(take_snapshot(root, cancel=cancel, progress=progress), cancel, progress)
    sys.stdout.write(json.dumps({"schema": 1, **asdict(report)}) + "\n" if args.json else _in_words(root, report))
    return 0


def _in_words(root: Path, report: IndexReport) -> str:
    lines = [
        str(root),
        f"files       {report.files}",
        f"symbols     {report.symbols}",
        f"bytes       {report.bytes}",
        f"seconds     {report.seconds:.2f}",
        f"cache hits  {report.cache_hits}",
        *([f"skipped     {report.skipped}"] if report.skipped else []),
        *_skipped_lines(report.skipped_files),
        *report.notes,
    ]
    return visible("\n".join(lines) + "\n")


def _skipped_lines(skipped: Sequence[Skipped]) -> Iterator[str]:
    """Each by name while they are few, else how many for each reason."""
    if len(skipped) <= SHOWN:
        yield from (f"  {one.path}: {one.reason}" for one in skipped)
        return
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for one in skipped:
        paths[one.reason].append(one.path)
    for reason, found in sorted(paths.items(), key=lambda item: -len(item[1])):
        more = ", …" if len(found) > EXAMPLES else ""
        yield f"  {len(found)}  {reason} ({', '.join(found[:EXAMPLES])}{more})"
    yield "  --json names all"
