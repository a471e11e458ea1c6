"""The verifier over a real bug: the fix, nothing, and wrong patches, in both settings, in a real sandbox."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.bench.campaign import run_gold
from patchwright_engine.bench.gold import Bench, check_instance
from patchwright_engine.bench.partial import Partial
from patchwright_engine.bench.reports import GoldOptions, InstanceReport
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.verify.context import open_verification
from patchwright_engine.verify.shards import Pace, Room
from toy_bug import FIXED, Toy
from watched_sandbox import Watched

OPTIONS = GoldOptions(wrong=4, timeout_seconds=60.0)
ONE = GoldOptions(wrong=1, timeout_seconds=60.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(autouse=True)
def _own_folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(home / "home"))


def bench(
    toy: Toy, home: Path, sandbox: Sandbox, options: GoldOptions = OPTIONS, cancel: CancelToken | None = None
) -> Bench:
    return Bench(toy.repos, home / "cache", sandbox, options, cancel or CancelToken(), jobs=2)


def check(toy: Toy, home: Path, sandbox: Sandbox, **changed: object) -> InstanceReport:
    instance = toy.instance(home, **changed)
    nothing = Partial(Path(tempfile.mkdtemp(dir=home)))
    return check_instance(instance, bench(toy, home, sandbox), nothing, lambda message: None)


@pytest.fixture(scope="module")
def checked(toy: Toy, home: Path, sandbox: Sandbox) -> tuple[InstanceReport, Watched]:
    watched = Watched(sandbox)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATCHWRIGHT_HOME", str(home / "home"))
        return check(toy, home, watched), watched


def test_with_the_failing_test_only_the_fix_is_accepted(checked: tuple[InstanceReport, Watched]) -> None:
    report, _ = checked
    assert (report.status, report.reason, report.runner) == ("judged", "", "pytest")
    assert (report.fail_to_pass, report.pass_to_pass) == (1, 2)
    failing = report.settings[0]
    assert failing.setting == "failing_test"
    assert failing.command is not None
    assert failing.command.endswith("-p no:cacheprovider tests/test_calc.py::test_high")
    assert failing.tests == ("tests/test_calc.py",)
    verdicts = {(one.truth, one.evidence) for one in failing.judged}
    assert verdicts == {("gold", "failing_test"), ("empty", None), ("wrong", None)}
    assert sum(one.truth == "wrong" for one in failing.judged) == 4


def test_without_it_the_fix_is_accepted_as_breaking_nothing(checked: tuple[InstanceReport, Watched]) -> None:
    report, _ = checked
    plain = report.settings[1]
    assert (plain.setting, plain.command) == ("regression_only", None)
    verdicts = {one.truth: one.evidence for one in plain.judged if one.truth != "wrong"}
    assert verdicts == {"gold": "regression_only", "empty": None}
    assert all(one.evidence in (None, "regression_only") for one in plain.judged)


def test_hidden_tests_are_never_in_a_copy_without_them(checked: tuple[InstanceReport, Watched]) -> None:
    _, watched = checked
    runs_without = 2 + 1 + 4  # the baseline twice, the fix, the wrong patches; the empty patch is not run at all
    assert watched.hidden[-runs_without:] == [False] * runs_without
    assert all(watched.hidden[:-runs_without])
    assert len(watched.hidden) > runs_without


def test_a_mutant_is_wrong_only_when_the_hidden_tests_say_so(checked: tuple[InstanceReport, Watched]) -> None:
    report, _ = checked
    label = FIXED[: FIXED.index("def label")].count("\n") + 1  # The fix rewrites it too, and no test is about it.
    equivalent = [int(change.rpartition(":")[2]) for change in report.equivalent]
    assert equivalent
    assert all(line >= label for line in equivalent)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"install_cmds": ["echo no wheel; exit 1"]}, ("setup_failed", "no wheel")),
        ({"repo": "nobody/nothing"}, ("setup_failed", "git clone --mirror")),
        ({"test_cmd": "python tests/runtests.py x"}, ("waiting", "python tests/runtests.py")),
        ({"FAIL_TO_PASS": ["tests/test_calc.py::test_none"]}, ("unsound", "tests/test_calc.py::test_none")),
        ({"FAIL_TO_PASS": ["tests/test_calc.py::test_span"]}, ("unsound", "pass without it")),
    ],
)
def test_an_instance_that_cannot_be_judged_is_told_apart(
    toy: Toy, home: Path, sandbox: Sandbox, changed: dict[str, object], told: tuple[str, str]
) -> None:
    report = check(toy, home, sandbox, **changed)
    assert report.status == told[0]
    assert told[1] in report.reason
    assert report.settings == ()


def test_instances_checked_at_the_same_time_share_the_machine(
    toy: Toy, home: Path, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchwright_engine.bench.gold.room_here", lambda: Room(7, 64 << 30))
    rooms: list[Room | None] = []

    def opened(*arguments: Any, pace: Pace, **named: Any) -> Any:
        rooms.append(pace.room)
        return open_verification(*arguments, pace=pace, **named)

    monkeypatch.setattr("patchwright_engine.bench.gold.open_verification", opened)
    over = replace(bench(toy, home, sandbox, ONE), jobs=3)
    (report,) = run_gold((toy.instance(tmp_path),), over, out=tmp_path, say=lambda message: None)
    assert report.status == "judged"
    assert rooms == [Room(2, (64 << 30) // 3)] * 2


def test_a_campaign_goes_on_where_it_was_stopped(toy: Toy, home: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    instance = toy.instance(tmp_path)
    waiting = toy.instance(tmp_path, instance_id="toys__calc-2", test_cmd="make test")
    watched = Watched(sandbox)
    said: list[str] = []

    def go(cancel: CancelToken, options: GoldOptions = ONE) -> list[str]:
        over = bench(toy, home, watched, options, cancel)
        reports = run_gold((instance, waiting), over, out=tmp_path / "out", say=said.append)
        return [report.status for report in reports]

    watched.cancel_at = 3  # The first two are the hidden tests without and with the fix.
    assert "judged" not in go(CancelToken())
    assert len(list((tmp_path / "out" / "partial").rglob("hidden-*.json"))) == 2
    assert go(CancelToken()) == ["judged", "waiting"]
    assert watched.commands.count(toy.row["test_cmd"]) == 2 + 2  # The one that was cut short is run again.
    assert not list((tmp_path / "out" / "partial").rglob("*.json"))
    runs = len(watched.hidden)
    with (tmp_path / "out" / "results.jsonl").open("a") as file:
        file.write('{"schema": 1, "opt')
    said.clear()
    assert go(CancelToken()) == ["judged", "waiting"]
    assert len(watched.hidden) == runs
    assert said[0].startswith("1 of 2 instances were finished before")
    stopped = CancelToken()
    stopped.cancel()
    assert go(stopped, OPTIONS) == []  # Made with other options: not taken for these.


def test_foreign_lines_in_the_out_folder_are_refused(toy: Toy, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text('{"mine": 1}\n\n')
    over = bench(toy, tmp_path, sandbox)
    with pytest.raises(BadInput, match="line 1 is no result"):
        run_gold((toy.instance(tmp_path),), over, out=tmp_path, say=lambda message: None)
