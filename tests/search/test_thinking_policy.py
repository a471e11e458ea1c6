"""How long a model may think, and the report of how long it did."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwright_engine.search.thinking import (
    Difficulty,
    Thoughts,
    difficulty,
    difficulty_of,
    load_caps,
    think_cap,
    thoughts_by_difficulty,
)
from patchwright_engine.types import Evidence

PLENTY = 1_000_000
STAGES = ("understand", "locate", "reproduce", "repair", "rank", "a stage of tomorrow")
NOBODY: list[tuple[Evidence | None, float]] = []


@given(st.sampled_from(STAGES), st.integers(0, 40), st.integers(-5000, 200_000))
def test_no_cap_exceeds_the_room_or_the_most(stage: str, level: int, room: int) -> None:
    cap = think_cap(stage, Difficulty(level), room)
    assert cap == 0 or load_caps().least <= cap <= min(max(room, 0), load_caps().most)


@pytest.mark.parametrize("stage", ["locate", "reproduce", "repair"])
def test_caps_double_with_each_level_until_the_most(stage: str) -> None:
    caps = [think_cap(stage, Difficulty(level), PLENTY) for level in range(12)]
    assert caps[0] == load_caps().first[stage]
    assert all(later == min(2 * sooner, load_caps().most) for sooner, later in itertools.pairwise(caps))
    assert caps[-1] == load_caps().most


def test_files_are_named_without_thoughts_and_repairs_are_thought_about_most() -> None:
    easy = {stage: think_cap(stage, Difficulty(), PLENTY) for stage in STAGES}
    assert easy["understand"] == easy["rank"] == easy["a stage of tomorrow"] == 0
    assert 0 < easy["locate"] < easy["reproduce"] < easy["repair"]


def test_the_search_begins_easy_and_gets_harder_round_by_round_without_a_fix() -> None:
    levels = [difficulty(rounds, NOBODY).level for rounds in range(5)]
    assert levels[0] == 0
    assert levels == sorted(set(levels))
    assert [Difficulty(level).name for level in (0, 1, 2, 3, 9)] == ["easy", "medium", "medium", "hard", "hard"]


def test_a_verified_fix_makes_it_easy_again_and_a_disputed_one_does_not() -> None:
    weak, strong = (Evidence.REGRESSION_ONLY, 0.0), (Evidence.REPRODUCED, 0.9)
    assert difficulty(2, [weak, strong]).level == 0
    disputed = difficulty(2, [weak, (Evidence.REPRODUCED, 0.6)])
    assert 0 < disputed.level < difficulty(2, [weak]).level


def trace(*answers: dict[str, Any], level: int, stopped: str) -> list[dict[str, Any]]:
    step = {"kind": "complete", "difficulty": level, "answers": list(answers)}
    return [{"kind": "start"}, step, {"kind": "end", "result": {"stopped": stopped}}]


def answer(thought: int, rest: int, end: str = "closed") -> dict[str, Any]:
    return {"answer": "x", "tokens": thought + rest, "think_tokens": thought, "think_end": end}


def test_thoughts_are_reported_by_what_the_issues_turned_out_to_be() -> None:
    traces = [
        trace(answer(10, 5), answer(20, 5, "length"), level=0, stopped="verified"),
        trace(answer(30, 1), level=0, stopped="verified"),
        trace(answer(400, 9, "loop"), level=2, stopped="verified"),
        trace(answer(800, 9), level=0, stopped="budget"),
        trace(answer(1600, 9), level=2, stopped="no_candidates"),
    ]
    assert [difficulty_of(one) for one in traces] == ["easy", "easy", "medium", "medium", "hard"]
    report = thoughts_by_difficulty(traces)
    assert list(report) == ["easy", "medium", "hard", "all"]
    assert report["easy"] == Thoughts(issues=2, answers=3, thought_tokens=60, answer_tokens=11, capped=1)
    assert report["medium"] == Thoughts(issues=2, answers=2, thought_tokens=1200, answer_tokens=18, circles=1)
    assert [report[name].per_issue for name in report] == [30.0, 600.0, 1600.0, 572.0]


def test_traces_of_earlier_versions_and_damaged_ones_report_no_thoughts() -> None:
    old: list[dict[str, Any]] = [
        {"kind": "complete", "answers": [{"answer": "x", "tokens": 5}]},
        {"kind": "complete", "answers": [None, {"tokens": "many", "think_tokens": -3}]},
        {"kind": "complete"},
        {"kind": "end", "result": None},
    ]
    report = thoughts_by_difficulty([old, []])
    assert report["all"] == Thoughts(issues=2, answers=2, answer_tokens=5)
    assert report["easy"] == report["hard"] == Thoughts()
    assert report["easy"].per_issue == 0.0
