"""The `patchwright` command: one module a subcommand, each with `add_parser` and `run`.

Results go to stdout, everything else to stderr. Errors of the tree end with their exit code and their cure.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from patchwright_engine.errors import PatchwrightError
from patchwright_engine.sandbox.output import visible

DESCRIPTION = "Fix issues in private code with verified patches from a local model. Nothing leaves this machine."
EPILOG = "Start with: patchwright doctor, patchwright models pull, patchwright fix 'what goes wrong' --repo DIR"


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from patchwright_engine import __version__
    from patchwright_engine.cli import bench, doctor, env, fix, index, locate, models, serve, trace

    parser = argparse.ArgumentParser(prog="patchwright", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"patchwright {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        fix.add_parser,
        locate.add_parser,
        index.add_parser,
        models.add_parser,
        env.add_parser,
        serve.add_parser,
        trace.add_parser,
        bench.add_parser,
        doctor.add_parser,
    ):
        add(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 no result, 2 bad input, 3 environment, 130 cancelled)."""
    debug = False
    try:
        try:
            arguments = build_parser().parse_args(argv)
            debug = arguments.debug
            return int(arguments.run(arguments))
        finally:
            sys.stdout.flush()  # Here, where a reader that went away is expected, and not at the interpreter's end.
    except PatchwrightError as error:
        if debug:
            raise
        # Further lines are indented: a line end in a name does not begin a line that seems to be ours.
        sys.stderr.write(visible(f"patchwright: {error.message}").replace("\n", "\n  ") + "\n")
        if error.cure:
            sys.stderr.write(visible(f"  {error.cure}").replace("\n", "\n  ") + "\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("patchwright: interrupted\n")
        return 130
    except BrokenPipeError:  # the reader of our output went away, e.g. `| head`
        discard_output()
        return 0


def discard_output() -> None:
    """Send what standard output still holds, and what comes, nowhere: its reader went away."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
