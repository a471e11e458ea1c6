"""Run a Django project's tests by Django's own runner: `python patchwright_django.py ENTRY FILE[::CLASS[::METHOD]]...`

ENTRY is the project's manage.py, or tests/runtests.py in Django's own repository; it is started as its developers
start it, so settings, databases and the project's own TEST_RUNNER are theirs. Only the result class is ours. A
database that needs a server becomes SQLite in memory, and a note says so. Works with Django 2.2 to 5.
"""

# ruff: noqa: N802 - names are unittest's
from __future__ import annotations

import importlib
import os
import runpy
import sys
import traceback
import unittest
from typing import Any

from patchwright_unittest import Streaming, announcing, changed, describe, emit, plain_functions

_NOT_STARTED = 3
_NOTHING_COLLECTED = 5


def main(entry: str, selection: list[str], emit: Any = emit, changed: Any = changed) -> int:
    """Returns 0 when all passed, 1 when some failed, 3 when no test could be started, 5 when there was none."""
    run = _Run(entry, selection)
    sys.path[0] = run.folder  # as for a script started there
    run.start()
    status = run.status
    emit(kind="state", changed=changed(), plugins=[])
    emit(kind="end", exit=status)
    sys.stdout.flush()
    return status


def in_tests(entry: str, files: list[str], bodies: list[Any]) -> None:
    """Call each of `bodies` in a test of its own, in a project that has the apps of `files`.

    Where Django cannot be started, none is called. The folder that the project's modules are found in is on the path
    afterwards.
    """
    run = _Run(entry, files)
    run.bodies = bodies
    if run.folder not in sys.path:
        sys.path.insert(0, run.folder)
    run.start()


