"""The engine host as the server sees it: an async child process, started on need and again after a crash.

Invariants: everything here runs on the server's event loop; a crash is seen at once, told to the owner, and at
most `MAX_CRASHES` in `CRASH_WINDOW_SECONDS` are answered with a new process. The child ends with its stdin.
"""

import asyncio
import contextlib
import itertools
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patchwright_engine.host.messages import Event, Reply, Request, decode, encode_in_turns

MAX_CRASHES = 3
CRASH_WINDOW_SECONDS = 300.0
REPLY_SECONDS = 60.0
"""A host that answers no request for this long (its start included) counts as hanging."""
GOODBYE_SECONDS = 3.0
LINE_LIMIT = 1 << 28
WRITE_BYTES = 1 << 16

log = logging.getLogger(__name__)


class EngineDownError(Exception):
    """The engine host cannot be had. The message ends with what to do."""


def host_command(root: Path, log_file: Path | None = None) -> tuple[str, ...]:
    """The command of a real engine host.

    `-P` keeps the working directory off the import path: it is the user's repository, and a file of theirs named
    like a library must not be run outside a sandbox.
    """
    log_options = ("--log-file", str(log_file)) if log_file else ()
    return (sys.executable, "-P", "-m", "patchwright_engine.host", "--root", str(root), *log_options)


@dataclass(slots=True)
class _Process:
    process: asyncio.subprocess.Process
    reading: asyncio.Task[None]
    replies: dict[int, asyncio.Future[Mapping[str, Any]]] = field(default_factory=dict)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)


class EngineClient:
    """One engine host, kept available. `on_event` and `on_lost` are called on the event loop."""

    def __init__(
        self, command: Sequence[str], on_event: Callable[[Event], None], on_lost: Callable[[str], None]
    ) -> None:
        """`on_lost` gets a sentence that says how the process ended."""
        self._command = tuple(command)
        self._on_event = on_event
        self._on_lost = on_lost
        self._process: _Process | None = None
        self._starting = asyncio.Lock()
        self._crashes: deque[float] = deque(maxlen=MAX_CRASHES)
        self._ids = itertools.count(1)
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The running process, or None."""
        return self._process.process.pid if self._process else None

    async def request(self, build: Callable[[int], Request]) -> Mapping[str, Any]:
        """Send one request (`build` gets its id) and wait for the answer, starting the process when needed.

        Raises:
            EngineDownError: it cannot be started, died before it answered, or refused.
        """
        running = await self._ensure()
        number = next(self._ids)
        reply: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        running.replies[number] = reply
        try:
            await self._write(running, build(number))
            return await asyncio.wait_for(reply, REPLY_SECONDS)
        except TimeoutError:
            raise EngineDownError(
                "The engine does not answer. Cancel the job, or restart the language server."
            ) from None
        finally:
            running.replies.pop(number, None)

    async def close(self) -> None:
        """Let the process go: its stdin ends, it cancels its jobs and leaves; a slow one is killed."""
        self._closed = True
        running = self._process
        if running is None:
            return
        if running.process.stdin is not None:
            running.process.stdin.close()
        try:
            await asyncio.wait_for(running.process.wait(), GOODBYE_SECONDS)
        except TimeoutError:
            log.warning("the engine host %s did not leave and is killed", running.process.pid)
            with contextlib.suppress(ProcessLookupError):
                running.process.kill()
        await asyncio.gather(running.reading, return_exceptions=True)

    async def _ensure(self) -> _Process:
        async with self._starting:
            if self._closed:
                raise EngineDownError("The server is shutting down.")
            if self._process is None:
                recent = [at for at in self._crashes if time.monotonic() - at < CRASH_WINDOW_SECONDS]
                if len(recent) >= MAX_CRASHES:
                    raise EngineDownError(
                        f"The engine stopped unexpectedly {MAX_CRASHES} times within {CRASH_WINDOW_SECONDS / 60:.0f} "
                        "minutes and is not started again for now. Run `patchwright doctor`, and see the server's log."
                    )
                self._process = await self._start()
            return self._process

    async def _start(self) -> _Process:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, limit=LINE_LIMIT)
        except OSError as error:
            raise EngineDownError(f"The engine cannot be started: {error}. Reinstall Patchwright.") from error
        log.info("engine host %s started: %s", process.pid, " ".join(self._command))
        running = _Process(process, asyncio.create_task(asyncio.sleep(0)))
        running.reading = asyncio.create_task(self._read(running))
        return running

    async def _write(self, running: _Process, request: Request) -> None:
        stdin = running.process.stdin
        assert stdin is not None
        buffer = bytearray()
        async with running.writing:
            try:
                for chunk in encode_in_turns(request):
                    buffer += chunk
                    if len(buffer) >= WRITE_BYTES:
                        stdin.write(bytes(buffer))
                        buffer.clear()
                        await stdin.drain()
                        await asyncio.sleep(0)
                stdin.write(bytes(buffer))
                await stdin.drain()
            except (BrokenPipeError, ConnectionResetError) as error:
                raise EngineDownError("The engine stopped. Try again.") from error

    async def _read(self, running: _Process) -> None:
        stdout = running.process.stdout
        assert stdout is not None
        while line := await stdout.readline():
            try:
                message = decode(line)
            except ValueError:
                log.exception("a line from the engine host was ignored")
                continue
            if isinstance(message, Reply):
                self._settle(running, message)
            else:
                try:
                    self._on_event(message)  # type: ignore[arg-type]
                except Exception:
                    log.exception("an engine event could not be handled")
        code = await running.process.wait()
        if self._process is running:
            self._process = None
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        for reply in running.replies.values():
            if not reply.done():
                reply.set_exception(EngineDownError(f"The engine stopped unexpectedly ({how}). Try again."))
        if not self._closed:
            self._crashes.append(time.monotonic())
            log.error("engine host %s stopped unexpectedly (%s)", running.process.pid, how)
            self._on_lost(how)

    def _settle(self, running: _Process, message: Reply) -> None:
        reply = running.replies.get(message.id)
        if reply is None or reply.done():
            return
        if message.error is None:
            reply.set_result(message.result)
        else:
            reply.set_exception(EngineDownError(f"The engine refused: {message.error}"))
