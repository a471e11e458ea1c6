"""The project's other tests: the same answer in the background and in the foreground, and nothing that runs on."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest

from patchwright_engine.config import copies_folder
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Evidence, RepoPath, Snapshot
from patchwright_engine.verify import background
from patchwright_engine.verify.background import other_tests, spare_cores
from patchwright_engine.verify.context import VerificationContext, open_verification
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.evidence import verify_patch
from patchwright_engine.verify.shards import RUN_BYTES, Room
from side_by_side import PLENTY, SLEEPS, Open, copies_in_use, edited, pace, runs_alive, wait_for_debris

Make = Callable[[Mapping[str, str]], Snapshot]

NEAR = "from mod import value\n\n\ndef test_near():\n    assert value() == 1\n"
FAR = "from mod import value\n\n\ndef test_far():\n    assert value() < 2\n\n\ndef test_fails():\n    assert 0\n"
PASSES = "\n\ndef test_passes():\n    pass\n"
FILES = {
    "mod.py": "def value():\n    return 1\n",
    "test_near.py": NEAR,
    "far/test_a.py": FAR,
    "far/test_b.py": FAR,
    "far/test_c.py": FAR,
}


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this one has free."""
    monkeypatch.setattr(background, "room_here", lambda: Room(2, PLENTY))


@pytest.fixture
def opened(sandbox: Sandbox, environment: TestEnvironment) -> Open:
    """Opens `test_near.py` of a snapshot; the other test files are the rest."""

    @contextmanager
    def go(snapshot: Snapshot, token: CancelToken) -> Iterator[VerificationContext]:
        rest = tuple(path for path in snapshot.files if "test_" in path and path != "test_near.py")
        with open_verification(
            snapshot,
            sandbox=sandbox,
            environment=replace(environment, runner="unittest"),
            issue_text="",
            selection=(RepoPath("test_near.py"),),
            rest=rest,
            cancel=token,
            pace=pace(*rest, workers=2),
        ) as context:
            yield context

    return go


@pytest.mark.parametrize(
    ("cores", "threads", "spare"),
    [(8, 0, 8), (1, 0, 1), (8, 1, 7), (2, 1, 1), (1, 1, 0), (8, 4, 4), (8, 5, 0), (8, 8, 0), (2, 2, 0)],
)
def test_cores_are_spare_only_where_the_model_needs_no_more_than_half(cores: int, threads: int, spare: int) -> None:
    assert spare_cores(cores, threads) == spare


def test_the_answer_is_the_same_in_the_background_and_in_the_foreground(
    make_snapshot: Make, opened: Open, cancel: CancelToken
) -> None:
    snapshot = make_snapshot(FILES)
    breaks = edited(snapshot, "mod.py", "return 1", "return 2")
    harmless = edited(snapshot, "mod.py", "return 1", "return 1.0")
    seen = []
    for spare in (0, 2):
        with opened(snapshot, cancel) as context, other_tests(context, cancel, spare) as others:
            assert others.in_background is (spare > 0)
            rest = others.measured()
            assert rest is not None
            assert rest.baseline is not None
            assert others.measured() is rest
            assert not others.pending
            assert {lane.workspace for lane in rest.lanes}.isdisjoint([context.workspace]) is (spare > 0)
            verdicts = [verify_patch(patch, rest, cancel) for patch in (breaks, harmless)]
            regressions = [(verdict.evidence, verdict.regression) for verdict in verdicts]
            seen.append((rest.selection, len(rest.lanes), rest.baseline.report.results, rest.notes, regressions))
    assert seen[0] == seen[1]
    selection, lanes, results, notes, ((broken, regression), (good, _)) = seen[0]
    assert (len(selection), lanes, len(results), notes) == (3, 2, 6, ())
    assert (broken, good) == (None, Evidence.REGRESSION_ONLY)
    assert regression.newly_failing == tuple(f"far/test_{x}.py::test_far" for x in "abc")


def test_only_what_runs_in_the_background_leaves_the_processor_to_others(
    make_snapshot: Make, opened: Open, cancel: CancelToken
) -> None:
    polite = f"import os\n\n\ndef test_polite():\n    assert os.nice(0) >= {background.NICENESS}\n"
    snapshot = make_snapshot({"test_near.py": PASSES, "test_far.py": polite + PASSES})
    outcomes = []
    for spare in (0, 1):
        with opened(snapshot, cancel) as context, other_tests(context, cancel, spare) as others:
            rest = others.measured()
            assert rest is not None
            assert rest.baseline is not None
            outcomes.append(rest.baseline.report.results["test_far.py::test_polite"])
            assert rest.pace.niceness == 0  # what is run over a candidate is waited for
    assert outcomes == ["failed", "passed"]


def test_what_nobody_waits_for_any_more_is_ended(make_snapshot: Make, opened: Open, cancel: CancelToken) -> None:
    snapshot = make_snapshot({**FILES, "far/test_a.py": SLEEPS, "far/test_b.py": SLEEPS})
    with opened(snapshot, cancel) as context:
        with other_tests(context, cancel, 2):
            wait_for_debris(2)
            assert runs_alive()
        assert runs_alive() == []
        assert len(list(copies_in_use())) == 1
        assert verify_patch(edited(snapshot, "mod.py", "1", "1.0"), context, cancel).evidence
    assert list(copies_in_use()) == []
    assert list(copies_folder().rglob("debris")) == []


def test_a_cancel_while_they_are_waited_for_leaves_nothing(make_snapshot: Make, opened: Open) -> None:
    token = CancelToken()
    snapshot = make_snapshot({**FILES, "far/test_a.py": SLEEPS, "far/test_b.py": SLEEPS})

    def cancel_once_they_run() -> None:
        try:
            wait_for_debris(2)
        finally:
            token.cancel()

    with opened(snapshot, token) as context, other_tests(context, token, 2) as others:
        thread = threading.Thread(target=cancel_once_they_run)
        thread.start()
        with pytest.raises(Cancelled):
            others.measured()
        thread.join()
    assert runs_alive() == []
    assert list(copies_in_use()) == []
    assert list(copies_folder().rglob("debris")) == []


def test_where_no_equal_copy_can_be_made_they_run_on_the_jobs_own(
    make_snapshot: Make, opened: Open, cancel: CancelToken
) -> None:
    snapshot = make_snapshot(FILES)
    with opened(snapshot, cancel) as context:
        (snapshot.root / "mod.py").write_text("def value():\n    return 7\n")  # The user goes on working.
        with other_tests(context, cancel, 2) as others:
            rest = others.measured()
        assert rest is not None
        assert rest.baseline is not None
        assert rest.workspace is context.workspace
        assert rest.baseline.report.results["far/test_a.py::test_far"] == "passed"  # on what the job began with


@pytest.mark.parametrize("memory", [0, 2 * RUN_BYTES - 1])
def test_without_memory_for_both_they_wait(
    memory: int, make_snapshot: Make, opened: Open, cancel: CancelToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "room_here", lambda: Room(8, memory))
    with opened(make_snapshot(FILES), cancel) as context, other_tests(context, cancel, 8) as others:
        assert not others.in_background
        assert others.pending


def test_without_other_tests_nothing_is_begun(make_snapshot: Make, opened: Open, cancel: CancelToken) -> None:
    snapshot = make_snapshot({"test_near.py": PASSES})
    with opened(snapshot, cancel) as context, other_tests(context, cancel, 8) as others:
        assert (others.in_background, others.pending, others.measured()) == (False, False, None)
