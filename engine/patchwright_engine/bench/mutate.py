"""Wrong patches made from a right one: each changes a little, parses, and differs from the right one and from nothing.

Whether such a patch is really wrong is never assumed here; the hidden tests say so. Invariant: equal patches, seeds and
limits give equal mutants, all different from each other in what they make of the code.
"""

import ast
import difflib
import random
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from patchwright_engine.types import FileEdit, Patch

_ORDER = ("hunk", "function", "instead", "part", "hunk", "file")
"""Kinds in the order in which they are dealt out: more from within the fix than from around it."""
_COMPARISONS: Mapping[type[ast.cmpop], tuple[str, str]] = {
    ast.Eq: (r"==", "!="),
    ast.NotEq: (r"!=", "=="),
    ast.Lt: (r"<", ">="),
    ast.LtE: (r"<=", ">"),
    ast.Gt: (r">", "<="),
    ast.GtE: (r">=", "<"),
    ast.Is: (r"\bis\b", "is not"),
    ast.IsNot: (r"\bis\s+not\b", "is"),
    ast.In: (r"\bin\b", "not in"),
    ast.NotIn: (r"\bnot\s+in\b", "in"),
}
_OPERATORS: Mapping[type[ast.operator], tuple[str, str]] = {
    ast.Add: (r"\+", "-"),
    ast.Sub: (r"-", "+"),
    ast.Mult: (r"\*", "+"),
    ast.Div: (r"/(?!/)", "*"),
    ast.FloorDiv: (r"//", "*"),
    ast.Mod: (r"%", "*"),
    ast.BitAnd: (r"&", "|"),
    ast.BitOr: (r"\|", "&"),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One patch that is probably wrong."""

    patch: Patch
    kind: str
    """'hunk': a change within the fix; 'part': a part of the fix is missing; 'function', 'file': the fix, and a change
    in the same function or elsewhere in the file; 'instead': a change in the function without the fix."""
    change: str
    """What was done, e.g. 'negates a condition, src/flask/cli.py:1040'."""


@dataclass(frozen=True, slots=True)
class _Change:
    """A replacement of one stretch of a text, in code points."""

    start: int
    end: int
    text: str
    what: str
    line: int


@dataclass(frozen=True, slots=True)
class _Draft:
    """A mutant not yet written out: a large file has thousands."""

    index: int
    """Of the edit in the patch."""
    kind: str
    text: str
    """What the change is made to."""
    change: _Change


def mutants(right: Patch, seed: int = 0, limit: int = 40) -> tuple[Mutant, ...]:
    """Up to `limit` wrong patches, kinds mixed. Only edits of Python files are changed."""
    chance = random.Random(seed)
    dealt: dict[str, list[_Draft]] = {kind: [] for kind in dict.fromkeys(_ORDER)}
    for index, edit in enumerate(right.edits):
        if edit.path.endswith(".py"):
            for draft in _drafts(index, edit):
                dealt[draft.kind].append(draft)
    for drafts in dealt.values():
        chance.shuffle(drafts)
    chosen: list[Mutant] = []
    seen = {_meaning(right), _meaning(Patch(tuple(replace(edit, after=edit.before) for edit in right.edits))), None}
    for draft in _in_turn(dealt):
        if len(chosen) == limit:
            break
        mutant = _written(draft, right)
        meaning = _meaning(mutant.patch)
        if meaning not in seen:
            seen.add(meaning)
            chosen.append(mutant)
    return tuple(chosen)


def _in_turn(dealt: Mapping[str, list[_Draft]]) -> Iterator[_Draft]:
    """One of each kind in turn, those that come twice in a round twice."""
    pools = {kind: iter(drafts) for kind, drafts in dealt.items()}
    for _ in range(max(map(len, dealt.values()), default=0)):
        for kind in _ORDER:
            draft = next(pools[kind], None)
            if draft is not None:
                yield draft


def _written(draft: _Draft, right: Patch) -> Mutant:
    change, edit = draft.change, right.edits[draft.index]
    after = draft.text[: change.start] + change.text + draft.text[change.end :]
    edits = (*right.edits[: draft.index], replace(edit, after=after), *right.edits[draft.index + 1 :])
    return Mutant(Patch(edits), draft.kind, f"{change.what}, {edit.path}:{change.line}")


def _meaning(patch: Patch) -> tuple[str, ...] | None:
    """What the code says whatever its layout; None when a Python file does not parse."""
    parts: list[str] = []
    for edit in patch.edits:
        tree = _tree(edit.after) if edit.path.endswith(".py") else None
        if tree is None and edit.path.endswith(".py"):
            return None
        parts.append(ast.dump(tree) if tree is not None else edit.after)
    return tuple(parts)


def _drafts(index: int, edit: FileEdit) -> Iterator[_Draft]:
    added = _added_lines(edit.before, edit.after)
    functions = _enclosing(edit.after, added)
    for change in _changes(edit.after):
        kind = "hunk" if change.line in added else "function" if change.line in functions else "file"
        yield _Draft(index, kind, edit.after, change)
    inside = _enclosing(edit.before, _added_lines(edit.after, edit.before))
    for change in _changes(edit.before):
        if change.line in inside:
            yield _Draft(index, "instead", edit.before, replace(change, what=f"does not fix but {change.what}"))
    for change in _parts_left_out(edit):
        yield _Draft(index, "part", edit.after, change)


def _parts_left_out(edit: FileEdit) -> Iterator[_Change]:
    """The fix without one of its stretches, when it has several."""
    before, after = _lines(edit.before), _lines(edit.after)
    blocks = [block for block in _blocks(before, after) if block[0] != "equal"]
    if len(blocks) < 2:
        return
    for _, i1, i2, j1, j2 in blocks:
        start = sum(map(len, after[:j1]))
        end = start + sum(map(len, after[j1:j2]))
        yield _Change(start, end, "".join(before[i1:i2]), "leaves out a part of the fix", j1 + 1)


def _added_lines(before: str, after: str) -> frozenset[int]:
    """Lines of `after` that are not in `before`; where some only vanished, the lines around the gap."""
    lines: set[int] = set()
    for tag, _, _, j1, j2 in _blocks(_lines(before), _lines(after)):
        if tag == "delete":
            lines |= {max(1, j1), j1 + 1}
        elif tag != "equal":
            lines |= set(range(j1 + 1, j2 + 1))
    return frozenset(lines)


def _blocks(before: Sequence[str], after: Sequence[str]) -> Sequence[tuple[str, int, int, int, int]]:
    return difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()


def _enclosing(text: str, lines: frozenset[int]) -> frozenset[int]:
    """All lines of the innermost functions that hold one of `lines`."""
    tree = _tree(text)
    spans = [
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    found: set[int] = set()
    for line in lines:
        around = [span for span in spans if line in span]
        found |= set(sorted(around, key=len)[0]) if around else set()
    return frozenset(found)


def _changes(text: str) -> Iterator[_Change]:
    """Every small change that this module knows how to make to `text`, in the order of its nodes."""
    tree = _tree(text)
    if tree is None:
        return
    source = _Source(text)
    nodes = list(ast.walk(tree))
    # Docstrings are prose: no test can tell one from another.
    prose = [node for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    skipped = {id(part) for node in prose for part in (node, node.value)}
    for node in nodes:
        if isinstance(node, ast.expr | ast.stmt) and id(node) not in skipped:
            for start, end, new, what in _of_node(node, source):
                yield _Change(start, end, new, what, source.line(start))


class _Source:
    """A text in which nodes can be found again: `ast` counts columns in UTF-8 bytes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = _lines(text)
        self._starts = [0, *accumulate(map(len, self._lines))]

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        last = node.end_lineno or node.lineno
        return self._place(node.lineno, node.col_offset), self._place(last, node.end_col_offset or 0)

    def of(self, node: ast.expr | ast.stmt) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def between(self, left: ast.expr, right: ast.expr) -> tuple[int, int]:
        return self.span(left)[1], self.span(right)[0]

    def line(self, place: int) -> int:
        return bisect_right(self._starts, place)

    def _place(self, line: int, column: int) -> int:
        content = self._lines[line - 1]
        if not content.isascii():
            column = len(content.encode("utf-8", "surrogateescape")[:column].decode("utf-8", "surrogateescape"))
        return self._starts[line - 1] + column


_Stretch = tuple[int, int, str, str]
"""(start, end, new text, what was done)."""


def _of_node(node: ast.expr | ast.stmt, source: _Source) -> Iterator[_Stretch]:
    start, end = source.span(node)
    match node:
        case ast.Compare(ops=[operator], comparators=[right]):
            yield from _swapped(source, node.left, right, _COMPARISONS.get(type(operator)), "turns a comparison around")
        case ast.BinOp():
            yield from _swapped(source, node.left, node.right, _OPERATORS.get(type(node.op)), "computes otherwise")
        case ast.BoolOp(values=[left, right, *_]):
            pair = (r"\band\b", "or") if isinstance(node.op, ast.And) else (r"\bor\b", "and")
            yield from _swapped(source, left, right, pair, "swaps and/or")
        case ast.UnaryOp(op=ast.Not()):
            yield start, end, f"({source.of(node.operand)})", "drops a not"
        case ast.Constant(value=bool() as value):
            yield start, end, str(not value), "flips a truth value"
        case ast.Constant(value=int() as value):
            yield start, end, str(value + 1), "is off by one"
        case ast.Constant(value=str() as value) if value and source.of(node)[0] in "'\"":
            yield start, end, "''", "empties a text"
        case ast.Call(args=[first, second, *_]) if not isinstance(first, ast.Starred):
            (a, b), (c, d) = source.span(first), source.span(second)
            if not isinstance(second, ast.Starred):
                yield a, d, source.text[c:d] + source.text[b:c] + source.text[a:b], "swaps two arguments"
        case ast.If() | ast.While() | ast.IfExp():
            a, b = source.span(node.test)
            yield a, b, f"(not ({source.text[a:b]}))", "negates a condition"
        case ast.Return(value=ast.expr()):
            yield start, end, "return None", "returns None"
        case ast.Raise():
            yield start, end, "pass", "raises nothing"
        case ast.Expr() | ast.AugAssign() | ast.Delete() | ast.Assign():
            yield start, end, "pass", "drops a statement"
        case ast.Continue():
            yield start, end, "break", "breaks off a loop"
        case ast.Break():
            yield start, end, "continue", "goes on with a loop"


def _swapped(
    source: _Source, left: ast.expr, right: ast.expr, pair: tuple[str, str] | None, what: str
) -> Iterator[_Stretch]:
    """Another operator between two operands."""
    if pair is None:
        return
    start, end = source.between(left, right)
    new, count = re.subn(pair[0], pair[1], source.text[start:end], count=1)
    if count:
        yield start, end, new, what


def _tree(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Old code has escapes that a newer Python warns of.
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _lines(text: str) -> list[str]:
    """Lines with their ends, split where Python's tokenizer splits them."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)
