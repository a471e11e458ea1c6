"""Signals: BM25 of the issue's words over whole files, and over single functions and classes."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from patchwright_engine.index import Index
from patchwright_engine.types import RepoPath, Symbol

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Lexical:
    """What shares words with the issue, each 0-1 with the best at 1."""

    files: Mapping[RepoPath, float]
    symbols: Mapping[Symbol, float]


def lexical(index: Index, query: Mapping[str, float]) -> Lexical:
    """The words of `query`, with their weights, against every file and function."""
    found = index.search(query)
    return Lexical(normalised(found.files), normalised(found.symbols))


def normalised(scores: Mapping[Key, float]) -> dict[Key, float]:
    """The same scores with the best at 1."""
    best = max(scores.values(), default=0.0)
    return {key: score / best for key, score in scores.items()} if best > 0 else {}
