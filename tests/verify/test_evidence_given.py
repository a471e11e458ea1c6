"""Levels of evidence for real patches of a small project, and every way to be rejected."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Evidence, FileEdit, Patch, RepoPath, Snapshot
from patchwright_engine.verify.context import (
    VerificationContext,
    open_verification,
    try_reproduction,
    with_reproduction,
)
from patchwright_engine.verify.discovery import find_test_files
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.evidence import Verification, verify_patch

ISSUE = "mean([]) raises ZeroDivisionError: division by zero. It should return 0 for an empty list."
REPRODUCTION = "from stats.mean import mean\n\n\ndef test_empty():\n    assert mean([]) == 0\n"
FIX = ("return total / len(values)", "return total / len(values) if values else 0")
NO_FIX = ("total = 0", "total = 0.0")
BREAKS = ("max(values) - min(values)", "max(values)")
PYTEST = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q"
Make = Callable[[Mapping[str, str]], Snapshot]


def patch(snapshot: Snapshot, *replacements: tuple[str, str], path: str = "stats/mean.py") -> Patch:
    before = after = snapshot.read_text(RepoPath(path))
    for old, new in replacements:
        assert old in after
        after = after.replace(old, new)
    return Patch((FileEdit(RepoPath(path), before, after),))


@pytest.fixture
def verify(sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken) -> Callable[..., Verification]:
    """Open a verification, add the reproductions given (which must be valid), verify one patch.

    The unittest runner starts several times faster than pytest, which a few tests ask for by name.
    """

    def go(
        snapshot: Snapshot,
        candidate: Patch,
        *,
        reproductions: tuple[str, ...] = (),
        issue: str = ISSUE,
        command: str | None = None,
        isolation: Sandbox | None = sandbox,
        seconds: float = 60.0,
        runner: str = "unittest",
    ) -> Verification:
        with open_verification(
            snapshot,
            sandbox=isolation,
            environment=replace(environment, runner=runner),
            issue_text=issue,
            selection=find_test_files(snapshot),
            cancel=cancel,
            user_command=command,
            timeout_seconds=seconds,
        ) as opened:
            context = opened
            for source in reproductions:
                reproduction = try_reproduction(source, context, cancel)
                assert reproduction.valid, reproduction.reason
                context = with_reproduction(context, reproduction)
            return verify_patch(candidate, context, cancel)

    return go


Verify = Callable[..., Verification]


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
def test_a_reproduction_that_now_passes_is_reproduced(project: Snapshot, verify: Verify, runner: str) -> None:
    verdict = verify(project, patch(project, FIX), reproductions=(REPRODUCTION,), runner=runner)
    assert verdict.evidence is Evidence.REPRODUCED
    assert verdict.passed_reproductions == 1
    assert verdict.regression is not None
    assert verdict.regression.newly_failing == ()
    assert verdict.regression.passed_before == 3
    assert verdict.regression.fixed == ("tests/test_mean.py::test_mean_of_nothing",)
    assert [(run.kind, run.before, run.after) for run in verdict.runs] == [
        ("reproduction", "1 failed", "1 passed"),
        ("regression", "1 failed, 3 passed", "4 passed"),
    ]
    assert verdict.feedback == ""


def test_a_reproduction_that_still_fails_gives_feedback_and_no_proof(project: Snapshot, verify: Verify) -> None:
    verdict = verify(project, patch(project, NO_FIX), reproductions=(REPRODUCTION,))
    assert verdict.evidence is Evidence.REGRESSION_ONLY
    assert verdict.passed_reproductions == 0
    assert "ZeroDivisionError" in verdict.feedback


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
def test_a_patch_that_breaks_a_test_is_rejected_with_the_reason(project: Snapshot, verify: Verify, runner: str) -> None:
    verdict = verify(project, patch(project, FIX, BREAKS), reproductions=(REPRODUCTION,), runner=runner)
    assert verdict.evidence is None
    assert verdict.passed_reproductions == 1
    assert "tests/test_mean.py::test_spread" in verdict.feedback
    assert "assert spread([1, 5]) == 4" in verdict.feedback


def test_without_a_reproduction_nothing_breaking_is_regression_only(project: Snapshot, verify: Verify) -> None:
    assert verify(project, patch(project, NO_FIX)).evidence is Evidence.REGRESSION_ONLY


def test_a_failing_test_counts_only_when_the_issue_names_it(project: Snapshot, verify: Verify) -> None:
    fix = patch(project, FIX)
    assert verify(project, fix).evidence is Evidence.REGRESSION_ONLY
    assert verify(project, fix, issue="test_mean_of_nothing fails").evidence is Evidence.FAILING_TEST
    assert verify(project, fix, issue="test_mean fails").evidence is Evidence.REGRESSION_ONLY


def test_the_users_failing_command_that_passes_is_the_strongest(project: Snapshot, verify: Verify) -> None:
    verdict = verify(project, patch(project, FIX), command=f"{PYTEST} tests/test_mean.py")
    assert verdict.evidence is Evidence.FAILING_TEST
    assert (verdict.runs[0].kind, verdict.runs[0].before, verdict.runs[0].after) == ("user_test", "exit 1", "exit 0")


def test_the_users_command_that_still_fails_rejects(project: Snapshot, verify: Verify) -> None:
    verdict = verify(project, patch(project, NO_FIX), command=f"{PYTEST} tests/test_mean.py")
    assert verdict.evidence is None
    assert "ZeroDivisionError" in verdict.feedback
    assert verdict.runs[0].exit == 1


def test_a_command_that_passes_before_and_after_proves_nothing_more(project: Snapshot, verify: Verify) -> None:
    verdict = verify(project, patch(project, NO_FIX), command=f"{PYTEST} tests/test_other.py")
    assert verdict.evidence is Evidence.REGRESSION_ONLY


def test_a_command_that_breaks_something_else_is_no_proof(project: Snapshot, verify: Verify) -> None:
    command = "python -c 'from stats.mean import mean; mean([])'"
    assert verify(project, patch(project, FIX, BREAKS), command=command).evidence is None


def test_what_lies_beside_the_named_test_may_not_break(
    project: Snapshot, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> None:
    command = f"{PYTEST} tests/test_mean.py::test_mean_of_nothing"
    with open_verification(
        project,
        sandbox=sandbox,
        environment=environment,
        issue_text="",
        selection=(),
        cancel=cancel,
        user_command=command,
    ) as context:
        assert verify_patch(patch(project, FIX), context, cancel).evidence is Evidence.FAILING_TEST
        broken = verify_patch(patch(project, FIX, BREAKS), context, cancel)
    assert broken.evidence is None
    assert "tests/test_mean.py::test_spread" in broken.feedback


def test_a_command_that_hangs_before_and_ends_after_is_proof(make_snapshot: Make, verify: Verify) -> None:
    snapshot = make_snapshot({"loop.py": "import time\n\n\ndef main():\n    time.sleep(60)\n"})
    candidate = patch(snapshot, ("time.sleep(60)", "pass"), path="loop.py")
    verdict = verify(snapshot, candidate, command="python -c 'import loop; loop.main()'", seconds=3.0)
    assert verdict.evidence is Evidence.FAILING_TEST
    assert verdict.runs[0].before == "timeout"


def test_a_command_that_hangs_after_rejects(make_snapshot: Make, verify: Verify) -> None:
    snapshot = make_snapshot({"loop.py": "import time\n\n\ndef main():\n    pass\n"})
    candidate = patch(snapshot, ("pass", "time.sleep(60)"), path="loop.py")
    verdict = verify(snapshot, candidate, command="python -c 'import loop; loop.main()'", seconds=3.0)
    assert verdict.evidence is None
    assert "timeout" in verdict.feedback


def test_one_test_that_never_ends_does_not_switch_the_others_off(make_snapshot: Make, verify: Verify) -> None:
    files = {
        "loop.py": "def spin(on):\n    while on:\n        pass\n\n\ndef two():\n    return 2\n",
        "tests/test_a.py": "from loop import spin\n\n\ndef test_spin():\n    spin(True)\n",
        "tests/test_b.py": "from loop import two\n\n\ndef test_two():\n    assert two() == 2\n",
    }
    snapshot = make_snapshot(files)
    candidate = patch(snapshot, ("while on", "while False"), ("return 2", "return 3"), path="loop.py")
    verdict = verify(snapshot, candidate, seconds=5.0, runner="pytest")
    assert verdict.evidence is None
    assert "tests/test_b.py::test_two" in verdict.feedback
    good = verify(snapshot, patch(snapshot, ("while on", "while False"), path="loop.py"), seconds=5.0, runner="pytest")
    assert good.evidence is Evidence.REGRESSION_ONLY
    assert any("tests/test_a.py does not end" in note for note in good.notes)


def test_a_command_that_floods_is_survived(project: Snapshot, verify: Verify) -> None:
    command = "yes | head -c 100000000; python -c 'from stats.mean import mean; mean([])'"
    verdict = verify(project, patch(project, FIX), command=command)
    assert verdict.evidence is Evidence.FAILING_TEST


def test_a_command_that_does_not_exist_is_bad_input(project: Snapshot, verify: Verify) -> None:
    with pytest.raises(BadInput, match="no-such-runner"):
        verify(project, patch(project, FIX), command="no-such-runner --all")


def test_without_a_sandbox_nothing_runs(project: Snapshot, verify: Verify, tmp_path: Path) -> None:
    command = f"touch {tmp_path}/ran"
    verdict = verify(project, patch(project, FIX), isolation=None, command=command)
    assert verdict.evidence is Evidence.PARSES
    assert verdict.runs == ()
    assert "nothing was run" in " ".join(verdict.notes)
    assert not (tmp_path / "ran").exists()


def test_without_tests_and_reproduction_it_only_parses(make_snapshot: Make, verify: Verify) -> None:
    snapshot = make_snapshot({"mod.py": "x = 1\n"})
    assert verify(snapshot, patch(snapshot, ("1", "2"), path="mod.py")).evidence is Evidence.PARSES


def test_without_tests_a_reproduction_still_proves(make_snapshot: Make, verify: Verify) -> None:
    snapshot = make_snapshot({"mod.py": "def one():\n    return 2\n"})
    candidate = patch(snapshot, ("return 2", "return 1"), path="mod.py")
    source = "import mod\n\n\ndef test_one():\n    assert mod.one() == 1\n"
    assert verify(snapshot, candidate, reproductions=(source,)).evidence is Evidence.REPRODUCED


def test_a_syntax_error_elsewhere_does_not_stop_verification(make_snapshot: Make, verify: Verify) -> None:
    snapshot = make_snapshot(
        {
            "mod.py": "def one():\n    return 2\n",
            "broken.py": "def (:\n",
            "tests/test_broken.py": "import broken\n",
            "tests/test_ok.py": "import mod\n\n\ndef test_ok():\n    assert mod.one() > 0\n",
        }
    )
    verdict = verify(snapshot, patch(snapshot, ("return 2", "return 1"), path="mod.py"))
    assert verdict.evidence is Evidence.REGRESSION_ONLY


def test_a_patch_that_does_not_parse_is_rejected_unrun(project: Snapshot, verify: Verify) -> None:
    verdict = verify(project, patch(project, ("return total", "return total )")))
    assert verdict.evidence is None
    assert verdict.runs == ()
    assert "does not parse" in verdict.feedback


def test_a_patch_to_a_test_is_refused_unrun(project: Snapshot, verify: Verify) -> None:
    candidate = patch(project, ("assert mean([]) == 0", "pass"), path="tests/test_mean.py")
    verdict = verify(project, candidate)
    assert verdict.evidence is None
    assert verdict.runs == ()
    assert "tests/test_mean.py" in verdict.feedback


@pytest.mark.parametrize(
    "cheat",
    [
        "import os; os._exit(0)",
        "import unittest; raise unittest.SkipTest('no')",
        "import pytest; pytest.skip('no', allow_module_level=True)",
        "import pathlib\nfor p in pathlib.Path('tests').glob('*.py'): p.write_text('def test_spread(): pass')",
    ],
)
def test_code_that_evades_its_tests_is_rejected(project: Snapshot, verify: Verify, cheat: str) -> None:
    candidate = patch(project, ("def mean(values):", f"{cheat}\n\n\ndef mean(values):"), BREAKS)
    verdict = verify(project, candidate, runner="pytest")
    assert verdict.evidence is None or not verdict.evidence.verified


@pytest.mark.parametrize("edits", [(), (("def spread", "def spread"),)])
def test_a_patch_that_changes_nothing_is_rejected_unrun(
    project: Snapshot, verify: Verify, edits: tuple[tuple[str, str], ...]
) -> None:
    candidate = patch(project, *edits) if edits else Patch(())
    verdict = verify(project, candidate)
    assert (verdict.evidence, verdict.runs) == (None, ())
    assert "changes nothing" in verdict.feedback


def test_one_patchs_run_does_not_leak_into_the_next(
    project: Snapshot, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> None:
    spoils = "import pathlib\npathlib.Path('stats/mean.py').write_text('spread = mean = lambda values: 2')\n"
    first = patch(project, ("def mean(values):", f"{spoils}\n\ndef mean(values):"))
    second = patch(project, BREAKS)
    selection = find_test_files(project)
    with open_verification(
        project, sandbox=sandbox, environment=environment, issue_text="", selection=selection, cancel=cancel
    ) as context:
        assert isinstance(context, VerificationContext)
        verify_patch(first, context, cancel)
        assert verify_patch(second, context, cancel).evidence is None
        assert verify_patch(patch(project, FIX), context, cancel).evidence is Evidence.REGRESSION_ONLY
    assert project.read_text(RepoPath("stats/mean.py")) == first.edits[0].before


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
def test_the_nearest_tests_judge_even_where_their_file_is_too_large(
    project: Snapshot, make_snapshot: Make, verify: Verify, runner: str
) -> None:
    slow = "".join(
        f"\ndef test_slow{n:02}():\n    time.sleep(0.4)\n    assert spread([1, 5]) == 4\n" for n in range(40)
    )
    large = "import time\n\nfrom stats.mean import mean, spread\n" + slow
    files = {path: project.read_text(path) for path in project.files}
    project = make_snapshot({**files, "tests/test_mean.py": large})
    fixed = verify(project, patch(project, FIX), seconds=6.0, runner=runner)
    assert fixed.evidence is Evidence.REGRESSION_ONLY
    assert fixed.regression is not None
    assert 2 <= fixed.regression.passed_before < 15
    assert any("of tests/test_mean.py" in note for note in fixed.notes)
    broken = verify(project, patch(project, FIX, BREAKS), seconds=6.0, runner=runner)
    assert broken.evidence is None
    assert "test_slow" in broken.feedback
