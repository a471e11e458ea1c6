"""The language server process: `python -m patchwright_server`, or `patchwright serve`. Speaks LSP on stdio."""

import argparse
import logging
import os
import sys
from functools import partial
from pathlib import Path

from patchwright_engine import __version__


def main(argv: list[str] | None = None) -> int:
    """Parse the options and serve one client."""
    parser = argparse.ArgumentParser(prog="patchwright serve", description="Patchwright's language server on stdio.")
    parser.add_argument("--version", action="version", version=f"patchwright {__version__}")
    parser.add_argument("--stdio", action="store_true", help="accepted for editors that pass it; there is no other way")
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="write the log there instead of stderr")
    options = parser.parse_args(argv)
    logging.basicConfig(
        filename=options.log_file,
        level=logging.INFO,
        format="%(asctime)s server %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("pygls").setLevel(logging.WARNING)  # below that it logs whole documents
    from patchwright_server.app import run_stdio
    from patchwright_server.engine_client import host_command

    return run_stdio(partial(host_command, log_file=options.log_file.absolute() if options.log_file else None))


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stderr.flush()
    # The thread that reads stdin cannot be interrupted; waiting for it would wait for the client.
    os._exit(code)
