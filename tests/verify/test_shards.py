"""Test files side by side: the same results however many processes run them, and nothing left of a cancelled run."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from patchwright_engine.config import copies_folder
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled, SandboxUnavailable
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Command, Evidence, RepoPath, RunReport, Snapshot
from patchwright_engine.verify.context import VerificationContext, open_verification
from patchwright_engine.verify.copies import Copies
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.evidence import verify_patch
from patchwright_engine.verify.runs import NO_TESTS, TestReport
from patchwright_engine.verify.shards import (
    MAX_WORKERS,
    RUN_BYTES,
    Room,
    divides_itself,
    expected_seconds,
    merge_reports,
    share_of,
    side_by_side,
    split,
    worker_count,
)
from side_by_side import PLENTY, SLEEPS, Open, copies_in_use, edited, pace, runs_alive, wait_for_debris

Make = Callable[[Mapping[str, str]], Snapshot]


@pytest.fixture
def opened(sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken) -> Open:
    """Opens the tests of a snapshot, run by so many workers."""

    @contextmanager
    def go(
        snapshot: Snapshot,
        *selection: str,
        workers: int,
        seconds: float = 60.0,
        runner: str = "unittest",
        token: CancelToken | None = None,
    ) -> Iterator[VerificationContext]:
        with open_verification(
            snapshot,
            sandbox=sandbox,
            environment=replace(environment, runner=runner),
            issue_text="",
            selection=tuple(map(RepoPath, selection)),
            cancel=token or cancel,
            timeout_seconds=seconds,
            pace=pace(*selection, workers=workers),
        ) as context:
            yield context

    return go


# How many, and which together


@pytest.mark.parametrize(
    ("expected", "cores", "memory", "count"),
    [
        ([10.0] * 8, 8, PLENTY, MAX_WORKERS),
        ([10.0] * 8, 2, PLENTY, 2),
        ([10.0] * 8, 1, PLENTY, 1),
        ([10.0] * 8, 8, 3 * RUN_BYTES, 3),
        ([10.0] * 8, 8, 0, 1),
        ([10.0] * 2, 8, PLENTY, 2),
        ([1.0] * 9, 8, PLENTY, 1),  # soon done
        ([1.0] * 10, 8, PLENTY, 2),
        ([60.0, 1.0, 1.0], 8, PLENTY, 2),  # no third could end sooner than the first
        ([60.0], 8, PLENTY, 1),
        ([0.0, 0.0], 8, PLENTY, 1),
        ([], 8, PLENTY, 1),
    ],
)
def test_as_many_processes_as_pay_and_the_machine_has_room_for(
    expected: list[float], cores: int, memory: int, count: int
) -> None:
    assert worker_count(expected, Room(cores, memory)) == count


def test_jobs_beside_each_other_share_the_room_and_each_has_a_core() -> None:
    assert share_of(Room(8, 64 << 30), 3) == Room(2, (64 << 30) // 3)
    assert share_of(Room(2, 8 << 30), 4) == Room(1, 2 << 30)
    assert share_of(Room(8, 64 << 30), 1) == Room(8, 64 << 30)


def test_room_is_counted_by_what_the_sandbox_allows_a_run() -> None:
    assert Command(()).memory_bytes == RUN_BYTES


def test_the_longest_files_come_first_and_the_order_within_a_part_stays() -> None:
    expected = {"a": 1.0, "b": 6.0, "c": 2.0, "d": 5.0, "e": 2.0}
    names = ("a", "b::one", "c", "b::two", "d", "e")
    assert split(names, expected, 2) == (("b::one", "b::two", "e"), ("a", "c", "d"))
    assert split(names, expected, 1) == (names,)
    assert len(split(names, expected, 9)) == 5


def test_what_is_not_known_is_guessed_by_size(tmp_path: Path) -> None:
    for name, size in {"small": 100, "large": 300, "known": 5}.items():
        (tmp_path / name).write_text("x" * size)
    names = ["small", "large::test", "known"]
    assert expected_seconds(names, {"known": 4.0}, tmp_path) == {"small": 2.0, "large": 6.0, "known": 4.0}
    fresh = expected_seconds([*names, "gone"], {}, tmp_path)
    assert fresh["large"] > fresh["small"] > fresh["known"] > fresh["gone"] > 0


@pytest.mark.parametrize(
    ("runner", "name", "text", "itself"),
    [
        ("pytest", "pytest.ini", "[pytest]\naddopts = -ra -n auto\n", True),
        ("pytest", "setup.cfg", "[tool:pytest]\naddopts =\n    --cov=pkg\n    -n4\n", True),
        ("pytest", "pyproject.toml", '[tool.pytest.ini_options]\naddopts = [\n  "-n",\n  "logical",\n]\n', True),
        ("pytest", "tox.ini", "[pytest]\naddopts = --dist loadfile\n", True),
        ("pytest", "pytest.ini", "[pytest]\naddopts = --no-header -ra\nxfail_strict = true\n# -n auto\n", False),
        ("pytest", "pytest.ini", "[pytest]\naddopts = -ra\n[other]\nrun = x -n auto\n", False),
        ("pytest", "README.md", "addopts = -n auto\n", False),
        ("unittest", "pytest.ini", "[pytest]\naddopts = -n auto\n", False),
        ("django", "README.md", "", False),
        ("cargo", "README.md", "", True),
        ("jest", "README.md", "", True),
    ],
)
def test_tools_that_run_tests_side_by_side_themselves_are_left_to_it(
    runner: str, name: str, text: str, itself: bool, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    assert divides_itself(runner, tmp_path) is itself


# One report of several


def report(problem: str | None = None, *, exit_code: int | None = 0, **results: str) -> TestReport:
    outcome = "exited" if exit_code is not None else "timeout"
    run = RunReport(("pytest",), exit_code, "", 1.0 + len(results), outcome)
    return TestReport(run, results, problem=problem, machinery=frozenset(results))


def test_a_part_without_tests_is_no_problem_of_the_whole_unless_none_has_any() -> None:
    some = merge_reports([(("a",), report(a="passed")), (("b",), report(NO_TESTS, exit_code=5))])
    assert (some.results, some.problem, some.run.exit_code) == ({"a": "passed"}, None, 0)
    assert some.run.seconds == 2.0
    none = merge_reports([((name,), report(NO_TESTS, exit_code=5)) for name in "ab"])
    assert (none.problem, none.run.exit_code) == (NO_TESTS, 5)


def test_what_goes_wrong_in_one_part_is_said_with_its_files() -> None:
    parts = [
        (("a", "c"), report("it was cut short", exit_code=None, a="passed")),
        (("b",), report(exit_code=1, b="failed", c="passed")),
    ]
    merged = merge_reports(parts)
    assert merged.problem == "it was cut short (the process that ran a and 1 more test files)"
    assert (merged.run.outcome, merged.run.exit_code) == ("timeout", None)
    assert merged.results == {"a": "passed", "b": "failed", "c": "passed"}
    assert merged.machinery == {"a", "b", "c"}
    without_end = [*parts, (("d",), replace(report(d="passed"), machinery=None))]
    assert merge_reports(without_end).machinery is None


def test_the_worst_is_told_of_a_test_that_two_parts_ran() -> None:
    parts = [(("a",), report(a="failed")), (("b",), report(a="passed"))]
    assert merge_reports(parts).results == merge_reports(parts[::-1]).results == {"a": "failed"}


# Threads


def test_the_first_failure_ends_the_others_and_is_the_one_told(cancel: CancelToken) -> None:
    ended: list[bool] = []

    def waits(token: CancelToken) -> None:
        ended.append(token.wait(60.0))
        token.check()

    def fails(token: CancelToken) -> None:
        raise SandboxUnavailable("the sandbox broke")

    with pytest.raises(SandboxUnavailable, match="broke"):
        side_by_side([waits, fails, waits], cancel)
    assert ended == [True, True]  # cancelled, not waited out
    assert not cancel.cancelled


def test_results_come_in_order_and_a_cancel_is_one(cancel: CancelToken) -> None:
    meet = threading.Barrier(3)

    def task(number: int) -> Callable[[CancelToken], int]:
        return lambda _token: number + 0 * meet.wait(30.0)  # Each waits for all others.

    assert side_by_side([task(n) for n in range(3)], cancel) == [0, 1, 2]
    cancel.cancel()
    with pytest.raises(Cancelled):
        side_by_side([lambda token: token.check() for _ in range(2)], cancel)


# Copies


def test_copies_are_equal_and_stay_the_same(project: Snapshot, cancel: CancelToken) -> None:
    with Copies(project, cancel) as copies:
        first = copies.take(1)
        three = copies.take(3)
        assert three[:1] == first
        assert len({copy.path for copy in three}) == 3
        assert three[0].contents == three[1].contents == three[2].contents
        assert copies.take(2) == three[:2]
        assert len(list(copies_in_use())) == 3
    assert list(copies_in_use()) == []


def test_no_copy_is_handed_out_that_holds_something_else(project: Snapshot, cancel: CancelToken) -> None:
    with Copies(project, cancel) as copies:
        (first,) = copies.take(1)
        (project.root / "stats" / "mean.py").write_text("changed = meanwhile\n")
        assert copies.take(3) == (first,)
        with copies.apart(cancel) as more:
            assert more.take(1) == ()
        assert len(list(copies_in_use())) == 1


# Real runs

VALUE = "def value():\n    return 1\n"
HOLDS = """\
from mod import value

