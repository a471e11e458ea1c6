"""The fixed strategies in process: a scripted model, a real repository, index and sandbox."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.model.backend import CompletionRequest
from patchwright_engine.pipeline import FixRequest
from patchwright_engine.search.fixed import WAVE
from patchwright_engine.search.rollouts import Rollout, choose
from patchwright_engine.search.strategies import STRATEGIES
from patchwright_engine.types import Evidence, Fix, Issue
from patchwright_engine.verify.shards import Room
from scripted_model import Rule, ScriptedModel
from searched import Searched, run_search

CALC = "def add(a, b):\n    return a - b\n\n\ndef mul(a, b):\n    return a * b\n"
TOTAL = "from calc import add\n\n\ndef total(numbers):\n    return add(*numbers)\n"
TESTS = "from calc import add\n\n\ndef test_add_nothing():\n    assert add(7, 0) == 7\n"
PROJECT = {"calc.py": CALC, "total.py": TOTAL, "test_calc.py": TESTS}
ISSUE = "`add(2, 3)` in calc.py returns -1, so total() in total.py is wrong. It should return 5."
IN_FILES, IN_PIECES, IN_REPAIR = "Which of these files", "Which of these pieces", "rewriting `"
IMPORTS = "import pytest\nfrom calc import add\nfrom total import total\n"
SHOWS_IT = Rule((f"```python\n{IMPORTS}\n\ndef test_issue():\n    assert add(2, 3) == 5\n```",), match="Imports:")
FILES, PIECES, JUDGE = Rule(("calc.py",), match=IN_FILES), Rule(("calc.py::add",), match=IN_PIECES), Rule(yes=0.9)
RIGHT, ALSO_RIGHT, CONSTANT, HARMLESS = "a + b", "sum((a, b))", "5", "a - b - 0"


def fixed(*expressions: str) -> Rule:
    """Candidates that let `add` return these expressions."""
    answers = tuple(f"```python\ndef add(a, b):\n    return {each}\n```" for each in expressions)
    return Rule(answers, match=IN_REPAIR)


def rules(repair: Rule, shown: Rule = SHOWS_IT) -> ScriptedModel:
    return ScriptedModel.of(FILES, PIECES, shown, repair, JUDGE)


def by_seed(request: CompletionRequest) -> list[str]:
    """What candidate i answers depends on its seed, and on the divergence that it is given, as a real model's does."""
    asked = request.messages[-1].content
    seeds = [request.seed + i for i in range(request.n)]
    if IN_FILES in asked:
        return [("calc.py", "total.py", "calc.py\ntotal.py", "none of them")[seed % 4] for seed in seeds]
    if IN_PIECES in asked:
        first, second = re.findall(r"### (\S+::(?:add|total)) \(", asked)[:2]
        return [(first, first, second, f"{second}\n{first}", "I cannot tell.")[seed % 5] for seed in seeds]
    name = re.search(r"rewriting `(\w+)`", asked)
    if name is None:
        return list(SHOWS_IT.answers)
    head = f"def {name[1]}({'a, b' if name[1] == 'add' else 'numbers'})"
    # The scripted model counts from the divergences that earlier requests have used up.
    apart = list(range(request.skip_divergences + request.n)) if request.reference else seeds
    bodies = ["first" if request.first_greedy and i == 0 else str(each) for i, each in enumerate(apart)]
    return [f"```python\n{head}:\n    return {body}\n```" for body in bodies]


Search = Callable[..., Searched]


@pytest.fixture
def search(make_repository: Callable[[Mapping[str, str]], Path]) -> Search:
    """Runs one strategy over a project."""

    def run(
        model: ScriptedModel,
        strategy: str,
        *,
        files: Mapping[str, str] = PROJECT,
        cancel: CancelToken | None = None,
        on_fix: Callable[[Fix], None] | None = None,
        **fields: Any,
    ) -> Searched:
        request = FixRequest(Issue(ISSUE), make_repository(files), python=sys.executable, budget="4", strategy=strategy)
        return run_search(replace(request, **fields), model, cancel, on_fix)

    return run


