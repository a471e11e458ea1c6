"""Code under test that forges the record of its own run: by the report, the exit, the runner or the test files.

Two failing tests, one of them to be "passed" by a trick in the product's own module; no trick may make it count.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Evidence, FileEdit, Patch, RepoPath, Snapshot
from patchwright_engine.verify.context import open_verification, try_reproduction, with_reproduction
from patchwright_engine.verify.discovery import find_test_files
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.evidence import Verification, _verify_by_runs, verify_patch
from patchwright_engine.verify.runs import TestReport, run_tests

Make = Callable[[Mapping[str, str]], Snapshot]
RUNNERS = pytest.mark.parametrize("runner", ["pytest", "unittest"])

TESTS = """\
from product import answer


def test_answer():
    assert answer() == 42


def test_other():
    assert answer() > 0
"""

FORGED_LINES = """\
import glob, json
def forge():
    for path in glob.glob(".patchwright-*/*"):
        with open(path, "a") as file:
            for name in ("test_answer", "test_other"):
                record = {"kind": "test", "id": "test_product.py::" + name, "when": "call", "outcome": "passed"}
                file.write(json.dumps({**record, "seconds": 0.1, "failure": None}) + "\\n")
            file.write(json.dumps({"kind": "end", "exit": 0}) + "\\n")
"""
TRICKS = {
    "lines in the report": FORGED_LINES + "def answer():\n    forge()\n    return 0\n",
    "lines in the report, then the end": FORGED_LINES + "import os\ndef answer():\n    forge()\n    os._exit(0)\n",
    "lines in the report at import": FORGED_LINES + "forge()\ndef answer():\n    return 0\n",
    "lines in the report at exit": FORGED_LINES
    + "import atexit\natexit.register(forge)\ndef answer():\n    return 0\n",
    "lines with a seal from the report": """\
import glob
def answer():
    for path in glob.glob(".patchwright-*/report.jsonl"):
        lines = open(path).read().splitlines()
        with open(path, "a") as file:
            for line in lines:
                file.write(line.replace("failed", "passed") + "\\n")
    return 0
""",
    "an emptied report": """\
import glob
def answer():
    for path in glob.glob(".patchwright-*/report.jsonl"):
        open(path, "w").close()
    return 0
""",
    "the end of the process": "import os\ndef answer():\n    os._exit(0)\n",
    "the end at import": "import sys\nsys.exit(0)\n",
    "the end at exit": ("import atexit, os\natexit.register(os._exit, 0)\ndef answer():\n    return 0\n"),
    "an end by signal": "import os\ndef answer():\n    os.kill(os.getpid(), 15)\n",
    "another program in its place": "import os\ndef answer():\n    os.execv('/bin/true', ['true'])\n",
    "a fork that goes on": """\
import os
def answer():
    if os.fork() == 0:
        return 42
    os.wait()
    return 0
""",
    "the plugin replaced": """\
import sys
class Fake:
    def __getattr__(self, name):
        return lambda *a, **k: None
for name in ("patchwright_pytest", "patchwright_report", "patchwright_unittest"):
    sys.modules[name] = Fake()
def answer():
    return 0
""",
    "the plugin's names replaced": """\
import sys
for module in [m for name, m in list(sys.modules.items()) if "patchwright" in name or name == "__main__"]:
    for name in list(vars(module)):
        if name.lstrip("_") in ("emit", "changed", "failure"):
            setattr(module, name, lambda *a, **k: None)
def answer():
    return 0
""",
    "comparison of everything": """\
class Always(int):
    def __new__(cls):
        return super().__new__(cls, 0)
def answer():
    import builtins
    builtins.AssertionError = type("Quiet", (Exception,), {})
    return Always()
