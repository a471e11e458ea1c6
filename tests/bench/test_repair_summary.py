"""What many searches come to: shares, intervals, difficulty, calibration, comparisons; and how they are kept."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.bench.intervals import bootstrap, paired_difference, share_interval
from patchwright_engine.bench.outcomes import (
    Cell,
    Outcome,
    append_outcome,
    outcome_from_json,
    outcome_to_json,
    read_outcomes,
)
from patchwright_engine.bench.repair_summary import summarize_repair
from patchwright_engine.bench.repair_table import repair_in_words
from patchwright_engine.errors import BadInput

EXEC, DEV = Cell("exec", "divergent", 2), Cell("dev-search", "", 2)


def outcome(name: str, cell: Cell, **values: Any) -> Outcome:
    usual = {"rollouts": 2, "tokens": 100, "seconds": 10.0, "trace": f"{name}-{cell.strategy}"}
    return Outcome(name, cell, **{**usual, **values})


OUTCOMES = (
    outcome("a", EXEC, resolved=True, evidence="reproduced", right_rollouts=1, found_right=True, patch="x",
            levels={"reproduced": (1, 1), "rejected": (1, 0)}),
    outcome("b", EXEC, evidence="reproduced", right_rollouts=0, found_right=False, patch="y", died_at="edit",
            levels={"reproduced": (2, 0)}),
    outcome("c", EXEC, repetition=0, right_rollouts=0, found_right=False, died_at="localization"),
    outcome("c", EXEC, repetition=1, resolved=True, evidence="regression_only", right_rollouts=0, patch="z"),
    outcome("a", DEV, resolved=True, evidence="reproduced", tokens=60, patch="x"),
    outcome("b", DEV, resolved=True, evidence="reproduced", tokens=40, patch="y2"),
    outcome("d", DEV, died_at="environment", reason="no wheel\n", rollouts=0, tokens=0, seconds=0.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def summary() -> dict[str, Any]:
    return summarize_repair(OUTCOMES, "small")


def test_each_way_to_search_has_its_line(summary: dict[str, Any]) -> None:
    dev, fixed = summary["cells"]
    assert (dev["strategy"], fixed["strategy"]) == ("dev-search", "exec")
    assert (fixed["resolved_count"], fixed["searches"], fixed["resolved"]) == (2, 4, 0.5)
    assert (fixed["tokens_per_issue"], fixed["tokens_per_resolved"], fixed["seconds_per_resolved"]) == (100, 200, 20)
    assert (fixed["verified"], fixed["verified_right"]) == (2, 1)
    assert fixed["found"] is None  # One of its searches was judged in part.
    assert fixed["died_at"] == {"edit": 1, "localization": 1}
    assert (dev["resolved"], dev["tokens_per_issue"]) == (1.0, 50)
    assert dev["interval"] == [0.342, 1.0]


def test_an_issue_that_was_not_searched_is_named_and_in_no_share(summary: dict[str, Any]) -> None:
    assert summary["overall"]["not_searched"] == {"d": "no wheel\n"}
    assert summary["overall"]["instances"] == 3
    assert [one["died_at"] for one in summary["instances"] if one["instance_id"] == "d"] == ["environment"]


def test_evidence_is_calibrated_over_distinct_offers_and_over_all_candidates(summary: dict[str, Any]) -> None:
    offered = summary["overall"]["by_evidence"]
    assert {level: (one["offered"], one["right"]) for level, one in offered.items()} == {
        "reproduced": (3, 2),
        "regression_only": (1, 1),
    }
    candidates = summary["overall"]["candidates_by_evidence"]
    assert {level: (one["offered"], one["right"]) for level, one in candidates.items()} == {
        "reproduced": (3, 1),
        "rejected": (1, 0),
    }


def test_difficulty_is_how_often_an_independent_rollout_is_right(summary: dict[str, Any]) -> None:
    told = {one["instance_id"]: one["difficulty"] for one in summary["instances"]}
    assert told == {"a": "easy", "b": "hard", "c": "hard", "d": "unknown"}
    twice = replace(OUTCOMES[3], right_rollouts=1)
    again = summarize_repair((*OUTCOMES[:3], twice), "small")
    assert again["overall"]["by_difficulty"] == {"easy": 1, "hard": 1, "medium": 1}
    assert again["cells"][0]["by_difficulty"]["medium"]["resolved"] == 0.5


def test_two_strategies_are_compared_over_the_issues_both_have(summary: dict[str, Any]) -> None:
    (compared,) = summary["comparisons"]
    assert (compared["strategy"], compared["against"], compared["budget"]) == ("dev-search", "exec", 2)
    assert (compared["instances"], compared["difference"]) == (2, 0.5)
    assert compared["interval"] == [0.0, 1.0]
    assert compared["tokens_ratio"] == 0.5


def test_the_table_tells_all_of_it(summary: dict[str, Any]) -> None:
    text = repair_in_words(summary)
    assert "3 issues, 6 searches, model small" in text
    assert "2/4 50%" in text
    assert "dev-search − exec (divergent)" in text
    assert "+50.0%" in text
    assert "exec (divergent), budget 2, not resolved: 1 at edit, 1 at localization" in text
    assert "d: not searched: no wheel" in text
    assert repair_in_words(summarize_repair((), "small")) == "0 issues, 0 searches, model small\n\n"


def test_intervals_are_wilsons_for_single_tries_and_resampled_issues_for_several() -> None:
    assert share_interval({str(n): [n < 8] for n in range(10)}) == pytest.approx((0.490, 0.943), abs=0.001)
    several = {str(n): [n < 8] * 3 for n in range(10)}
    assert share_interval(several) == bootstrap([1.0] * 8 + [0.0] * 2)
    low, high = share_interval(several)
    assert 0.4 <= low < 0.8 < high <= 1.0  # Three repetitions do not make it three times as sure.
    assert bootstrap([0.5] * 9) == (0.5, 0.5)
    difference, (low, high), count = paired_difference(
        {"a": [1.0], "b": [1.0, 0.0]}, {"a": [0.0], "b": [0.5], "c": [1.0]}
    )
    assert (difference, count) == (0.5, 2)
    assert (low, high) == (0.0, 1.0)


def test_outcomes_are_kept_as_lines_the_last_of_which_counts(tmp_path: Path) -> None:
    for one in OUTCOMES:
        assert outcome_from_json(json.loads(json.dumps(outcome_to_json(one)))) == one
        append_outcome(tmp_path, one)
    with (tmp_path / "outcomes.jsonl").open("a") as file:
        file.write('{"instance_id": "e", "stra')
    assert list(read_outcomes(tmp_path).values()) == list(OUTCOMES)
    mended = replace(OUTCOMES[-1], died_at="edit", reason="")
    append_outcome(tmp_path, mended)
    assert read_outcomes(tmp_path)["d", DEV, 0] == mended
    assert not OUTCOMES[-1].final
    assert mended.final
    (tmp_path / "outcomes.jsonl").write_text('{"mine": 1}\n\n')
    with pytest.raises(BadInput, match="line 1 is no outcome"):
        read_outcomes(tmp_path)