def sampled(rollout: Rollout) -> tuple[Any, ...]:
    """What a rollout is by itself, whatever others there are."""
    return rollout.number, rollout.location, rollout.patch_id, rollout.key, rollout.refused, rollout.tokens


@pytest.mark.parametrize("sampling", ["divergent", "free"])
def test_the_first_rollouts_are_the_same_however_many_are_drawn(search: Search, sampling: str) -> None:
    most = 2 * WAVE + 3
    many = search(ScriptedModel(by_seed), "voting", budget=str(most), sampling=sampling)
    assert [rollout.number for rollout in many.drawn.rollouts] == list(range(1, most + 1))
    assert {rollout.location for rollout in many.drawn.rollouts} == {("calc.py::add",), ("total.py::total",)}
    # No two attempts at one place are one sample.
    assert len({rollout.key for rollout in many.drawn.rollouts}) == most
    for few in (1, 3, WAVE, WAVE + 4):
        some = search(ScriptedModel(by_seed), "voting", budget=str(few), sampling=sampling).drawn
        assert [sampled(one) for one in some.rollouts] == [sampled(one) for one in many.drawn.rollouts[:few]]
        assert choose(some, few, "voting") == choose(many.drawn, few, "voting")


def test_another_seed_draws_other_rollouts(search: Search) -> None:
    one, other = (search(ScriptedModel(by_seed), "voting", budget="8", seed=seed).drawn for seed in (0, 1))
    assert [sampled(a) for a in one.rollouts] != [sampled(a) for a in other.rollouts]
    assert (one.seed, other.seed) == (0, 1)


def test_walks_that_share_a_prompt_are_asked_together(search: Search) -> None:
    found = search(ScriptedModel(by_seed), "voting", budget="8")
    assert [request.n for request in found.asked(IN_FILES)] == [8]
    located = found.asked(IN_PIECES)
    assert sum(request.n for request in located) == 8
    assert len({request.messages for request in located}) == len(located)
    repairs = found.asked(IN_REPAIR)
    assert len(repairs) == 2
    assert sum(request.n for request in repairs) == 8
    for request in found.model.requests:
        assert (request.seed, request.first_greedy) == (0, True)


def test_every_token_belongs_to_a_rollout_or_to_the_reproductions(search: Search) -> None:
    voting = search(ScriptedModel(by_seed), "voting", budget="3")
    executed = search(ScriptedModel(by_seed), "exec", budget="3")
    assert voting.drawn.reproduction_tokens == 0
    assert executed.drawn.reproduction_tokens > 0
    for found in (voting, executed):
        own = sum(rollout.tokens for rollout in found.drawn.rollouts)
        assert own + found.drawn.reproduction_tokens == found.result.cost.generated_tokens
    assert list(map(sampled, voting.drawn.rollouts)) == list(map(sampled, executed.drawn.rollouts))


def test_free_sampling_gives_no_reference_and_dev_search_has_none_of_it(search: Search) -> None:
    divergent, free = (search(rules(fixed(RIGHT)), "voting", sampling=kind) for kind in ("divergent", "free"))
    assert [bool(request.reference) for request in divergent.asked(IN_REPAIR)] == [True]
    assert [(r.reference, r.temperature) for r in free.asked(IN_REPAIR)] == [("", 0.8)]
    assert (divergent.drawn.sampling, free.drawn.sampling) == ("divergent", "free")
    for strategy, sampling in (("dev-search", "free"), ("voting", "wild")):
        with pytest.raises(BadInput) as caught:
            search(rules(fixed(RIGHT)), strategy, sampling=sampling)
        assert "divergent" in caught.value.cure


def test_single_is_one_greedy_rollout_whatever_the_budget(search: Search) -> None:
    found = search(rules(fixed(HARMLESS, RIGHT)), "single", budget="8")
    assert found.result.cost.rollouts == len(found.drawn.rollouts) == found.drawn.asked == 1
    assert all((request.n, request.first_greedy) == (1, True) for request in found.model.requests)
    assert HARMLESS in found.result.fixes[0].patch.diff
    assert choose(found.drawn, 8, "single").patch_id == found.result.fixes[0].id


