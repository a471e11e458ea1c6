"""One part of the postings: some files' units, and for every term the units that hold it.

Invariant: entries of a term are in the order of files and units, so sums over a file need no sorting.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy
from numpy.typing import NDArray

from patchwright_engine.index.vectors import FIELDS, Numbers, Vectors, unpack

FIELD_WEIGHTS = {"code": 1.0, "text": 1.0, "name": 3.0}

Floats = NDArray[numpy.float64]
Integers = NDArray[numpy.int64]
Kind = TypeVar("Kind", bound=numpy.generic)


@dataclass(slots=True)
class Held:
    """What one part holds of some terms: entries by unit, and their sums by file."""

    part: "Part"
    term: Integers
    """Of each entry: which of the terms asked for."""
    unit: Integers
    count: Floats
    """Over all fields, weighted."""
    file_term: Integers
    file: Integers
    file_count: Floats
    file_counts: tuple[Floats, ...]
    """By field, unweighted."""
    unit_gain: Floats = field(default_factory=lambda: numpy.zeros(0))
    """For `postings.py`: what an entry adds to a score."""
    file_gain: Floats = field(default_factory=lambda: numpy.zeros(0))
    field_gain: list[Floats] = field(default_factory=lambda: [numpy.zeros(0)] * len(FIELDS))


class Part:
    """Some files' units with their terms in order."""

    def __init__(self, packed: Iterable[tuple[int, bytes]]) -> None:
        self.numbers: list[int] = []
        every: list[Vectors] = []
        for number, content in packed:
            self.numbers.append(number)
            every.append(unpack(content))
        self.size = len(self.numbers)
        self.number_of = numpy.array(self.numbers, numpy.int64)
        self.alive = frozenset(self.numbers)
        joined = _Joined(every)
        self.file_of = numpy.repeat(numpy.arange(len(every)), joined.units)
        """Of each unit; every file has one."""
        self.symbol_of = joined.symbols
        self.nested = joined.nested.astype(numpy.bool_)
        self.lengths = joined.lengths.astype(numpy.float64)
        own = numpy.where(self.nested, 0.0, self.lengths)
        self.file_lengths = numpy.bincount(self.file_of, own, minlength=len(every))
        self.field_lengths = numpy.array([vectors.totals for vectors in every], numpy.float64).reshape(-1, 3).T
        self._alive_files = numpy.ones(self.size, numpy.bool_)
        self._count_words()
        self._invert(joined)

    def keep(self, wanted: frozenset[int]) -> None:
        """Let the files outside `wanted` die."""
        if self.alive <= wanted:
            return
        self.alive &= wanted
        self._alive_files = numpy.array([number in self.alive for number in self.numbers], numpy.bool_)
        self._count_words()

    def entries(self, keys: NDArray[numpy.uint32]) -> tuple[Integers, Integers, Integers]:
        """The living units that hold any of `keys`, term by term: which of the keys, the unit, the entry's place."""
        places = numpy.searchsorted(self._keys, keys)
        places[places == len(self._keys)] = 0
        known = self._keys[places] == keys if len(self._keys) else numpy.zeros(len(keys), numpy.bool_)
        starts = numpy.where(known, self._starts[places], 0)
        sizes = numpy.where(known, self._starts[places + 1] - starts, 0) if len(self._keys) else starts
        ends = numpy.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else 0
        entries = numpy.arange(total) + numpy.repeat(starts - (ends - sizes), sizes)
        term = numpy.repeat(numpy.arange(len(keys)), sizes)
        unit = self._unit_of[entries].astype(numpy.int64)
        if len(self.alive) < self.size:
            living = self._alive_files[self.file_of[unit]]
            entries, term, unit = entries[living], term[living], unit[living]
        return term, unit, entries

    def weighted(self, entries: Integers) -> Floats:
        """How often the units of `entries` say their terms, over all fields, weighted."""
        return _weighted([counts[entries].astype(numpy.float64) for counts in self._counts])

    def find(self, keys: NDArray[numpy.uint32]) -> Held:
        """The living units that hold any of `keys`, term by term, and the sums over their files."""
        term, unit, entries = self.entries(keys)
        counts = [field_counts[entries].astype(numpy.float64) for field_counts in self._counts]
        whole = ~self.nested[unit]
        file_term, file, file_counts = _by_file(
            term[whole], self.file_of[unit[whole]], [one[whole] for one in counts], self.size
        )
        return Held(self, term, unit, _weighted(counts), file_term, file, _weighted(file_counts), tuple(file_counts))

    def told(self, values: Floats) -> dict[int, float]:
        """Values of this part's files by the caller's numbers, zeros left out."""
        places = numpy.flatnonzero(values)
        return dict(zip(self.number_of[places].tolist(), values[places].tolist(), strict=True))

    def _count_words(self) -> None:
        alive = self._alive_files[self.file_of]
        self.units = int(alive.sum())
        self.unit_words = float(self.lengths[alive].sum())
        self.file_words = float(self.file_lengths[self._alive_files].sum())
        self.field_words = self.field_lengths[:, self._alive_files].sum(axis=1)

    def _invert(self, joined: "_Joined") -> None:
        first = numpy.cumsum(joined.terms_of_file) - joined.terms_of_file
        keys = joined.terms[joined.places + numpy.repeat(first, joined.entries)]
        # One sort of plain numbers is several times faster than an indirect one.
        together = keys.astype(numpy.uint64) << numpy.uint64(32)
        together |= numpy.arange(len(keys), dtype=numpy.uint64)
        together.sort()
        order = (together & numpy.uint64(0xFFFFFFFF)).astype(numpy.uint32)
        ordered = (together >> numpy.uint64(32)).astype(numpy.uint32)
        changes = numpy.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        starts = numpy.concatenate((numpy.zeros(min(1, len(ordered)), numpy.int64), changes))
        self._keys = ordered[starts]
        self._starts = numpy.append(starts, len(ordered))
        self._unit_of = numpy.repeat(numpy.arange(len(joined.sizes), dtype=numpy.uint32), joined.sizes)[order]
        self._counts = [counts[order] for counts in joined.counts]


