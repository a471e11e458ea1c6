"""What a search tells beside its scores: by field, by the best units, rare terms, coverage, several queries at once."""

import math
from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchwright_engine.index.postings import B_FILES, BEST_UNITS, K1, RARE_NAMES, RARE_WORDS, Postings, Scores
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


def test_coverage_is_the_share_of_the_query_that_the_best_unit_holds() -> None:
    units = 8  # alpha, other and the rest of 1; the rest of 2; Delta, its alpha and the rest of 3; the rest of 4
    weight = {
        "alpha": QUERY["alpha"] * idf(3, units),
        "beta": QUERY["beta"] * idf(3, units),
        "gamma": QUERY["gamma"] * idf(2, units),
        "nothing": QUERY["nothing"] * idf(0, units),
    }
    mass = sum(weight.values())
    found = postings_of(FILES).search(QUERY)
    assert found.unit_mass == pytest.approx(mass)
    assert dict(found.coverage) == pytest.approx(
        {
            1: (weight["alpha"] + weight["beta"] + weight["gamma"]) / mass,
            2: (weight["beta"] + weight["gamma"]) / mass,
            3: (weight["alpha"] + weight["beta"]) / mass,
        }
    )


def test_no_file_scores_more_than_the_mass_allows() -> None:
    found = postings_of(FILES).search(QUERY)
    assert 0 < max(found.files.values()) < found.file_mass * (K1 + 1)
    assert found.file_mass == pytest.approx(2.0 * idf(2, 4) + 1.0 * idf(3, 4) + 0.5 * idf(2, 4) + 9.0 * idf(0, 4))


def test_the_best_units_of_a_file_come_best_first_and_are_few() -> None:
    many = "".join(f"def f{n}():\n    {'beta + ' * n}gamma\n" for n in range(1, 2 * BEST_UNITS))
    found = postings_of({1: many, 2: FILES[2]}).search(QUERY)
    of_file = sorted((unit.score for unit in found.units if unit.file == 1), reverse=True)
    assert found.best_units[1] == pytest.approx(of_file[:BEST_UNITS])
    assert len(found.best_units[2]) == 1


def test_only_terms_of_few_files_are_rare() -> None:
    few = dict.fromkeys(range(RARE_WORDS), "def seldom(): pass\n")
    some = dict.fromkeys(range(RARE_WORDS, RARE_NAMES), "def common(): pass\n")
    many = dict.fromkeys(range(RARE_NAMES, 2 * RARE_NAMES + 1), "def everywhere(): pass\n")
    found = postings_of(few | some | many).search({"seldom": 1.0, "common": 1.0, "everywhere": 1.0})
    assert found.rare_words.keys() == few.keys()
    assert found.rare_names.keys() == few.keys() | some.keys()


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
        {file: round(value, 9) for file, value in scores.coverage.items()},
        {file: tuple(round(value, 9) for value in values) for file, values in scores.best_units.items()},
        {file: round(value, 9) for file, value in scores.rare_names.items()},
        {file: round(value, 9) for file, value in scores.rare_words.items()},
        (round(scores.file_mass, 9), round(scores.unit_mass, 9)),
    )
