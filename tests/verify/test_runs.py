"""Running tests in the sandbox: one outcome per test, whatever the project's code and configuration do."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Snapshot
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.runs import TestReport, run_tests

Make = Callable[[Mapping[str, str]], Snapshot]


@pytest.fixture
def run(
    make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> Callable[..., TestReport]:
    """Run a selection over files given as path → text, with either runner."""

    def go(files: Mapping[str, str], *selection: str, runner: str = "pytest", seconds: float = 60.0) -> TestReport:
        root = make_snapshot(files).root
        chosen = replace(environment, runner=runner)
        report = run_tests(sandbox, root, chosen, selection, cancel, timeout_seconds=seconds)
        assert not list(root.glob(".patchwright-*")), "the report's folder was left behind"
        return report

    return go


RUNNERS = pytest.mark.parametrize("runner", ["pytest", "unittest"])

KINDS = """\
import unittest

class Kinds(unittest.TestCase):
    def test_passes(self):
        pass

    def test_fails(self):
        self.assertEqual(1, 2)

    def test_breaks(self):
        raise KeyError("k")

    @unittest.skip("not now")
    def test_skipped(self):
        pass

    @unittest.expectedFailure
    def test_known(self):
        self.fail()


def test_plain():
    assert [] == []
"""


@RUNNERS
def test_every_test_has_its_outcome(run: Callable[..., TestReport], runner: str) -> None:
    report = run({"tests/test_kinds.py": KINDS}, "tests/test_kinds.py", runner=runner)
    prefix = "tests/test_kinds.py::"
    assert report.results == {
        f"{prefix}Kinds::test_breaks": "failed",
        f"{prefix}Kinds::test_fails": "failed",
        f"{prefix}Kinds::test_known": "skipped",
        f"{prefix}Kinds::test_passes": "passed",
        f"{prefix}Kinds::test_skipped": "skipped",
        f"{prefix}test_plain": "passed",
    }
    assert report.problem is None
    assert report.summary == "2 failed, 2 skipped, 2 passed"
    failure = report.failures[f"{prefix}Kinds::test_breaks"]
    assert (failure.exception, failure.bases[0]) == ("KeyError", "LookupError")
    assert [(frame.path, frame.line) for frame in failure.frames if frame.inside] == [("tests/test_kinds.py", 11)]


@RUNNERS
def test_a_syntax_error_in_one_file_does_not_hide_the_others(run: Callable[..., TestReport], runner: str) -> None:
    files = {"test_bad.py": "def test_(:\n", "test_good.py": "def test_good():\n    pass\n"}
    report = run(files, "test_bad.py", "test_good.py", runner=runner)
    assert report.results == {"test_good.py::test_good": "passed"}
    assert report.failures["test_bad.py"].exception == "SyntaxError"
    assert report.summary == "1 passed, 1 not collected"


@RUNNERS
def test_an_import_error_names_what_is_missing(run: Callable[..., TestReport], runner: str) -> None:
    report = run({"test_bad.py": "import no_such_module_anywhere\n"}, "test_bad.py", runner=runner)
    assert report.failures["test_bad.py"].exception == "ModuleNotFoundError"
    assert "no_such_module_anywhere" in report.failures["test_bad.py"].message


@RUNNERS
def test_code_under_src_is_found(run: Callable[..., TestReport], runner: str) -> None:
    files = {
        "src/pkg/__init__.py": "VALUE = 3\n",
        "tests/test_v.py": "from pkg import VALUE\ndef test_v():\n    assert VALUE == 3\n",
    }
    assert run(files, "tests/test_v.py", runner=runner).results == {"tests/test_v.py::test_v": "passed"}


@RUNNERS
def test_a_hanging_test_is_stopped_and_the_earlier_results_kept(run: Callable[..., TestReport], runner: str) -> None:
    source = "import time\ndef test_a():\n    pass\ndef test_b():\n    time.sleep(60)\n"
    report = run({"test_h.py": source}, "test_h.py", runner=runner, seconds=4.0)
    assert report.results == {"test_h.py::test_a": "passed"}
    assert "still running" in (report.problem or "")


@RUNNERS
def test_code_that_ends_the_process_is_seen(run: Callable[..., TestReport], runner: str) -> None:
    source = "import os\ndef test_a():\n    os._exit(0)\ndef test_b():\n    pass\n"
    report = run({"test_e.py": source}, "test_e.py", runner=runner)
    assert report.with_outcome("passed") == frozenset()
    assert "did not finish" in (report.problem or "")


@RUNNERS
def test_no_tests_is_said(run: Callable[..., TestReport], runner: str) -> None:
    report = run({"test_n.py": "x = 1\n"}, "test_n.py", runner=runner)
    assert report.results == {}
    assert report.problem == "no tests were found"


def test_options_of_a_missing_plugin_are_left_out_with_a_note(run: Callable[..., TestReport]) -> None:
    files = {
        "pytest.ini": "[pytest]\naddopts = --cov=pkg --no-such-option\n",
        "tests/test_a.py": "def test_a():\n    pass\n",
    }
    report = run(files, "tests/test_a.py")
    assert report.results == {"tests/test_a.py::test_a": "passed"}
    assert "addopts" in report.notes[0]


def test_a_configuration_that_cannot_work_is_left_out_with_a_note(run: Callable[..., TestReport]) -> None:
    files = {"pytest.ini": "[pytest]\nminversion = 99.0\n", "tests/test_a.py": "def test_a():\n    pass\n"}
    report = run(files, "tests/test_a.py")
    assert report.results == {"tests/test_a.py::test_a": "passed"}
    assert "configuration" in report.notes[0]


def test_ids_do_not_depend_on_the_selection(run: Callable[..., TestReport]) -> None:
    files = {"tests/deep/test_a.py": "def test_a():\n    pass\n"}
    assert set(run(files, "tests/deep/test_a.py").results) == {"tests/deep/test_a.py::test_a"}


def test_a_test_that_replaces_the_report_changes_nothing(run: Callable[..., TestReport]) -> None:
    source = """\
    import glob, json, os
    def test_cheat():
        for path in glob.glob(".patchwright-*/report.jsonl"):
            os.unlink(path)
            with open(path, "w") as file:
                record = {"kind": "test", "id": "test_c.py::test_cheat", "when": "call", "outcome": "passed"}
                file.write(json.dumps({**record, "seconds": 0.1}) + "\\n")
                file.write(json.dumps({"kind": "end", "exit": 0}) + "\\n")
        os._exit(0)
    """
    report = run({"test_c.py": source}, "test_c.py")
    assert report.with_outcome("passed") == frozenset()
    assert report.problem is not None


def test_plugin_and_runner_start_under_the_systems_python(tmp_path: Path) -> None:
    import subprocess

    from patchwright_engine.verify.runs import RUNNERS as FOLDER

    system = shutil.which("python3", path="/usr/bin")
    if system is None:
        pytest.skip("no system Python")
    (tmp_path / "test_a.py").write_text("def test_a():\n    pass\n")
    done = subprocess.run(
        [system, "-B", FOLDER / "patchwright_unittest.py", "test_a.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1 run, 0 failed\n")


@RUNNERS
def test_names_and_messages_with_escape_codes_are_harmless(run: Callable[..., TestReport], runner: str) -> None:
    name = "tests/test_\x1b]0;t\x07.py"
    message = "\\x1b[2J\\x1b]52;c;eA==\\x07 message"
    source = f"class Odd(Exception):\n    pass\n\ndef test_red():\n    raise Odd('{message}')\n"
    report = run({name: source}, name, runner=runner)
    assert list(report.results.values()) == ["failed"]
    told = [*report.results, report.run.output, *map(repr, report.run.argv)]
    for failure in report.failures.values():
        told += [failure.exception, failure.message, failure.text, *(frame.path for frame in failure.frames)]
    assert any("message" in text for text in told)
    assert all(character.isprintable() or character in "\n\t" for text in told for character in text)
