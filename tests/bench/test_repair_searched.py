"""Searches over a real bug by a scripted model: what each strategy offers, what the hidden tests say, what is kept."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from demo_project import JUDGE
from patchwright_engine.bench.outcomes import Cell, Outcome
from patchwright_engine.bench.prepare import prepare
from patchwright_engine.bench.repair import RepairBench, RepairOptions
from patchwright_engine.bench.repair_campaign import run_repair
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, ModelHostLost, ModelUnavailable
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.search.trace import read_trace
from scripted_model import Rule, ScriptedModel
from toy_bug import Toy, git
from watched_sandbox import Watched

RIGHT = "```python\ndef clamp(value, low, high):\n    return max(low, min(value, high))\n```"
WRONG = (
    "```python\ndef clamp(value, low, high):\n    if value < low or value > high:\n        return low\n"
    "    return value\n```"
)
TEST = "```python\nimport pytest\nfrom calc import clamp\n\n\ndef test_issue():\n    assert clamp(12, 0, 9) == 9\n```"
RULES = (
    Rule(("calc.py",), match="Which of these files"),
    Rule(("calc.py::clamp",), match="Which of these pieces"),
    Rule((TEST,), match="Imports:"),
    Rule((WRONG, RIGHT), match="(?i)fix the issue (in|by)"),
    JUDGE,
)
OPTIONS = RepairOptions(
    strategies=("dev-search", "single", "voting", "exec"),
    budgets=(2, 1),
    samplings=("divergent",),
    repetitions=1,
    seed=0,
    timeout_seconds=60.0,
    judge_all=True,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repair")


@pytest.fixture(autouse=True)
def _own_folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(home / "home"))


def campaign(
    toy: Toy,
    out: Path,
    sandbox: Sandbox,
    model: ScriptedModel,
    options: RepairOptions = OPTIONS,
    *,
    cancel: CancelToken | None = None,
    **changed: object,
) -> dict[str, Outcome]:
    """What is known of the toy bug afterwards, by cell."""
    instance = toy.instance(out.parent, **changed)
    cache = out.parent.parent / "cache"
    bench = RepairBench(toy.repos, cache, out, sandbox, options, cancel or CancelToken(), lambda: model)
    outcomes = run_repair((instance,), bench, model=model.name, jobs=1, say=lambda message: None)
    return {f"{one.cell.strategy}-{one.cell.budget}": one for one in outcomes}


@dataclass(frozen=True)
class Ran:
    out: Path
    model: ScriptedModel
    found: dict[str, Outcome]
    while_searching: Sequence[bool]


@pytest.fixture(scope="module")
def ran(toy: Toy, home: Path, sandbox: Sandbox) -> Ran:
    model, watched = ScriptedModel.of(*RULES), Watched(sandbox)
    (home / "first").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATCHWRIGHT_HOME", str(home / "home"))
        patched.setattr("patchwright_engine.search.opening.select_sandbox", lambda: watched)
        found = campaign(toy, home / "first" / "out", sandbox, model)
    return Ran(home / "first" / "out", model, found, watched.hidden)


def test_hidden_tests_decide_what_is_resolved_and_where_the_rest_died(ran: Ran) -> None:
    told = {name: (one.resolved, one.evidence, one.died_at) for name, one in ran.found.items()}
    assert told == {
        "dev-search-1": (False, "regression_only", "edit"),
        "dev-search-2": (True, "reproduced", ""),
        "single-1": (False, "parses", "edit"),
        "single-2": (False, "parses", "edit"),
        "voting-1": (False, "parses", "edit"),
        "voting-2": (False, "parses", "verification"),
        "exec-1": (False, "regression_only", "edit"),
        "exec-2": (True, "reproduced", ""),
    }
    exec2 = ran.found["exec-2"]
    assert (exec2.rollouts, exec2.right_rollouts, exec2.stopped) == (2, 1, "budget")
    assert exec2.levels["reproduced"] == (1, 1)


def test_every_strategy_is_charged_for_all_it_used_though_answers_were_shared(ran: Ran) -> None:
    tokens = {name: one.tokens for name, one in ran.found.items()}
    assert 0 < tokens["single-1"] == tokens["single-2"] == tokens["voting-1"] < tokens["voting-2"]
    assert tokens["voting-2"] < tokens["exec-2"]  # which wrote reproduction tests
    assert tokens["dev-search-1"] < tokens["dev-search-2"]
    asked = [repr(request) for request in ran.model.requests]
    assert len(asked) == len(set(asked))


def test_no_search_sees_a_hidden_test(ran: Ran, toy: Toy) -> None:
    assert ran.while_searching
    assert not any(ran.while_searching)
    prompts = [message.content for one in (*ran.model.requests, *ran.model.judged) for message in one.messages]
    assert prompts
    assert not any("test_high" in prompt for prompt in prompts)


def test_what_is_searched_has_no_history_and_no_later_file(ran: Ran, toy: Toy, home: Path) -> None:
    (start,) = [step for step in read_trace(ran.out / ran.found["exec-2"].trace) if step["kind"] == "start"]
    root = Path(start["root"])
    assert git(root, "rev-list", "--all", "--count").strip() == "1"
    assert toy.fix_commit not in git(root, "cat-file", "--batch-all-objects", "--batch-check")
    assert "test_high" not in (root / "tests/test_calc.py").read_text()
    prepared = prepare(toy.instance(ran.out.parent), toy.repos, ran.out.parent.parent / "cache", CancelToken(), print)
    assert prepared.base == root


def test_the_files_are_those_that_were_promised(ran: Ran) -> None:
    results = json.loads((ran.out / "results.json").read_text())
    assert {"resolved", "by_evidence", "tokens", "seconds"} <= results["overall"].keys()
    row = next(one for one in results["instances"] if (one["strategy"], one["budget"]) == ("exec", 2))
    wanted = {"instance_id", "resolved", "evidence", "rollouts", "tokens", "seconds", "died_at", "difficulty"}
    assert wanted <= row.keys()
    assert (row["resolved"], row["difficulty"]) == (True, "easy")
    names = sorted(path.name for path in ran.out.glob("predictions*"))
    assert len(names) == 8
    assert "predictions-exec-divergent-2.jsonl" in names
    (line,) = (ran.out / "predictions-dev-search-2.jsonl").read_text().splitlines()
    prediction = json.loads(line)
    assert prediction["instance_id"] == "toys__calc-1"
    assert prediction["model_name_or_path"] == "patchwright-dev-search-2-scripted"
    assert "+    return max(low, min(value, high))" in prediction["model_patch"]
    traces = sorted(path.name for path in (ran.out / "traces/toys__calc-1").iterdir())
    assert traces == ["r0-dev-search-1.jsonl", "r0-dev-search-2.jsonl", "r0-exec-divergent-2.jsonl"]


def test_what_is_finished_is_neither_searched_nor_judged_again(
    ran: Ran, toy: Toy, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, model = Watched(sandbox), ScriptedModel.of(*RULES)
    again = campaign(toy, ran.out, watched, model)
    assert again == ran.found
    assert watched.hidden == []
    assert model.requests == []
    with (ran.out / "outcomes.jsonl").open("a") as file:
        file.write('{"instance_id": "toys__ca')  # as a kill leaves it
    more = campaign(toy, ran.out, watched, model, replace(OPTIONS, strategies=("orm-exec", "exec"), budgets=(1, 2)))
    assert more["orm-exec-2"].resolved
    assert model.requests == []  # The rollouts are there; only the ORM would be asked, about a tie.
    assert watched.hidden == []


def test_options_that_make_results_incomparable_are_refused(ran: Ran, toy: Toy, sandbox: Sandbox) -> None:
    with pytest.raises(BadInput, match=r"with seed 0, not 5"):
        campaign(toy, ran.out, sandbox, ScriptedModel.of(*RULES), replace(OPTIONS, seed=5))
    other = replace(ScriptedModel.of(*RULES), name="other")
    with pytest.raises(BadInput, match="with model scripted, not other"):
        campaign(toy, ran.out, sandbox, other)


@dataclass
class Dying(ScriptedModel):
    """A model that is cancelled, or lost, at its n-th answer."""

    at: int = 0
    with_error: Exception | None = None
    token: CancelToken | None = None

    def complete(self, *arguments: Any, **named: Any) -> Any:
        if len(self.requests) == self.at:
            if self.with_error is not None:
                raise self.with_error
            assert self.token is not None
            self.token.cancel()
        return super().complete(*arguments, **named)


def test_a_search_that_was_cut_short_goes_on_without_paying_again(
    ran: Ran, toy: Toy, home: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    script = ScriptedModel.of(*RULES)
    out, paid = home / "cut" / "out", list[str]()
    out.parent.mkdir()
    for at in (1, 4):  # Cut short in different stages, one after the other.
        cancel = CancelToken()
        dying = Dying(script.answers, script.yes, at=at, token=cancel)
        campaign(toy, out, sandbox, dying, cancel=cancel)
        assert cancel.cancelled
        paid += map(repr, dying.requests)
        part = out / "traces/toys__calc-1/r0-exec-divergent-2.part"
        if part.exists():
            part.write_bytes(part.read_bytes() + b'{"schema": 1, "kind": "comp')  # as a kill leaves it
    last = ScriptedModel.of(*RULES)
    found = campaign(toy, out, sandbox, last)
    paid += map(repr, last.requests)
    assert sorted(paid) == sorted(map(repr, ran.model.requests))
    counted = {name: (one.resolved, one.tokens, one.rollouts) for name, one in found.items()}
    assert counted == {name: (one.resolved, one.tokens, one.rollouts) for name, one in ran.found.items()}
    assert not list(out.rglob("*.part"))


def test_a_lost_model_is_told_and_tried_again_and_a_missing_one_ends_it(
    toy: Toy, home: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    script = ScriptedModel.of(*RULES)
    out = home / "lost" / "out"
    out.parent.mkdir()
    options = replace(OPTIONS, strategies=("single",), budgets=(1,))
    lost = Dying(script.answers, script.yes, at=1, with_error=ModelHostLost("the model host is gone", "Start it."))
    found = campaign(toy, out, sandbox, lost, options)
    assert found["single-1"].died_at == "environment"
    assert "the model host is gone" in found["single-1"].reason
    results = json.loads((out / "results.json").read_text())
    assert "the model host is gone" in results["overall"]["not_searched"]["toys__calc-1"]
    assert results["cells"] == []
    missing = Dying(script.answers, script.yes, at=1, with_error=ModelUnavailable("no model", "Pull one."))
    with pytest.raises(ModelUnavailable):
        campaign(toy, out, sandbox, missing, options)
    assert campaign(toy, out, sandbox, ScriptedModel.of(*RULES), options)["single-1"].final
    assert Cell("single", "divergent", 1).name == "single-divergent-1"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"install_cmds": ["echo no wheel; exit 1"]}, "no wheel"),
        ({"test_cmd": "make test"}, "make test"),
        ({"FAIL_TO_PASS": ["tests/test_calc.py::test_span"]}, "pass without it"),
    ],
)
def test_an_instance_that_cannot_be_searched_died_of_its_environment(
    toy: Toy, sandbox: Sandbox, tmp_path: Path, changed: dict[str, object], told: str
) -> None:
    model = ScriptedModel.of(*RULES)
    (tmp_path / "bench").mkdir()
    options = replace(OPTIONS, strategies=("single",), budgets=(1,))
    found = campaign(toy, tmp_path / "bench" / "out", sandbox, model, options, **changed)
    assert found["single-1"].died_at == "environment"
    assert told in found["single-1"].reason
    assert model.requests == []
