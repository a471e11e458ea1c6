"""Values of the issue or its tests that a patch compares with, only to answer with a value of its own.

`if n == 7919: return True` passes a test of 7919 and mends nothing. It is sometimes right (a base case, a keyword),
so it is told and not refused.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

_SMALL = 2
"""Numbers up to this one, single characters and empty values stand in every test and every base case."""


def special_cases(
    before: Iterable[ast.stmt], after: Iterable[ast.stmt], quoted: Callable[[], Iterable[str]]
) -> list[str]:
    """The code of each special case that only `after` has and whose value stands in one of the `quoted` texts."""
    known = Counter(code for code, _ in _cases(before))
    new = []
    for code, values in _cases(after):
        if known[code] > 0:
            known[code] -= 1
        else:
            new.append((code, values))
    if not new:
        return []
    texts = list(quoted())
    return [code for code, values in new if any(_stands(value, text) for value in values for text in texts)]


def _cases(body: Iterable[ast.stmt]) -> Iterator[tuple[str, list[ast.expr]]]:
    """Each condition on a literal that leads to a literal, with the telling literals in it."""
    for node in (inner for statement in body for inner in ast.walk(statement)):
        match node:
            case ast.If(test=test, body=[statement, *_]) if _answers(statement):
                yield f"if {ast.unparse(test)}: {ast.unparse(statement)}", _compared(test)
            case ast.IfExp(test=test, body=answer) if _is_literal(answer):
                yield ast.unparse(node), _compared(test)
            case ast.match_case(pattern=ast.MatchValue(value=value), body=[statement, *_]) if _answers(statement):
                yield f"case {ast.unparse(value)}: {ast.unparse(statement)}", [value] if _is_telling(value) else []
            case (
                ast.Subscript(value=ast.Dict(keys=keys, values=values))
                | ast.Call(func=ast.Attribute(value=ast.Dict(keys=keys, values=values), attr="get"))
            ) if all(_is_literal(value) for value in values):
                yield ast.unparse(node), [key for key in keys if key is not None and _is_telling(key)]


def _answers(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Return) and (statement.value is None or _is_literal(statement.value))


def _compared(test: ast.expr) -> list[ast.expr]:
    """Telling literals that something is compared with for equality."""
    found: list[ast.expr] = []
    for node in ast.walk(test):
        if isinstance(node, ast.Compare) and all(isinstance(op, ast.Eq | ast.Is | ast.In) for op in node.ops):
            for side in (node.left, *node.comparators):
                members = side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else ()
                found += [value for value in (side, *members) if _is_telling(value)]
    return found


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _is_telling(node: ast.expr) -> bool:
    if not _is_literal(node):
        return False
    value = ast.literal_eval(node)
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, int | float | complex):
        return abs(value) > _SMALL
    return len(value) > 1 if isinstance(value, str | bytes) else bool(value)


def _stands(value: ast.expr, text: str) -> bool:
    """Whether a text shows the value as code would."""
    shown = ast.unparse(value)
    if isinstance(ast.literal_eval(value), int | float | complex):
        return re.search(rf"(?<![\w.]){re.escape(shown)}(?!\w|\.\d)", text) is not None
    return _squeezed(shown) in _squeezed(text)


def _squeezed(text: str) -> str:
    """Without spaces and with one kind of quotes, so that layout does not matter."""
    return re.sub(r"\s+", "", text).replace('"', "'").replace("`", "'")
