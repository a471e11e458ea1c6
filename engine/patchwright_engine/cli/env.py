"""`patchwright env plan|build|show|remove`: the environment that runs a project's tests, found or built with consent.

`build` shows the plan and asks; without a terminal it needs --yes. It is, with `models pull`, the only command that
reaches the network.
"""

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.text import Text

from patchwright_engine.cli.display import SafeConsole
from patchwright_engine.config import load_settings
from patchwright_engine.control import CancelToken, Progress
from patchwright_engine.errors import BadInput
from patchwright_engine.sandbox.output import one_line
from patchwright_engine.verify.build_environment import BuildPlan, build, plan_build, remove_built
from patchwright_engine.verify.choose import choose_environment
from patchwright_engine.workspace.repository import find_repository

_SHOWN_LINES = 40


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the subcommand and its own subcommands."""
    parser = subparsers.add_parser("env", help="show, plan, build or remove the environment of a project's tests")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="which interpreter and runner are used, why, and what was passed over")
    show.set_defaults(run=run_show)
    plan = actions.add_parser("plan", help="what `build` would install, from which files, by which commands")
    plan.set_defaults(run=run_plan)
    making = actions.add_parser(
        "build", help="show the plan, ask, then build it in the cache (reaches your package index)"
    )
    making.add_argument("--yes", action="store_true", help="build without asking")
    making.set_defaults(run=run_build)
    remove = actions.add_parser("remove", help="delete what was built for the project")
    remove.set_defaults(run=run_remove)
    for action in (show, plan, making, remove):
        action.add_argument("--repo", type=Path, default=Path(), metavar="DIR", help="the project (default: here)")
        action.add_argument("--json", action="store_true", help="print one JSON object")
    for action in (plan, making):
        action.add_argument(
            "--python", type=Path, metavar="EXE", help="interpreter to make it from (default: one that suits)"
        )
        action.add_argument(
            "--allow-building",
            action="store_true",
            help="build dependencies that have no wheel: runs their code outside the sandbox",
        )


def run_show(args: argparse.Namespace) -> int:
    """Print the environment that a fix would use."""
    settings = load_settings()
    override = Path(settings.python) if settings.python else None
    found = choose_environment(find_repository(args.repo), python=override, runner=settings.runner)
    if args.json:
        document = {
            "schema": 1,
            "language": found.language,
            "runner": found.runner,
            "executable": str(found.executable),
            "reason": found.reason,
            "notes": list(found.notes),
            "considered": list(found.considered),
        }
        sys.stdout.write(json.dumps(document) + "\n")
        return 0
    lines = [f"{found.runner} with {found.executable}", f"  because it is {found.reason}"]
    if found.reason.startswith(("no ", "package.json", "go.mod", "Cargo.toml", "pom.xml", "build.gradle")):
        lines[1] = f"  because {found.reason}"
    lines += [f"  {note}" for note in (*found.notes, *(text for text in found.considered if text not in found.notes))]
    _write(lines)
    return 0


def run_plan(args: argparse.Namespace) -> int:
    """Print what would be built."""
    _print_plan(_plan(args), args.json)
    return 0


def run_build(args: argparse.Namespace) -> int:
    """Print the plan, ask, build."""
    plan = _plan(args)
    if not args.json:
        _print_plan(plan, False)
    if not args.yes and not _agreed():
        sys.stdout.write("Nothing was built.\n")
        return 1
    console = SafeConsole(stderr=True)
    with _cancelled_by_signals() as cancel, console.status("building") as status:

        def progress(now: Progress) -> None:
            status.update(Text(now.message), spinner="dots")

        built = build(plan, cancel, progress)
    if args.json:
        sys.stdout.write(json.dumps({"schema": 1, "python": str(built.python), "folder": str(built.folder)}) + "\n")
    else:
        _write([f"Built {built.python}; fixes use it from now on. `patchwright env remove` deletes it."])
    return 0


def run_remove(args: argparse.Namespace) -> int:
    """Delete what was built for the project."""
    removed = remove_built(find_repository(args.repo))
    if args.json:
        sys.stdout.write(json.dumps({"schema": 1, "removed": [str(folder) for folder in removed]}) + "\n")
    else:
        _write([f"Removed {folder}" for folder in removed] or ["Nothing was built for this project."])
    return 0


def _plan(args: argparse.Namespace) -> BuildPlan:
    return plan_build(find_repository(args.repo), python=args.python, allow_building=args.allow_building)


def _print_plan(plan: BuildPlan, as_json: bool) -> None:
    if as_json:
        document = {
            "schema": 1,
            "folder": str(plan.folder),
            "python": str(plan.python),
            "version": plan.version,
            "files": list(plan.files),
            "requirements": list(plan.requirements),
            "pins": list(plan.pins),
            "left_out": list(plan.left_out),
            "commands": [list(command) for command in plan.commands],
            "remarks": list(plan.remarks),
        }
        sys.stdout.write(json.dumps(document) + "\n")
        return
    lines = [
        f"An environment for {plan.root}",
        f"  in          {plan.folder}",
        f"  from        {plan.python} (Python {plan.version or 'of unknown version'})",
        f"  read from   {', '.join(plan.files)}",
        f"  pinned      {len(plan.pins)} versions by the lock file"
        if plan.pins
        else "  pinned      nothing: no lock file",
        *_listed("installs", plan.requirements),
        *_listed("left out", plan.left_out),
        *_listed("runs", tuple(" ".join(command) for command in plan.commands)),
        *plan.remarks,
    ]
    _write(lines)


def _write(lines: list[str]) -> None:
    """Much in them is the repository's: what the user agrees to must be what stands there."""
    sys.stdout.write("".join(f"{one_line(line)}\n" for line in lines))


def _listed(title: str, entries: tuple[str, ...]) -> list[str]:
    shown = list(entries[:_SHOWN_LINES])
    if len(entries) > len(shown):
        shown.append(f"and {len(entries) - len(shown)} more (--json shows all)")
    return [f"  {title if number == 0 else '':<11} {entry}" for number, entry in enumerate(shown)]


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise BadInput("building an environment needs your word", "Look at `patchwright env plan`, then give --yes.")
    sys.stderr.write("Build it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


@contextmanager
def _cancelled_by_signals() -> Iterator[CancelToken]:
    """A token that Ctrl-C and a polite kill cancel, so that nothing half-built stays."""
    cancel = CancelToken()

    def stop(_number: int, _frame: FrameType | None) -> None:
        cancel.cancel()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