def test_voting_offers_what_was_written_most_often_and_runs_nothing(search: Search) -> None:
    found = search(rules(fixed(RIGHT, HARMLESS, HARMLESS, CONSTANT)), "voting")
    assert [HARMLESS in found.result.fixes[0].patch.diff, len(found.result.fixes)] == [True, 3]
    assert set(found.evidence) == {Evidence.PARSES}
    assert [fix.runs for fix in found.result.fixes] == [()] * 3
    assert found.steps("environment", "reproduction", "judge") == []
    assert not found.asked("Imports:")
    assert "No candidate was run" in found.result.notes[0]
    assert found.result.stopped == "budget"


def test_what_no_strategy_may_offer_gets_no_votes(search: Search) -> None:
    cheat = "```python\ndef add(a, b):\n    import os\n    os._exit(0)\n```"
    found = search(rules(Rule((cheat,), match=IN_REPAIR)), "voting")
    assert (found.result.fixes, found.result.stopped) == ((), "no_candidates")
    assert {rollout.key for rollout in found.drawn.rollouts} == {None}
    assert "ends the process" in found.drawn.rollouts[0].refused


def test_exec_runs_every_distinct_patch_once_and_offers_the_proven_one(search: Search) -> None:
    found = search(rules(fixed(HARMLESS, CONSTANT, RIGHT, HARMLESS)), "exec")
    assert (found.result.stopped, found.result.cost.rollouts) == ("budget", 4)  # never early
    best = found.result.fixes[0]
    assert (best.evidence, "return a + b" in best.patch.diff) == (Evidence.REPRODUCED, True)
    assert {run.kind: run.exit for run in best.runs} == {"reproduction": 0, "regression": 0}
    assert [rollout.evidence for rollout in found.drawn.rollouts] == [
        Evidence.REGRESSION_ONLY,  # breaks nothing; at a budget of 1 or 2 there is nothing better
        None,
        Evidence.REPRODUCED,
        Evidence.REGRESSION_ONLY,
    ]
    ids = [choose(found.drawn, budget, "exec").patch_id for budget in (1, 2, 3, 4)]
    assert ids == [found.result.fixes[1].id] * 2 + [best.id] * 2
    assert [one.evidence for one in found.heard] == [Evidence.REPRODUCED]
    # No test in a repair prompt, no revision, one try at reproduction tests, no scores.
    (request,) = found.asked(IN_REPAIR)
    assert "assert add(2, 3) == 5" not in request.messages[-1].content
    assert len(found.asked("Imports:")) == 2
    assert found.model.judged == []
    assert found.drawn.reproductions == 1
    diffs = [step["patch"] for step in found.steps("candidate") if "diff" in step]
    assert sorted(set(diffs)) == sorted({rollout.patch_id for rollout in found.drawn.rollouts})


def test_exec_saves_regression_tests_that_could_change_no_choice(search: Search) -> None:
    found = search(rules(fixed(RIGHT, HARMLESS)), "exec", budget="2")
    assert [rollout.evidence for rollout in found.drawn.rollouts] == [Evidence.REPRODUCED, None]
    runs = [[run["kind"] for run in step["runs"]] for step in found.steps("candidate")]
    assert runs == [["reproduction", "regression"], ["reproduction"]]


def test_exec_without_a_reproduction_asks_the_regression_tests(search: Search) -> None:
    useless = replace(SHOWS_IT, answers=(SHOWS_IT.answers[0].replace("add(2, 3) == 5", "add(7, 0) == 7"),))
    found = search(rules(fixed(CONSTANT, RIGHT), useless), "exec", budget="2")
    assert found.evidence == [Evidence.REGRESSION_ONLY]
    assert (found.drawn.reproductions, found.drawn.rollouts[1].agreement) == (0, 1.0)
    assert len(found.asked("Imports:")) == 2  # no second try
    assert any("describe an exact call" in note for note in found.result.notes)


