"""Signals: how well single functions and classes fit the issue, read together with where they lie.

A method rarely repeats the words of its class's module: 'handle' in commands/inspectdb.py is about inspectdb. So a
unit is scored with the words of its path added to its own. Invariant: each score is 0-1, the best unit at 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy

from patchwright_engine.index import Index
from patchwright_engine.index.lexical import term_counts
from patchwright_engine.index.lexical_search import UnitTable
from patchwright_engine.index.postings_part import Floats, Integers, rarity_of
from patchwright_engine.index.unit_terms import UnitTerms
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
    """How the units of the candidates fit, in rows, a file's together."""

    scores: Mapping[str, Floats]
    """By signal: 'context' and 'context_short' the whole issue, 'context_prose' without its code, 'context_lead' its
    first words, 'context_title' the title; 'coverage' and 'title_coverage' the share of prose and title found."""
    symbols: Integers
    """Of each row: the position among the file's symbols; -1 for the rest of it."""
    rows: Mapping[RepoPath, tuple[int, int]]
    """The first row of each file and the one after its last."""
    words: Mapping[RepoPath, int]
    """Of each file."""

    def by_file(self, signal: str) -> dict[RepoPath, float]:
        """The best unit of each file; files of which none fits are left out."""
        if not self.rows:
            return {}
        best = numpy.maximum.reduceat(self.scores[signal], [first for first, _ in self.rows.values()])
        return {path: score for path, score in zip(self.rows, best.tolist(), strict=True) if score}

    def of_units(self, path: RepoPath) -> dict[int, dict[str, float]]:
        """What fits of each unit of a file, by its position; zeros are left out."""
        first, end = self.rows.get(path, (0, 0))
        columns = [scores[first:end].tolist() for scores in self.scores.values()]
        return {
            symbol: {name: value for name, value in zip(self.scores, values, strict=True) if value}
            for symbol, *values in zip(self.symbols[first:end].tolist(), *columns, strict=True)
        }


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
    rows, size = table.rows, len(table.rows.file)
    of_paths, path_words = _path_counts(table)
    row, term, count = _with_paths(rows, of_paths)
    lengths = ((rows.lengths + path_words[rows.file]) / rows.mean_length)[row]
    rarity = _rarity(index, table)
    rare = rarity[term] * count
    gain = rare * (K1 + 1) / (count + K1 * (1 - B + B * lengths))
    short = rare * (SHORT_K1 + 1) / (count + SHORT_K1 * (1 - SHORT_B + SHORT_B * lengths))
    weights = {name: numpy.array([query.get(term, 0.0) for term in terms]) for name, query in queries.items()}
    found = {name: _normalised(_sums(row, gain * of_terms[term], size)) for name, of_terms in weights.items()}
    found["context_short"] = _normalised(_sums(row, short * weights["context"][term], size))
    for name, query in (("coverage", "context_prose"), ("title_coverage", "context_title")):
        mass = weights[query] * rarity
        found[name] = _sums(row, mass[term], size) / (mass.sum() or 1.0)
    words = numpy.bincount(rows.file, rows.lengths, minlength=len(table.paths)).astype(int).tolist()
    ends = numpy.cumsum(numpy.bincount(rows.file, minlength=len(table.paths))).tolist()
    return UnitFit(
        scores=found,
        symbols=rows.symbol,
        rows=dict(zip(table.paths, pairwise([0, *ends]), strict=True)),
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


def _with_paths(rows: UnitTerms, of_paths: Floats) -> tuple[Integers, Integers, Floats]:
    """The entries of `rows` with those of their paths: row, term, count.

    The path speaks for units that say something themselves; alone it would suspect all of a file.
    """
    columns = numpy.flatnonzero(of_paths.any(axis=0))  # Of hundreds of terms a few are in paths.
    place = numpy.full(of_paths.shape[1], -1)
    place[columns] = numpy.arange(len(columns))
    speaks = numpy.bincount(rows.row, minlength=len(rows.file)) > 0
    both = of_paths[:, columns][rows.file] * speaks[:, None]
    inside = place[rows.term] >= 0
    both[rows.row[inside], place[rows.term[inside]]] += rows.count[inside]
    row, column = numpy.nonzero(both)
    return (
        numpy.concatenate((rows.row[~inside], row)),
        numpy.concatenate((rows.term[~inside], columns[column])),
        numpy.concatenate((rows.count[~inside], both[row, column])),
    )


def _rarity(index: Index, table: UnitTable) -> Floats:
    """Of each term over units that say it themselves or by their path."""
    words = index.of_files(PathWords)
    units_of_file = table.rows.units / max(1, len(index.files()))
    by_path = numpy.array([words.files_with(term) * units_of_file for term in table.terms])
    return rarity_of(numpy.minimum(table.rows.frequency + by_path, table.rows.units), table.rows.units)


def _sums(rows: Integers, values: Floats, size: int) -> Floats:
    return numpy.bincount(rows, values, size).astype(numpy.float64, copy=False)


def _normalised(scores: Floats) -> Floats:
    best = scores.max(initial=0.0)
    normalised: Floats = scores / best if best > 0 else scores
    return normalised