class _Joined:
    """The vectors of several files, one behind the other."""

    def __init__(self, every: Sequence[Vectors]) -> None:
        self.units = numpy.array([len(vectors.symbols) for vectors in every], numpy.int64)
        """How many each file has, as are the next two."""
        self.terms_of_file = numpy.array([len(vectors.terms) for vectors in every], numpy.int64)
        self.entries = numpy.array([len(vectors.places) for vectors in every], numpy.int64)
        columns: Sequence[Sequence[Numbers]] = [*zip(*every, strict=True)][1:] or [()] * (len(Vectors._fields) - 1)
        self.symbols = _joined(columns[0], numpy.int32)
        self.nested = _joined(columns[1], numpy.uint8)
        self.lengths, self.sizes, self.terms, self.places = (_joined(part, numpy.uint32) for part in columns[2:6])
        self.counts = tuple(_joined(part, numpy.uint8) for part in columns[6:])


def rarity_of(frequency: Floats, documents: int) -> Floats:
    """How much a term says that so many documents hold: BM25's inverse document frequency, never below 0."""
    rarity: Floats = numpy.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))
    return rarity


def _by_file(
    term: Integers, file: Integers, counts: Sequence[Floats], files: int
) -> tuple[Integers, Integers, list[Floats]]:
    """Sums of `counts` over the entries of each term and file, which stand together."""
    both = term * files + file
    starts = numpy.flatnonzero(numpy.diff(both, prepend=-1))
    if not len(starts):
        return term, file, list(counts)
    return term[starts], file[starts], [numpy.add.reduceat(one, starts) for one in counts]


def _weighted(counts: Sequence[Floats]) -> Floats:
    return sum((FIELD_WEIGHTS[name] * one for name, one in zip(FIELDS, counts, strict=True)), numpy.zeros(1))


def _joined(parts: Iterable[Numbers], kind: type[Kind]) -> NDArray[Kind]:
    return numpy.frombuffer(b"".join(parts), kind)
