"""`patchwright serve`: become the language server. The engine never imports it, so it is started as a program."""

import argparse
import importlib.util
import os
import sys

from patchwright_engine.errors import EnvironmentProblem


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `serve`."""
    parser = subparsers.add_parser("serve", help="the language server on stdio (editors start this)")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="options for the server; see serve -- --help")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Replace this process with the server.

    Raises:
        EnvironmentProblem: the `server` extra is not installed.
    """
    if any(importlib.util.find_spec(name) is None for name in ("patchwright_server", "pygls")):
        raise EnvironmentProblem(
            "the language server is not installed", "Run `pip install '.[server,llama]'` in a clone of Patchwright."
        )
    rest = [argument for argument in arguments.rest if argument != "--"]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "patchwright_server", *rest])
