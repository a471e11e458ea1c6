"""BM25 over packed vectors: against the formula written out, and however the files came in."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchwright_engine.index.postings import B_FILES, B_UNITS, K1, MAX_PARTS, Postings, Scores
from patchwright_engine.index.postings_part import FIELD_WEIGHTS
from patchwright_engine.index.vectors import make_vectors
from patchwright_engine.syntax.parse import parse_symbols
from patchwright_engine.types import RepoPath

FILES = {
    1: "def alpha(beta):\n    return beta + gamma\n\n\ndef other():\n    pass\n",
    2: "beta = beta\nbeta\n# gamma gamma\n",
    3: "class Delta:\n    def alpha(self):\n        'beta'\n",
    4: "",
}
QUERY = {"alpha": 2.0, "beta": 1.0, "gamma": 0.5, "nothing": 9.0}


def packed(text: str) -> bytes:
    source = text.encode()
    syntax = parse_symbols(RepoPath("a.py"), source)
    return make_vectors(source, syntax.symbols, syntax.texts)


class Shelf:
    """Vectors by number, and which were asked for."""

    def __init__(self, files: Mapping[int, str]) -> None:
        self.vectors = {number: packed(text) for number, text in files.items()}
        self.asked: list[int] = []

    def load(self, files: Sequence[int]) -> Iterable[tuple[int, bytes]]:
        self.asked += files
        return [(file, self.vectors[file]) for file in files]


def searched(files: Mapping[int, str]) -> Scores:
    postings = Postings()
    postings.update(files, Shelf(files).load)
    return postings.search(QUERY)


def written_out(documents: Mapping[object, tuple[Counter[str], int]], b: float) -> dict[object, float]:
    mean = sum(length for _, length in documents.values()) / len(documents)
    scores: dict[object, float] = {}
    for key, (counts, length) in documents.items():
        score = 0.0
        for term, weight in QUERY.items():
            frequency = sum(1 for others, _ in documents.values() if others[term])
            idf = math.log(1 + (len(documents) - frequency + 0.5) / (frequency + 0.5))
            score += weight * idf * counts[term] * (K1 + 1) / (counts[term] + K1 * (1 - b + b * length / mean))
        if score:
            scores[key] = score
    return scores


Table = tuple[list[tuple[int, int, float, dict[str, float]]], list[float], int, float]
NAME = int(FIELD_WEIGHTS["name"])


def test_files_score_as_the_formula_says() -> None:
    documents: dict[object, tuple[Counter[str], int]] = {  # With their words, names included.
        1: (Counter(alpha=1 + NAME, beta=2, gamma=1), 11),
        2: (Counter(beta=3, gamma=2), 5),
        3: (Counter(alpha=1 + NAME, beta=1), 9),
        4: (Counter(), 0),
    }
    assert dict(searched(FILES).files) == pytest.approx(written_out(documents, B_FILES))


def test_units_score_as_the_formula_says() -> None:
    documents: dict[object, tuple[Counter[str], int]] = {
        (1, 0): (Counter(alpha=1 + NAME, beta=2, gamma=1), 7),
        (1, 1): (Counter(), 4),
        (1, -1): (Counter(), 0),
        (2, -1): (Counter(beta=3, gamma=2), 5),
        (3, 0): (Counter(), 3),
        (3, 1): (Counter(alpha=1 + NAME, beta=1), 6),
        (3, -1): (Counter(), 0),
        (4, -1): (Counter(), 0),
    }
    found = {(unit.file, unit.symbol): unit.score for unit in searched(FILES).units}
    assert found == pytest.approx(written_out(documents, B_UNITS))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(1, 12), min_size=1), min_size=1, max_size=2 * MAX_PARTS))
def test_scores_do_not_depend_on_the_way_to_the_view(views: list[set[int]]) -> None:
    texts = {number: FILES[number % 4 + 1] + f"\nbeta{number} = alpha\n" * (number % 3) for number in range(1, 13)}
    shelf, postings = Shelf(texts), Postings()
    for view in views:
        postings.update(view, shelf.load)
        assert postings.files == view
        there, fresh = postings.search(QUERY), searched({number: texts[number] for number in view})
        assert dict(there.files) == pytest.approx(dict(fresh.files))
        assert {(u.file, u.symbol): u.score for u in there.units} == pytest.approx(
            {(u.file, u.symbol): u.score for u in fresh.units}
        )
        alone = Postings()
        alone.update(view, shelf.load)
        assert table(postings, sorted(view)) == table(alone, sorted(view))


def table(postings: Postings, files: Sequence[int]) -> Table:
    """What the units of `files` say of the query's terms, by (file, symbol), and how many of all units say each."""
    terms = [*QUERY]
    found = postings.unit_terms(terms, files)
    rows: list[tuple[int, int, float, dict[str, float]]] = [
        (files[file], int(symbol), float(length), {})
        for file, symbol, length in zip(found.file, found.symbol, found.lengths, strict=True)
    ]
    for row, term, count in zip(found.row, found.term, found.count, strict=True):
        rows[row][3][terms[term]] = float(count)
    return rows, found.frequency.tolist(), found.units, round(found.mean_length, 9)


def test_a_table_of_units_says_what_each_says() -> None:
    postings = Postings()
    postings.update(FILES, Shelf(FILES).load)
    rows, frequency, units, mean = table(postings, [3, 1])
    assert rows == [
        (3, 0, 3, {}),
        (3, 1, 6, {"alpha": 1 + NAME, "beta": 1}),
        (3, -1, 0, {}),
        (1, 0, 7, {"alpha": 1 + NAME, "beta": 2, "gamma": 1}),
        (1, 1, 4, {}),
        (1, -1, 0, {}),
    ]
    assert (frequency, units, mean) == ([2, 3, 2, 0], 8, round(25 / 8, 9))


def test_only_what_is_new_is_loaded() -> None:
    shelf, postings = Shelf(FILES), Postings()
    postings.update({1, 2, 3}, shelf.load)
    shelf.asked.clear()
    postings.update({1, 2, 4}, shelf.load)
    assert shelf.asked == [4]


def test_vectors_that_cannot_be_read_are_asked_for_again() -> None:
    postings, shelf, view = Postings(), Shelf(FILES), frozenset(FILES)

    def damaged(_: Sequence[int]) -> Iterable[tuple[int, bytes]]:
        return [(1, b"?")]

    with pytest.raises(ValueError, match="vectors"):
        postings.update(view, damaged)
    postings.update(view, shelf.load)
    assert postings.files == view
    assert postings.search(QUERY) == searched(FILES)
    shelf.asked.clear()
    postings.update(view, shelf.load)
    assert not shelf.asked


def test_an_empty_view_finds_nothing() -> None:
    assert searched({}) == Scores({}, ())
    assert searched({4: ""}).units == ()
