"""Signals: paths and modules that the issue names, and words it shares with the words of a path."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from patchwright_engine.index import Index
from patchwright_engine.index.lexical import term_counts
from patchwright_engine.localize.mentions import Mentions
from patchwright_engine.localize.traceback import PathMatcher
from patchwright_engine.types import RepoPath

MODULE_WEIGHT = 0.6
IMPORT_WEIGHT = 0.35
"""Code in an issue imports what it uses, which is near the fault more often than it is the fault."""


def named_files(mentions: Mentions, index: Index, matcher: PathMatcher) -> dict[RepoPath, float]:
    """Files whose path (1.0) or module (less) the issue spells out."""
    scores: dict[RepoPath, float] = {}

    def note(path: RepoPath, score: float) -> None:
        scores[path] = max(scores.get(path, 0.0), score)

    for text in mentions.paths:
        path = matcher.match(text)
        if path is not None:
            note(path, 1.0)
    modules = index.modules()
    for dotted in mentions.dotted | mentions.modules:
        weight = IMPORT_WEIGHT if dotted in mentions.modules else MODULE_WEIGHT
        name = dotted
        while "." in name:
            found = modules.files_of(name)
            if found:
                for path in found:
                    note(path, weight * (0.5 if PurePosixPath(path).stem == "__init__" else 1.0))
                break
            name = name.rpartition(".")[0]
    return scores


def path_words(terms: Mapping[str, float], files: Iterable[RepoPath]) -> dict[RepoPath, float]:
    """How much of a file's path the issue's words cover, rare path words first; 0-1."""
    words = {path: frozenset(term_counts(str(PurePosixPath(path).with_suffix("")))) for path in files}
    frequency = Counter(word for found in words.values() for word in found)
    rarity = {word: math.log(1 + len(words) / count) for word, count in frequency.items()}
    scores: dict[RepoPath, float] = {}
    for path, found in words.items():
        hit = sum(rarity[word] * min(1.0, terms[word] / 2) for word in found if word in terms)
        if hit:
            scores[path] = hit
    best = max(scores.values(), default=1.0)
    return {path: score / best for path, score in scores.items()}
