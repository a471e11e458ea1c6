"""What the fixed strategies choose from rollouts that were drawn once."""

import json
import random
from dataclasses import replace

import pytest

from patchwright_engine.errors import BadInput
from patchwright_engine.search.rollouts import (
    Choice,
    Drawn,
    Rollout,
    choose,
    drawn_from_json,
    drawn_to_json,
    ranked,
    undecided,
)
from patchwright_engine.search.strategies import STRATEGIES, check_strategy
from patchwright_engine.types import Evidence

FIXED = STRATEGIES[1:]
REPRODUCED, WEAK = Evidence.REPRODUCED, Evidence.REGRESSION_ONLY


def rollout(number: int, name: str | None, **known: object) -> Rollout:
    """The walk that wrote patch `name`; None: its answer was refused."""
    patch_id, key, refused = (name, f"key of {name}", "") if name else (None, None, "no edit")
    made = Rollout(number, ("a.py::f",), patch_id, key, refused, tokens=10 * number, evidence=WEAK if name else None)
    return replace(made, **{"agreement": 1.0, "diff_chars": 100, **known})  # type: ignore[arg-type]


def drawn(*rollouts: Rollout, strategy: str = "orm-exec") -> Drawn:
    return Drawn(rollouts, strategy, len(rollouts), reproduction_tokens=1_000, reproductions=2)


def some_drawn(seed: int) -> Drawn:
    """Up to 16 rollouts that write up to 5 patches, some of them refused, rejected, tied or judged."""
    dice = random.Random(seed)
    patches = {
        name: {
            "evidence": dice.choice([None, WEAK, REPRODUCED, REPRODUCED]),
            "agreement": dice.choice([0.5, 1.0]),
            "flags": dice.choice([0, 0, 1]),
            "orm": dice.choice([None, 0.2, 0.8]),
            "diff_chars": dice.choice([50, 60]),
        }
        for name in "abcde"
    }
    names = [dice.choice([None, *"abcde"]) for _ in range(dice.randint(1, 16))]
    return drawn(*(rollout(n, name, **patches[name] if name else {}) for n, name in enumerate(names, start=1)))


@pytest.mark.parametrize("strategy", FIXED)
def test_a_choice_looks_at_the_first_rollouts_alone(strategy: str) -> None:
    for seed in range(100):
        all_of_it = some_drawn(seed)
        for budget in range(1, len(all_of_it.rollouts) + 1):
            prefix = replace(all_of_it, rollouts=all_of_it.rollouts[:budget])
            assert choose(all_of_it, budget, strategy) == choose(prefix, budget, strategy)
            assert ranked(all_of_it, budget, strategy) == ranked(prefix, 256, strategy)


@pytest.mark.parametrize("strategy", FIXED)
def test_a_choice_is_one_of_the_patches_that_were_seen_and_the_first_of_the_ranking(strategy: str) -> None:
    chosen = 0
    for seed in range(100):
        all_of_it = some_drawn(seed)
        budget = len(all_of_it.rollouts) // 2 + 1
        choice, ranking = choose(all_of_it, budget, strategy), ranked(all_of_it, budget, strategy)
        assert choice.patch_id == (ranking[0] if ranking else None)
        assert len(set(ranking)) == len(ranking)
        assert set(ranking) <= {rollout.patch_id for rollout in all_of_it.rollouts[:budget]} - {None}
        chosen += choice.patch_id is not None
    assert chosen > 30


def test_single_takes_the_first_rollout_whatever_the_budget() -> None:
    made = drawn(rollout(1, "a", evidence=None), rollout(2, "b"), rollout(3, "b"))
    assert choose(made, 1, "single") == choose(made, 3, "single") == Choice("a", 1, 10, 0)
    assert choose(drawn(rollout(1, None), rollout(2, "b")), 2, "single") == Choice(None, 1, 10, 0)


def test_voting_takes_what_was_written_most_often_and_never_asks_what_runs_say() -> None:
    first, third = rollout(1, "a", evidence=REPRODUCED), rollout(3, "b", evidence=None)
    made = drawn(first, rollout(2, None), third, rollout(4, "b"))
    assert choose(made, 3, "voting") == Choice("a", 3, 60, 0)  # one vote each: the first
    assert choose(made, 4, "voting") == Choice("b", 4, 100, 0)


