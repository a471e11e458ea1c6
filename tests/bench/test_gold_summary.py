"""Shares, intervals and the table."""

import json

import pytest

from patchwright_engine.bench.reports import InstanceReport, Judged, SettingReport
from patchwright_engine.bench.summary import in_words, summarize, wilson


def setting(name: str, *judged: Judged) -> SettingReport:
    return SettingReport(name, None, (), "1 passed", (), judged)


REPORTS = (
    InstanceReport(
        "good",
        "judged",
        settings=(
            setting(
                "failing_test",
                Judged("gold", "", "failing_test", "", 1.0),
                Judged("empty", "", None, "The patch changes nothing.", 0.0),
                Judged("wrong", "hunk: returns None, a.py:3", None, "still fails", 1.0),
                Judged("wrong", "hunk: is off by one, a.py:4", "failing_test", "", 1.0),
            ),
            setting(
                "regression_only",
                Judged("gold", "", None, "The patch breaks tests", 1.0),
                Judged("empty", "", "regression_only", "", 0.0),
                Judged("wrong", "hunk: returns None, a.py:3", "parses", "", 1.0),
            ),
        ),
        seconds=4.0,
    ),
    InstanceReport("broken", "setup_failed", "no wheel"),
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(8, 10, 0.490, 0.943), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (0, 0, 0.0, 1.0)],
)
def test_the_interval_is_wilsons(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=0.001)


def test_every_false_verdict_is_counted_and_named() -> None:
    overall = summarize(REPORTS)["overall"]
    assert overall["status"] == {"judged": 1, "setup_failed": 1}
    failing, plain = overall["settings"]["failing_test"], overall["settings"]["regression_only"]
    assert (failing["gold_accepted"], failing["gold"]) == (1, 1)
    assert (failing["wrong_rejected"], failing["wrong"], failing["empty_rejected"]) == (1, 2, 1)
    assert [(one["instance_id"], one["evidence"]) for one in failing["false_accepts"]] == [("good", "failing_test")]
    assert failing["false_rejects"] == []
    assert failing["wrong_per_instance"] == [2]
    assert (plain["gold_accepted"], plain["empty_rejected"]) == (0, 0)
    assert plain["wrong_rejected"] == 1  # What merely parses is not accepted.
    assert [one["patch"] for one in plain["false_accepts"]] == ["empty"]
    assert [one["reason"] for one in plain["false_rejects"]] == ["The patch breaks tests"]
    json.dumps(summarize(REPORTS))


def test_the_table_tells_failed_set_ups_apart() -> None:
    text = in_words(REPORTS)
    assert "2 instances: 1 judged, 1 setup failed" in text
    assert "1/1 (21%-100%)" in text
    assert "False accept (failing_test): good at failing_test, hunk: is off by one, a.py:4" in text
    assert "False reject (regression_only): good" in text
    assert "Accepted though wrong at regression_only (regression_only): 1; no test newly fails" in text
    assert "broken: setup failed: no wheel" in text


def test_without_any_verdict_there_is_no_table() -> None:
    assert "accepted" not in in_words(REPORTS[1:])
