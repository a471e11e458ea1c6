"""Fit code into a token budget: a map of the best files, and excerpts of chosen definitions.

Invariant: truncation is never silent, nor in the middle of a statement. What did not fit is said in the text and listed
in `dropped`, and the text never has more tokens than the budget, as counted by the caller's own tokenizer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from patchwright_engine.index import Index
from patchwright_engine.localize.excerpts import Piece, Sources, rough_tokens
from patchwright_engine.localize.fill import CountTokens, Item, fill
from patchwright_engine.localize.focus import Focus
from patchwright_engine.types import Ranking, RepoPath, Snapshot, Symbol

MAX_VARIABLES = 8
"""Module-level names shown per file; more are tables of constants."""
RANK_SCALE = 2.0
"""The definition this far down is worth a quarter of the first one."""
HEAD_WORTH = 0.25
"""What a definition's head alone tells, against all of its code."""


@dataclass(frozen=True, slots=True)
class FittedText:
    """Text within its budget and what was left out of it, as a person would name it."""

    text: str
    dropped: tuple[str, ...]


def code_excerpts(
    symbols: Sequence[Symbol],
    snapshot: Snapshot,
    count_tokens: CountTokens,
    budget_tokens: int,
    focus: Focus | None = None,
    *,
    headed: bool = True,
) -> FittedText:
    """The code of definitions, best first, each below a line `### path::Name (lines a-b)` if `headed`.

    Where not all fits, the statements that matter most for the issue (`focus`) are shown, and a line such as
    `... # 37 lines left out` stands for the others. A definition inside one already named is not repeated. Dropped are
    'path::Name' with the reason when it is another than space, and 'path::Name: 37 lines' of one shown in part.
    """
    sources, pieces, gone = Sources(snapshot), list[Piece](), list[str]()
    for symbol in _outermost(symbols):
        try:
            pieces.append(sources.piece(symbol, focus or Focus()))
        except OSError:
            gone.append(f"{symbol.path}::{symbol.name} (the file is gone)")
    items, heads = _items(pieces)

    def render(chosen: frozenset[int]) -> tuple[str, list[str]]:
        blocks, dropped = list[str](), list[str]()
        for piece, head in zip(pieces, heads, strict=True):
            if head not in chosen:
                dropped.append(piece.label)
                continue
            code, hidden = piece.show([at for at in range(len(piece.units)) if head + at in chosen])
            blocks.append(f"{_heading(piece)}\n{code}\n" if headed else f"{code}\n")
            if hidden:
                dropped.append(f"{piece.label}: {hidden} line{'s' if hidden > 1 else ''}")
        missing = len(pieces) - len(blocks)
        if missing and blocks:
            blocks.append(f"({missing} more definition{'s' if missing > 1 else ''} left out)\n")
        return "\n".join(blocks), dropped

    text, chosen = fill(items, lambda chosen: render(chosen)[0], count_tokens, budget_tokens)
    return FittedText(text, (*gone, *render(chosen)[1]))


def _items(pieces: Sequence[Piece]) -> tuple[list[Item], list[int]]:
    """All units of all pieces for `fill`, and where each piece's own begin."""
    items: list[Item] = []
    heads: list[int] = []
    for rank, piece in enumerate(pieces):
        head = len(items)
        heads.append(head)
        weight = _rank_worth(rank)
        for at, unit in enumerate(piece.units):
            extra, worth = (rough_tokens(_heading(piece)), HEAD_WORTH) if at == 0 else (0.0, 0.0)
            needs = None if unit.above is None else head + unit.above
            items.append(Item(weight * (worth + (1 - HEAD_WORTH) * unit.worth), unit.cost + extra, needs))
    return items, heads


def _rank_worth(rank: int) -> float:
    """What comes first in a ranking is by far the likeliest (0 is the first)."""
    return (RANK_SCALE / (RANK_SCALE + rank)) ** 2


