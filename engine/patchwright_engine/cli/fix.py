"""`patchwright fix`: an issue in, ranked fixes with their proof out.

The job runs on a thread of its own, so that Ctrl-C (or a kill) is answered at once: the first one cancels (the trace is
kept), a second one leaves without waiting. The user's files are written only with --apply.
"""

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from patchwright_engine.cli import discard_output
from patchwright_engine.cli.apply import apply_fix
from patchwright_engine.cli.display import ResultConsole, SafeConsole, progress_display, show_result
from patchwright_engine.cli.inputs import check_test, read_issue
from patchwright_engine.control import CancelToken, ProgressSink
from patchwright_engine.errors import BadInput
from patchwright_engine.pipeline import FixRequest, result_to_json, run_fix
from patchwright_engine.search.budget import TEST_SECONDS
from patchwright_engine.search.strategies import DEV_SEARCH, STRATEGIES
from patchwright_engine.types import FixResult, Issue

# How long a cancelled job may take to tidy up before we leave without it.
CANCEL_GRACE_SECONDS = 2.0


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `fix`."""
    parser = subparsers.add_parser(
        "fix",
        help="find and verify fixes for an issue",
        description="Find the fault, write candidate patches, run them in a sandbox, print those with proof.",
        epilog="Exit status: 0 a fix that reproduces or passes the failing test; 1 none; 2 bad input; "
        "3 this machine lacks something (the message names the cure); 130 cancelled.",
    )
    parser.add_argument("issue", metavar="ISSUE", help="a file, '-' for standard input, or the text itself")
    parser.add_argument("--repo", type=Path, default=Path(), metavar="DIR", help="the project (default: here)")
    parser.add_argument(
        "--budget", default="standard", metavar="B", help="quick (2 rollouts), standard (8), deep (32) or a number"
    )
    parser.add_argument("--test", metavar="CMD", help="a command that fails because of the issue and should pass")
    parser.add_argument(
        "--timeout",
        type=float,
        default=TEST_SECONDS,
        metavar="S",
        help="seconds for each run of the tests (default: %(default)g)",
    )
    parser.add_argument("--model", metavar="M", help="catalog name, GGUF file, or URL of an OpenAI-compatible server")
    parser.add_argument("--python", metavar="EXE", help="interpreter that runs the project's tests")
    parser.add_argument(
        "--runner", metavar="NAME", help="test runner, e.g. pytest, unittest or django (default: found)"
    )
    parser.add_argument(
        "--strategy",
        default=DEV_SEARCH,
        metavar="NAME",
        help=f"how to search (default: {DEV_SEARCH}); for comparison: {', '.join(STRATEGIES[1:])}",
    )
    parser.add_argument("--apply", action="store_true", help="write the best verified fix to the project's files")
    parser.add_argument("--with-test", action="store_true", help="with --apply: add the regression test too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="equal seeds search alike (default: 0)")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="where to write the search (default: chosen)")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="continue the search that wrote this trace")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `fix`; returns its exit code. Raises the PatchwrightError tree."""
    check_test(arguments.test, arguments.timeout)
    if arguments.with_test and not arguments.apply:
        raise BadInput("--with-test adds nothing without --apply", "Give both, or neither.")
    issue = Issue(read_issue(arguments.issue), test_command=arguments.test)
    request = FixRequest(
        issue,
        arguments.repo,
        budget=arguments.budget,
        seed=arguments.seed,
        model=arguments.model,
        python=arguments.python,
        runner=arguments.runner,
        test_timeout=arguments.timeout,
        trace=arguments.trace,
        resume=arguments.resume,
        strategy=arguments.strategy,
    )
    result = _run_cancellable(request)
    try:
        if arguments.json:
            sys.stdout.write(json.dumps(result_to_json(result), indent=2) + "\n")
        else:
            show_result(result, ResultConsole())
        sys.stdout.flush()
    except BrokenPipeError:  # `| head`: the exit status and --apply still count.
        discard_output()
    best = result.fixes[0] if result.fixes else None
    if arguments.apply and result.stopped == "cancelled":
        SafeConsole(stderr=True, highlight=False).print("Nothing applied: the search was cancelled.")
    elif arguments.apply:
        apply_fix(best, arguments.repo, SafeConsole(stderr=True, highlight=False), with_test=arguments.with_test)
    if result.stopped == "cancelled":
        return 130
    return 0 if best is not None and best.evidence.verified else 1


def _run_cancellable(request: FixRequest) -> FixResult:
    cancel = CancelToken()
    outcome: list[FixResult | BaseException] = []

    def work(sink: ProgressSink) -> None:
        try:
            outcome.append(run_fix(request, cancel=cancel, progress=sink))
        except BaseException as error:  # noqa: BLE001  # handed to the main thread, which raises it
            outcome.append(error)

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if cancel.cancelled:
            os._exit(130)
        threading.Thread(target=cancel.cancel, daemon=True).start()

    # A closed terminal or a `kill` ends the job as Ctrl-C does, so that no copy of the code is left behind.
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        with progress_display(SafeConsole(stderr=True, highlight=False)) as display:
            worker = threading.Thread(target=work, args=(display,), name="fix", daemon=True)
            worker.start()
            waited = 0.0
            while worker.is_alive() and waited < CANCEL_GRACE_SECONDS:
                worker.join(0.05)
                waited += 0.05 if cancel.cancelled else 0.0
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if not outcome:
        sys.stderr.write("patchwright: cancelled; the trace is kept\n")
        sys.stderr.flush()
        os._exit(130)
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result
