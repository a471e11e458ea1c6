"""Run SymPy's tests as its bin/test does, in this process: `python patchwright_sympy.py FILE[::TEST]...` from its root.

SymPy's own collector runs the files (its markers for slow, skipped and expected failures hold); only the reporter
is ours. Works with SymPy 1.0 and newer.
"""

# ruff: noqa: ARG002 - arguments are SymPy's
from __future__ import annotations

import os
import sys
import time
from typing import Any

from patchwright_deadline import StillRunning
from patchwright_unittest import calls, changed, deadline, describe, emit

_NOTHING_COLLECTED = 5


def main(selection: list[str], emit: Any = emit, changed: Any = changed) -> int:
    """Returns 0 when all passed, 1 when some failed, 5 when there was nothing to run."""
    sys.path[0] = os.getcwd()  # noqa: PTH109 - as for bin/test
    try:
        from sympy.testing import runtests
    except ImportError:
        from sympy.utilities import runtests
    reporter = _Reporter()
    wanted: dict[str, set[str]] = {}
    for name in selection:
        path, _, test = name.partition("::")
        wanted.setdefault(path, set()).update([test] if test else [])

    class Tests(runtests.SymPyTests):  # type: ignore[misc]
        def matches(self, function: Any) -> bool:
            return not wanted[reporter.file] or function.__name__ in wanted[reporter.file]

    tests = Tests(reporter, seed=0)
    for path in wanted:
        reporter.enter(path)
        emit(kind="start", id=path)
        try:
            tests.test_file(os.path.abspath(path))  # noqa: PTH100
        except Exception as error:  # noqa: BLE001 - a file that cannot be loaded is a finding
            reporter.broken(error)
        except StillRunning as error:  # SymPy deals with an Exception only: the file ends with this test.
            reporter.test_exception((type(error), error, error.__traceback__))
        finally:
            emit(kind="loaded", id=path)
    status = 1 if reporter.bad else 0 if reporter.ran else _NOTHING_COLLECTED
    emit(kind="state", changed=changed(), plugins=[])
    emit(kind="end", exit=status)
    print(f"{reporter.ran} run, {reporter.bad} failed")  # noqa: T201 - its output is the record of the run
    return status


class _Reporter:
    """What SymPy's collector calls; the names of the methods are its own."""

    def __init__(self) -> None:
        self.file = ""
        self.ran = 0
        self.bad = 0
        self.test = ""
        self.begin = 0.0

    def enter(self, path: str) -> None:
        self.file, self.test = path, ""

    def broken(self, error: BaseException) -> None:
        """The file itself could not be loaded."""
        self.bad += 1
        failure = describe(error)
        sys.stdout.write(self.file + "\n" + failure["text"] + "\n")
        emit(kind="collect", id=self.file, failure=failure)

    def root_dir(self, folder: str) -> None:
        pass

    def entering_filename(self, filename: str, count: int) -> None:
        pass

    def leaving_filename(self) -> None:
        pass

    def entering_test(self, function: Any) -> None:
        self.test = self.file + "::" + function.__name__
        emit(kind="start", id=self.test)
        calls.begin()
        self.begin = time.monotonic()
        deadline.begin()

    def test_pass(self, char: str = ".") -> None:
        self._report("passed", None)

    def test_skip(self, reason: Any = None) -> None:
        self._report("skipped", None)

    def test_xfail(self) -> None:
        self._report("skipped", None)

    def test_xpass(self, reason: Any = None) -> None:
        self._report("passed", None)

    def test_fail(self, exc_info: Any) -> None:
        self.test_exception(exc_info)

    def test_exception(self, exc_info: Any) -> None:
        if not self.test:
            self.broken(exc_info[1])
            return
        failure = describe(exc_info[1])
        sys.stdout.write(self.test + "\n" + failure["text"] + "\n")
        self.bad += 1
        self._report("failed", failure)

    def import_error(self, filename: str, exc_info: Any) -> None:
        self.broken(exc_info[1])

    def _report(self, outcome: str, failure: Any) -> None:
        deadline.end()
        calls.end(emit, self.test)
        self.ran += 1
        seconds = time.monotonic() - self.begin
        emit(kind="test", id=self.test, when="call", outcome=outcome, seconds=seconds, failure=failure)
        self.test = ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
