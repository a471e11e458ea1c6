"""Search the files in view by words: from the store's vectors to scores of paths and symbols.

Invariant: equal files share their vectors, so they score the same wherever they lie.
"""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from patchwright_engine.index.store import Store
from patchwright_engine.types import RepoPath, Symbol

if TYPE_CHECKING:
    from patchwright_engine.index.postings import Postings, Scores
    from patchwright_engine.index.unit_terms import UnitTerms

BATCH = 400
"""Units asked for at a time: two values each, of which old SQLite takes 999."""

Files = Mapping[int, Sequence[RepoPath]]
"""The paths in view by the row of their content."""


@dataclass(frozen=True, slots=True)
class LexicalScores:
    """BM25 of what shares a term with a query, unnormalised."""

    files: Mapping[RepoPath, float]
    symbols: Mapping[Symbol, float]
    """The best functions, and classes by what is in none of their methods."""
    outside: Mapping[RepoPath, float]
    """What a file says outside its functions and classes, where that is among the best."""
    by_field: Mapping[str, Mapping[RepoPath, float]] = field(default_factory=dict)
    """Files by what they say in one field alone: 'code', 'text' (comments and strings), 'name' (of definitions)."""
    file_mass: float = 0.0
    """Weight and rarity of all the query's terms, over files: a score over it is comparable between queries."""
    rarity: Mapping[str, float] = field(default_factory=dict)
    """Of each term of the query over files, 0 (all hold it) to 1 (none does)."""


@dataclass(frozen=True, slots=True)
class UnitTable:
    """The units of some files and how often they say each of a few terms."""

    paths: tuple[RepoPath, ...]
    terms: tuple[str, ...]
    rows: "UnitTerms"
    """Its `file` counts in `paths`, its columns are `terms`."""


class LexicalSearch:
    """The postings of the files in view, made on the first search and kept from view to view."""

    def __init__(self) -> None:
        self._postings: Postings | None = None

    def search(
        self,
        store: Store,
        paths: Files,
        queries: Sequence[Mapping[str, float]],
        among: Collection[RepoPath] | None,
        top_units: int,
    ) -> tuple[LexicalScores, ...]:
        """Score the files of `paths` for each query, and tell its `top_units` best units of the files of `among`.

        Raises:
            sqlite3.Error: the store is broken.
        """
        postings = self._updated(store, paths)
        inside = None
        if among is not None:
            wanted = frozenset(among)
            inside = {file for file, places in paths.items() if not wanted.isdisjoint(places)}
        every = postings.search_many(queries, top_units, inside)
        symbols = _symbols(store, {(unit.file, unit.symbol) for found in every for unit in found.units})
        return tuple(_told(found, paths, symbols, among) for found in every)

    def unit_terms(self, store: Store, paths: Files, terms: Sequence[str], of: Collection[RepoPath]) -> UnitTable:
        """What the units of the files `of` say of `terms`.

        Raises:
            sqlite3.Error: the store is broken.
        """
        file_of = {path: file for file, places in paths.items() for path in places}
        chosen = [path for path in dict.fromkeys(of) if path in file_of]
        # Equal files share one number, and its rows are told for the first of them only.
        first = {file_of[path]: path for path in reversed(chosen)}
        rows = self._updated(store, paths).unit_terms(terms, list(first))
        return UnitTable(tuple(first.values()), tuple(terms), rows)

    def _updated(self, store: Store, paths: Files) -> "Postings":
        from patchwright_engine.index.postings import Postings  # numpy takes a tenth of a second: only for a search

        self._postings = self._postings or Postings()
        try:
            self._postings.update(paths, store.vectors)
        except ValueError as error:
            raise sqlite3.DatabaseError(f"damaged vectors: {error}") from error
        return self._postings


def _told(
    found: "Scores",
    paths: Files,
    symbols: Mapping[tuple[int, int], tuple[str, str, int, int, str]],
    among: Collection[RepoPath] | None,
) -> LexicalScores:
    told = among if among is None else frozenset(among)
    of_symbols: dict[Symbol, float] = {}
    outside: dict[RepoPath, float] = {}
    for unit in found.units:
        row = symbols.get((unit.file, unit.symbol))
        for path in paths[unit.file]:
            if told is not None and path not in told:
                continue
            if unit.symbol < 0:
                outside[path] = unit.score
            elif row is not None:
                of_symbols[Symbol(path, *row)] = unit.score
    return LexicalScores(
        files=_by_path(found.files, paths),
        symbols=of_symbols,
        outside=outside,
        by_field={name: _by_path(scores, paths) for name, scores in found.fields.items()},
        file_mass=found.file_mass,
        rarity=found.rarity,
    )


def _by_path(scores: Mapping[int, float], paths: Files) -> dict[RepoPath, float]:
    return {path: score for file, score in scores.items() for path in paths[file]}


def _symbols(store: Store, units: Iterable[tuple[int, int]]) -> dict[tuple[int, int], tuple[str, str, int, int, str]]:
    """The rows of symbols by file and position."""
    wanted = sorted(unit for unit in units if unit[1] >= 0)
    found: dict[tuple[int, int], tuple[str, str, int, int, str]] = {}
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        rows = store.rows(
            f"WITH wanted(file, position) AS (VALUES {','.join(['(?,?)'] * len(batch))})"
            " SELECT file, position, name, kind, start_line, end_line, signature"
            " FROM wanted CROSS JOIN symbol USING (file, position)",
            [value for unit in batch for value in unit],
        )
        found.update(((file, position), (*row,)) for file, position, *row in rows)
    return found
