"""Which units say which term: BM25 over all units and files of a view in milliseconds.

Held in memory, made from the packed vectors of the files: parts that are never changed, in which what left the view is
dead. Invariant: scores do not depend on how files are spread over parts.
"""

import math
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy
from numpy.typing import NDArray

from patchwright_engine.index.vectors import FIELDS, Vectors, term_key, unpack

K1 = 1.2
B_FILES = 0.75
B_UNITS = 0.6
FIELD_WEIGHTS = {"code": 1.0, "text": 1.0, "name": 3.0}
MAX_PARTS = 8
"""More are made into one: each costs a look-up for every term."""

Load = Callable[[Sequence[int]], Iterable[tuple[int, bytes]]]
"""Packed vectors of the asked-for files, in any order; a file that has none may be left out."""
Floats = NDArray[numpy.float64]
Integers = NDArray[numpy.int64]
Kind = TypeVar("Kind", bound=numpy.generic)


@dataclass(frozen=True, slots=True)
class UnitScore:
    """One unit that shares a term with the query."""

    file: int
    """The caller's number of the file."""
    symbol: int
    """Position among the file's symbols, or -1 for what is outside them."""
    score: float


@dataclass(frozen=True, slots=True)
class Scores:
    """What shares a term with the query; unnormalised."""

    files: Mapping[int, float]
    units: tuple[UnitScore, ...]
    """Best first."""


