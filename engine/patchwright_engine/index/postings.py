"""Which units say which term: BM25 over all units and files of a view in milliseconds.

Held in memory, made from the packed vectors of the files: parts (`postings_part.py`) that are never changed, in which
what left the view is dead. Invariant: scores do not depend on how files are spread over parts.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy

from patchwright_engine.index.postings_part import Floats, Held, Integers, Part, rarity_of
from patchwright_engine.index.unit_terms import UnitTerms, unit_terms
from patchwright_engine.index.vectors import FIELDS, term_key

K1 = 1.2
B_FILES = 0.75
B_UNITS = 0.6
MAX_PARTS = 8
"""More small ones are made into one: each costs a look-up for every query."""
PART_FILES = 4_000
"""Of a full part, which is never merged; making one takes some 200 bytes a file for each kilobyte of source."""

Load = Callable[[Sequence[int]], Iterable[tuple[int, bytes]]]
"""Packed vectors of the asked-for files, in any order; a file that has none may be left out."""


class UnitScore(NamedTuple):
    """One unit that shares a term with the query. A tuple: a search tells thousands."""

    file: int
    """The caller's number of the file."""
    symbol: int
    """Position among the file's symbols, or -1 for what is outside them."""
    score: float


@dataclass(frozen=True, slots=True)
class Scores:
    """What shares a term with the query; unnormalised. Files by the caller's numbers."""

    files: Mapping[int, float]
    units: tuple[UnitScore, ...]
    """Best first."""
    fields: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    """Files by what they say in one field alone."""
    file_mass: float = 0.0
    """Weight and rarity of the query's terms together, over files; a score over it is comparable between queries."""
    rarity: Mapping[str, float] = field(default_factory=dict)
    """Of each term of the query over files: 0 for one that all hold, 1 for one that none holds."""


class Postings:
    """The terms of a set of files. Not for several threads at once."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._view: frozenset[int] | None = None

    @property
    def files(self) -> frozenset[int]:
        """Numbers of the files held."""
        return frozenset(file for part in self._parts for file in part.alive)

    def update(self, view: Collection[int], load: Load) -> None:
        """Hold exactly the files of `view`; `load` gives the packed vectors of those that are new."""
        wanted = frozenset(view)
        if wanted is self._view:  # As for every question between two changes.
            return
        self._view = None
        for part in self._parts:
            part.keep(wanted)
        # A part that is mostly dead costs more than making its living files anew.
        self._parts = [part for part in self._parts if 2 * len(part.alive) > part.size]
        missing = wanted - self.files
        small = [part for part in self._parts if 2 * len(part.alive) <= PART_FILES]
        if missing and len(small) >= MAX_PARTS:
            largest = max(small, key=lambda part: part.size)
            missing = missing.union(*(part.alive for part in small if part is not largest))
            self._parts = [part for part in self._parts if part not in small or part is largest]
        ordered = sorted(missing)
        for start in range(0, len(ordered), PART_FILES):
            self._parts.append(Part(load(ordered[start : start + PART_FILES])))
        self._view = wanted

    def search(self, query: Mapping[str, float], top_units: int = 2_000) -> Scores:
        """BM25 of every file and unit; `query` gives each term's weight."""
        return self.search_many([query], top_units)[0]

    def search_many(
        self, queries: Sequence[Mapping[str, float]], top_units: int = 2_000, among: Collection[int] | None = None
    ) -> tuple[Scores, ...]:
        """The same for several queries that share terms, at little more than the cost of all their terms once.

        Fields are weighed before the counts saturate (Robertson et al., "Simple BM25 extension to multiple weighted
        fields", 2004). `among` names the files whose units are told; all files are scored.
        """
        terms = list(dict.fromkeys(term for query in queries for term in query))
        units = sum(part.units for part in self._parts)
        if not units or not terms:
            return tuple(Scores({}, ()) for _ in queries)
        keys = numpy.array([term_key(term) for term in terms], numpy.uint32)
        found = [part.find(keys) for part in self._parts]
        rarity = _Rarity(self._parts, found, len(terms))
        for held in found:
            _weigh(held, rarity)
        weights = [numpy.array([max(0.0, query.get(term, 0.0)) for term in terms]) for query in queries]
        chosen = frozenset(among) if among is not None else None
        every = (_scores(found, rarity, one, top_units, chosen) for one in weights)
        rare = dict(zip(terms, (rarity.files / rarity.most).tolist(), strict=True))
        return tuple(replace(scores, rarity=rare) for scores in every)

    def unit_terms(self, terms: Sequence[str], files: Sequence[int]) -> UnitTerms:
        """How often every unit of `files` says each of `terms`."""
        return unit_terms(self._parts, terms, files)


