"""Reasons for a suspicion: few, telling ones first, never none."""

from collections.abc import Mapping

import pytest

from patchwright_engine.localize.combine import SYMBOL_WEIGHTS, WEIGHTS
from patchwright_engine.localize.reasons import MOST, WORDS, reasons
from patchwright_engine.localize.rerank import SIGNAL


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ({"lexical": 1.0, "traceback": 0.4}, ("traceback", "lexical")),
        ({"lexical": 0.1, "graph": 0.2}, ("graph",)),
        ({"lexical": 0.29, "names": 0.31}, ("names",)),
        (dict.fromkeys(WORDS, 1.0), tuple(WORDS)[:MOST]),
        ({}, ()),
    ],
)
def test_the_most_telling_signals_are_named(signals: Mapping[str, float], expected: tuple[str, ...]) -> None:
    assert reasons(signals) == tuple(WORDS[name] for name in expected)


def test_every_signal_has_words() -> None:
    assert set(WEIGHTS) | set(SYMBOL_WEIGHTS) | {SIGNAL} == set(WORDS)
