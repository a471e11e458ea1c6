"""Where statements begin and end in a file of any known language, so that code is shown in part, never cut inside.

What holds statements is said by the row of the language (`blocks`). Invariant: a statement here is whole lines that no
other code shares; leaving any of them out, together with all inside it, leaves the rest of its block as it was.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import tree_sitter

from patchwright_engine.syntax.languages import find_grammar, language_of
from patchwright_engine.types import RepoPath

MAX_DEPTH = 40
"""Blocks in blocks that are told apart; deeper ones, as generated code may have, are one statement."""
_AHEAD = frozenset({"comment", "line_comment", "block_comment", "decorator", "attribute_item"})
"""Nodes that belong to the statement behind them, wherever a grammar has them side by side."""
_LEFT_OUT = re.compile(r"\d+ lines? left out$")


@dataclass(frozen=True, slots=True)
class Statement:
    """Whole lines of a file, 1-based and inclusive; comments directly above are part of what they precede."""

    start_line: int
    end_line: int
    parts: tuple["Statement", ...] = ()
    """The statements in its blocks, in order. Lines of none of them (`if x:`, `else:`, `}`) are its frame."""
    prose: bool = False
    """Whether it says something to people only: a docstring or a comment."""


def read_statements(path: RepoPath, source: bytes) -> tuple[Statement, ...]:
    """The statements of a file, nested; code that cannot be read is one statement. Empty in no known language."""
    entry, grammar = language_of(path), find_grammar(path)
    if entry is None or grammar is None:
        return ()
    root = tree_sitter.Parser(grammar.language).parse(source).root_node
    return _Reader(frozenset(entry.blocks), source.split(b"\n")).statements([root])


def statement_at(statements: Sequence[Statement], start_line: int, end_line: int) -> Statement:
    """These lines as one statement, with the parts that lie in them, such as the definition at a symbol's lines."""
    inside = tuple(statements)
    while around := [one for one in inside if one.start_line <= start_line and end_line <= one.end_line]:
        inside = around[0].parts
    return Statement(start_line, end_line, _within(inside, start_line, end_line))


def left_out(path: RepoPath, lines: int) -> str:
    """The line that stands for code that is not shown; valid where a statement is, so that the rest still parses."""
    entry = language_of(path)
    words = f"{lines} line{'s' if lines > 1 else ''} left out"
    if entry is not None and entry.name == "python":
        return f"... # {words}"
    return f"{entry.comment if entry is not None else '#'} ... {words}"


def is_left_out(line: str) -> bool:
    """Whether a line is one that `left_out` writes."""
    return "..." in line and _LEFT_OUT.search(line.rstrip()) is not None


class _Reader:
    """Reads one file's tree. `lines` are its lines without their ends."""

    def __init__(self, blocks: frozenset[str], lines: Sequence[bytes]) -> None:
        self._blocks = blocks
        self._lines = lines

    def statements(self, blocks: Iterable[tree_sitter.Node], depth: int = 0) -> tuple[Statement, ...]:
        """What stands directly in these blocks and shares no line with other code."""
        return tuple(statement for block in blocks for statement in self._of_block(block, depth))

    def _of_block(self, block: tree_sitter.Node, depth: int) -> list[Statement]:
        found: list[Statement] = []
        above: int | None = None  # the row of the first of what belongs to the next statement
        groups = list(self._groups(block))
        for nodes, start, end in groups:
            code = [node for node in nodes if node.type not in _AHEAD]
            if not code:
                above = start if above is None else above
            else:
                first = start if above is None else above
                if self._alone(nodes, start, end):
                    # Several on one line are never shown in part, nor is what cannot be read.
                    divided = len(code) == 1 and not code[0].has_error and depth < MAX_DEPTH
                    parts = self.statements(self._inner(code[0]), depth + 1) if divided else ()
                    found.append(Statement(first + 1, end + 1, parts, _is_prose(code[0])))
                above = None
        if above is not None and found and found[-1].end_line <= above:
            found[-1] = replace(found[-1], end_line=groups[-1][2] + 1)
        return found

    def _groups(self, block: tree_sitter.Node) -> Iterator[tuple[list[tree_sitter.Node], int, int]]:
        """The children of a block with their first and last rows; those that share a line go together."""
        nodes: list[tree_sitter.Node] = []
        first = last = -1
        for node in block.named_children:
            start, end = self._rows(node)
            if nodes and start <= last:
                nodes.append(node)
                last = max(last, end)
                continue
            if nodes:
                yield nodes, first, last
            nodes, first, last = [node], start, end
        if nodes:
            yield nodes, first, last

    def _rows(self, node: tree_sitter.Node) -> tuple[int, int]:
        start, end = node.start_point.row, node.end_point.row
        return start, end - 1 if node.end_point.column == 0 and end > start else end

    def _alone(self, nodes: Sequence[tree_sitter.Node], start: int, end: int) -> bool:
        if self._lines[start][: nodes[0].start_point.column].strip():
            return False
        columns = [node.end_point.column for node in nodes if node.end_point.row == end]
        rest = self._lines[end][max(columns, default=len(self._lines[end])) :].strip().lstrip(b";,").lstrip()
        return not rest or rest.startswith((b"//", b"#")) or (rest.startswith(b"/*") and rest.endswith(b"*/"))

    def _inner(self, node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
        """The nearest blocks inside a node, in order."""
        pending = [node]
        while pending:
            child = pending.pop()
            if child.type in self._blocks:
                yield child
            else:
                pending += reversed(child.named_children)


def _is_prose(node: tree_sitter.Node) -> bool:
    children = node.named_children
    return node.type == "expression_statement" and len(children) == 1 and "string" in children[0].type


def _within(statements: Sequence[Statement], first: int, last: int) -> tuple[Statement, ...]:
    """Those that lie in these lines; comments above the first line are cut off."""
    inside = [one for one in statements if first <= one.end_line <= last and one.start_line <= last]
    return tuple(replace(one, start_line=max(one.start_line, first)) for one in inside)