def test_exec_asks_evidence_then_agreement_then_flags_then_votes_then_length() -> None:
    better = [
        {"evidence": REPRODUCED, "agreement": 0.5},
        {"agreement": 0.9},
        {"flags": 0},
        {},
        {"diff_chars": 99},
    ]
    worse = [
        {"evidence": WEAK, "agreement": 1.0},
        {"agreement": 0.8, "flags": 0},
        {"flags": 1},
        {},
        {"diff_chars": 100},
    ]
    for number, (good, bad) in enumerate(zip(better, worse, strict=True)):
        first, second = rollout(1, "bad", **bad), rollout(2, "good", **good)
        # Votes decide where they are what differs, and stand against what is asked before them.
        third = rollout(3, "good" if number == 3 else "bad", **(good if number == 3 else bad))
        made = drawn(first, second, third) if number < 4 else drawn(first, second)
        assert choose(made, 3, "exec").patch_id == "good", number
    assert choose(drawn(rollout(1, "a", evidence=None)), 1, "exec").patch_id is None


def test_the_orm_speaks_before_votes_and_after_runs() -> None:
    liked, usual = {"orm": 0.9}, {"orm": 0.1}
    made = drawn(rollout(1, "usual", **usual), rollout(2, "usual", **usual), rollout(3, "liked", **liked))
    assert choose(made, 3, "orm-exec").patch_id == "liked"
    assert choose(made, 3, "exec").patch_id == "usual"
    proven = drawn(rollout(1, "liked", **liked), rollout(2, "proven", orm=0.1, evidence=REPRODUCED))
    assert choose(proven, 2, "orm-exec").patch_id == "proven"


def test_what_the_orm_did_not_judge_counts_as_undecided() -> None:
    made = drawn(rollout(1, "bad", orm=0.4), rollout(2, "unknown"), rollout(3, "bad", orm=0.4))
    assert ranked(made, 3, "orm-exec") == ("unknown", "bad")


def test_tokens_and_verdicts_are_counted_for_what_a_strategy_uses() -> None:
    made = drawn(rollout(1, "a", orm=0.3), rollout(2, "b", orm=0.4), rollout(3, None), rollout(4, "a", orm=0.3))
    assert choose(made, 1, "orm-exec") == Choice("a", 1, 1_010, 0)  # nobody to be compared with
    assert choose(made, 4, "orm-exec") == Choice("b", 4, 1_100, 2)
    assert choose(made, 4, "exec") == Choice("a", 4, 1_100, 0)
    assert choose(made, 256, "voting") == Choice("a", 4, 100, 0)


def test_undecided_are_those_that_runs_leave_tied_at_the_top() -> None:
    made = drawn(
        rollout(1, "weak"),
        rollout(2, "a", evidence=REPRODUCED),
        rollout(3, "b", evidence=REPRODUCED),
        rollout(4, "flagged", evidence=REPRODUCED, flags=1),
        rollout(5, "a", evidence=REPRODUCED),
    )
    assert [undecided(made, budget) for budget in range(1, 6)] == [(), (), ("a", "b"), ("a", "b"), ("a", "b")]


def test_rollouts_survive_being_written_down() -> None:
    for seed in range(20):
        made = some_drawn(seed)
        assert drawn_from_json(json.loads(json.dumps(drawn_to_json(made)))) == made
    later = {**drawn_to_json(made), "added": 1, "rollouts": [{**drawn_to_json(made)["rollouts"][0], "added": 1}]}
    assert drawn_from_json(later).rollouts == made.rollouts[:1]


@pytest.mark.parametrize(
    "damage",
    [{"rollouts": None}, {"rollouts": [{"number": 1}]}, {"rollouts": ["x"]}, {"asked": None}, {"rollouts": 3}],
)
def test_damaged_rollouts_are_refused_with_a_cure(damage: dict[str, object]) -> None:
    value = {**drawn_to_json(drawn(rollout(1, "a"))), **damage}
    if damage == {"asked": None}:
        del value["asked"]
    with pytest.raises(BadInput, match="damaged") as caught:
        drawn_from_json(value)
    assert "again" in caught.value.cure


@pytest.mark.parametrize(("budget", "strategy"), [(0, "exec"), (1, "dev-search"), (1, "guess")])
def test_a_choice_that_makes_no_sense_is_an_error(budget: int, strategy: str) -> None:
    with pytest.raises(ValueError, match="no choice"):
        choose(drawn(rollout(1, "a")), budget, strategy)


def test_rollouts_nothing_was_run_for_say_nothing_about_exec() -> None:
    made = drawn(rollout(1, "a"), strategy="voting")
    assert choose(made, 1, "voting").patch_id == choose(made, 1, "single").patch_id == "a"
    with pytest.raises(ValueError, match="drawn for voting"):
        choose(made, 1, "exec")
    with pytest.raises(ValueError, match="drawn for exec"):
        choose(replace(made, strategy="exec"), 1, "orm-exec")


def test_an_unknown_strategy_is_refused_with_the_names_that_there_are() -> None:
    assert [check_strategy(name) for name in STRATEGIES] == list(STRATEGIES)
    with pytest.raises(BadInput, match="unknown strategy 'best'") as caught:
        check_strategy("best")
    for name in STRATEGIES:
        assert name in caught.value.cure
