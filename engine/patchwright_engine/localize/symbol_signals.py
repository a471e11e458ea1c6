"""Signals of symbols: what speaks for single functions and classes of the best files.

Invariant: signals are about the symbol; which of them counts how much is the weights' affair.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchwright_engine.index import Index
from patchwright_engine.localize.names import confidence
from patchwright_engine.localize.traceback import Frame
from patchwright_engine.syntax.parse import enclosing_symbol
from patchwright_engine.types import RepoPath, Symbol

if TYPE_CHECKING:
    from patchwright_engine.localize.units import UnitFit

CALLERS = 5
"""Units of a file whose calls within it are followed: the ones that fit best."""
CALL_FILES = 10


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out about the issue before single symbols are looked at."""

    functions: Mapping[tuple[RepoPath, int], float]
    """BM25 over functions and classes by their position among the file's symbols, the best at 1."""
    fit: "UnitFit"
    names: Mapping[Symbol, float]
    dotted: Mapping[Symbol, float]
    frames: Sequence[Frame]
    mentioned: Mapping[str, float]
    """Names in the issue, with how surely they are meant as code."""
    named_files: Mapping[RepoPath, float]
    """Files whose path the issue spells out."""


def symbol_signals(
    index: Index, ranked: Sequence[RepoPath], log_odds: Mapping[RepoPath, float], evidence: Evidence
) -> dict[Symbol, dict[str, float]]:
    """The signals of every symbol of the `ranked` files that has any of its own."""
    on_stack = _functions_on_stack(evidence.frames, index)
    named = {symbol.path for symbol in evidence.names.keys() | evidence.dotted.keys()}
    best_file = max((log_odds[path] for path in ranked), default=0.0)
    found: dict[Symbol, dict[str, float]] = {}
    for rank, path in enumerate(ranked):
        symbols = index.symbols(path)
        fitting = evidence.fit.of_units(path)
        fits = [fitting[at].get("context", 0.0) if at in fitting else 0.0 for at in range(len(symbols))]
        called = _called_by_best(index, path, symbols, fits) if rank < CALL_FILES else {}
        of_file = {
            "file": 1 / (1 + rank),
            "file_odds": log_odds[path] - best_file,
            "few": 1 / (1 + math.log(1 + len(symbols))),
        }
        place = {symbol.name: at for at, symbol in enumerate(symbols)}
        top = max(fits, default=0.0) or 1.0
        for at, symbol in enumerate(symbols):
            parent, _, last = symbol.name.rpartition(".")
            own = fitting.get(at, {})
            more = {"functions": evidence.functions.get((path, at), 0.0), "traceback": on_stack.get((path, last), 0.0)}
            if path in named:
                more["names"] = confidence(evidence.names.get(symbol, 0.0))
                more["dotted"] = confidence(evidence.dotted.get(symbol, 0.0))
            if not own and not any(more.values()):
                continue
            more["called_so"] = evidence.mentioned.get(last, 0.0)
            more["named_file"] = evidence.named_files.get(path, 0.0)
            more["best_of_file"] = fits[at] / top
            more["called"] = called.get(at, 0.0)
            more["class_context"] = fits[place[parent]] if parent in place else 0.0
            found[symbol] = own | {name: value for name, value in more.items() if value} | of_file | _kind(symbol)
    return found


def _kind(symbol: Symbol) -> dict[str, float]:
    last = symbol.name.rpartition(".")[2]
    kinds = {symbol.kind: 1.0, "lines": math.log(1 + symbol.end_line - symbol.start_line) / 10}
    if last in ("__init__", "__new__", "constructor", "initialize"):
        kinds["constructor"] = 1.0
    return kinds


def _called_by_best(index: Index, path: RepoPath, symbols: Sequence[Symbol], fits: Sequence[float]) -> dict[int, float]:
    """Symbols of a file that its best fitting ones use, with the best of their users' fits."""
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    for at, symbol in enumerate(symbols):
        if symbol.kind != "variable":
            by_name[symbol.name.rpartition(".")[2]].append(at)
    used = {name: lines for name, lines in index.names_used(path).items() if name in by_name}
    best = sorted(range(len(symbols)), key=lambda at: -fits[at])[:CALLERS]
    called: dict[int, float] = {}
    for user in (at for at in best if symbols[at].kind != "class"):
        span = range(symbols[user].start_line, symbols[user].end_line + 1)
        for name, lines in used.items():
            if any(line in span for line in lines):
                for at in by_name[name]:
                    if at != user:
                        called[at] = max(called.get(at, 0.0), fits[user] / len(by_name[name]))
    return called


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
