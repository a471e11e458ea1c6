"""Run test files without pytest: `python patchwright_unittest.py FILE[::CLASS[::METHOD]]...` from the project's root.

Runs unittest cases, and plain `test_*` functions that need no argument, so that one reproduction test serves
with and without pytest. `patchwright_django` and `patchwright_sympy` report by the same functions.
"""

# ruff: noqa: ARG002, N802 - names and arguments are unittest's
from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import time
import traceback
import unittest
import unittest.case
from typing import Any

import patchwright_calls
import patchwright_deadline
import patchwright_report

_MESSAGE_CHARS = 1000
_TEXT_CHARS = 4000
emit = patchwright_report.open_report()
changed = patchwright_report.watch(
    ("builtins", "unittest.case", "unittest.suite", "unittest.loader", "unittest.result", __name__)
)
_ROOT = os.getcwd() + os.sep  # noqa: PTH109 - before any runner of the project changes it
_UNITTEST = os.path.dirname(unittest.__file__) + os.sep  # noqa: PTH120
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120
calls = patchwright_calls.open_recorder()
deadline = patchwright_deadline.open_deadline()
_FIXTURE = re.compile(r"(setUp|tearDown)(Class|Module) \((.*)\)$")
"""How unittest names a fixture that failed or skipped: it stands for all of its tests."""


def main(selection: list[str], emit: Any = emit, changed: Any = changed) -> int:
    """Returns 0 when all passed, 1 when some failed, 5 when there was nothing to run."""
    result = Streaming()
    for name in selection:
        result.expect(_load(name, result))
    # As a suite, so that the fixtures of classes and modules are run too.
    announcing(unittest.TestSuite(case for _, case in result.cases)).run(result)
    status = 1 if result.bad else 0 if result.cases else 5
    emit(kind="state", changed=changed(), plugins=[])
    emit(kind="end", exit=status)
    print(f"{len(result.cases)} run, {result.bad} failed")  # noqa: T201 - its output is the record of the run
    return status


def announcing(suite: Any) -> Any:
    """`suite` with each test known as begun before the fixtures of its class and module: they too may never end."""

    class Announcing(type(suite)):  # type: ignore[misc]
        _next: Any = None

        def _handleModuleFixture(self, test: Any, result: Any) -> None:
            self._next = test
            super()._handleModuleFixture(test, result)

        def _handleModuleTearDown(self, result: Any) -> None:
            super()._handleModuleTearDown(result)  # of the module before
            if self._next is not None and isinstance(result, Streaming):
                result.begins(self._next)

        def _handleClassSetUp(self, test: Any, result: Any) -> None:
            if isinstance(result, Streaming):
                result.begins(test)
            super()._handleClassSetUp(test, result)

    suite.__class__ = Announcing
    return suite


