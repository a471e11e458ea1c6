"""Run test files without pytest: `python patchwright_unittest.py FILE[::CLASS[::METHOD]]...` from the project's root.

Runs unittest cases, and plain `test_*` functions that need no argument, so that one reproduction test serves
with and without pytest.
"""

# ruff: noqa: ARG002, N802 - names and arguments are unittest's
from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import time
import traceback
import unittest
import unittest.case
from typing import Any

import patchwright_report

_MESSAGE_CHARS = 1000
_TEXT_CHARS = 4000
_emit = patchwright_report.open_report()
_changed = patchwright_report.watch(
    ("builtins", "unittest.case", "unittest.suite", "unittest.loader", "unittest.result", __name__)
)


def main(selection: list[str], _emit: Any = _emit, _changed: Any = _changed) -> int:
    """Returns 0 when all passed, 1 when some failed, 5 when there was nothing to run."""
    result = _StreamingResult()
    cases = [case for name in selection for case in _load(name, result)]
    for identifier, case in cases:
        result.identifier = identifier
        case.run(result)
    status = 1 if result.bad else 0 if cases else 5
    _emit(kind="state", changed=_changed(), plugins=[])
    _emit(kind="end", exit=status)
    print(f"{len(cases)} run, {result.bad} failed")  # noqa: T201 - its output is the record of the run
    return status


class _StreamingResult(unittest.TestResult):
    """Writes each outcome as soon as it is known, so that a crash later loses nothing."""

    identifier = ""
    bad = 0
    begin = 0.0

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self.begin = time.monotonic()

    def addSuccess(self, test: Any) -> None:
        self._report("passed", None)

    def addSkip(self, test: Any, reason: str) -> None:
        self._report("skipped", None)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        self.addSkip(test, "expected failure")

    def addFailure(self, test: Any, err: Any) -> None:
        self._failed(err)

    def addError(self, test: Any, err: Any) -> None:
        self._failed(err)

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.bad += 1
        failure = {"exception": "UnexpectedSuccess", "text": "unexpected success"}
        self._report("failed", failure)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self._failed(err)

    def _report(self, outcome: str, failure: Any, _emit: Any = _emit) -> None:
        seconds = time.monotonic() - self.begin
        _emit(kind="test", id=self.identifier, when="call", outcome=outcome, seconds=seconds, failure=failure)

    def _failed(self, err: Any) -> None:
        self.bad += 1
        failure = _failure(err[1])
        sys.stdout.write(self.identifier + "\n" + failure["text"] + "\n")
        self._report("failed", failure)


def _load(name: str, result: _StreamingResult) -> list[tuple[str, Any]]:
    path, _, inner = name.partition("::")
    try:
        module = _import(path)
    except BaseException as error:  # noqa: BLE001 - whatever the module raises is the finding
        result.bad += 1
        failure = _failure(error)
        sys.stdout.write(path + "\n" + failure["text"] + "\n")
        _emit(kind="collect", id=path, failure=failure)
        return []
    cases = []
    for case in _flatten(unittest.defaultTestLoader.loadTestsFromModule(module)):
        cases.append((path + "::" + type(case).__name__ + "::" + case._testMethodName, case))
    for key, value in sorted(vars(module).items()):
        if key.startswith("test") and inspect.isfunction(value) and value.__module__ == module.__name__:
            needed = [p for p in inspect.signature(value).parameters.values() if p.default is p.empty]
            if not needed:
                cases.append((path + "::" + key, unittest.FunctionTestCase(value)))
    return [(found, case) for found, case in cases if found == name or found.startswith(name + "::") or not inner]


def _import(path: str) -> Any:
    """By its dotted name, so that relative imports work; by its file when another module has that name."""
    name = path[:-3].replace("/", ".")
    expected = os.path.realpath(path)
    try:
        module = importlib.import_module(name)
        if os.path.realpath(getattr(module, "__file__", None) or "") == expected:
            return module
    except ImportError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
    spec = importlib.util.spec_from_file_location(name.replace(".", "_"), path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file: " + path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _flatten(suite: Any) -> list[Any]:
    if isinstance(suite, unittest.TestSuite):
        return [case for part in suite for case in _flatten(part)]
    return [suite]


def _failure(value: BaseException) -> dict[str, Any]:
    tb = value.__traceback__
    frames = [(f.f_code.co_filename, line, f.f_code.co_name) for f, line in traceback.walk_tb(tb)]
    # unittest's own assertion helpers are not where the test failed.
    frames = [frame for frame in frames if "/unittest/" not in frame[0]]
    names = [kind.__name__ for kind in type(value).__mro__ if kind not in (object, BaseException)]
    try:
        message = str(value)
    except Exception:  # noqa: BLE001 - a broken __str__ of the code under test
        message = ""
    text = "".join(traceback.format_exception(type(value), value, tb))
    return {
        "exception": names[0] if names else type(value).__name__,
        "bases": names[1:],
        "message": message[:_MESSAGE_CHARS],
        "frames": frames[-40:],
        "text": text[-_TEXT_CHARS:],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
