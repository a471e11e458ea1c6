"""Rank code by what failing tests run and passing ones do not; arithmetic only, nothing is run here.

Ochiai's coefficient, as Abreu, Zoeteweij and van Gemund use it for faults (TAIC PART 2007):
failed(e) / sqrt(all failed × (failed(e) + passed(e))), counted for lines; functions alone tell less (LOG.md).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from patchwright_engine.localize.file_signals import is_aside
from patchwright_engine.localize.weights import shares_of, standing
from patchwright_engine.syntax.parse import enclosing_symbol
from patchwright_engine.types import RankedFile, RankedSymbol, Ranking, RepoPath, Symbol

SIGNAL = "execution"
FILE_WEIGHT = 0.4
"""Of the spectrum in a file's new score. Every file that a test touches by the way has some line of its own."""
SYMBOL_WEIGHT = 0.5
"""Of the spectrum in a symbol's. How much either may be changed: benchmarks/LOG.md."""
_Key = TypeVar("_Key")

Function = tuple[RepoPath, int]
"""A function that a test entered: its file and first line."""
Ran = Mapping[Function, Collection[int]]
"""What one test ran: functions, and those of their lines that it ran, as far as they are known."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """How much more failing tests than passing ones run each part of the project, 0-1. Tests and examples aside."""

    symbols: Mapping[Symbol, float]
    files: Mapping[RepoPath, float]
    """The most suspicious of each file's symbols."""


def ochiai(failed: int, passed: int, all_failed: int) -> float:
    """Suspicion of what `failed` of `all_failed` failing tests and `passed` passing ones run, 0-1."""
    return failed / math.sqrt(all_failed * (failed + passed)) if failed else 0.0


def spectrum_of(
    failed: Sequence[Ran], passed: Sequence[Ran], symbols: Callable[[RepoPath], Sequence[Symbol]]
) -> Spectrum:
    """The spectrum of tests, each given by what it ran. `symbols` gives those of a file.

    A symbol is as suspicious as its most suspicious line: a function that every test enters has branches that only
    the failing one takes. A function counts for the innermost symbol around it, so a lambda counts for its function.
    """
    owners = _owners({function for ran in failed for function in ran}, symbols)
    in_failed = Counter(place for ran in failed for place in _places(ran, owners))
    in_passed = Counter(place for ran in passed for place in _places(ran, owners) if place in in_failed)
    found: defaultdict[Symbol, float] = defaultdict(float)
    files: defaultdict[RepoPath, float] = defaultdict(float)
    for place, count in in_failed.items():
        symbol = place[0]
        found[symbol] = max(found[symbol], ochiai(count, in_passed[place], len(failed)))
        files[symbol.path] = max(files[symbol.path], found[symbol])
    return Spectrum(dict(found), dict(files))


def with_spectrum(ranking: Ranking, spectrum: Spectrum) -> Ranking:
    """`ranking` with what was seen to run as one more signal, `SIGNAL`, which weighs about as much as all others.

    Both sides count relative to their best, so that it does not matter on which scale the ranking's scores are, nor
    how many passing tests there are. Suspects that the ranking lacks join it; give one that is deeper than what will
    be shown. Without any suspect it stays as it is.
    """
    if not spectrum.symbols:
        return ranking
    files = {item.path: item for item in ranking.files}
    symbols = {item.symbol: item for item in ranking.symbols}
    file_scores = _together({path: item.score for path, item in files.items()}, spectrum.files, FILE_WEIGHT)
    symbol_scores = _together({one: item.score for one, item in symbols.items()}, spectrum.symbols, SYMBOL_WEIGHT)
    ranked_files = [
        RankedFile(path, score, _signals(files[path].signals if path in files else {}, spectrum.files.get(path)))
        for path, score in file_scores.items()
    ]
    ranked_symbols = [
        RankedSymbol(one, score, _signals(symbols[one].signals if one in symbols else {}, spectrum.symbols.get(one)))
        for one, score in symbol_scores.items()
    ]
    ranked_files.sort(key=lambda item: (-item.score, item.path))
    ranked_symbols.sort(key=lambda item: (-item.score, item.symbol.path, item.symbol.start_line, item.symbol.name))
    return replace(ranking, files=tuple(ranked_files), symbols=tuple(ranked_symbols))


def _together(ranked: Mapping[_Key, float], seen: Mapping[_Key, float], weight: float) -> dict[_Key, float]:
    """Shares of 1 for everything that is in either."""
    best, most = (max(scores.values(), default=0.0) or 1.0 for scores in (ranked, seen))
    return shares_of(
        {
            key: (1 - weight) * standing(ranked.get(key, 0.0), best) + weight * seen.get(key, 0.0) / most
            for key in dict.fromkeys((*ranked, *seen))
        }
    )


def _signals(signals: Mapping[str, float], seen: float | None) -> Mapping[str, float]:
    return signals if seen is None else {**signals, SIGNAL: seen}


def _owners(functions: Iterable[Function], symbols: Callable[[RepoPath], Sequence[Symbol]]) -> dict[Function, Symbol]:
    """The innermost symbol around each function of the project's own code."""
    owners: dict[Function, Symbol] = {}
    for path, group in groupby(sorted(functions), key=itemgetter(0)):
        inside = () if is_aside(path) else symbols(path)
        for function in group:
            owner = enclosing_symbol(inside, function[1])
            if owner is not None:
                owners[function] = owner
    return owners


def _places(ran: Ran, owners: Mapping[Function, Symbol]) -> set[tuple[Symbol, int]]:
    """The places of suspected symbols that a test ran: where their functions begin, and lines."""
    places: set[tuple[Symbol, int]] = set()
    for function, lines in ran.items():
        owner = owners.get(function)
        if owner is not None:
            places.add((owner, function[1]))
            places.update((owner, line) for line in lines)
    return places
