"""What a search tells beside its scores: by field, how much there was to score, several queries at once."""

import math
from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchwright_engine.index.postings import B_FILES, K1, Postings, Scores
from patchwright_engine.index.vectors import make_vectors
from patchwright_engine.syntax.parse import parse_symbols
from patchwright_engine.types import RepoPath

FILES = {
    1: "def alpha(beta):\n    return beta + gamma\n\n\ndef other():\n    # alpha\n    pass\n",
    2: "beta = beta\nbeta\n# gamma gamma\n",
    3: "class Delta:\n    def alpha(self):\n        'beta'\n",
    4: "",
}
QUERY = {"alpha": 2.0, "beta": 1.0, "gamma": 0.5, "nothing": 9.0}


def postings_of(files: Mapping[int, str]) -> Postings:
    def load(numbers: Sequence[int]) -> Iterable[tuple[int, bytes]]:
        for number in numbers:
            source = files[number].encode()
            syntax = parse_symbols(RepoPath("a.py"), source)
            yield number, make_vectors(source, syntax.symbols, syntax.texts)

    postings = Postings()
    postings.update(files, load)
    return postings


def idf(frequency: int, documents: int) -> float:
    return math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))


@pytest.mark.parametrize(
    ("field", "documents"),
    [
        ("code", {1: ({"alpha": 1, "beta": 2, "gamma": 1}, 5), 2: ({"beta": 3}, 3), 3: ({"alpha": 1}, 2), 4: ({}, 0)}),
        ("text", {1: ({"alpha": 1}, 1), 2: ({"gamma": 2}, 2), 3: ({"beta": 1}, 1), 4: ({}, 0)}),
        ("name", {1: ({"alpha": 1}, 2), 2: ({}, 0), 3: ({"alpha": 1}, 3), 4: ({}, 0)}),
    ],
)
def test_a_field_alone_scores_as_the_formula_says(field: str, documents: dict[int, tuple[dict[str, int], int]]) -> None:
    mean = sum(length for _, length in documents.values()) / len(documents)
    wanted = {}
    for file, (counts, length) in documents.items():
        score = 0.0
        for term, count in counts.items():
            frequency = sum(term in others for others, _ in documents.values())
            spread = K1 * (1 - B_FILES + B_FILES * length / mean)
            score += QUERY[term] * idf(frequency, len(documents)) * count * (K1 + 1) / (count + spread)
        if score:
            wanted[file] = score
    assert dict(postings_of(FILES).search(QUERY).fields[field]) == pytest.approx(wanted)


def test_no_file_scores_more_than_the_mass_allows() -> None:
    found = postings_of(FILES).search(QUERY)
    assert 0 < max(found.files.values()) < found.file_mass * (K1 + 1)
    assert found.file_mass == pytest.approx(2.0 * idf(2, 4) + 1.0 * idf(3, 4) + 0.5 * idf(2, 4) + 9.0 * idf(0, 4))


def test_units_can_be_told_of_some_files_only_without_changing_a_score() -> None:
    postings = postings_of(FILES)
    every, some = postings.search(QUERY), postings.search_many([QUERY], among={3})[0]
    assert some.units == tuple(unit for unit in every.units if unit.file == 3)
    assert some.files == every.files


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(sorted(QUERY)), st.floats(0.25, 8), max_size=4), min_size=1, max_size=4)
)
def test_several_queries_at_once_say_what_each_says_alone(queries: list[dict[str, float]]) -> None:
    postings = postings_of(FILES)
    for query, together in zip(queries, postings.search_many(queries), strict=True):
        assert rounded(together) == rounded(postings.search(query))


def rounded(scores: Scores) -> object:
    return (
        {file: round(score, 9) for file, score in scores.files.items()},
        {(unit.file, unit.symbol): round(unit.score, 9) for unit in scores.units},
        {
            name: {file: round(value, 9) for file, value in found.items()}
            for name, found in scores.fields.items()
            if found
        },
        round(scores.file_mass, 9),
    )