def _heading(piece: Piece) -> str:
    return f"### {piece.label} (lines {piece.symbol.start_line}-{piece.symbol.end_line})"


def _outermost(symbols: Sequence[Symbol]) -> list[Symbol]:
    kept: list[Symbol] = []
    for symbol in dict.fromkeys(symbols):
        if not any(_contains(other, symbol) for other in kept):
            kept.append(symbol)
    return kept


def _contains(outer: Symbol, inner: Symbol) -> bool:
    return outer.path == inner.path and outer.start_line <= inner.start_line and inner.end_line <= outer.end_line


def repo_map(
    ranking: Ranking, snapshot: Snapshot, index: Index, count_tokens: CountTokens, budget_tokens: int
) -> FittedText:
    """A skeleton of the ranked files: path, then class and function signatures with their lines, best file first.

    Where not all fits, ranked symbols come before others and better files before worse. Dropped are listed as 'path'
    or 'path: N symbols'.
    """
    ranks = {item.symbol: rank for rank, item in reversed(list(enumerate(ranking.symbols)))}
    files = [file.path for file in ranking.files if file.path in snapshot.files]
    gone = [file.path for file in ranking.files if file.path not in snapshot.files]
    symbols = {path: _worth_showing(index.symbols(path)) for path in files}
    items: list[Item] = []
    heads: dict[RepoPath, int] = {}
    for place, path in enumerate(files):
        heads[path] = len(items)
        weight = _rank_worth(place)
        items.append(Item(weight, rough_tokens(f"\n{path}\n")))
        for symbol in symbols[path]:
            rank = min((ranks[s] for s in (symbol, *_inside(symbol, symbols[path])) if s in ranks), default=None)
            worth = weight * 0.1 if rank is None else _rank_worth(rank)
            items.append(Item(worth, rough_tokens(f"{_line(symbol)}\n"), heads[path]))

    def render(chosen: frozenset[int]) -> tuple[str, list[str]]:
        blocks, dropped = list[str](), list[str]()
        for path in files:
            head = heads[path]
            if head not in chosen:
                dropped.append(path)
                continue
            lines = [_line(symbol) for at, symbol in enumerate(symbols[path], head + 1) if at in chosen]
            missing = len(symbols[path]) - len(lines)
            if missing:
                dropped.append(f"{path}: {missing} symbol{'s' if missing > 1 else ''}")
                lines.append(f"  ... {missing} more")
            blocks.append("\n".join([path, *lines]) + "\n")
        missing = len(files) - len(blocks)
        if missing and blocks:
            blocks.append(f"({missing} more file{'s' if missing > 1 else ''} left out)\n")
        return "\n".join(blocks), dropped

    text, chosen = fill(items, lambda chosen: render(chosen)[0], count_tokens, budget_tokens)
    return FittedText(text, (*gone, *render(chosen)[1]))


def _inside(symbol: Symbol, symbols: Sequence[Symbol]) -> list[Symbol]:
    """The members of a class, which tell what it is about."""
    if symbol.kind != "class":
        return []
    return [other for other in symbols if other.name.startswith(f"{symbol.name}.")]


def _worth_showing(symbols: Sequence[Symbol]) -> list[Symbol]:
    """Classes, methods and functions that are not inside functions, and a few module-level names."""
    inside: set[str] = {symbol.name for symbol in symbols if symbol.kind in ("function", "method")}
    variables = [symbol for symbol in symbols if symbol.kind == "variable"][:MAX_VARIABLES]
    return [
        symbol
        for symbol in symbols
        if (symbol.kind != "variable" and symbol.name.rpartition(".")[0] not in inside) or symbol in variables
    ]


def _line(symbol: Symbol) -> str:
    indent = "  " * (1 + symbol.name.count("."))
    span = f"{symbol.start_line}-{symbol.end_line}" if symbol.end_line > symbol.start_line else symbol.start_line
    return f"{indent}{symbol.signature or symbol.name}  [{span}]"
