"""The hidden tests judge candidates, and candidates cannot judge themselves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from patchwright_engine.bench.hidden import HiddenTests, Judge
from patchwright_engine.bench.partial import Partial
from patchwright_engine.bench.prepare import prepare
from patchwright_engine.bench.truth import Truth
from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import FileEdit, Patch, RepoPath
from patchwright_engine.verify.environment import discover_environment
from toy_bug import CALC, FIXED, TESTS, Toy

CALC_PATH, TEST_PATH = RepoPath("calc.py"), RepoPath("tests/test_calc.py")
FIX = FileEdit(CALC_PATH, CALC, FIXED)
NO_FIX = FileEdit(CALC_PATH, CALC, CALC.replace("low\n    return value", "low\n    return low"))
NO_TESTS = FileEdit(TEST_PATH, TESTS, "def test_high():\n    pass\n")


@pytest.fixture(scope="module")
def hidden(toy: Toy, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HiddenTests]:
    folder = tmp_path_factory.mktemp("hidden")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATCHWRIGHT_HOME", str(folder / "home"))
        instance, cancel = toy.instance(folder), CancelToken()
        prepared = prepare(instance, toy.repos, folder / "cache", cancel, lambda message: None)
        environment = discover_environment(prepared.base, prepared.python)
        judge = Judge(instance, prepared, environment, sandbox, cancel, 60.0)
        with HiddenTests(judge, Partial(folder / "judged")) as tests:
            yield tests


@pytest.fixture(scope="module")
def truth(hidden: HiddenTests) -> Truth:
    found = hidden.truth()
    assert isinstance(found, Truth), found
    return found


def test_the_fix_is_right_and_what_breaks_a_test_is_not(hidden: HiddenTests, truth: Truth) -> None:
    assert hidden.is_right(Patch((FIX,)).diff, truth)
    assert not hidden.is_right(Patch((NO_FIX,)).diff, truth)


def test_what_a_candidate_writes_into_the_hidden_tests_does_not_count(hidden: HiddenTests, truth: Truth) -> None:
    assert hidden.is_right(Patch((FIX, NO_TESTS)).diff, truth)
    assert not hidden.is_right(Patch((NO_FIX, NO_TESTS)).diff, truth)
    assert not hidden.is_right(Patch((NO_TESTS,)).diff, truth)


@pytest.mark.parametrize("diff", ["", "no diff", Patch((FileEdit(CALC_PATH, "other\n", "x\n"),)).diff])
def test_a_diff_that_does_not_apply_is_no_fix(hidden: HiddenTests, truth: Truth, diff: str) -> None:
    assert not hidden.is_right(diff, truth)


def test_a_patch_is_run_once(hidden: HiddenTests, truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_run(*arguments: object) -> Path:
        raise AssertionError("run again")

    assert hidden.is_right(Patch((FIX,)).diff, truth)
    monkeypatch.setattr(HiddenTests, "tree", no_run)
    assert hidden.is_right(Patch((FIX,)).diff, truth)
