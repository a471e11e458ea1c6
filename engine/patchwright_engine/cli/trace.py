"""`patchwright trace show`: a recorded search as a readable tree, or as one HTML page."""

import argparse
import os
import re
import sys
from pathlib import Path

from patchwright_engine.cli.display import ResultConsole
from patchwright_engine.config import folders
from patchwright_engine.errors import BadInput, EnvironmentProblem
from patchwright_engine.report.build import read_report

BESIDE = Path()
"""`--html` without a place: beside the trace."""
PIPED_COLUMNS = 1_000
"""What reads a pipe breaks lines itself, or wants none broken."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `trace show`."""
    parser = subparsers.add_parser("trace", help="look into a recorded search")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = commands.add_parser(
        "show",
        help="a search as a tree, or as a page: candidates, scores, costs, verdicts",
        description="Print a search as a tree, or write it as one HTML page that needs no network and runs no script.",
    )
    show.add_argument(
        "file",
        metavar="FILE",
        help="a trace, the name of one in the traces folder (a part that only one has will do), or 'last'",
    )
    show.add_argument(
        "--html",
        nargs="?",
        type=Path,
        const=BESIDE,
        metavar="OUT",
        help="write the page to OUT and print its path (default: beside the trace; '-' for standard output)",
    )
    show.add_argument("-o", "--output", type=Path, metavar="OUT", help="the same place for --html, said apart")
    show.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the search. Raises BadInput for a file that is no trace, EnvironmentProblem when no page can be written."""
    if arguments.output is not None and arguments.html is None:
        raise BadInput("-o says where the page goes, and none was asked for", "Add --html.")
    trace = _find(arguments.file)
    report = read_report(trace)
    if arguments.html is None:
        from patchwright_engine.cli.trace_tree import shown

        console = ResultConsole()
        if not console.is_terminal:
            console.width = PIPED_COLUMNS
        console.print(shown(report, str(trace)))
        return 0
    from patchwright_engine.report.page import render_page

    out = arguments.output or arguments.html
    page = render_page(report, str(trace))
    if str(out) == "-":
        sys.stdout.buffer.write(page.encode())
        sys.stdout.flush()
        return 0
    place = trace.with_suffix(".html") if out == BESIDE else out
    _write(place, page, trace)
    sys.stdout.write(f"{place}\n")
    return 0


def _find(name: str) -> Path:
    """The trace that a person means: a file, or one of the traces folder by a part of its name. Raises BadInput."""
    path = Path(name)
    if path.exists() or os.sep in name or path.suffix:
        return path
    known = sorted(folders().traces.glob("*.jsonl"))
    if name == "last" and known:
        return known[-1]
    found = [one for one in known if name in one.stem]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"'{name}' may mean {len(found)} traces", f"Say more of the name, e.g. {found[-1].stem}.")
    raise BadInput(f"there is no trace '{name}'", f"Give a file, or a name in {folders().traces}.")


def _write(place: Path, page: str, trace: Path) -> None:
    """Write the page for the user alone: it holds their code. Raises BadInput, EnvironmentProblem."""
    if place.exists() and (place.samefile(trace) or not re.fullmatch(r"\.x?html?", place.suffix.lower())):
        raise BadInput(f"{place} is there and no page", "Choose another place for --html, one that ends in .html.")
    try:
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(page)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the page {place}: {error.strerror}", "Choose a writable place: --html OUT."
        ) from error
