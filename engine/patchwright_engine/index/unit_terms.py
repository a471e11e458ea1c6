"""What every unit of some files says of a few terms: for scores that need more than a search tells.

Invariant: rows are in the order of the files asked for and of the units in them, the entries of a row in that of the
terms, so sums over a row do not depend on how files are spread over parts.
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
    row: Integers
    """Of each entry: the unit that says"""
    term: Integers
    """this term"""
    count: Floats
    """so often, over all fields, weighted; never 0."""
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
    tables = [(none, none, numpy.zeros(0))]
    entries = [(none, none, numpy.zeros(0))]
    before = 0
    for part in parts:
        term, unit, entry = part.entries(keys)
        frequency += numpy.bincount(term, minlength=len(terms))
        units, words = units + part.units, words + part.unit_words
        own = [place.get(number, -1) if number in part.alive else -1 for number in part.numbers]
        of_file = numpy.array(own, numpy.int64)
        rows = numpy.flatnonzero(of_file[part.file_of] >= 0)
        row_of = numpy.full(len(part.file_of), -1)
        row_of[rows] = numpy.arange(before, before + len(rows))
        inside = row_of[unit] >= 0
        before += len(rows)
        tables.append((of_file[part.file_of[rows]], part.symbol_of[rows].astype(numpy.int64), part.lengths[rows]))
        entries.append((row_of[unit[inside]], term[inside], part.weighted(entry[inside])))
    file, symbol, lengths = (numpy.concatenate(column) for column in zip(*tables, strict=True))
    row, term, count = (numpy.concatenate(column) for column in zip(*entries, strict=True))
    order = numpy.argsort(file, kind="stable")
    return UnitTerms(
        file[order],
        symbol[order],
        lengths[order],
        numpy.argsort(order)[row],
        term,
        count,
        frequency,
        words / (units or 1),
        units,
    )