class Streaming(unittest.TestResult):
    """Writes each outcome as soon as it is known, so that a crash later loses nothing."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.cases: list[tuple[str, Any]] = []
        self._names: dict[int, str] = {}
        self._begun = ""
        self.bad = 0
        self.begin = time.monotonic()

    def expect(self, cases: list[tuple[str, Any]]) -> None:
        """Name the cases that will run: (id, case)."""
        self.cases += cases
        self._names.update((id(case), name) for name, case in cases)

    def name_of(self, test: Any) -> Any:
        """The id of a case that nobody announced; None when it is none."""
        return None

    def begins(self, test: Any, emit: Any = emit) -> None:
        """Tell that the test, or a fixture for it, has begun: where nothing follows, it is what hangs."""
        name = self._names.get(id(test)) or self.name_of(test)
        if name is not None and name != self._begun:
            self._begun = name
            emit(kind="start", id=name)

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self.begins(test)
        calls.begin()
        self.begin = time.monotonic()
        deadline.begin()

    def stopTest(self, test: Any, emit: Any = emit) -> None:
        deadline.end()
        calls.end(emit, self._names.get(id(test)) or self.name_of(test))
        super().stopTest(test)

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._report(test, "passed", None)

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self._report(test, "skipped", None)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._report(test, "skipped", None)

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._failed(test, err)

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self._failed(test, err)

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self.bad += 1
        self._report(test, "failed", {"exception": "UnexpectedSuccess", "text": "unexpected success"})

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(test, err)

    def _report(self, test: Any, outcome: str, failure: Any, emit: Any = emit) -> None:
        seconds = time.monotonic() - self.begin
        name = self._names.get(id(test)) or self.name_of(test)
        if name is not None:
            emit(kind="test", id=name, when="call", outcome=outcome, seconds=seconds, failure=failure)
            return
        fixture = _FIXTURE.match(str(test))
        for name, case in self.cases:
            if fixture is not None and _belongs(case, fixture):
                when = "setup" if fixture.group(1) == "setUp" else "teardown"
                emit(kind="test", id=name, when=when, outcome=outcome, seconds=0.0, failure=failure)

    def _failed(self, test: Any, err: Any) -> None:
        self.bad += 1
        failure = describe(err[1])
        sys.stdout.write(str(test) + "\n" + failure["text"] + "\n")
        self._report(test, "failed", failure)


def _belongs(case: Any, fixture: Any) -> bool:
    """Whether the failed fixture, of a class or of a module, is one that `case` needs."""
    kind = type(case)
    owner = kind.__module__ if fixture.group(2) == "Module" else kind.__module__ + "." + kind.__qualname__
    return bool(owner == fixture.group(3))


def plain_functions(module: Any) -> list[tuple[str, Any]]:
    """The `test*` functions of a module that need no argument, by name."""
    found = []
    for key, value in sorted(vars(module).items()):
        if key.startswith("test") and inspect.isfunction(value) and value.__module__ == module.__name__:
            needed = [p for p in inspect.signature(value).parameters.values() if p.default is p.empty]
            if not needed:
                found.append((key, value))
    return found


def _load(name: str, result: Streaming, emit: Any = emit) -> list[tuple[str, Any]]:
    path, _, inner = name.partition("::")
    emit(kind="start", id=path)
    try:
        module = _import(path)
    except BaseException as error:  # noqa: BLE001 - whatever the module raises is the finding
        result.bad += 1
        failure = describe(error)
        sys.stdout.write(path + "\n" + failure["text"] + "\n")
        emit(kind="collect", id=path, failure=failure)
        return []
    finally:
        emit(kind="loaded", id=path)
    cases = []
    for case in _flatten(unittest.defaultTestLoader.loadTestsFromModule(module)):
        cases.append((path + "::" + type(case).__name__ + "::" + case._testMethodName, case))
    for key, value in plain_functions(module):
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


def describe(value: BaseException) -> dict[str, Any]:
    """What a report tells of an exception: its class, message, frames and traceback."""
    tb = value.__traceback__
    frames = [(f.f_code.co_filename, line, f.f_code.co_name) for f, line in traceback.walk_tb(tb)]
    frames = [frame for frame in frames if not _is_machinery(frame[0])]
    names = [kind.__name__ for kind in type(value).__mro__ if kind not in (object, BaseException)]
    try:
        message = str(value)
    except Exception:  # noqa: BLE001 - a broken __str__ of the code under test
        message = ""
    printed = traceback.TracebackException(type(value), value, tb)
    _leave_out_machinery(printed)
    text = "".join(printed.format()).replace(_ROOT, "")
    return {
        "exception": names[0] if names else type(value).__name__,
        "bases": names[1:],
        "message": message[:_MESSAGE_CHARS],
        "frames": frames[-40:],
        "text": text[-_TEXT_CHARS:],
    }


def _is_machinery(file: str) -> bool:
    """unittest's own helpers, and ours, are not where a test failed."""
    return file.startswith((_UNITTEST, _OURS))


def _leave_out_machinery(printed: Any) -> None:
    """Take the frames that are in every traceback out of it, and of those of its causes."""
    seen = set()
    while printed is not None and id(printed) not in seen:
        seen.add(id(printed))
        kept = [frame for frame in printed.stack if not _is_machinery(frame.filename)]
        printed.stack[:] = kept
        printed = printed.__cause__ or printed.__context__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
