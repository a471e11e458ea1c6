"""Rank code by what failing tests enter and passing ones do not; arithmetic only, nothing is run here.

Ochiai's coefficient, as Abreu, Zoeteweij and van Gemund use it for faults (TAIC PART 2007):
failed(e) / sqrt(all failed × (failed(e) + passed(e))). Functions are counted, not lines: see benchmarks/LOG.md.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter

from patchwright_engine.localize.combine import is_aside
from patchwright_engine.syntax.parse import enclosing_symbol
from patchwright_engine.types import RankedFile, RankedSymbol, Ranking, RepoPath, Symbol

SIGNAL = "execution"
FILE_WEIGHT = 0.5
SYMBOL_WEIGHT = 0.5

Place = tuple[RepoPath, int]
"""A function that a test entered: its file and first line."""


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
    failed: Sequence[Collection[Place]],
    passed: Sequence[Collection[Place]],
    symbols: Callable[[RepoPath], Sequence[Symbol]],
) -> Spectrum:
    """The spectrum of tests, each given by what it entered. `symbols` gives those of a file.

    What is entered counts for the innermost symbol around it, so a lambda counts for its function.
    """
    suspected = {path for path, _ in set().union(*failed)}
    places = {place for entered in (*failed, *passed) for place in entered if place[0] in suspected}
    owners = _owners(places, symbols)
    in_failed, in_passed = (_counts(tests, owners) for tests in (failed, passed))
    found = {symbol: ochiai(count, in_passed[symbol], len(failed)) for symbol, count in in_failed.items()}
    files: defaultdict[RepoPath, float] = defaultdict(float)
    for symbol, score in found.items():
        files[symbol.path] = max(files[symbol.path], score)
    return Spectrum(found, dict(files))


def with_spectrum(ranking: Ranking, spectrum: Spectrum) -> Ranking:
    """`ranking` with what was seen to run as one more signal, `SIGNAL`; what no failing test enters keeps its own.

    Suspects that the ranking does not have join it. Give a ranking that is deeper than what will be shown.
    """
    best_file = max((item.score for item in ranking.files), default=0.0) or 1.0
    best_symbol = max((item.score for item in ranking.symbols), default=0.0) or 1.0
    known_files = {item.path for item in ranking.files}
    known_symbols = {item.symbol for item in ranking.symbols}
    files = [*ranking.files, *(RankedFile(path, 0.0) for path in spectrum.files if path not in known_files)]
    symbols = [*ranking.symbols, *(RankedSymbol(s, 0.0) for s in spectrum.symbols if s not in known_symbols)]
    return replace(
        ranking,
        files=tuple(sorted((_file(item, best_file, spectrum) for item in files), key=lambda i: (-i.score, i.path))),
        symbols=tuple(
            sorted(
                (_symbol(item, best_symbol, spectrum) for item in symbols),
                key=lambda i: (-i.score, i.symbol.path, i.symbol.start_line, i.symbol.name),
            )
        ),
    )


def _file(item: RankedFile, best: float, spectrum: Spectrum) -> RankedFile:
    seen = spectrum.files.get(item.path, 0.0)
    score = (1 - FILE_WEIGHT) * item.score / best + FILE_WEIGHT * seen
    return RankedFile(item.path, score, _signals(item.signals, seen))


def _symbol(item: RankedSymbol, best: float, spectrum: Spectrum) -> RankedSymbol:
    seen = spectrum.symbols.get(item.symbol, 0.0)
    score = (1 - SYMBOL_WEIGHT) * item.score / best + SYMBOL_WEIGHT * seen
    return RankedSymbol(item.symbol, score, _signals(item.signals, seen))


def _signals(signals: Mapping[str, float], seen: float) -> Mapping[str, float]:
    return {**signals, SIGNAL: seen} if seen else signals


def _owners(places: Iterable[Place], symbols: Callable[[RepoPath], Sequence[Symbol]]) -> dict[Place, Symbol]:
    """The innermost symbol around each place of the project's own code; nothing for code outside symbols."""
    owners: dict[Place, Symbol] = {}
    for path, group in groupby(sorted(places), key=itemgetter(0)):
        inside = () if is_aside(path) else symbols(path)
        for place in group:
            owner = enclosing_symbol(inside, place[1])
            if owner is not None:
                owners[place] = owner
    return owners


def _counts(tests: Iterable[Collection[Place]], owners: Mapping[Place, Symbol]) -> Counter[Symbol]:
    """How many tests entered each symbol."""
    counts: Counter[Symbol] = Counter()
    for entered in tests:
        counts.update({owners[place] for place in entered if place in owners})
    return counts
