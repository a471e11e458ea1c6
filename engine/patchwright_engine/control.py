"""Cancellation and progress: the two things that run against the flow of data.

Invariant: no stage polls slower than 100 ms, so that a cancel is felt within half a second.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from patchwright_engine.errors import Cancelled


class CancelToken:
    """A thread-safe "stop now" with an optional deadline, handed down through every stage.

    Callbacks run once, on the thread that cancels; a callback added after the cancel runs at once.
    """

    def __init__(self, deadline: float | None = None) -> None:
        """`deadline` is in `time.monotonic()` seconds; None means no limit."""
        self.deadline = deadline
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._reason = "user"

    @property
    def cancelled(self) -> bool:
        """True after `cancel`, or once the deadline has passed."""
        return self._event.is_set() or (self.deadline is not None and time.monotonic() >= self.deadline)

    def cancel(self, reason: str = "user") -> None:
        """Ask everything under this token to stop. Repeated calls do nothing."""
        with self._lock:
            if self._event.is_set():
                return
            self._reason = reason
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raise `Cancelled` when the token is cancelled or past its deadline."""
        if self._event.is_set():
            raise Cancelled(self._reason)
        if self.cancelled:
            raise Cancelled("deadline")

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` at the cancel (not at the deadline). Returns a function that takes it back."""
        with self._lock:
            if not self._event.is_set():
                self._callbacks.append(callback)
                return lambda: self._forget(callback)
        callback()
        return lambda: None

    def _forget(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

    def wait(self, seconds: float) -> bool:
        """Sleep up to `seconds` or until cancelled; returns `cancelled`."""
        limit = seconds if self.deadline is None else min(seconds, max(0.0, self.deadline - time.monotonic()))
        self._event.wait(limit)
        return self.cancelled

    def remaining(self, at_most: float) -> float:
        """Seconds left before the deadline, no more than `at_most`, never negative."""
        if self.deadline is None:
            return at_most
        return max(0.0, min(at_most, self.deadline - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Progress:
    """What a person watching a job wants to know now. Unknown numbers are None."""

    stage: str
    """'index', 'model', 'understand', 'locate', 'reproduce', 'repair', 'verify', 'rank' or 'done'."""
    message: str
    rollouts: int = 0
    budget: int = 0
    tokens: int = 0
    tokens_per_second: float | None = None
    best_evidence: str | None = None


class ProgressSink(Protocol):
    """Receives progress on the job's own thread; must return at once and never raise."""

    def __call__(self, progress: Progress, /) -> None: ...


def ignore_progress(progress: Progress, /) -> None:
    """The sink for callers that do not watch."""
