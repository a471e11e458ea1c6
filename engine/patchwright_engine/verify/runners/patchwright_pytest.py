"""A pytest plugin that reports every test's outcome and failure frames. Loaded with `-p patchwright_pytest`.

Works with pytest 4 to 9, under pytest-xdist too. Loaded before any conftest file, so that the report's place and key
are gone from the environment and the disk, and the machinery is remembered, before code of the project runs.
"""

# ruff: noqa: ARG001 - pytest finds a hook's arguments by their names
from __future__ import annotations

import traceback
from typing import Any

import patchwright_calls
import patchwright_deadline
import patchwright_report
import pytest

_MESSAGE_CHARS = 1000
_TEXT_CHARS = 4000
_MACHINERY = (
    "builtins",
    "pytest",
    *("_pytest.main", "_pytest.runner", "_pytest.reports", "_pytest.python", "_pytest.python_api", "_pytest.raises"),
    *("_pytest.outcomes", "_pytest.skipping", "_pytest.unittest", "_pytest.config", "pluggy._manager", "pluggy._hooks"),
    *("unittest.case", "unittest.suite", "unittest.loader", "unittest.result"),
)
_emit = patchwright_report.open_report()
_changed = patchwright_report.watch(_MACHINERY)
_calls = patchwright_calls.open_recorder()
_deadline = patchwright_deadline.open_deadline()


def _failure(value: BaseException, tb: Any) -> dict[str, Any]:
    frames = [(f.f_code.co_filename, line, f.f_code.co_name) for f, line in traceback.walk_tb(tb)]
    try:
        message = str(value)
    except Exception:  # noqa: BLE001 - a broken __str__ of the code under test
        message = ""
    names = [kind.__name__ for kind in type(value).__mro__ if kind not in (object, BaseException)]
    return {
        "exception": names[0] if names else type(value).__name__,
        "bases": names[1:],
        "message": message[:_MESSAGE_CHARS],
        "frames": frames[-40:],
    }


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    outcome = yield
    if call.excinfo is not None:
        report = outcome.get_result()
        # An attribute of plain values travels from xdist's workers to its controller with the report.
        report.patchwright_failure = _failure(call.excinfo.value, call.excinfo.tb)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: Any, _emit: Any = _emit, _calls: Any = _calls, _deadline: Any = _deadline) -> Any:
    """Record which functions the test enters, when asked to: the fault is one of them. Stop it when asked to."""
    _calls.begin()
    _deadline.begin()
    try:
        yield
    finally:
        _deadline.end()
        _calls.end(_emit, item.nodeid)


def pytest_runtest_logstart(nodeid: str, location: Any, _emit: Any = _emit) -> None:
    _emit(kind="start", id=nodeid)


def pytest_runtest_logreport(report: Any, _emit: Any = _emit) -> None:
    failure = None
    if report.failed:
        failure = dict(getattr(report, "patchwright_failure", None) or {})
        failure["text"] = str(report.longreprtext)[-_TEXT_CHARS:]
    _emit(
        kind="test",
        id=report.nodeid,
        when=report.when,
        outcome=report.outcome,
        seconds=report.duration,
        failure=failure,
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: Any, _emit: Any = _emit) -> Any:
    module = isinstance(collector, pytest.Module) and collector.nodeid.endswith(".py")  # older ones: packages too
    if module:
        _emit(kind="start", id=collector.nodeid)
    outcome = yield
    if module:
        _emit(kind="loaded", id=collector.nodeid)
    report = outcome.get_result()
    call = getattr(report, "call", None)
    if report.failed and call is not None and call.excinfo is not None:
        value = call.excinfo.value
        cause = value.__cause__ or value
        report.patchwright_failure = _failure(cause, cause.__traceback__)


def pytest_collectreport(report: Any, _emit: Any = _emit) -> None:
    if report.failed:
        failure = dict(getattr(report, "patchwright_failure", None) or {})
        failure["text"] = str(report.longreprtext)[-_TEXT_CHARS:]
        _emit(kind="collect", id=report.nodeid, failure=failure)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: Any, exitstatus: Any, _emit: Any = _emit, _changed: Any = _changed) -> None:
    plugins = {getattr(p, "__name__", None) or type(p).__qualname__ for p in session.config.pluginmanager.get_plugins()}
    _emit(kind="state", changed=_changed(), plugins=sorted(plugins))
    _emit(kind="end", exit=int(exitstatus))
