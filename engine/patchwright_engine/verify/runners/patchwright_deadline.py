"""Stops a test that does not end, where it is: it fails with its frames, and the tests after it run.

Python 3.7 or newer, no import of ours. What cannot be stopped so (a loop in C, code that swallows every exception)
goes on to the time limit of the whole run.
"""

from __future__ import annotations

import os
import signal
from typing import Any

_AGAIN_SECONDS = 2.0
"""Code that swallows the exception is stopped anew after this long."""


class StillRunning(BaseException):
    """What the test seems to raise; no `except Exception` of the code under test takes it for its own."""


def open_deadline() -> Deadline:
    """The deadline of this process's tests, of as many seconds as it was asked for; without any, it does nothing."""
    return Deadline(float(os.environ.pop("PATCHWRIGHT_TEST_SECONDS", "") or 0))


class Deadline:
    """Runs from `begin` to `end`, in the main thread."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._before: Any = None

    def begin(self) -> None:
        """Start the time of a test."""
        if not self._seconds:
            return
        try:
            self._before = signal.signal(signal.SIGALRM, self._stop)
        except ValueError:  # Not the main thread, where alone a signal can be dealt with.
            return
        signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN_SECONDS)

    def end(self) -> None:
        """The test has ended; harmless when it never began."""
        if self._before is None:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
        self._before = None

    def _stop(self, number: int, frame: Any) -> None:  # noqa: ARG002 - as Python calls it
        raise StillRunning("still running after %g s" % self._seconds)  # noqa: UP031 - Python 3.7
