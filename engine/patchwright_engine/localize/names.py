"""Signal: definitions whose name the issue mentions.

Invariant: a name that many files define says little about each, so its weight is shared.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from patchwright_engine.index import Index
from patchwright_engine.localize.mentions import Mentions
from patchwright_engine.types import RepoPath, Symbol

MAX_DEFINITIONS = 60
"""A name defined more often than this (`get`, `__init__`) tells nothing on its own."""


def named_symbols(mentions: Mentions, index: Index, relevant: Iterable[RepoPath]) -> dict[Symbol, float]:
    """Symbols of `relevant` files that the issue names, with how much that says (unnormalised, about 0-1)."""
    inside = frozenset(relevant)
    scores: defaultdict[Symbol, float] = defaultdict(float)
    ends = [
        ".".join(dotted.split(".")[-depth:])
        for dotted in mentions.dotted
        for depth in (2, 3)
        if dotted.count(".") + 1 >= depth
    ]
    known = index.find_all_symbols({*mentions.names, *ends})
    for name, weight in mentions.names.items():
        found = [symbol for symbol in known[name] if symbol.path in inside]
        if 0 < len(found) <= MAX_DEFINITIONS:
            for symbol in found:
                scores[symbol] += weight / (1 + math.log(len(found)))
    for end in ends:
        exact = [symbol for symbol in known[end] if symbol.path in inside]
        for symbol in exact:
            scores[symbol] += 1.0 / (1 + math.log(len(exact)))
    return dict(scores)


def files_of_names(symbols: Mapping[Symbol, float]) -> dict[RepoPath, float]:
    """How sure the names make us of each file (0-1); a name that a file defines twice counts once."""
    best: defaultdict[RepoPath, dict[str, float]] = defaultdict(dict)
    for symbol, score in symbols.items():
        last = symbol.name.rpartition(".")[2]
        best[symbol.path][last] = max(best[symbol.path].get(last, 0.0), score)
    return {path: confidence(sum(scores.values())) for path, scores in best.items()}


def confidence(total: float) -> float:
    """Evidence to 0-1 on a fixed scale: one weak name stays weak even where it is the only one."""
    return 1 - math.exp(-total)
