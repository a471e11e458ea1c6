"""What the measurements of `patchwright bench` share: choosing instances, telling progress, stopping, reporting."""

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.sandbox.output import one_line


class _Named(Protocol):
    @property
    def instance_id(self) -> str: ...


Instance = TypeVar("Instance", bound=_Named)


def choose(instances: Sequence[Instance], only: Sequence[str] | None, limit: int | None) -> tuple[Instance, ...]:
    """Those of `--only`, at most `--limit`. Raises BadInput for a name that there is not."""
    if only:
        known = {instance.instance_id for instance in instances}
        unknown = [name for name in only if name not in known]
        if unknown:
            raise BadInput(f"there is no instance {unknown[0]}", f"Known, e.g.: {', '.join(sorted(known)[:5])}.")
        instances = [instance for instance in instances if instance.instance_id in only]
    return tuple(instances[:limit])


def above_zero(name: str, value: float | None) -> None:
    """Raise BadInput for an option `--name` that needs more than 0."""
    if value is not None and not value > 0:
        raise BadInput(f"--{name.replace('_', '-')} {value:g} is too small", "Give more than 0.")


def write_report(path: Path | None, report: Any) -> None:
    """The file of `--json`. Raises BadInput when it cannot be written."""
    if path is not None:
        try:
            path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"cannot write {path}: {error.strerror}", "Name another file.") from error


def teller() -> Callable[[str], None]:
    """Writes lines with the seconds since the beginning to standard error, whichever thread says them."""
    begin = time.monotonic()
    lock = threading.Lock()

    def say(message: str) -> None:
        with lock:
            sys.stderr.write(f"[{time.monotonic() - begin:6.1f}s] {one_line(message)}\n")
            sys.stderr.flush()

    return say


@contextmanager
def interruptible(cancel: CancelToken) -> Iterator[None]:
    """The first Ctrl-C or kill ends what is under way and keeps what is done; the second leaves at once."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        signal.signal(number, signal.SIG_DFL)
        threading.Thread(target=cancel.cancel, daemon=True).start()

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
