"""The trace: one JSON line a step, flushed after every step, read by people, by resume and by the trainers.

Invariants: a reader never needs the process that wrote the file, and a line cut by a crash is skipped, not fatal.
What is appended to a file that ends in such a line begins a line of its own.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from patchwright_engine.errors import BadInput, EnvironmentProblem

SCHEMA = 1


class Trace:
    """Appends steps to one JSONL file, from any thread. The file is private to the user: it holds their code."""

    def __init__(self, path: Path) -> None:
        """Raises EnvironmentProblem when the file cannot be created (read-only disk, full disk)."""
        self.path = path
        self._started = time.monotonic()
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8")
            _end_last_line(self._file.fileno())
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot write the trace {path}: {error.strerror}",
                "Choose a writable place with --trace, or set PATCHWRIGHT_HOME to a folder you can write to.",
            ) from error

    def step(self, kind: str, **fields: Any) -> None:
        """Write one step. `fields` must be JSON values; `seconds` since the start is added."""
        try:
            with self._lock:
                line = {"schema": SCHEMA, "kind": kind, "at": round(time.monotonic() - self._started, 3), **fields}
                self._file.write(json.dumps(line, ensure_ascii=True) + "\n")
                self._file.flush()
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot write the trace {self.path}: {error.strerror}", "Free disk space and run again."
            ) from error

    def close(self) -> None:
        # Every step was flushed; on a full disk closing fails again with what `step` has said already.
        with contextlib.suppress(OSError):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Scanned:
    """A trace file with what could not be read of it."""

    steps: tuple[tuple[int, dict[str, Any]], ...]
    """Each step with its line, 1-based."""
    unreadable: tuple[int, ...]
    """Lines that are cut, damaged or of another schema, 1-based."""
    cut: bool
    """The last line has no end: the writer was killed, still writes, or the file was cut."""


def scan_trace(path: Path) -> Scanned:
    """As `read_trace`, and what is missing.

    Raises: as `read_trace`.
    """
    steps: list[tuple[int, dict[str, Any]]] = []
    unreadable: list[int] = []
    ended = True
    for number, line in _lines(path):
        step = _step(line)
        ended = line.endswith("\n")
        if step is not None:
            steps.append((number, step))
        elif line.strip():
            unreadable.append(number)
    if not steps:
        raise _no_trace(path)
    return Scanned(tuple(steps), tuple(unreadable), cut=not ended)


def read_trace(path: Path) -> Iterator[dict[str, Any]]:
    """Steps of a trace in order; lines that are cut or not ours are skipped.

    Raises:
        BadInput: the file cannot be read, or holds no step of a schema this version knows.
    """
    return (step for step in read_lines(path) if step is not None)


def read_lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """As `read_trace`, with None for each line that is skipped; empty ones do not count."""
    found = False
    for _, line in _lines(path):
        if line.isspace():
            continue
        step = _step(line)
        found = found or step is not None
        yield step
    if not found:
        raise _no_trace(path)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
            yield from enumerate(lines, start=1)
    except OSError as error:
        raise BadInput(f"cannot read the trace {path}: {error.strerror}", "Give the path of a .jsonl trace.") from error


def _step(line: str) -> dict[str, Any] | None:
    try:
        step = json.loads(line)
    except (ValueError, RecursionError):
        return None
    ours = isinstance(step, dict) and step.get("schema") == SCHEMA and isinstance(step.get("kind"), str)
    return step if ours else None


def _end_last_line(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")


def _no_trace(path: Path) -> BadInput:
    return BadInput(f"{path} is not a Patchwright trace", "Traces end in .jsonl; `patchwright fix` prints the path.")