def test_orm_exec_judges_only_what_runs_leave_tied(search: Search) -> None:
    model = rules(fixed(RIGHT, RIGHT, ALSO_RIGHT, HARMLESS))
    model.yes = lambda request: 0.8 if ALSO_RIGHT in request.messages[-1].content else 0.2
    found = search(model, "orm-exec")
    assert found.evidence == [Evidence.REPRODUCED] * 2
    assert ALSO_RIGHT in found.result.fixes[0].patch.diff
    assert len(model.judged) == 2
    assert [rollout.orm for rollout in found.drawn.rollouts] == [0.2, 0.2, 0.8, None]
    assert [choose(found.drawn, budget, "orm-exec").orm_calls for budget in (1, 2, 3, 4)] == [0, 0, 2, 2]
    more_votes = choose(found.drawn, 4, "exec").patch_id
    assert more_votes == found.result.fixes[1].id


def test_the_projects_other_tests_are_run_before_a_fix_is_called_verified(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchwright_engine.search.opening.MAX_TEST_FILES", 1)
    monkeypatch.setattr("patchwright_engine.verify.background.room_here", lambda: Room(2, 64 << 30))
    far = "import calc\n\n\ndef test_far():\n    assert calc.add(100, 0) == 100\n"
    small_only = "a + b if a < 9 else 0"
    model = rules(fixed(small_only, small_only, HARMLESS, RIGHT))
    found = search(model, "exec", files={**PROJECT, "other/test_far.py": far})
    assert "return a + b\n" in found.result.fixes[0].patch.diff
    # Now that the first one is rejected, what only breaks nothing would be offered at a budget of 3.
    expected = [None, None, Evidence.REGRESSION_ONLY, Evidence.REPRODUCED]
    assert [rollout.evidence for rollout in found.drawn.rollouts] == expected


@pytest.mark.parametrize("strategy", ["voting", "exec"])
def test_a_cancel_in_the_middle_keeps_the_first_rollouts(search: Search, strategy: str) -> None:
    cancel = CancelToken()
    model = rules(fixed(RIGHT, HARMLESS, CONSTANT))
    found = search(model, strategy, budget="16", cancel=cancel, on_fix=lambda _fix: cancel.cancel())
    assert found.result.stopped == "cancelled"
    assert "return a + b" in found.result.fixes[0].patch.diff
    kept = found.drawn.rollouts
    assert [rollout.number for rollout in kept] == list(range(1, len(kept) + 1))
    assert 1 <= len(kept) <= WAVE < found.drawn.asked
    assert found.steps()[-1]["result"]["stopped"] == "cancelled"


def test_a_cancel_before_anything_was_written_offers_nothing(search: Search) -> None:
    cancel = CancelToken()

    def answers(request: CompletionRequest) -> list[str]:
        cancel.cancel()
        return ["calc.py"]

    found = search(ScriptedModel(answers), "exec", cancel=cancel)
    assert (found.result.stopped, found.result.fixes, found.drawn.rollouts) == ("cancelled", (), ())


def test_a_draw_that_talks_too_much_ends_with_a_note(search: Search) -> None:
    found = search(rules(Rule(("talk " * 30_000,), match=IN_REPAIR)), "exec", budget="16")
    assert found.result.stopped == "no_candidates"
    assert "The search reached its limit of generated tokens." in found.result.notes
    assert (len(found.drawn.rollouts), found.drawn.asked) == (WAVE, 16)
    assert all(rollout.refused for rollout in found.drawn.rollouts)


def test_a_resumed_draw_asks_nothing_and_finds_the_same(search: Search, tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    first = search(rules(fixed(HARMLESS, RIGHT)), "orm-exec", budget="3", trace=one)
    again = search(rules(fixed(CONSTANT)), "orm-exec", budget="3", trace=two, resume=one)
    assert (again.model.requests, again.drawn) == ([], first.drawn)
    assert [fix.id for fix in again.result.fixes] == [fix.id for fix in first.result.fixes]


def test_a_repository_without_code_says_so(search: Search) -> None:
    found = search(rules(fixed(RIGHT)), "orm-exec", files={"README.md": "# Nothing\n"})
    assert (found.result.stopped, found.result.fixes) == ("no_candidates", ())
    assert "No function or class was found that could be at fault." in found.result.notes


def test_an_unknown_strategy_is_refused_before_anything_is_asked(search: Search) -> None:
    model = rules(fixed(RIGHT))
    with pytest.raises(BadInput, match="unknown strategy") as caught:
        search(model, "guess")
    assert all(name in caught.value.cure for name in STRATEGIES)
    assert model.requests == []