def test_holds():
    assert value() == 1

def test_more():
    assert value() > 0
"""
MAKES = "from mod import value\n\n\ndef test_makes():\n    open('made', 'w').close()\n    assert value()\n"
NEEDS = "import os\n\n\ndef test_needs():\n    assert os.path.exists('made')\n"
MANY = {
    "mod.py": VALUE,
    "tests/test_a.py": HOLDS,
    "tests/test_bad.py": "import no_such_module_anywhere\n",
    "tests/test_c.py": HOLDS,
    "tests/test_fails.py": "from mod import value\n\n\ndef test_fails():\n    assert value() == 3\n",
    "tests/test_hangs.py": "import time\n\n\ndef test_hangs():\n    time.sleep(600)\n",
    "tests/test_nothing.py": "x = 1\n",
    "tests/test_z.py": HOLDS,
}


def test_the_results_do_not_depend_on_how_many_processes_ran_them(make_snapshot: Make, opened: Open) -> None:
    snapshot = make_snapshot(MANY)
    selection = [path for path in MANY if path.startswith("tests/")]
    breaks, mends = edited(snapshot, "mod.py", "1", "2"), edited(snapshot, "mod.py", "return 1", "return 1.0")
    seen = []
    for workers in (1, 2):
        with opened(snapshot, *selection, workers=workers, seconds=6.0) as context:
            assert len(context.lanes) == (0 if workers == 1 else 2)
            assert context.baseline is not None
            before = context.baseline.report
            verdicts = [verify_patch(patch, context, CancelToken()) for patch in (breaks, mends)]
            seen.append(
                (
                    before.results,
                    set(before.failures),
                    before.problem,
                    before.summary,
                    context.selection,
                    context.notes,
                    [(v.evidence, v.regression, [(r.exit, r.before, r.after) for r in v.runs]) for v in verdicts],
                )
            )
    assert seen[0] == seen[1]
    results, failures, *_, notes, ((evidence, regression, _), (good, *_)) = seen[0]
    assert set(results.values()) == {"passed", "failed"}
    assert len(results) == 7
    assert {"tests/test_bad.py", "tests/test_fails.py::test_fails"} <= failures
    assert any("test_hangs.py does not end" in note for note in notes)
    assert evidence is None
    assert regression.newly_failing == tuple(f"tests/test_{x}.py::test_holds" for x in "acz")
    assert good is Evidence.REGRESSION_ONLY


CLAIMS = """\
import os, tempfile

