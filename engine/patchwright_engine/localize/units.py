"""Signals: how well single functions and classes fit the issue, read together with where they lie.

A method rarely repeats the words of its class's module: 'handle' in commands/inspectdb.py is about inspectdb. So a
unit is scored with the words of its path added to its own. Invariant: each score is 0-1, the best unit at 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy

from patchwright_engine.index import Index
from patchwright_engine.index.lexical import term_counts
from patchwright_engine.index.lexical_search import UnitTable
from patchwright_engine.index.postings_part import Floats, rarity_of
from patchwright_engine.localize.mentions import Mentions
from patchwright_engine.localize.paths import PathWords, without_extension
from patchwright_engine.types import RepoPath

K1 = 1.2
B = 0.6
SHORT_K1 = 0.8
SHORT_B = 0.9
"""For 'context_short': a term once in a short function says more than often in a long one."""
PATH_WEIGHT = 1.5
"""Of a word of the path, as if the unit said it so many times."""


@dataclass(frozen=True, slots=True)
class UnitFit:
    """How the units of the candidates fit, by (path, position among the file's symbols; -1 for the rest of it)."""

    scores: Mapping[str, Mapping[tuple[RepoPath, int], float]]
    """By signal: 'context' and 'context_short' the whole issue, 'context_prose' without its code, 'context_lead' its
    first words, 'context_title' the title; 'coverage' and 'title_coverage' the share of prose and title found."""
    words: Mapping[RepoPath, int]
    """Of each file."""

    def by_file(self, signal: str) -> dict[RepoPath, float]:
        """The best unit of each file."""
        best: dict[RepoPath, float] = {}
        for (path, _), score in self.scores[signal].items():
            best[path] = max(best.get(path, 0.0), score)
        return best


def fit_units(index: Index, mentions: Mentions, paths: tuple[RepoPath, ...]) -> UnitFit:
    """Score every function and class of `paths`."""
    queries = {
        "context": mentions.terms,
        "context_prose": mentions.prose_terms,
        "context_lead": mentions.lead_terms,
        "context_title": mentions.title_terms,
    }
    terms = tuple(dict.fromkeys(term for query in queries.values() for term in query))
    table = index.unit_terms(terms, paths)
    rows = table.rows
    of_paths, path_words = _path_counts(table)
    # The path speaks for units that say something themselves; alone it would suspect all of a file.
    speaks = rows.counts.sum(axis=1, keepdims=True) > 0
    counts = rows.counts + of_paths[rows.file] * speaks
    lengths = (rows.lengths + path_words[rows.file]) / rows.mean_length
    rarity = _rarity(index, table)
    gain = rarity * counts * (K1 + 1) / (counts + K1 * (1 - B + B * lengths[:, None]))
    short = rarity * counts * (SHORT_K1 + 1) / (counts + SHORT_K1 * (1 - SHORT_B + SHORT_B * lengths[:, None]))
    keys = [(table.paths[file], symbol) for file, symbol in zip(rows.file.tolist(), rows.symbol.tolist(), strict=True)]
    weights = {name: numpy.array([query.get(term, 0.0) for term in terms]) for name, query in queries.items()}
    found: dict[str, Floats] = {name: _normalised(gain @ weight) for name, weight in weights.items()}
    found["context_short"] = _normalised(short @ weights["context"])
    for name, query in (("coverage", "context_prose"), ("title_coverage", "context_title")):
        mass = weights[query] * rarity
        found[name] = (counts > 0) @ mass / (mass.sum() or 1.0)
    words = numpy.bincount(rows.file, rows.lengths, minlength=len(table.paths)).astype(int).tolist()
    return UnitFit(
        scores={
            name: {key: score for key, score in zip(keys, scores.tolist(), strict=True) if score}
            for name, scores in found.items()
        },
        words=dict(zip(table.paths, words, strict=True)),
    )


def _path_counts(table: UnitTable) -> tuple[Floats, Floats]:
    """What each file's path adds to the counts of its units, (files, terms), and to their lengths."""
    column = {term: at for at, term in enumerate(table.terms)}
    counts = numpy.zeros((len(table.paths), len(table.terms)))
    words = numpy.zeros(len(table.paths))
    for at, path in enumerate(table.paths):
        for term, times in term_counts(without_extension(path)).items():
            words[at] += PATH_WEIGHT * times
            if term in column:
                counts[at, column[term]] += PATH_WEIGHT * times
    return counts, words


def _rarity(index: Index, table: UnitTable) -> Floats:
    """Of each term over units that say it themselves or by their path."""
    words = index.of_files(PathWords)
    units_of_file = table.rows.units / max(1, len(index.files()))
    by_path = numpy.array([words.files_with(term) * units_of_file for term in table.terms])
    return rarity_of(numpy.minimum(table.rows.frequency + by_path, table.rows.units), table.rows.units)


def _normalised(scores: Floats) -> Floats:
    best = scores.max(initial=0.0)
    normalised: Floats = scores / best if best > 0 else scores
    return normalised
