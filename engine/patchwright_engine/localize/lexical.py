"""Signals: BM25 of the issue's words over whole files, and over single functions of the best of them.

BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009), with query term weights.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from patchwright_engine.control import CancelToken
from patchwright_engine.index import Index
from patchwright_engine.index.lexical import WORD, word_terms
from patchwright_engine.types import RepoPath, Snapshot, Symbol

K1 = 1.2
B_FILES = 0.75
B_FUNCTIONS = 0.6
NAME_BOOST = 3
"""A function's own name counts as if said this many more times."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Document:
    """Counts of the query's terms in one text, and its length in terms."""

    counts: Mapping[str, float]
    length: int


def bm25(documents: Mapping[Key, Document], query: Mapping[str, float], b: float) -> dict[Key, float]:
    """Score of every document that shares a term with the query; unnormalised."""
    if not documents:
        return {}
    mean = sum(document.length for document in documents.values()) / len(documents) or 1.0
    frequency = Counter(term for document in documents.values() for term in document.counts)
    weight = {
        term: query[term] * math.log(1 + (len(documents) - count + 0.5) / (count + 0.5))
        for term, count in frequency.items()
    }
    scores: dict[Key, float] = {}
    for key, document in documents.items():
        norm = K1 * (1 - b + b * document.length / mean)
        score = sum(weight[term] * count * (K1 + 1) / (count + norm) for term, count in document.counts.items())
        if score > 0:
            scores[key] = score
    return scores


def file_scores(
    index: Index, query: Mapping[str, float], relevant: Callable[[RepoPath], bool]
) -> dict[RepoPath, float]:
    """BM25 over the whole text of every relevant file, 0-1."""
    documents = {
        path: Document(terms.counts, terms.length) for path, terms in index.term_counts(query).items() if relevant(path)
    }
    return normalised(bm25(documents, query, B_FILES))


def function_scores(
    paths: Sequence[RepoPath], snapshot: Snapshot, index: Index, query: Mapping[str, float], cancel: CancelToken
) -> dict[Symbol, float]:
    """BM25 over the functions and class heads of `paths`, 0-1."""
    counter = _QueryCounter(query)
    documents: dict[Symbol, Document] = {}
    for path in paths:
        cancel.check()
        try:
            lines = snapshot.read_bytes(path).decode("utf-8", "replace").split("\n")
        except OSError:
            continue
        symbols = index.symbols(path)
        for symbol in symbols:
            if symbol.kind != "variable":
                documents[symbol] = counter.document(own_text(symbol, symbols, lines), symbol.name)
    return normalised(bm25(documents, query, B_FUNCTIONS))


def own_text(symbol: Symbol, symbols: Sequence[Symbol], lines: Sequence[str]) -> str:
    """The text of a function; of a class only what is not in its methods, so that they do not count twice."""
    span = range(symbol.start_line - 1, symbol.end_line)
    if symbol.kind != "class":
        return "\n".join(lines[span.start : span.stop])
    inner: set[int] = set()
    for other in symbols:
        if other is not symbol and symbol.start_line <= other.start_line and other.end_line <= symbol.end_line:
            inner.update(range(other.start_line - 1, other.end_line))
    return "\n".join(lines[number] for number in span if number not in inner and number < len(lines))


def normalised(scores: Mapping[Key, float]) -> dict[Key, float]:
    """The same scores with the best at 1."""
    best = max(scores.values(), default=0.0)
    return {key: score / best for key, score in scores.items()} if best > 0 else {}


class _QueryCounter:
    """Counts only the terms of one query; other words cost a dictionary look-up."""

    def __init__(self, query: Mapping[str, float]) -> None:
        self._query = query
        self._terms: dict[str, tuple[str, ...]] = {}

    def document(self, text: str, name: str) -> Document:
        words = Counter(WORD.findall(text))
        for word in WORD.findall(name):
            words[word] += NAME_BOOST
        counts: dict[str, float] = {}
        for word, times in words.items():
            for term in self._of(word):
                counts[term] = counts.get(term, 0) + times
        return Document(counts, words.total())

    def _of(self, word: str) -> tuple[str, ...]:
        terms = self._terms.get(word)
        if terms is None:
            terms = tuple(term for term in word_terms(word) if term in self._query)
            self._terms[word] = terms
        return terms
