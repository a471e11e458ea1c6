"""Weights: the file that ships is whole, and shares and standings are two readings of the same scores."""

import pytest

from patchwright_engine.localize.weights import STEEPNESS, learned_weights, shares, shares_of, standing, weighted_sum


def test_the_weights_that_ship_are_learned_for_files_and_symbols() -> None:
    weights = learned_weights()
    assert weights.files["aside"] < -3, "what is no part of the product must not crowd out what is"
    assert weights.files["traceback"] >= 1
    assert weights.symbols["traceback"] >= 1
    assert min(weights.files["lexical"], weights.files["path_words"], weights.symbols["file"]) > 0


def test_signals_without_a_weight_count_nothing() -> None:
    assert weighted_sum({"a": 2.0, "b": 5.0}, {"a": 0.5, "c": 9.0}) == 1.0


def test_shares_sum_to_one_however_large_the_log_odds() -> None:
    assert shares({}) == {}
    found = shares({"a": 5_000.0, "b": 4_999.0, "c": -5_000.0})
    assert sum(found.values()) == pytest.approx(1)
    assert found["a"] / found["b"] == pytest.approx(2.718281828)
    assert found["c"] == 0.0


def test_shares_and_standings_are_each_others_inverse() -> None:
    found = shares({"a": 2.0, "b": 1.0, "c": -3.0})
    standings = {key: standing(share, max(found.values())) for key, share in found.items()}
    assert standings["a"] == 1.0
    assert standings["b"] == pytest.approx((1 / 2.718281828) ** (1 / STEEPNESS))
    assert shares_of(standings) == pytest.approx(found)


def test_where_nothing_is_likely_nothing_stands() -> None:
    assert standing(0.0, 0.0) == 0.0
    assert shares_of({"a": 0.0}) == {"a": 0.0}
