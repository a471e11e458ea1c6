"""Search terms: identifiers and prose meet in the same words."""

import pytest

from patchwright_engine.index.lexical import term_counts


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("HTTPResponse", {"httpresponse", "http", "response"}),
        ("bin_edges", {"bin_edges", "bin", "edge"}),
        ("__init__", {"init"}),
        ("the requests", {"request"}),
        ("a of", set()),
        ("class status", {"status"}),
    ],
)
def test_words_split_into_terms(text: str, terms: set[str]) -> None:
    assert set(term_counts(text)) == terms


def test_terms_are_counted_over_all_spellings() -> None:
    assert term_counts("parse Parse parse_args")["parse"] == 3


def test_long_data_is_not_a_word() -> None:
    assert not term_counts("A" * 500)
