"""A definition shown in part: whole statements in the file's own lines, and a marker for each run that is left out.

Invariant: what is shown of a definition, without its markers, is the definition with whole statements taken away.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from patchwright_engine.localize.focus import PROSE_FACTOR, Focus, relevance
from patchwright_engine.syntax.statements import Statement, left_out, read_statements, statement_at
from patchwright_engine.types import RepoPath, Snapshot, Symbol

LONG_CLASS_LINES = 40
"""A class with more is shown by its header, attributes and the signatures of its methods."""
EVEN_SHARE = 0.5
"""Of what a definition is worth, this much is shared evenly over its tokens, so that short ones are shown whole; the
rest goes to the statements that matter for the issue."""
SHORT_LINE = 60
"""A single line of at most this many characters costs no more than the marker for it, and is shown."""
_TOKEN = re.compile(r"[^\W\d_]{1,6}|\d|[^\w\s]{1,2}|_|\n")


@dataclass(frozen=True, slots=True)
class Unit:
    """A statement's own lines, without those of its parts: the smallest thing that is shown or left out."""

    statement: Statement
    lines: tuple[int, ...]
    above: int | None
    """The unit it lies in; None for the head of the definition."""
    worth: float
    """Its share of what the definition is worth, which sums to 1."""
    cost: float
    """About how many tokens, up to a common factor."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One definition of a file, by its units: the head comes first, parents before their parts."""

    symbol: Symbol
    source: tuple[str, ...]
    """The lines of its file, without ends."""
    units: tuple[Unit, ...]

    @property
    def label(self) -> str:
        return f"{self.symbol.path}::{self.symbol.name}"

    def show(self, chosen: Collection[int]) -> tuple[str, int]:
        """The code with these units (and the head) alone, and how many lines are left out of it."""
        shown = sorted({n for at in {0, *chosen} for n in self.units[at].lines if self.source[n - 1].strip()})
        first, last = self.symbol.start_line, self.symbol.end_line
        kept: list[str] = []
        hidden = 0
        previous = first - 1
        for line in [*shown, last + 1]:
            gap = range(previous + 1, line)
            code = [number for number in gap if self.source[number - 1].strip()]
            if len(code) > 1 or (code and len(self.source[code[0] - 1].strip()) > SHORT_LINE):
                kept += [self.source[number - 1] for number in range(previous + 1, code[0])]
                kept.append(self._marker(code[0], code[-1]))
                hidden += code[-1] - code[0] + 1
                gap = range(code[-1] + 1, line)
            if line <= last or code:
                kept += [self.source[number - 1] for number in gap]
            if line <= last:
                kept.append(self.source[line - 1])
            previous = line
        return "\n".join(kept), hidden

    def _marker(self, first: int, last: int) -> str:
        text = self.source[first - 1]
        return text[: len(text) - len(text.lstrip())] + left_out(self.symbol.path, last - first + 1)


class Sources:
    """The files of one snapshot as lines and statements, each read once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._files: dict[RepoPath, tuple[tuple[str, ...], tuple[Statement, ...]]] = {}

    def piece(self, symbol: Symbol, focus: Focus) -> Piece:
        """A definition divided into units, weighed for an issue. Raises OSError when its file is gone."""
        lines, statements = self._read(symbol.path)
        last = min(symbol.end_line, len(lines))
        root = statement_at(statements, min(symbol.start_line, last), last)
        outline = symbol.kind == "class" and last - symbol.start_line >= LONG_CLASS_LINES
        found = _flatten(root, outline=outline)
        texts = [[(number, lines[number - 1]) for number in own] for _, own, _ in found]
        scores = relevance(focus, symbol.path, texts)
        costs = [rough_tokens("\n".join(line for _, line in text) + "\n") for text in texts]
        values = [
            score * cost**0.5 * (PROSE_FACTOR if statement.prose else 1.0)
            for score, cost, (statement, _, _) in zip(scores, costs, found, strict=True)
        ]
        total, size = sum(values), sum(costs)
        return Piece(
            symbol,
            lines,
            tuple(
                Unit(statement, own, above, (1 - EVEN_SHARE) * value / total + EVEN_SHARE * cost / size, cost)
                for (statement, own, above), value, cost in zip(found, values, costs, strict=True)
            ),
        )

    def _read(self, path: RepoPath) -> tuple[tuple[str, ...], tuple[Statement, ...]]:
        if path not in self._files:
            content = self._snapshot.read_bytes(path)
            lines = tuple(line.removesuffix("\r") for line in content.decode("utf-8", "replace").split("\n"))
            self._files[path] = lines, read_statements(path, content)
        return self._files[path]


def rough_tokens(text: str) -> float:
    """About proportional to a tokenizer's count of code."""
    return len(_TOKEN.findall(text))


def _flatten(root: Statement, *, outline: bool) -> list[tuple[Statement, tuple[int, ...], int | None]]:
    """A statement and all in it, each with its own lines and the place of the one it lies in.

    Of an outline the parts are there without parts of theirs: attributes, and signatures of methods.
    """
    found: list[tuple[Statement, tuple[int, ...], int | None]] = []

    def add(statement: Statement, above: int | None) -> None:
        inside = {n for part in statement.parts for n in range(part.start_line, part.end_line + 1)}
        own = tuple(n for n in range(statement.start_line, statement.end_line + 1) if n not in inside)
        at = len(found)
        found.append((statement, own, above))
        if above is None or not outline:
            for part in statement.parts:
                add(part, at)

    add(root, None)
    return found
