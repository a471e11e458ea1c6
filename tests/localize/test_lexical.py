"""The best of many scores are those that putting all in order would give."""

from hypothesis import given
from hypothesis import strategies as st

from patchwright_engine.localize.lexical import best_of, normalised


@given(st.dictionaries(st.text("abc", max_size=3), st.sampled_from([0.0, 0.25, 0.5, 1.0])), st.integers(0, 12))
def test_the_best_are_the_first_of_all_in_order(scores: dict[str, float], count: int) -> None:
    assert best_of(scores, count, str) == sorted(scores, key=lambda key: (-scores[key], key))[:count]


def test_equal_ones_stand_in_the_order_asked_for() -> None:
    assert best_of({"bb": 1.0, "a": 1.0, "ccc": 2.0, "dddd": 1.0}, 3, lambda key: -len(key)) == ["ccc", "dddd", "bb"]


def test_the_best_score_becomes_one_and_nothing_stays_nothing() -> None:
    assert normalised({"a": 4.0, "b": 1.0}) == {"a": 1.0, "b": 0.25}
    assert normalised({"a": 0.0}) == {}
