"""Signal: definitions whose name the issue mentions.

Invariant: a name that many files define says little about each, so its weight is shared.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

from patchwright_engine.index import Index
from patchwright_engine.localize.mentions import Mentions
from patchwright_engine.types import RepoPath, Symbol

MAX_DEFINITIONS = 60
"""A name defined more often than this (`get`, `__init__`) tells nothing on its own."""


def named_symbols(mentions: Mentions, index: Index, relevant: Iterable[RepoPath]) -> dict[Symbol, float]:
    """Symbols of `relevant` files that the issue names, with how much that says (unnormalised, about 0-1)."""
    inside = frozenset(relevant)
    scores: defaultdict[Symbol, float] = defaultdict(float)
    for name, weight in mentions.names.items():
        found = [symbol for symbol in index.find_symbols(name) if symbol.path in inside]
        if 0 < len(found) <= MAX_DEFINITIONS:
            for symbol in found:
                scores[symbol] += weight / (1 + math.log(len(found)))
    for dotted in mentions.dotted:
        for depth in (2, 3):
            parts = dotted.split(".")[-depth:]
            if len(parts) < depth:
                break
            exact = [symbol for symbol in index.find_symbols(".".join(parts)) if symbol.path in inside]
            for symbol in exact:
                scores[symbol] += 1.0 / (1 + math.log(len(exact)))
    return dict(scores)


def files_of_names(symbols: dict[Symbol, float]) -> dict[RepoPath, float]:
    """Score of each file by the named symbols it defines, 0-1; many weak names add up slowly."""
    sums: defaultdict[RepoPath, float] = defaultdict(float)
    for symbol, score in symbols.items():
        sums[symbol.path] += score
    best = max(sums.values(), default=1.0)
    return {path: math.log1p(total) / math.log1p(best) for path, total in sums.items()}