def test_alone():
    for place in ("claimed", os.path.join(tempfile.gettempdir(), "claimed")):
        os.close(os.open(place, os.O_CREAT | os.O_EXCL))
"""


def test_tests_that_would_meet_do_not_when_they_are_apart(make_snapshot: Make, opened: Open) -> None:
    files = {f"test_{name}.py": CLAIMS for name in "ab"}
    snapshot = make_snapshot(files)
    outcomes = []
    for workers in (1, 2):
        with opened(snapshot, *files, workers=workers) as context:
            assert context.baseline is not None
            outcomes.append(sorted(context.baseline.report.results.values()))
    assert outcomes == [["failed", "passed"], ["passed", "passed"]]


def test_a_test_that_needs_another_files_tests_first_fails_before_and_is_not_counted(
    make_snapshot: Make, opened: Open
) -> None:
    snapshot = make_snapshot({"mod.py": VALUE, "test_a.py": MAKES, "test_b.py": NEEDS})
    with opened(snapshot, "test_a.py", "test_b.py", workers=2) as context:
        assert context.baseline is not None
        assert context.baseline.report.results == {"test_a.py::test_makes": "passed", "test_b.py::test_needs": "failed"}
        good = verify_patch(edited(snapshot, "mod.py", "1", "2"), context, CancelToken())
        bad = verify_patch(edited(snapshot, "mod.py", "1", "0"), context, CancelToken())
    assert (good.evidence, bad.evidence) == (Evidence.REGRESSION_ONLY, None)


def test_a_process_that_crashes_takes_only_its_own_files_along_and_is_named(make_snapshot: Make, opened: Open) -> None:
    files = {
        "test_a.py": "def test_a():\n    pass\n",
        "test_exits.py": "import os\n\n\ndef test_exits():\n    os._exit(7)\n",
    }
    with opened(make_snapshot(files), *files, workers=2, runner="pytest") as context:
        assert context.baseline is not None
        assert context.baseline.report.results == {"test_a.py::test_a": "passed"}
    (note,) = [note for note in context.notes if "did not finish (exit status 7)" in note]
    assert "(the process that ran test_exits.py)" in note


def test_a_cancel_in_mid_run_leaves_no_process_and_no_copy_in_use(
    make_snapshot: Make, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    token, ended = CancelToken(), list[BaseException]()
    files = {"test_a.py": SLEEPS, "test_b.py": SLEEPS}
    snapshot = make_snapshot(files)

    def job() -> None:
        try:
            with opened(snapshot, *files, workers=2, token=token):
                pass
        except Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=job)
    thread.start()
    try:
        wait_for_debris(2)
        assert len(runs_alive()) >= 2
        assert len(list(copies_in_use())) == 2
    finally:
        token.cancel()
        thread.join(30.0)
    assert not thread.is_alive()
    assert [type(error) for error in ended] == [Cancelled]
    assert runs_alive() == []
    assert list(copies_in_use()) == []
    assert list(copies_folder().rglob("debris")) == []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("patchwright-")]
    assert sorted(path.name for path in snapshot.root.iterdir()) == sorted(files)


def test_a_sandbox_that_breaks_in_one_process_ends_the_others(
    make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> None:
    class Breaking:
        """The real sandbox until the second run begins beside the first."""

        level, promises, prepare = sandbox.level, sandbox.promises, sandbox.prepare

        def run(
            self, command: Command, workspace: Path, token: CancelToken, readable: Sequence[Path] = ()
        ) -> RunReport:
            if any("test_b" in word for word in command.argv):
                wait_for_debris(1)
                raise SandboxUnavailable("the sandbox broke", "Mend it.")
            return sandbox.run(command, workspace, token, tuple(readable))

    files = {"test_a.py": SLEEPS, "test_b.py": SLEEPS}
    with (
        pytest.raises(SandboxUnavailable, match="broke"),
        open_verification(
            make_snapshot(files),
            sandbox=Breaking(),
            environment=replace(environment, runner="unittest"),
            issue_text="",
            selection=tuple(map(RepoPath, files)),
            cancel=cancel,
            pace=pace(*files, workers=2),
        ),
    ):
        pass
    assert runs_alive() == []
    assert list(copies_in_use()) == []
