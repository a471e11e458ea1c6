"""The trace: one JSON line a step, flushed after every step, read by people, by resume and by the trainers.

Invariant: a reader never needs the process that wrote the file, and a line cut by a crash is skipped, not fatal.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
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
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8")
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


def read_trace(path: Path) -> Iterator[dict[str, Any]]:
    """Steps of a trace in order; lines that are cut or not ours are skipped.

    Raises:
        BadInput: the file cannot be read, or holds no step of a schema this version knows.
    """
    found = False
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    step = json.loads(line)
                except ValueError:
                    continue
                if isinstance(step, dict) and step.get("schema") == SCHEMA and "kind" in step:
                    found = True
                    yield step
    except OSError as error:
        raise BadInput(f"cannot read the trace {path}: {error.strerror}", "Give the path of a .jsonl trace.") from error
    if not found:
        raise BadInput(f"{path} is not a Patchwright trace", "Traces end in .jsonl; `patchwright fix` prints the path.")
