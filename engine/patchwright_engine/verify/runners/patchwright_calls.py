"""Which functions of the project each test enters: the fault is one of them. Python 3.7 or newer, no import of ours.

From Python 3.12 on by `sys.monitoring`, which tells of each function once a test and costs next to nothing; before by
`sys.settrace`, which costs less than a profiler; by a profiler where something else, such as coverage, traces already.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

_MAX_CALLS = 5000
"""Functions noted for one test."""
_TOOLS = (4, 3)
"""Numbers of `sys.monitoring` that neither a debugger, coverage, a profiler nor an optimizer has by custom."""


def open_recorder() -> Recorder:
    """The recorder of this process, which records only when asked to. To be called before anything changes folder."""
    asked = os.environ.pop("PATCHWRIGHT_CALLS", None) is not None
    return Recorder(os.getcwd() + os.sep, asked)  # noqa: PTH109


class Recorder:
    """Notes the functions below the folder `root` that are entered between `begin` and `end`.

    A function is told once, at the first test that enters it; from then on it is a number, its place among those told.
    """

    def __init__(self, root: str, asked: bool) -> None:
        self._root = root
        self._asked = asked
        self._inside: dict[str, bool] = {}
        self._numbers: dict[Any, int] = {}
        self._entered: dict[Any, None] = {}
        self._stop: Any = None

    def begin(self) -> None:
        """Forget what was entered so far, and listen from here on. Does nothing where no way to listen is free."""
        self._entered = {}
        if self._asked and self._stop is None:
            self._stop = self._listen()

    def end(self, emit: Callable[..., None], test: str | None) -> None:
        """Stop, and write what `test` entered; without a name nothing is written."""
        if self._stop is None:
            return
        self._stop()
        self._stop = None
        if test is not None:
            emit(kind="calls", id=test, **self._told())

    def _told(self) -> dict[str, Any]:
        calls, told = [], []
        for code in list(self._entered):
            if not self._is_inside(code.co_filename):
                continue
            number = self._numbers.get(code)
            if number is None:
                number = self._numbers[code] = len(self._numbers)
                told.append((code.co_filename, code.co_firstlineno, code.co_name))
            calls.append(number)
        self._entered = {}
        return {"functions": told, "calls": calls}

    def _is_inside(self, file: str) -> bool:
        known = self._inside.get(file)
        if known is None:
            known = self._inside[file] = os.path.abspath(file).startswith(self._root)  # noqa: PTH100
        return known

    def _listen(self) -> Callable[[], None] | None:
        monitoring = getattr(sys, "monitoring", None)
        for tool in _TOOLS if monitoring is not None else ():
            if monitoring.get_tool(tool) is None:
                return self._monitor(monitoring, tool)
        if sys.gettrace() is None:
            return self._trace()
        return self._profile() if sys.getprofile() is None else None

    def _monitor(self, monitoring: Any, tool: int) -> Callable[[], None]:
        start = monitoring.events.PY_START

        def entering(code: Any, offset: int) -> Any:  # noqa: ARG001 - as Python calls it
            if len(self._entered) < _MAX_CALLS:
                self._entered[code] = None
            return monitoring.DISABLE

        def stop() -> None:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, start, None)
            monitoring.free_tool_id(tool)

        monitoring.use_tool_id(tool, "patchwright")
        monitoring.register_callback(tool, start, entering)
        monitoring.set_events(tool, start)
        monitoring.restart_events()
        return stop

    def _trace(self) -> Callable[[], None]:
        def trace(frame: Any, event: str, argument: Any) -> None:  # noqa: ARG001 - as Python calls it
            if len(self._entered) < _MAX_CALLS:
                self._entered[frame.f_code] = None

        def stop() -> None:
            threading.settrace(None)  # type: ignore[arg-type]
            if sys.gettrace() is trace:
                sys.settrace(None)

        threading.settrace(trace)
        sys.settrace(trace)
        return stop

    def _profile(self) -> Callable[[], None]:
        def profile(frame: Any, event: str, argument: Any) -> None:  # noqa: ARG001 - as Python calls it
            if event == "call" and len(self._entered) < _MAX_CALLS:
                self._entered[frame.f_code] = None

        def stop() -> None:
            threading.setprofile(None)  # type: ignore[arg-type]
            if sys.getprofile() is profile:
                sys.setprofile(None)

        threading.setprofile(profile)
        sys.setprofile(profile)
        return stop
