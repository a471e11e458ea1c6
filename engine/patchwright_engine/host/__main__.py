"""The engine host process: `python -m patchwright_engine.host --root DIR`.

Invariant: file descriptor 1 carries messages only. The real stdout is put aside before anything else runs, and
what libraries print (Python or native) goes to stderr. The process ends when its stdin does: no orphans.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from patchwright_engine.control import CancelToken, ProgressSink, ignore_progress
from patchwright_engine.host.indexing import run_index
from patchwright_engine.host.service import RunFix, RunIndex, serve
from patchwright_engine.types import Fix, FixResult

if TYPE_CHECKING:
    from patchwright_engine.pipeline import FixRequest


def main(do_fix: RunFix, do_index: RunIndex, argv: list[str] | None = None) -> int:
    """Serve one workspace folder until stdin ends.

    Args:
        do_fix: what a fix job runs; the pipeline, outside tests.
        do_index: what an index job runs.
        argv: the command line without the program's name.
    """
    parser = argparse.ArgumentParser(prog="python -m patchwright_engine.host", description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--log-file", type=Path)
    options = parser.parse_args(argv)
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    logging.basicConfig(
        filename=options.log_file,
        level=logging.INFO,
        format="%(asctime)s engine %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request
    serve(options.root.absolute(), sys.stdin.buffer, writer, run_fix=do_fix, run_index=do_index)
    return 0


def leave(code: int) -> None:
    """End the process now: a job stuck in native code must not keep it alive after its last reader left."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _run_fix(
    request: "FixRequest",
    *,
    cancel: CancelToken,
    progress: ProgressSink = ignore_progress,
    on_fix: Callable[[Fix], None] | None = None,
) -> FixResult:
    from patchwright_engine.pipeline import run_fix  # heavy, and only a fix job needs it

    return run_fix(request, cancel=cancel, progress=progress, on_fix=on_fix)


if __name__ == "__main__":
    leave(main(_run_fix, run_index))
