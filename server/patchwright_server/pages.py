"""The report of a job as a page, written by a process of its own: the event loop never renders.

The page lies beside the trace, in a folder that is the user's alone.
"""

import asyncio
import contextlib
import sys

PAGE_SECONDS = 60.0
"""A bound for a hanging machine, not a measure."""


class NoPageError(Exception):
    """The page could not be written; the message says why and what to do."""


async def write_page(trace: str) -> str:
    """Write the page of a trace, as far as the trace goes; returns its path.

    Raises:
        NoPageError: the trace cannot be read, or its folder not be written.
    """
    command = (sys.executable, "-P", "-m", "patchwright_engine", "trace", "show", trace, "--html")
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PAGE_SECONDS)
    except TimeoutError as error:
        raise NoPageError("The report took too long to write. Try again when the machine is less busy.") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    if process.returncode != 0:
        told = " ".join(err.decode(errors="replace").split())
        raise NoPageError(told.removeprefix("patchwright: ") or "The report could not be written.")
    return out.decode().rstrip("\r\n")
