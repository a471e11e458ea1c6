"""Fit code into a token budget: a map of the best files, and the code of chosen symbols.

Invariant: truncation is never silent. What did not fit is listed in `dropped`, and the text never has
more tokens than the budget, as counted by the caller's own tokenizer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from patchwright_engine.index import Index
from patchwright_engine.types import Ranking, RepoPath, Snapshot, Symbol

CountTokens = Callable[[str], int]
MAX_VARIABLES = 8
"""Module-level names shown per file; more are tables of constants."""


@dataclass(frozen=True, slots=True)
class FittedText:
    """Text within its budget and what was left out of it, as a person would name it."""

    text: str
    dropped: tuple[str, ...]


def repo_map(
    ranking: Ranking, snapshot: Snapshot, index: Index, count_tokens: CountTokens, budget_tokens: int
) -> FittedText:
    """A skeleton of the ranked files: path, then class and function signatures with their lines, best file first.

    A file that does not fit with all its symbols is shown with its ranked ones only, then by path alone;
    then it is dropped. Dropped are listed as 'path' or 'path: N symbols'.
    """
    ranked = {item.symbol for item in ranking.symbols}
    budget = _Budget(count_tokens, budget_tokens)
    dropped: list[str] = []
    for file in ranking.files:
        if file.path not in snapshot.files:
            dropped.append(file.path)
            continue
        symbols = _worth_showing(index.symbols(file.path))
        chosen = [symbol for symbol in symbols if symbol in ranked or _is_parent_of(symbol, ranked)]
        for shown in (symbols, chosen, []):
            if budget.add(_skeleton(file.path, shown)):
                if len(shown) < len(symbols):
                    dropped.append(f"{file.path}: {len(symbols) - len(shown)} symbols")
                break
        else:
            dropped.append(file.path)
    return FittedText(budget.text, tuple(dropped))


def symbol_code(
    symbols: Sequence[Symbol], snapshot: Snapshot, count_tokens: CountTokens, budget_tokens: int
) -> FittedText:
    """The code of whole symbols, each below a line `### path::Name (lines a-b)`, as many as fit, in order.

    A symbol inside one already shown is not repeated. Dropped are listed as 'path::Name' with the reason
    when it is another than space.
    """
    budget = _Budget(count_tokens, budget_tokens)
    dropped: list[str] = []
    shown: list[Symbol] = []
    for symbol in dict.fromkeys(symbols):
        if any(_contains(other, symbol) for other in shown):
            continue
        label = f"{symbol.path}::{symbol.name}"
        try:
            lines = snapshot.read_text(symbol.path).encode("utf-8", "replace").decode("utf-8").split("\n")
        except OSError:
            dropped.append(f"{label} (the file is gone)")
            continue
        code = "\n".join(line.removesuffix("\r") for line in lines[symbol.start_line - 1 : symbol.end_line])
        if budget.add(f"### {label} (lines {symbol.start_line}-{symbol.end_line})\n{code}\n"):
            shown.append(symbol)
        else:
            dropped.append(label)
    return FittedText(budget.text, tuple(dropped))


class _Budget:
    """Adds blocks while they fit. Sums of blocks can be a few tokens off, so the whole is counted when near."""

    def __init__(self, count_tokens: CountTokens, limit: int) -> None:
        self._count_tokens = count_tokens
        self._limit = limit
        self._used = 0
        self.text = ""

    def add(self, block: str) -> bool:
        cost = self._count_tokens(block) + 1
        if self._used + cost > self._limit:
            return False
        text = f"{self.text}\n{block}" if self.text else block
        if self._used + cost > 0.9 * self._limit and self._count_tokens(text) > self._limit:
            return False
        self.text = text
        self._used += cost
        return True


def _worth_showing(symbols: Sequence[Symbol]) -> list[Symbol]:
    """Classes, methods and functions that are not inside functions, and a few module-level names."""
    inside: set[str] = {symbol.name for symbol in symbols if symbol.kind in ("function", "method")}
    variables = [symbol for symbol in symbols if symbol.kind == "variable"][:MAX_VARIABLES]
    return [
        symbol
        for symbol in symbols
        if (symbol.kind != "variable" and symbol.name.rpartition(".")[0] not in inside) or symbol in variables
    ]


def _is_parent_of(symbol: Symbol, ranked: set[Symbol]) -> bool:
    return symbol.kind == "class" and any(
        other.path == symbol.path and other.name.startswith(f"{symbol.name}.") for other in ranked
    )


def _contains(outer: Symbol, inner: Symbol) -> bool:
    return outer.path == inner.path and outer.start_line <= inner.start_line and inner.end_line <= outer.end_line


def _skeleton(path: RepoPath, symbols: Sequence[Symbol]) -> str:
    lines: list[str] = [path]
    for symbol in symbols:
        indent = "  " * (1 + symbol.name.count("."))
        span = f"{symbol.start_line}-{symbol.end_line}" if symbol.end_line > symbol.start_line else symbol.start_line
        lines.append(f"{indent}{symbol.signature or symbol.name}  [{span}]")
    return "\n".join(lines) + "\n"
