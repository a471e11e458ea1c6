"""Reasons for a suspicion: few, telling ones first, never none."""

from collections.abc import Mapping

import pytest

from patchwright_engine.localize import rerank, spectrum
from patchwright_engine.localize.reasons import MOST, WITHOUT_WORDS, WORDS, reasons
from patchwright_engine.localize.weights import learned_weights


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ({"lexical": 1.0, "traceback": 0.4}, ("traceback", "lexical")),
        ({"lexical": 0.1, "graph": 0.2}, ("graph",)),
        ({"lexical": 0.29, "names": 0.31}, ("names",)),
        (dict.fromkeys(WORDS, 1.0), tuple(WORDS)[:MOST]),
        ({"functions": 1.0, "context": 1.0, "coverage": 0.5}, ("functions",)),
        ({"lexical": 0.1, "size": 0.9}, ("lexical",)),
        ({}, ()),
    ],
)
def test_the_most_telling_signals_are_named(signals: Mapping[str, float], expected: tuple[str, ...]) -> None:
    assert reasons(signals) == tuple(WORDS[name] for name in expected)


def test_every_learned_signal_has_words_or_is_none_to_tell() -> None:
    weights = learned_weights()
    assert weights.files.keys() | weights.symbols.keys() <= WORDS.keys() | WITHOUT_WORDS
    assert not WORDS.keys() & WITHOUT_WORDS
    assert {rerank.SIGNAL, spectrum.SIGNAL} <= WORDS.keys()
