"""What every unit of some files says of a few terms, as one table: for scores that need more than a search tells.

Invariant: rows are in the order of the files asked for and of the units in them; columns in that of the terms.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy

from patchwright_engine.index.postings_part import Floats, Integers, Part
from patchwright_engine.index.vectors import term_key


@dataclass(frozen=True, slots=True)
class UnitTerms:
    """Functions, classes and what is outside them (symbol -1), with how often they say each term."""

    file: Integers
    """Of each row: the file's place among those asked for."""
    symbol: Integers
    """Position among the file's symbols, or -1."""
    lengths: Floats
    """In words."""
    counts: Floats
    """(rows, terms), over all fields, weighted."""
    frequency: Floats
    """Of each term: how many of all units in view say it."""
    mean_length: float
    units: int
    """In view."""


def unit_terms(parts: Iterable[Part], terms: Sequence[str], files: Sequence[int]) -> UnitTerms:
    """The table for `files`, by the caller's numbers; files that are not in `parts` have no rows."""
    keys = numpy.array([term_key(term) for term in terms], numpy.uint32)
    place = {number: at for at, number in enumerate(files)}
    frequency, units, words = numpy.zeros(len(terms)), 0, 0.0
    none = numpy.zeros(0, numpy.int64)
    tables = [(none, none, numpy.zeros(0), numpy.zeros((0, len(terms))))]
    for part in parts:
        held = part.find(keys)
        frequency += numpy.bincount(held.term, minlength=len(terms))
        units, words = units + part.units, words + part.unit_words
        of_file = numpy.array([place.get(number, -1) for number in part.numbers])
        of_file[[number not in part.alive for number in part.numbers]] = -1
        rows = numpy.flatnonzero(of_file[part.file_of] >= 0)
        row_of = numpy.full(len(part.file_of), -1)
        row_of[rows] = numpy.arange(len(rows))
        inside = row_of[held.unit] >= 0
        counts = numpy.zeros((len(rows), len(terms)))
        counts[row_of[held.unit[inside]], held.term[inside]] = held.count[inside]
        tables.append(
            (of_file[part.file_of[rows]], part.symbol_of[rows].astype(numpy.int64), part.lengths[rows], counts)
        )
    file, symbol, lengths, counts = (numpy.concatenate(column) for column in zip(*tables, strict=True))
    order = numpy.argsort(file, kind="stable")
    return UnitTerms(file[order], symbol[order], lengths[order], counts[order], frequency, words / (units or 1), units)