class _Rarity:
    """How rare each term is, and how long documents are, over all parts."""

    def __init__(self, parts: Sequence[Part], found: Sequence[Held], terms: int) -> None:
        units, files = sum(part.units for part in parts), sum(len(part.alive) for part in parts)
        self.unit_words = sum(part.unit_words for part in parts) / units or 1.0
        self.file_words = sum(part.file_words for part in parts) / files or 1.0
        totals = sum((part.field_words for part in parts), numpy.zeros(len(FIELDS)))
        self.field_words: Floats = numpy.maximum(totals / files, 1e-9)
        self.units = rarity_of(sum((_count(held.term, terms) for held in found), numpy.zeros(terms)), units)
        self.files = rarity_of(sum((_count(held.file_term, terms) for held in found), numpy.zeros(terms)), files)
        self.most = math.log(1 + (files + 0.5) / 0.5)
        in_field = (
            sum((_count(held.file_term[held.file_counts[number] > 0], terms) for held in found), numpy.zeros(terms))
            for number in range(len(FIELDS))
        )
        self.fields = [rarity_of(frequency, files) for frequency in in_field]


def _weigh(held: Held, rarity: _Rarity) -> None:
    """What each entry adds to its unit's and file's score for a term of weight 1."""
    part = held.part
    lengths = part.lengths[held.unit] / rarity.unit_words
    held.unit_gain = rarity.units[held.term] * _saturated(held.count, lengths, B_UNITS)
    lengths = part.file_lengths[held.file] / rarity.file_words
    held.file_gain = rarity.files[held.file_term] * _saturated(held.file_count, lengths, B_FILES)
    for number, said in enumerate(held.file_counts):
        lengths = part.field_lengths[number][held.file] / rarity.field_words[number]
        held.field_gain[number] = rarity.fields[number][held.file_term] * _saturated(said, lengths, B_FILES)


def _saturated(counts: Floats, lengths: Floats, b: float) -> Floats:
    """Counts in documents of such `lengths` (1 is the mean), each worth less than the one before; `b` as in BM25."""
    return counts * (K1 + 1) / (counts + K1 * (1 - b + b * lengths))


def _scores(
    found: Sequence[Held], rarity: _Rarity, weights: Floats, top_units: int, among: frozenset[int] | None
) -> Scores:
    file_mass = float(weights @ rarity.files)
    files: dict[int, float] = {}
    fields: dict[str, dict[int, float]] = {name: {} for name in FIELDS}
    units: list[tuple[Integers, Integers, Floats]] = []
    for held in found:
        part, size = held.part, held.part.size
        file_weight = weights[held.file_term]
        files.update(part.told(_sums(held.file, held.file_gain * file_weight, size)))
        for name, gain in zip(FIELDS, held.field_gain, strict=True):
            fields[name].update(part.told(_sums(held.file, gain * file_weight, size)))
        scores = _sums(held.unit, held.unit_gain * weights[held.term], len(part.file_of))
        units.append(_best_units(part, scores, top_units, among))
    return Scores(files, _best_first(units, top_units), fields, file_mass)


def _best_units(
    part: Part, scores: Floats, count: int, among: frozenset[int] | None
) -> tuple[Integers, Integers, Floats]:
    """Files by the caller's numbers, symbols and scores of the best units of a part."""
    if among is not None:
        wanted = numpy.array([number in among for number in part.numbers], numpy.bool_)
        scores = numpy.where(wanted[part.file_of], scores, 0.0)
    places = numpy.flatnonzero(scores)
    if len(places) > count:
        places = places[numpy.argpartition(-scores[places], count)[:count]]
    return part.number_of[part.file_of[places]], part.symbol_of[places].astype(numpy.int64), scores[places]


def _best_first(units: Sequence[tuple[Integers, Integers, Floats]], count: int) -> tuple[UnitScore, ...]:
    files, symbols, scores = (numpy.concatenate(column) for column in zip(*units, strict=True))
    order = numpy.lexsort((symbols, files, -scores))[:count]
    return tuple(map(UnitScore, files[order].tolist(), symbols[order].tolist(), scores[order].tolist()))


def _count(terms: Integers, size: int) -> Floats:
    return numpy.bincount(terms, minlength=size).astype(numpy.float64)


def _sums(places: Integers, values: Floats, size: int) -> Floats:
    return numpy.bincount(places, values, size).astype(numpy.float64, copy=False)
