"""Budgets: names, limits, and rounds that a deeper search shares with a shallower one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwright_engine.errors import BadInput
from patchwright_engine.search.budget import parse_budget, round_sizes


@pytest.mark.parametrize(("text", "rollouts"), [("quick", 2), ("standard", 8), ("deep", 32), ("1", 1), ("5", 5)])
def test_a_budget_is_a_name_or_a_number_of_rollouts(text: str, rollouts: int) -> None:
    budget = parse_budget(text)
    assert budget.rollouts == rollouts
    assert budget.seconds > 0
    assert budget.tokens > 0


@pytest.mark.parametrize("text", ["", "0", "-3", "257", "1.5", "huge"])
def test_anything_else_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(BadInput, match="quick") as caught:
        parse_budget(text)
    assert caught.value.exit_code == 2


def test_rounds_double_what_was_spent() -> None:
    assert round_sizes(8) == (1, 1, 2, 4)
    assert round_sizes(32) == (1, 1, 2, 4, 8, 16)
    assert round_sizes(1) == (1,)
    assert round_sizes(5) == (1, 1, 2, 1)


@given(st.integers(1, 256), st.integers(1, 256))
def test_a_deeper_search_begins_with_the_rounds_of_a_shallower_one(a: int, b: int) -> None:
    small, large = sorted((a, b))
    assert sum(round_sizes(small)) == small
    whole = round_sizes(small)[:-1]
    assert round_sizes(large)[: len(whole)] == whole