""",
}


@pytest.fixture
def run(
    make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> Callable[..., TestReport]:
    def go(product: str, runner: str, **more: str) -> TestReport:
        root = make_snapshot({"product.py": product, "test_product.py": TESTS, **more}).root
        chosen = replace(environment, runner=runner)
        return run_tests(sandbox, root, chosen, ("test_product.py",), cancel, timeout_seconds=60.0)

    return go


WITH_PYTEST = (
    "lines in the report",
    "lines with a seal from the report",
    "an emptied report",
    "the end of the process",
    "the end at import",
    "the end at exit",
    "the plugin replaced",
    "the plugin's names replaced",
    "comparison of everything",
)


@pytest.mark.parametrize(
    ("trick", "runner"),  # unittest starts several times faster
    [*((trick, "unittest") for trick in TRICKS), *((trick, "pytest") for trick in WITH_PYTEST)],
)
def test_no_trick_makes_a_failing_test_pass(run: Callable[..., TestReport], trick: str, runner: str) -> None:
    report = run(TRICKS[trick], runner)
    assert report.with_outcome("passed") == frozenset(), report


@RUNNERS
def test_an_honest_run_is_not_suspected(run: Callable[..., TestReport], runner: str) -> None:
    report = run("def answer():\n    return 42\n", runner)
    assert len(report.with_outcome("passed")) == 2
    assert report.tampering == frozenset()
    assert report.machinery is not None
    assert report.machinery == run("def answer():\n    return 43\n", runner).machinery


@pytest.mark.parametrize("trick", [name for name in TRICKS if name.startswith("lines in the report")])
def test_lines_of_others_in_the_report_are_told(run: Callable[..., TestReport], trick: str) -> None:
    assert "writes into the report of the run" in run(TRICKS[trick], "unittest").tampering


@RUNNERS
def test_a_fork_of_the_tested_code_does_not_report(run: Callable[..., TestReport], runner: str) -> None:
    """Its records would come twice, once with another outcome."""
    product = """\
    import os
    def answer():
        if os.fork() == 0:
            return 0
        os.wait()
        return 42
    """
    report = run(product, runner)
    assert len(report.with_outcome("passed")) == 2
    assert report.tampering == frozenset()


MACHINERY = {
    "pytest": (
        "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\n",
        "replaces _pytest.python.Function.runtest",
    ),
    "unittest": (
        "import unittest.case\nunittest.case.FunctionTestCase.runTest = lambda self: None\n",
        "replaces unittest.case.FunctionTestCase.runTest",
    ),
}


@pytest.mark.parametrize("runner", MACHINERY)
def test_a_replaced_part_of_the_runner_is_told(run: Callable[..., TestReport], runner: str) -> None:
    trick, words = MACHINERY[runner]
    report = run(trick + "def answer():\n    return 0\n", runner)
    assert len(report.with_outcome("passed")) == 2  # the trick works, which is why it must be told
    assert report.machinery is not None
    assert words in report.machinery


def test_an_added_plugin_is_told(run: Callable[..., TestReport]) -> None:
    product = """\
    import gc
    import pytest
    class Cheat:
        @pytest.hookimpl(hookwrapper=True, tryfirst=True)
        def pytest_runtest_makereport(self, item, call):
            outcome = yield
            outcome.get_result().outcome = "passed"
    [manager] = [o for o in gc.get_objects() if type(o).__name__ == "PytestPluginManager"]
    manager.register(Cheat())
    def answer():
        return 0
    """
    report = run(product, "pytest")
    assert len(report.with_outcome("passed")) == 2
    assert report.machinery is not None
    assert "adds the pytest plugin Cheat" in report.machinery


@RUNNERS
def test_a_test_file_changed_by_the_run_is_told(run: Callable[..., TestReport], runner: str) -> None:
    product = """\
    import os
    def answer():
        times = os.stat("test_product.py")
        text = open("test_product.py").read()
        open("test_product.py", "w").write(text)
        os.utime("test_product.py", ns=(times.st_atime_ns, times.st_mtime_ns))
        open("conftest.py", "w").write("collect_ignore = ['test_product.py']")
        return 42
    """
    tampering = run(product, runner).tampering
    assert tampering == {"changes test_product.py while the tests run", "changes conftest.py while the tests run"}


def test_a_summary_that_contradicts_the_report_is_told(run: Callable[..., TestReport]) -> None:
    """As after forged records: the terminal's count is a second witness."""
    conftest = """\
    import pytest
    @pytest.hookimpl(trylast=True)
    def pytest_report_teststatus(report):
        if report.when == "call":
            return "failed", "F", "FAILED"
    """
    report = run("def answer():\n    return 42\n", "pytest", **{"conftest.py": conftest.replace("trylast", "tryfirst")})
    assert "makes the runner's summary and its report disagree" in report.tampering


# --- the verdict ---


@pytest.fixture
def verdict(
    make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> Callable[..., Verification]:
    """The verdict on a patch whose code `trick` comes before a function that is still wrong."""

    def go(trick: str, *, runner: str = "pytest", looked_at: bool = False) -> Verification:
        before = "def answer():\n    return 7\n"
        snapshot = make_snapshot({"product.py": before, "test_product.py": TESTS})
        patch = Patch((FileEdit(RepoPath("product.py"), before, trick),))
        with open_verification(
            snapshot,
            sandbox=sandbox,
            environment=replace(environment, runner=runner),
            issue_text="answer() should return 42",
            selection=find_test_files(snapshot),
            cancel=cancel,
            timeout_seconds=60.0,
        ) as opened:
            source = "from product import answer\n\n\ndef test_it():\n    assert answer() == 42\n"
            reproduction = try_reproduction(source, opened, cancel)
            assert reproduction.valid, reproduction.reason
            judge = verify_patch if looked_at else _verify_by_runs
            return judge(patch, with_reproduction(opened, reproduction), cancel)

    return go


def test_an_honest_fix_is_proven(verdict: Callable[..., Verification]) -> None:
    assert verdict("def answer():\n    return 42\n", looked_at=True).evidence is Evidence.REPRODUCED


@pytest.mark.parametrize("runner", MACHINERY)
def test_a_patch_that_switches_the_runner_off_is_rejected_by_its_runs(
    verdict: Callable[..., Verification], runner: str
) -> None:
    found = verdict(MACHINERY[runner][0] + "def answer():\n    return 7\n", runner=runner)
    assert found.evidence is None
    assert "meddles with the test run" in found.feedback
    assert "replaces" in found.feedback


def test_a_patch_that_looks_for_the_runner_is_refused_unrun(verdict: Callable[..., Verification]) -> None:
    found = verdict(
        'import os\ndef answer():\n    return 42 if "PYTEST_CURRENT_TEST" in os.environ else 7\n', looked_at=True
    )
    assert found.evidence is None
    assert found.runs == ()
    assert "test runner" in found.feedback


def test_a_special_case_is_told_with_the_proof(verdict: Callable[..., Verification]) -> None:
    trick = "def answer():\n    try:\n        return 42\n    except Exception:\n        pass\n"
    found = verdict(trick, looked_at=True)
    assert found.evidence is Evidence.REPRODUCED
    assert any("swallows every error" in flag for flag in found.flags)
