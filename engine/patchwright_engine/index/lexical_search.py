"""Search the files in view by words: from the store's vectors to scores of paths and of units in them.

Invariant: equal files share their vectors, so they score the same wherever they lie.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from patchwright_engine.index.shown import Shown
from patchwright_engine.index.store import Store
from patchwright_engine.types import RepoPath

if TYPE_CHECKING:
    from patchwright_engine.index.postings import Postings, Scores
    from patchwright_engine.index.unit_terms import UnitTerms

Unit = tuple[RepoPath, int]
"""A function or class by its position in `index.symbols(path)`; -1 stands for what is outside them."""


class ScoresByPath(Mapping[RepoPath, float]):
    """Scores of contents, told by path when asked for: of most files nobody wants to know them."""

    def __init__(self, scores: Mapping[int, float], view: Shown) -> None:
        self._scores = scores
        self._view = view
        self.best = max(scores.values(), default=0.0)

    def __getitem__(self, path: RepoPath) -> float:
        return self._scores[self._view.shown[path]]

    def __iter__(self) -> Iterator[RepoPath]:
        return (path for file in self._scores for path in self._view.paths[file])

    def __len__(self) -> int:
        return sum(len(self._view.paths[file]) for file in self._scores)


@dataclass(frozen=True, slots=True)
class LexicalScores:
    """BM25 of what shares a term with a query, unnormalised."""

    files: Mapping[RepoPath, float]
    units: Mapping[Unit, float]
    """The best functions, classes by what is in none of their methods, and files by what is outside both."""
    by_field: Mapping[str, ScoresByPath] = field(default_factory=dict)
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
    """Its `file` counts in `paths`, its `term` in `terms`."""


class LexicalSearch:
    """The postings of the files in view, made on the first search and kept from view to view."""

    def __init__(self) -> None:
        self._postings: Postings | None = None

    def search(
        self,
        store: Store,
        view: Shown,
        queries: Sequence[Mapping[str, float]],
        among: Collection[RepoPath] | None,
        top_units: int,
    ) -> tuple[LexicalScores, ...]:
        """Score the files of `view` for each query, and tell its `top_units` best units of the files of `among`.

        Raises:
            sqlite3.Error: the store is broken.
        """
        told = frozenset(among) if among is not None else None
        inside = {view.shown[path] for path in told if path in view.shown} if told is not None else None
        every = self._updated(store, view).search_many(queries, top_units, inside)
        return tuple(_told(found, view, told) for found in every)

    def unit_terms(self, store: Store, view: Shown, terms: Sequence[str], of: Collection[RepoPath]) -> UnitTable:
        """What the units of the files `of` say of `terms`.

        Raises:
            sqlite3.Error: the store is broken.
        """
        chosen = [path for path in dict.fromkeys(of) if path in view.shown]
        # Equal files share one number, and its rows are told for the first of them only.
        first = {view.shown[path]: path for path in reversed(chosen)}
        rows = self._updated(store, view).unit_terms(terms, list(first))
        return UnitTable(tuple(first.values()), tuple(terms), rows)

    def _updated(self, store: Store, view: Shown) -> "Postings":
        from patchwright_engine.index.postings import Postings  # numpy takes a tenth of a second: only for a search

        self._postings = self._postings or Postings()
        try:
            self._postings.update(view.contents, store.vectors)
        except ValueError as error:
            raise sqlite3.DatabaseError(f"damaged vectors: {error}") from error
        return self._postings


def _told(found: "Scores", view: Shown, among: frozenset[RepoPath] | None) -> LexicalScores:
    paths = view.paths
    return LexicalScores(
        files={path: score for file, score in found.files.items() for path in paths[file]},
        units={
            (path, symbol): score
            for file, symbol, score in found.units
            for path in paths[file]
            if among is None or path in among
        },
        by_field={name: ScoresByPath(scores, view) for name, scores in found.fields.items()},
        file_mass=found.file_mass,
        rarity=found.rarity,
    )