class Postings:
    """The terms of a set of files. Not for several threads at once."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    @property
    def files(self) -> frozenset[int]:
        """Numbers of the files held."""
        return frozenset(file for part in self._parts for file in part.alive)

    def update(self, view: Collection[int], load: Load) -> None:
        """Hold exactly the files of `view`; `load` gives the packed vectors of those that are new."""
        wanted = frozenset(view)
        for part in self._parts:
            part.keep(wanted)
        # A part that is mostly dead costs more than making its living files anew.
        self._parts = [part for part in self._parts if 2 * len(part.alive) > part.size]
        missing = wanted - self.files
        if len(self._parts) >= MAX_PARTS and missing:
            self._parts.sort(key=lambda part: part.size)
            missing = missing.union(*(part.alive for part in self._parts[:-1]))
            del self._parts[:-1]
        if missing:
            self._parts.append(_Part(load(sorted(missing))))

    def search(self, query: Mapping[str, float], top_units: int = 2_000) -> Scores:
        """BM25 of every file and unit; `query` gives each term's weight.

        Fields are weighed before the counts saturate (Robertson et al., "Simple BM25 extension to multiple weighted
        fields", 2004).
        """
        terms = [(weight, _keys(term)) for term, weight in query.items()]
        found = [_Found(part, terms) for part in self._parts]
        units = sum(part.units for part in self._parts)
        files = sum(len(part.alive) for part in self._parts)
        if not units:
            return Scores({}, ())
        unit_words = sum(part.unit_words for part in self._parts) / units or 1.0
        file_words = sum(part.file_words for part in self._parts) / files or 1.0
        for position, (weight, _) in enumerate(terms):
            unit_idf = weight * _idf(sum(one.unit_frequency(position) for one in found), units)
            file_idf = weight * _idf(sum(one.file_frequency(position) for one in found), files)
            for one in found:
                one.add(position, unit_idf, file_idf, unit_words, file_words)
        best = [unit for one in found for unit in one.best_units(top_units)]
        best.sort(key=lambda unit: (-unit.score, unit.file, unit.symbol))
        return Scores({file: score for one in found for file, score in one.file_scores()}, tuple(best[:top_units]))


class _Part:
    """Some files' units with their terms in order."""

    def __init__(self, packed: Iterable[tuple[int, bytes]]) -> None:
        numbers: list[int] = []
        every: list[Vectors] = []
        for number, content in packed:
            numbers.append(number)
            every.append(unpack(content))
        self.size = len(numbers)
        self._numbers = numbers
        self.alive = frozenset(numbers)
        sizes = [len(vectors.symbols) for vectors in every]
        self.file_of = numpy.repeat(numpy.arange(len(every)), sizes)
        self.symbol_of = _joined([vectors.symbols for vectors in every], numpy.int32)
        self.nested = _joined([vectors.nested for vectors in every], numpy.uint8).astype(numpy.bool_)
        self.lengths = _joined([vectors.lengths for vectors in every], numpy.uint32).astype(numpy.float64)
        own = numpy.where(self.nested, 0.0, self.lengths)
        self.file_lengths = numpy.bincount(self.file_of, own, minlength=len(every))
        self._alive_units = numpy.ones(len(self.file_of), numpy.bool_)
        self._count_words()
        entries = [numpy.diff(numpy.frombuffer(vectors.offsets, numpy.uint32)) for vectors in every]
        unit_of = numpy.repeat(
            numpy.arange(len(self.file_of), dtype=numpy.uint32), numpy.concatenate(entries) if entries else []
        )
        keys = _joined([vectors.keys for vectors in every], numpy.uint32)
        counts = _joined([vectors.counts for vectors in every], numpy.uint8)
        # One sort of plain numbers is several times faster than an indirect one.
        together = (keys.astype(numpy.uint64) << numpy.uint64(32)) | numpy.arange(len(keys), dtype=numpy.uint64)
        together.sort()
        order = (together & numpy.uint64(0xFFFFFFFF)).astype(numpy.int64)
        self._unit_of, self._counts = unit_of[order], counts[order]
        ordered = (together >> numpy.uint64(32)).astype(numpy.uint32)
        self._keys, starts = numpy.unique(ordered, return_index=True)
        self._starts = numpy.append(starts, len(ordered))

    def keep(self, wanted: frozenset[int]) -> None:
        """Let the files outside `wanted` die."""
        if self.alive <= wanted:
            return
        self.alive &= wanted
        living = numpy.array([number in self.alive for number in self._numbers], numpy.bool_)
        self._alive_units = living[self.file_of]
        self._count_words()

    def number_of(self, file: int) -> int:
        return self._numbers[file]

    def of(self, keys: Iterable[tuple[int, float]]) -> tuple[Integers, Floats]:
        """Units that hold any of the terms, ascending, with the sum of their weighted counts."""
        units, counts = [], []
        for key, weight in keys:
            place = int(numpy.searchsorted(self._keys, numpy.uint32(key)))
            if place < len(self._keys) and self._keys[place] == key:
                span = slice(int(self._starts[place]), int(self._starts[place + 1]))
                units.append(self._unit_of[span])
                counts.append(self._counts[span] * weight)
        if not units:
            return numpy.zeros(0, numpy.int64), numpy.zeros(0)
        all_units, all_counts = numpy.concatenate(units), numpy.concatenate(counts)
        living = self._alive_units[all_units]
        distinct, inverse = numpy.unique(all_units[living], return_inverse=True)
        return distinct.astype(numpy.int64), _sums(inverse, all_counts[living], len(distinct))

    def _count_words(self) -> None:
        own = self._alive_units & ~self.nested
        self.units = int(self._alive_units.sum())
        self.unit_words = float(self.lengths[self._alive_units].sum())
        self.file_words = float(self.lengths[own].sum())


class _Found:
    """The query's terms in one part, and the scores as they add up."""

    def __init__(self, part: _Part, terms: Iterable[tuple[float, tuple[tuple[int, float], ...]]]) -> None:
        self._part = part
        self._units = [part.of(keys) for _, keys in terms]
        self._files = [self._by_file(units, counts) for units, counts in self._units]
        self._unit_scores = numpy.zeros(len(part.file_of))
        self._file_scores = numpy.zeros(part.size)

    def unit_frequency(self, term: int) -> int:
        return len(self._units[term][0])

    def file_frequency(self, term: int) -> int:
        return len(self._files[term][0])

    def add(self, term: int, unit_idf: float, file_idf: float, unit_words: float, file_words: float) -> None:
        """Add what one term says, its rarity being known over all parts."""
        units, counts = self._units[term]
        norm = K1 * (1 - B_UNITS + B_UNITS * self._part.lengths[units] / unit_words)
        self._unit_scores[units] += unit_idf * counts * (K1 + 1) / (counts + norm)
        files, counts = self._files[term]
        spread = K1 * (1 - B_FILES + B_FILES * self._part.file_lengths[files] / file_words)
        self._file_scores[files] += file_idf * counts * (K1 + 1) / (counts + spread)

    def best_units(self, count: int) -> Iterator[UnitScore]:
        scores = self._unit_scores
        chosen = numpy.argpartition(-scores, count)[:count] if len(scores) > count else numpy.arange(len(scores))
        for unit in chosen[scores[chosen] > 0].tolist():
            file = self._part.number_of(int(self._part.file_of[unit]))
            yield UnitScore(file, int(self._part.symbol_of[unit]), float(scores[unit]))

    def file_scores(self) -> Iterator[tuple[int, float]]:
        for file in numpy.flatnonzero(self._file_scores).tolist():
            yield self._part.number_of(file), float(self._file_scores[file])

    def _by_file(self, units: Integers, counts: Floats) -> tuple[Integers, Floats]:
        whole = ~self._part.nested[units]
        files, inverse = numpy.unique(self._part.file_of[units[whole]], return_inverse=True)
        return files, _sums(inverse, counts[whole], len(files))


def _keys(term: str) -> tuple[tuple[int, float], ...]:
    return tuple((term_key(term, name), FIELD_WEIGHTS[name]) for name in FIELDS)


def _idf(frequency: int, documents: int) -> float:
    return math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))


def _joined(parts: Sequence["array[int]"], kind: type[Kind]) -> NDArray[Kind]:
    return numpy.concatenate([numpy.frombuffer(part, kind) for part in parts]) if parts else numpy.zeros(0, kind)


def _sums(inverse: Integers, counts: Floats, size: int) -> Floats:
    return numpy.bincount(inverse, counts, minlength=size).astype(numpy.float64)
