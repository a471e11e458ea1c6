"""Choosing what fits: most worth first, dependencies along, few counts, and never over."""

import random

import pytest

from patchwright_engine.localize.fill import MAX_COUNTS, Item, fill


def lengths(items: list[Item]) -> tuple[list[Item], list[str]]:
    return items, [f"{at}:" + "x" * int(item.cost) + "\n" for at, item in enumerate(items)]


@pytest.mark.parametrize("seed", range(20))
def test_the_text_is_never_over_its_budget_however_wrong_the_costs(seed: int) -> None:
    drawing = random.Random(seed)
    items = [
        Item(drawing.random(), drawing.uniform(1, 60), drawing.choice([None, *range(at)]) if at else None)
        for at in range(300)
    ]
    texts = ["x" * int(item.cost * drawing.uniform(0.2, 4)) + "\n" for item in items]
    for budget in (0, 1, 10, 100, 1_000, 3_000, 100_000):
        counted: list[str] = []

        def count(text: str, counted: list[str] = counted) -> int:
            counted.append(text)
            return len(text)

        text, chosen = fill(items, lambda chosen: "".join(texts[at] for at in sorted(chosen)), count, budget)
        assert len(text) <= budget
        assert text == "".join(texts[at] for at in sorted(chosen))
        assert all(items[at].needs is None or items[at].needs in chosen for at in chosen)
        assert len(counted) <= MAX_COUNTS
        if budget in (1_000, 3_000):
            assert len(text) > 0.7 * budget
    assert len(chosen) == 300


def test_the_most_worth_for_its_tokens_comes_first_with_what_it_needs() -> None:
    items, texts = lengths([Item(0.1, 10), Item(5.0, 20, needs=0), Item(1.0, 10), Item(1.0, 40)])
    _, chosen = fill(items, lambda chosen: "".join(texts[at] for at in sorted(chosen)), len, 55)
    assert chosen == {0, 1, 2}


def test_one_thing_too_large_does_not_keep_others_out() -> None:
    items, texts = lengths([Item(100.0, 500), Item(1.0, 10), Item(1.0, 10)])
    _, chosen = fill(items, lambda chosen: "".join(texts[at] for at in sorted(chosen)), len, 40)
    assert chosen == {1, 2}


def test_nothing_that_fits_is_nothing_shown() -> None:
    items, texts = lengths([Item(1.0, 500)])
    assert fill(items, lambda chosen: "".join(texts[at] for at in sorted(chosen)), len, 40) == ("", frozenset())
    assert fill([], lambda _: "", len, 40) == ("", frozenset())
