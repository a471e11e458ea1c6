"""Rank files and symbols for an issue from all signals; no model.

Reads top to bottom: cheap signals over all files, the import graph and single functions over the best of
them, then symbols of the best files. Same snapshot and issue, same ranking.
"""

import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from patchwright_engine.control import CancelToken
from patchwright_engine.index import Index
from patchwright_engine.localize.graph import graph_files
from patchwright_engine.localize.lexical import lexical
from patchwright_engine.localize.mentions import read_mentions
from patchwright_engine.localize.names import confidence, files_of_names, named_symbols
from patchwright_engine.localize.paths import PathWords, named_files
from patchwright_engine.localize.traceback import Frame, PathMatcher, find_frames, traceback_files
from patchwright_engine.syntax.languages import names_test
from patchwright_engine.syntax.parse import enclosing_symbol
from patchwright_engine.types import Issue, RankedFile, RankedSymbol, Ranking, RepoPath, Snapshot, Symbol

WEIGHTS: Mapping[str, float] = {
    "lexical": 1.0,
    "functions": 0.9,
    "names": 0.4,
    "paths": 0.4,
    "traceback": 0.5,
    "path_words": 0.45,
    "graph": 0.05,
}
"""Set by hand near the middle of a wide plateau on 73 SWE-bench instances of eight repositories."""
SYMBOL_WEIGHTS: Mapping[str, float] = {"file": 1.0, "functions": 1.0, "names": 0.6, "traceback": 0.8, "place": 3.0}
ASIDE_FACTOR = 0.3
"""Tests, documentation and examples say much about an issue but are rarely what must change."""
SYMBOL_FILES = 40
ASIDE = re.compile(
    r"(^|/)(tests?|testing|docs?|examples?|benchmarks?|asv_bench|samples|tutorials?|gallery|vendor|third_party)/"
    r"|(^|/)(test_[^/]*|[^/]*_test|conftest|setup|conf)\.py$"
)


def locate(issue: Issue, snapshot: Snapshot, index: Index, top: int = 20, cancel: CancelToken | None = None) -> Ranking:
    """Rank the `top` files and the `top` symbols that most likely must change.

    `index` must have been refreshed from `snapshot`. No match at all gives empty rankings.

    Raises:
        Cancelled: the token was cancelled.
    """
    started = time.perf_counter()
    cancel = cancel or CancelToken()
    cancel.check()
    mentions = read_mentions(issue)
    files = index.files()
    matcher = index.of_files(PathMatcher)
    frames = find_frames(mentions.text, matcher)
    if issue.path is not None and issue.path in snapshot.files:
        frames = (*frames, Frame(issue.path, issue.line, None))
    names = named_symbols(mentions, index, [path for path in files if not is_aside(path)])
    words = lexical(index, mentions.terms)
    functions = words.symbols
    signals = {
        "lexical": words.files,
        "functions": _best_by_file(functions),
        "names": files_of_names(names),
        "paths": named_files(mentions, index, matcher),
        "traceback": traceback_files(frames),
        "path_words": index.of_files(PathWords).score(mentions.terms),
    }
    cancel.check()
    signals["graph"] = graph_files(_weighted(signals), index)
    scores = _weighted(signals)
    ranked = _best(scores, max(top, SYMBOL_FILES))
    parts = _symbol_parts(ranked[:SYMBOL_FILES], index, functions, names, frames)
    symbols = _rank_symbols(parts, scores, _place(issue, index))
    return Ranking(
        files=tuple(
            RankedFile(path, scores[path], {name: signal[path] for name, signal in signals.items() if path in signal})
            for path in ranked[:top]
        ),
        symbols=tuple(symbols[:top]),
        seconds=time.perf_counter() - started,
    )


@lru_cache(maxsize=200_000)
def is_aside(path: RepoPath) -> bool:
    """Whether a file is a test, documentation, an example, or other people's code."""
    return ASIDE.search(path) is not None or names_test(path)


def _weighted(signals: Mapping[str, Mapping[RepoPath, float]]) -> dict[RepoPath, float]:
    """Weighted sum of the signals, over the sum of all weights, so that scores stay within 0-1."""
    total = sum(WEIGHTS.values())
    scores: defaultdict[RepoPath, float] = defaultdict(float)
    for name, signal in signals.items():
        for path, value in signal.items():
            scores[path] += WEIGHTS[name] * value / total
    return {path: score * (ASIDE_FACTOR if is_aside(path) else 1.0) for path, score in scores.items()}


def _best(scores: Mapping[RepoPath, float], count: int) -> list[RepoPath]:
    return sorted(scores, key=lambda path: (-scores[path], path))[:count]


def _best_by_file(functions: Mapping[Symbol, float]) -> dict[RepoPath, float]:
    best: dict[RepoPath, float] = {}
    for symbol, score in functions.items():
        best[symbol.path] = max(best.get(symbol.path, 0.0), score)
    return best


def _symbol_parts(
    paths: Sequence[RepoPath],
    index: Index,
    functions: Mapping[Symbol, float],
    names: Mapping[Symbol, float],
    frames: Sequence[Frame],
) -> dict[Symbol, dict[str, float]]:
    """The signals (0-1) of every symbol of `paths` that has any of its own."""
    on_stack = _functions_on_stack(frames, index)
    found: dict[Symbol, dict[str, float]] = {}
    for path in paths:
        for symbol in index.symbols(path):
            parts = {
                "functions": functions.get(symbol, 0.0),
                "names": confidence(names.get(symbol, 0.0)),
                "traceback": on_stack.get((path, symbol.name.rpartition(".")[2]), 0.0),
            }
            if any(parts.values()):
                found[symbol] = parts
    return found


def _rank_symbols(
    parts: Mapping[Symbol, Mapping[str, float]], file_score: Mapping[RepoPath, float], place: Symbol | None
) -> list[RankedSymbol]:
    best_file = max((file_score.get(symbol.path, 0.0) for symbol in parts), default=0.0) or 1.0
    total = sum(SYMBOL_WEIGHTS.values())
    ranked = []
    for symbol in dict.fromkeys([*parts, *([place] if place else [])]):
        signals = {**parts.get(symbol, {}), "file": file_score.get(symbol.path, 0.0) / best_file}
        signals["place"] = float(symbol == place)
        score = sum(SYMBOL_WEIGHTS[name] * value for name, value in signals.items()) / total
        ranked.append(RankedSymbol(symbol, score, {name: value for name, value in signals.items() if value}))
    ranked.sort(key=lambda item: (-item.score, item.symbol.path, item.symbol.start_line, item.symbol.name))
    return ranked


def _place(issue: Issue, index: Index) -> Symbol | None:
    """The symbol around the line that a diagnostic or selection points at."""
    if issue.path is None or issue.line is None:
        return None
    return enclosing_symbol(index.symbols(issue.path), issue.line)


def _functions_on_stack(frames: Sequence[Frame], index: Index) -> dict[tuple[RepoPath, str], float]:
    scores: dict[tuple[RepoPath, str], float] = {}
    for distance, frame in enumerate(reversed(frames)):
        function = frame.function or _function_at(frame, index)
        if function:
            scores.setdefault((frame.path, function), 1.0 / (1 + 0.3 * distance))
    return scores


def _function_at(frame: Frame, index: Index) -> str | None:
    """The function around a line that a panic or compiler names without it; Python names it, or it is a mere link."""
    if frame.line is None or frame.path.endswith((".py", ".pyi")):
        return None
    symbol = enclosing_symbol(index.symbols(frame.path), frame.line)
    return symbol.name.rpartition(".")[2] if symbol is not None else None
