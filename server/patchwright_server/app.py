"""Making the server and running it on stdio.

Invariants: stdout carries protocol messages only; the process ends at `exit`, when stdin ends or when the client's
process is gone, and never leaves an engine host behind.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from pygls.io_ import StdinAsyncReader, StdoutWriter, run_async

from patchwright_server import convert
from patchwright_server.engine_client import host_command
from patchwright_server.features import (
    code_actions,
    commands,
    configuration,
    documents,
    lifecycle,
    locate,
    progress,
    resume,
    status,
)
from patchwright_server.language_server import PatchwrightServer

EngineCommand = Callable[[Path], Sequence[str]]

STOPPED = 128 + signal.SIGTERM
"""The exit code after SIGTERM, as a shell tells it: a client can see that this was no crash."""

log = logging.getLogger(__name__)


def create_server(engine_command: EngineCommand = host_command) -> PatchwrightServer:
    """A server with all features; `engine_command` gives the engine host's command line for a folder."""
    server = PatchwrightServer(engine_command)
    convert.prepare()
    for area in (lifecycle, configuration, documents, status, progress, code_actions, commands, locate, resume):
        area.register(server)
    return server


def run_stdio(engine_command: EngineCommand = host_command) -> int:
    """Serve one client on this process's stdin and stdout.

    Returns:
        The exit code LSP asks for: 0 after `shutdown` and `exit`, else 1; `STOPPED` after SIGTERM.
    """
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not end up between messages
    sys.stdout = sys.stderr
    server = create_server(engine_command)
    gc.freeze()  # lsprotocol's types never die; going through them again and again would hold the loop up
    return asyncio.run(_serve(server, sys.stdin.buffer, writer))


async def _serve(server: PatchwrightServer, stdin: BinaryIO, stdout: BinaryIO) -> int:
    loop = asyncio.get_running_loop()
    server.protocol.exit_code = exit_code = loop.create_future()
    server.protocol.set_writer(StdoutWriter(stdout))
    stop = threading.Event()

    def stop_now() -> None:
        if not exit_code.done():
            exit_code.set_result(STOPPED)

    # A reader of its own: pygls's shared pool would let busy workers delay a cancel.
    reader = StdinAsyncReader(stdin, ThreadPoolExecutor(1, "stdin"))
    reading = asyncio.ensure_future(
        run_async(stop, reader, server.protocol, logging.getLogger("pygls"), server.report_server_error)
    )
    if hasattr(signal, "SIGTERM") and sys.platform != "win32":
        loop.add_signal_handler(signal.SIGTERM, stop_now)
    try:
        await asyncio.wait((reading, exit_code), return_when=asyncio.FIRST_COMPLETED)
        if reading.done() and (error := reading.exception()) is not None:
            log.error("reading from the client failed", exc_info=error)
        return exit_code.result() if exit_code.done() else 1
    finally:
        stop.set()
        await server.session.close()
