"""What of the project each test runs: the fault is in it. Python 3.7 or newer, no import of ours.

From Python 3.12 on by `sys.monitoring`, which tells of each place once a test and costs next to nothing; before by
`sys.settrace`; by a profiler, which knows no lines, where something else, such as coverage, traces already.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

_MAX_CALLS = 5000
"""Functions noted for one test."""
_MAX_EVENTS = 20_000
"""Lines of one function followed in one test, loops included; by then most of its ways were taken."""
_TOOLS = (4, 3)
"""Numbers of `sys.monitoring` that neither a debugger, coverage, a profiler nor an optimizer has by custom."""


def open_recorder() -> Recorder:
    """The recorder of this process, which notes what it was asked for: 'functions', 'lines' too, or nothing.

    To be called before anything changes the working directory.
    """
    return Recorder(os.getcwd() + os.sep, os.environ.pop("PATCHWRIGHT_CALLS", ""))  # noqa: PTH109


class Recorder:
    """Notes the functions below the folder `root`, and their lines, that run between `begin` and `end`.

    A function is told once, at the first test that enters it; from then on it is a number, its place among those told.
    """

    def __init__(self, root: str, asked: str) -> None:
        self._root = root
        self._asked = asked != ""
        self._lines = asked == "lines"
        self._inside: dict[str, bool] = {}
        self._numbers: dict[Any, int] = {}
        self._entered: dict[Any, set[int]] = {}
        self._stop: Any = None

    def begin(self) -> None:
        """Forget what ran so far, and listen from here on. Does nothing where no way to listen is free."""
        self._entered = {}
        if self._asked and self._stop is None:
            self._stop = self._listen()

    def end(self, emit: Callable[..., None], test: str | None) -> None:
        """Stop, and write what `test` ran; without a name nothing is written."""
        if self._stop is None:
            return
        self._stop()
        self._stop = None
        if test is not None:
            emit(kind="calls", id=test, **self._told())

    def _told(self) -> dict[str, Any]:
        """The new functions, and for each function that ran its number followed by its lines."""
        calls, told = [], []
        for code, lines in list(self._entered.items()):
            if not self._is_inside(code.co_filename):
                continue
            number = self._numbers.get(code)
            if number is None:
                number = self._numbers[code] = len(self._numbers)
                told.append((code.co_filename, code.co_firstlineno, code.co_name))
            calls.append((number, *sorted(lines)))
        self._entered = {}
        return {"functions": told, "calls": calls}

    def _is_inside(self, file: str) -> bool:
        known = self._inside.get(file)
        if known is None:
            # A name such as <string> is no file, wherever the working directory is.
            place = os.path.abspath(file)  # noqa: PTH100
            known = self._inside[file] = place.startswith(self._root) and not file.startswith("<")
        return known

    def _listen(self) -> Callable[[], None] | None:
        monitoring = getattr(sys, "monitoring", None)
        for tool in _TOOLS:
            if monitoring is not None and monitoring.get_tool(tool) is None:
                return self._monitor(monitoring, tool)
        if sys.gettrace() is None:
            return self._trace()
        return self._profile() if sys.getprofile() is None else None

    def _monitor(self, monitoring: Any, tool: int) -> Callable[[], None]:
        events = monitoring.events
        wanted = events.PY_START | (events.LINE if self._lines else 0)

        def entering(code: Any, offset: int) -> Any:  # noqa: ARG001 - as Python calls it
            if len(self._entered) < _MAX_CALLS:
                self._entered.setdefault(code, set())
            return monitoring.DISABLE

        def running(code: Any, line: int) -> Any:
            seen = self._entered.get(code)
            if seen is not None and self._is_inside(code.co_filename):
                seen.add(line)
            return monitoring.DISABLE

        def stop() -> None:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, events.PY_START, None)
            monitoring.register_callback(tool, events.LINE, None)
            monitoring.free_tool_id(tool)

        monitoring.use_tool_id(tool, "patchwright")
        monitoring.register_callback(tool, events.PY_START, entering)
        monitoring.register_callback(tool, events.LINE, running)
        monitoring.set_events(tool, wanted)
        monitoring.restart_events()
        return stop

    def _trace(self) -> Callable[[], None]:
        left: dict[Any, int] = {}

        def entering(frame: Any, event: str, argument: Any) -> Any:  # noqa: ARG001 - as Python calls it
            code = frame.f_code
            if code not in self._entered:
                if len(self._entered) >= _MAX_CALLS:
                    return None
                self._entered[code] = set()
                if self._lines and self._is_inside(code.co_filename):
                    left[code] = _MAX_EVENTS
            return running if left.get(code) else None

        def running(frame: Any, event: str, argument: Any) -> Any:  # noqa: ARG001 - as Python calls it
            code = frame.f_code
            if event == "line" and code in self._entered:
                self._entered[code].add(frame.f_lineno)
                left[code] -= 1
                if left[code] <= 0:
                    left[code] = 0
                    frame.f_trace = None  # Only so does Python stop telling of this frame.
                    return None
            return running

        def stop() -> None:
            threading.settrace(None)
            if sys.gettrace() is entering:
                sys.settrace(None)

        threading.settrace(entering)
        sys.settrace(entering)
        return stop

    def _profile(self) -> Callable[[], None]:
        def profile(frame: Any, event: str, argument: Any) -> None:  # noqa: ARG001 - as Python calls it
            if event == "call" and len(self._entered) < _MAX_CALLS:
                self._entered.setdefault(frame.f_code, set())

        def stop() -> None:
            threading.setprofile(None)
            if sys.getprofile() is profile:
                sys.setprofile(None)

        threading.setprofile(profile)
        sys.setprofile(profile)
        return stop