class _Run:
    """What the patched runner and our result class share."""

    def __init__(self, entry: str, selection: list[str]) -> None:
        self.root = os.getcwd()  # noqa: PTH109
        self.program = os.path.abspath(entry)  # noqa: PTH100
        self.folder = os.path.dirname(self.program)  # noqa: PTH120
        self.bodies: list[Any] | None = None
        self.files = {self._label(name): name for name in selection}
        self.result: Any = None
        self.finished = False
        self.uncollected = 0
        self.functions: list[tuple[str, Any]] = []
        self.cases: list[Any] = []

    @property
    def labels(self) -> list[str]:
        return list(self.files)

    @property
    def status(self) -> int:
        if self.uncollected:
            return 1
        if not self.finished:
            return _NOT_STARTED
        if self.result.bad:
            return 1
        return 0 if self.result.testsRun else _NOTHING_COLLECTED

    def start(self) -> None:
        """Run the project's entry, and print what stops it."""
        own = os.path.basename(self.program) == "runtests.py"  # noqa: PTH119
        os.chdir(self.folder)
        options = ["--settings=test_sqlite", "--parallel=1", "--noinput"] if own else ["test", "--noinput"]
        sys.argv = [self.program, *options, *self.labels]
        try:
            self.take_part()
            runpy.run_path(self.program, run_name="__main__")
        except SystemExit:
            pass  # Django's way to say that some test failed: what counts is what the result class saw
        except BaseException:  # noqa: BLE001 - whatever stops the run is the finding
            traceback.print_exc(file=sys.stdout)
        else:
            if not self.finished and not self.uncollected:
                print("The project's TEST_RUNNER does not build on Django's DiscoverRunner.")  # noqa: T201

    def take_part(self) -> None:
        """Make Django's runner use our result class, and its settings only what works without a server."""
        import django.conf
        from django.test.runner import DiscoverRunner

        run = self
        build, get_resultclass, load = (
            DiscoverRunner.build_suite,
            DiscoverRunner.get_resultclass,
            django.conf.Settings.__init__,
        )

        def build_suite(self: Any, test_labels: Any = None, *arguments: Any, **named: Any) -> Any:
            self.parallel = 1
            if run.bodies is not None:
                return unittest.TestSuite(_case_of("Probe", str(n), body) for n, body in enumerate(run.bodies))
            labels = run.importable(test_labels or [])
            if not labels:
                return unittest.TestSuite()
            suite = build(self, labels, *arguments, **named)
            run.add_functions(suite, labels)
            run.cases = _flatten(suite)
            return announcing(suite)

        def resultclass(self: Any) -> Any:
            return run.result_class(get_resultclass(self) or unittest.TextTestResult)

        def settings(self: Any, *arguments: Any, **named: Any) -> None:
            load(self, *arguments, **named)
            _serverless(self)

        DiscoverRunner.build_suite = build_suite
        DiscoverRunner.get_resultclass = resultclass
        django.conf.Settings.__init__ = settings

    def importable(self, labels: list[str], emit: Any = emit) -> list[str]:
        """The labels whose modules can be imported; each other one is reported with its real exception."""
        good = []
        for label in labels:
            name = self.files.get(label)
            if name is None:
                good.append(label)
                continue
            path = name.partition("::")[0]
            emit(kind="start", id=path)
            try:
                importlib.import_module(self._module(name))
            except BaseException as error:  # noqa: BLE001 - whatever the module raises is the finding
                self.uncollected += 1
                failure = describe(error)
                sys.stdout.write(name + "\n" + failure["text"] + "\n")
                emit(kind="collect", id=path, failure=failure)
            else:
                good.append(label)
            finally:
                emit(kind="loaded", id=path)
        return good

    def add_functions(self, suite: Any, labels: list[str]) -> None:
        """Plain `test*` functions of modules without any case, as pytest would run them, each in a transaction."""
        filled = {type(case).__module__ for case in _flatten(suite)}
        for label in labels:
            name = self.files.get(label, "")
            module = sys.modules.get(self._module(name)) if name else None
            if module is None or module.__name__ in filled:
                continue
            inner = name.partition("::")[2]
            for key, function in plain_functions(module):
                if inner in ("", key):
                    case = _case_of("Functions", key, function)
                    type(case).__module__ = module.__name__
                    self.functions.append((name.partition("::")[0] + "::" + key, case))
                    suite.addTest(case)

    def result_class(self, base: Any) -> Any:
        """`base` with our reporting."""
        run = self

        class Reporting(Streaming, base):  # type: ignore[misc]
            def startTestRun(self) -> None:
                run.result = self
                known = {id(case) for _, case in run.functions}
                self.expect(run.functions)
                self.expect([(run.name(case), case) for case in run.cases if id(case) not in known])
                super().startTestRun()

            def name_of(self, test: Any) -> Any:
                return run.name(test) if isinstance(test, unittest.TestCase) else None

            def stopTestRun(self) -> None:
                super().stopTestRun()
                run.finished = True

        return Reporting

    def name(self, case: Any) -> str:
        """`path::Class::method`, the path from the root of the project."""
        kind = type(case)
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        path = os.path.relpath(file, self.root) if file else kind.__module__.replace(".", "/") + ".py"
        return path + "::" + kind.__qualname__ + "::" + getattr(case, "_testMethodName", str(case))

    def _module(self, name: str) -> str:
        """The dotted name under which Django's runner imports a file: from its own folder, else from the root."""
        path = os.path.join(self.root, name.partition("::")[0])  # noqa: PTH118
        base = self.folder if path.startswith(self.folder + os.sep) else self.root
        dotted = os.path.relpath(path, base)[: -len(".py")].replace(os.sep, ".")
        return dotted[: -len(".__init__")] if dotted.endswith(".__init__") else dotted

    def _label(self, name: str) -> str:
        inner = name.partition("::")[2]
        return self._module(name) + ("." + inner.replace("::", ".") if inner else "")


def _case_class() -> Any:
    """Django's TestCase, or the one without a database where the project has none."""
    from django.db import connections
    from django.test import SimpleTestCase, TestCase

    engine = connections["default"].settings_dict["ENGINE"]
    return SimpleTestCase if engine.endswith("dummy") else TestCase


def _case_of(name: str, key: str, function: Any) -> Any:
    """A case of one test, which calls `function`."""
    return type(name, (_case_class(),), {key: lambda _case: function()})(key)


def _serverless(settings: Any) -> None:
    """Replace databases that need a server, which the sandbox has none of."""
    replaced = []
    databases = getattr(settings, "DATABASES", None) or {}
    for alias, database in databases.items():
        engine = str(database.get("ENGINE", ""))
        if not engine or engine.endswith(("sqlite3", "spatialite", "dummy")):
            continue
        replaced.append(alias + " (" + engine + ")")
        test = {key: value for key, value in database.get("TEST", {}).items() if key in ("MIRROR", "DEPENDENCIES")}
        databases[alias] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "TEST": test}
    if replaced:
        names = ", ".join(replaced)
        emit(kind="note", text="The tests ran on SQLite in memory in place of the database server: " + names + ".")


def _flatten(suite: Any) -> list[Any]:
    if isinstance(suite, unittest.TestSuite):
        return [case for part in suite for case in _flatten(part)]
    return [suite]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
