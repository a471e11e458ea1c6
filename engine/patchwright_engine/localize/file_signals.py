"""Signals of files: cheap ones over all files pick the candidates, dearer ones are for these alone.

Invariant: signals are about the file; which of them counts how much is the weights' affair.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchwright_engine.index import Index, LexicalScores
from patchwright_engine.localize.graph import graph_files
from patchwright_engine.localize.lexical import best_of, normalised
from patchwright_engine.localize.mentions import Mentions
from patchwright_engine.localize.names import dotted_symbols, files_of_names, named_symbols
from patchwright_engine.localize.paths import FileNames, PathWords, named_files, named_modules
from patchwright_engine.localize.traceback import Frame, PathMatcher, find_frames, traceback_files
from patchwright_engine.syntax.languages import names_test
from patchwright_engine.types import Issue, RepoPath, Snapshot, Symbol

if TYPE_CHECKING:
    from patchwright_engine.localize.units import UnitFit

PICKING: Mapping[str, float] = {
    "lexical": 1.0,
    "functions": 0.9,
    "names": 0.4,
    "paths": 0.4,
    "modules": 0.25,
    "imported": 0.15,
    "traceback": 0.5,
    "path_words": 0.45,
}
"""What the cheap signals count when candidates are picked; set by hand, near the middle of a wide plateau."""
ASIDE_FACTOR = 0.3
"""Tests, documentation and examples say much about an issue but are rarely what must change."""
ASIDE = re.compile(
    r"(^|/)(tests?|testing|docs?|examples?|benchmarks?|asv_bench|samples|tutorials?|gallery|vendor|third_party)/"
    r"|(^|/)(test_[^/]*|[^/]*_test|conftest|setup|conf)\.py$"
)

Signal = Mapping[RepoPath, float]


@dataclass(frozen=True, slots=True)
class Found:
    """The signals over all files and what they were read from."""

    signals: Mapping[str, Signal]
    words: LexicalScores
    functions: Mapping[tuple[RepoPath, int], float]
    """BM25 over functions and classes by position, the best at 1."""
    names: Mapping[Symbol, float]
    dotted: Mapping[Symbol, float]
    frames: Sequence[Frame]


def is_aside(path: RepoPath) -> bool:
    """Whether a file is a test, documentation, an example, or other people's code."""
    return ASIDE.search(path) is not None or names_test(path)


def central_files(files: Iterable[RepoPath]) -> frozenset[RepoPath]:
    """The files that are no asides. For `index.of_files`."""
    return frozenset(path for path in files if not is_aside(path))


def read_signals(issue: Issue, mentions: Mentions, snapshot: Snapshot, index: Index) -> Found:
    """The cheap signals, over all files."""
    matcher = index.of_files(PathMatcher)
    frames = find_frames(mentions.text, matcher)
    if issue.path is not None and issue.path in snapshot.files:
        frames = (*frames, Frame(issue.path, issue.line, None))
    central = index.of_files(central_files)
    names = named_symbols(mentions, index, central)
    dotted = dotted_symbols(mentions, index, central)
    words = index.search(mentions.terms)
    functions = normalised({unit: score for unit, score in words.units.items() if unit[1] >= 0})
    signals: dict[str, Signal] = {
        "lexical": normalised(words.files),
        "functions": _best_by_file(functions),
        "names": files_of_names(
            {symbol: names.get(symbol, 0.0) + dotted.get(symbol, 0.0) for symbol in names | dotted}
        ),
        "dotted": files_of_names(dotted),
        "paths": named_files(mentions, matcher),
        "modules": named_modules(mentions.dotted - mentions.modules, index),
        "imported": named_modules(mentions.modules, index),
        "traceback": traceback_files(frames),
        "path_words": index.of_files(PathWords).score(mentions.terms),
        "file_name": index.of_files(FileNames).score(mentions.lead, words.rarity),
    }
    return Found(signals, words, functions, names, dotted, frames)


def pick_candidates(found: Found, count: int, central: Collection[RepoPath]) -> tuple[tuple[RepoPath, ...], Signal]:
    """The `count` best files by the cheap signals, best first, and what each was worth."""
    worth: dict[RepoPath, float] = {}
    for name, weight in PICKING.items():
        for path, value in found.signals[name].items():
            worth[path] = worth.get(path, 0.0) + weight * value
    worth = {path: score if path in central else score * ASIDE_FACTOR for path, score in worth.items()}
    return tuple(best_of(worth, count, str)), worth


def candidate_signals(
    index: Index, found: Found, candidates: Sequence[RepoPath], worth: Signal, fit: "UnitFit"
) -> dict[RepoPath, dict[str, float]]:
    """All signals of the candidates, zeros left out."""
    central = index.of_files(central_files)
    signals = dict(found.signals)
    words = found.words
    signals["lexical_share"] = {path: words.files.get(path, 0.0) / (words.file_mass or 1.0) for path in candidates}
    for field, scores in words.by_field.items():
        signals[f"lexical_{field}"] = {path: scores.get(path, 0.0) / (scores.best or 1.0) for path in candidates}
    signals["graph"] = graph_files(worth, index)
    signals |= {name: fit.by_file(name) for name in ("context", "context_lead", "context_title", "coverage")}
    of_file: dict[RepoPath, dict[str, float]] = {}
    for path in candidates:
        own = {name: signal[path] for name, signal in signals.items() if signal.get(path)}
        own["size"] = math.log(1 + fit.words.get(path, 0)) / 10
        if path not in central:
            own["aside"] = 1.0
        of_file[path] = own
    return of_file


def _best_by_file(functions: Mapping[tuple[RepoPath, int], float]) -> dict[RepoPath, float]:
    best: dict[RepoPath, float] = {}
    for (path, _), score in functions.items():
        best[path] = max(best.get(path, 0.0), score)
    return best
