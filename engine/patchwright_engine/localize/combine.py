"""Rank files and symbols for an issue from all signals; no model.

Reads top to bottom: cheap signals over all files pick candidates, all signals rank these, then the symbols of the
best. Same snapshot and issue, same ranking.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from patchwright_engine.control import CancelToken
from patchwright_engine.index import Index
from patchwright_engine.localize.file_signals import candidate_signals, central_files, pick_candidates, read_signals
from patchwright_engine.localize.lexical import best_of
from patchwright_engine.localize.mentions import read_mentions
from patchwright_engine.localize.symbol_signals import Evidence, symbol_signals
from patchwright_engine.localize.weights import learned_weights, shares, weighted_sum
from patchwright_engine.syntax.parse import enclosing_symbol
from patchwright_engine.types import Issue, RankedFile, RankedSymbol, Ranking, RepoPath, Snapshot, Symbol

CANDIDATES = 100
"""Files that all signals are read for; the file to change is among them for 97 of 100 real issues."""
SYMBOL_FILES = 25
PLACE_LOG_ODDS = 8.0
"""Of the symbol that a diagnostic or selection points at: what the user points at comes first."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What speaks for the candidates, before it is weighed. This is what the weights are learned from."""

    files: Mapping[RepoPath, Mapping[str, float]]
    symbols: Mapping[Symbol, Mapping[str, float]]


def locate(issue: Issue, snapshot: Snapshot, index: Index, top: int = 20, cancel: CancelToken | None = None) -> Ranking:
    """Rank the `top` files and the `top` symbols that most likely must change. Scores are shares of 1.

    `index` must have been refreshed from `snapshot`. No match at all gives empty rankings.

    Raises:
        Cancelled: the token was cancelled.
    """
    started = time.perf_counter()
    signals = gather(issue, snapshot, index, max(top, CANDIDATES), cancel or CancelToken())
    return replace(rank(signals, _place(issue, index), top), seconds=time.perf_counter() - started)


def rank(signals: Signals, place: Symbol | None, top: int) -> Ranking:
    """Weigh the signals; `place` is the symbol that the user points at."""
    weights = learned_weights()
    of_files = shares({path: weighted_sum(own, weights.files) for path, own in signals.files.items()})
    log_odds = {symbol: weighted_sum(own, weights.symbols) for symbol, own in signals.symbols.items()}
    pointed: dict[Symbol, dict[str, float]] = {}
    if place is not None:
        log_odds[place] = max(log_odds.values(), default=0.0) + PLACE_LOG_ODDS
        pointed[place] = {"place": 1.0}
    of_symbols = shares(log_odds)
    files = best_of(of_files, top, str)
    symbols = best_of(of_symbols, top, lambda one: (one.path, one.start_line, one.name))
    return Ranking(
        files=tuple(RankedFile(path, of_files[path], signals.files[path]) for path in files),
        symbols=tuple(
            RankedSymbol(one, of_symbols[one], {**signals.symbols.get(one, {}), **pointed.get(one, {})})
            for one in symbols
        ),
        seconds=0.0,
    )


def gather(issue: Issue, snapshot: Snapshot, index: Index, count: int, cancel: CancelToken) -> Signals:
    """The signals of the `count` best candidates and of the symbols of the best of these.

    Raises:
        Cancelled: the token was cancelled.
    """
    from patchwright_engine.localize.units import fit_units  # numpy takes a tenth of a second: only for a search

    cancel.check()
    mentions = read_mentions(issue)
    found = read_signals(issue, mentions, snapshot, index)
    cancel.check()
    candidates, worth = pick_candidates(found, count, index.of_files(central_files))
    fit = fit_units(index, mentions, candidates)
    cancel.check()
    files = candidate_signals(index, found, candidates, worth, fit)
    weights = learned_weights().files
    log_odds = {path: weighted_sum(own, weights) for path, own in files.items()}
    ranked = best_of(log_odds, SYMBOL_FILES, str)
    evidence = Evidence(
        found.functions, fit, found.names, found.dotted, found.frames, mentions.names, found.signals["paths"]
    )
    return Signals(files, symbol_signals(index, ranked, log_odds, evidence))


def _place(issue: Issue, index: Index) -> Symbol | None:
    """The symbol around the line that a diagnostic or selection points at."""
    if issue.path is None or issue.line is None:
        return None
    return enclosing_symbol(index.symbols(issue.path), issue.line)
