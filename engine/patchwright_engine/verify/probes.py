"""Inputs on which candidate fixes may differ: what tests or written scripts call, then the same with a literal changed.

A probe is an expression with the statements it needs before it. It is only ever evaluated in the sandbox, over a
patched copy; two patches behave alike when every probe gives the same. No model is asked here.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain, zip_longest

from patchwright_engine.types import RepoPath
from patchwright_engine.verify.statements import binds, calls

_WRAPPERS = {"len", "isinstance", "bool", "any", "all", "hasattr", "str", "repr", "type"}
"""Calls that hide most of their argument; the argument itself tells more."""
_BOUND_CHARS = 4_000
"""A longer expression is a table of data, not an input a person would read."""
NOWHERE = RepoPath("")
_CUT_LINES = 3
"""At most so many last lines of a script may be a statement that was cut short."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One input."""

    setup: str
    """Statements to run first, imports included; one a line or block, may be ''."""
    expression: str
    file: RepoPath = NOWHERE
    """The file, there or not, as part of which it is evaluated: its package, its `__file__`. '': in the root."""

    @property
    def shown(self) -> str:
        """The input as a person reads it: the statements that are no imports or definitions, then the expression."""
        kept = [ast.unparse(node) for node in ast.parse(self.setup).body if isinstance(node, ast.Assign | ast.Expr)]
        return "; ".join([*kept, self.expression])


def derive_probes(
    sources: Mapping[RepoPath, str], limit: int, about: frozenset[str] = frozenset()
) -> tuple[Probe, ...]:
    """Probes from the tests in `sources`, at most `limit`: what the tests evaluate, then variants of it.

    Args:
        sources: texts of Python test files, by path; one that does not parse gives nothing.
        limit: most probes; variants of different places come before further variants of one.
        about: names one of which a test must mention; empty: every test counts.
    """
    return _with_variants(
        ((file, parsed) for file, text in sources.items() for parsed in _of_tests(_parsed(text), about)), limit
    )


def written_probes(scripts: Iterable[str], limit: int, file: RepoPath = NOWHERE) -> tuple[Probe, ...]:
    """Probes from scripts of imports, assignments and calls, at most `limit`: the calls, then variants of them.

    Of a script that ends in the middle of a statement what stands before counts. Each script's first call comes
    before any second one. They are evaluated as part of `file`.
    """
    every = zip_longest(*(_of_script(_parsed(script, cut=_CUT_LINES)) for script in scripts))
    parsed = (one for turn in every for one in turn if one is not None)
    return _with_variants(((file, one) for one in parsed), limit)


_Parsed = tuple[tuple[ast.stmt, ...], ast.expr]


def _with_variants(every: Iterable[tuple[RepoPath, _Parsed]], limit: int) -> tuple[Probe, ...]:
    if limit < 1:
        return ()
    originals: dict[Probe, tuple[RepoPath, _Parsed]] = {}
    for file, parsed in every:
        probe = _unparsed(file, parsed)
        if probe is not None:
            originals.setdefault(probe, (file, parsed))
        if len(originals) >= limit // 2:
            break
    changed = (
        (None if one is None else _unparsed(file, one) for one in _variants(*parsed))
        for file, parsed in originals.values()
    )
    found = dict.fromkeys(originals)
    for probe in chain.from_iterable(zip_longest(*changed)):
        if len(found) >= limit:
            break
        if probe is not None:
            found.setdefault(probe)
    return tuple(found)


def _unparsed(file: RepoPath, parsed: _Parsed) -> Probe | None:
    setup, subject = parsed
    module = ast.fix_missing_locations(ast.Module(list(setup), []))
    probe = Probe(ast.unparse(module), ast.unparse(ast.fix_missing_locations(subject)), file)
    return probe if len(probe.expression) + len(probe.setup) <= _BOUND_CHARS else None


def _parsed(source: str, cut: int = 0) -> ast.Module:
    """The module, without its last lines, `cut` at most, where that makes it parse; an empty one for what does not."""
    lines = source.rstrip().split("\n")
    for end in range(len(lines), max(0, len(lines) - cut - 1), -1):
        try:
            return ast.parse("\n".join(lines[:end]))
        except (SyntaxError, ValueError, RecursionError):
            continue
    return ast.Module([], [])


def _of_script(module: ast.Module) -> Iterator[_Parsed]:
    before: list[ast.stmt] = []
    for statement in module.body:
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Name("print"), args=[first, *_])):
                subjects = [first] if calls(first) else []
            case ast.Expr(value=value) | ast.Assign(value=value) if calls(value):
                subjects = [value]
            case _:
                subjects = list(_subjects(statement))
        for subject in subjects:
            yield tuple(_needed(before, subject)), subject
        if isinstance(statement, ast.Assign | ast.Import | ast.ImportFrom) or _is_told(statement):
            before.append(statement)
        elif isinstance(statement, ast.FunctionDef) and not any(statement.name in binds(node) for node in before):
            before.append(statement)  # A helper; what is imported is never replaced by a script's own version of it.


def _is_told(statement: ast.stmt) -> bool:
    """Whether a statement calls a method of a variable, which may change it. One call of a function needs no other."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name()))):
            return True
    return False


def _of_tests(module: ast.Module, about: frozenset[str]) -> Iterator[_Parsed]:
    shared = [n for n in module.body if isinstance(n, ast.Import | ast.ImportFrom | ast.Assign | ast.FunctionDef)]
    shared = [n for n in shared if not _is_test(n)]
    for test in ast.walk(module):
        if not _is_test(test) or (about and not about & _names(test)):
            continue
        assert isinstance(test, ast.FunctionDef)
        arguments = {argument.arg for argument in test.args.args}
        before: list[ast.stmt] = []
        for statement in test.body:
            for subject in _subjects(statement):
                setup = _needed([*shared, *before], subject)
                # A fixture's value, or `self`, is not there outside the test.
                used = _names(subject).union(*map(_names, setup))
                if not used & arguments:
                    yield tuple(setup), subject
            if isinstance(statement, ast.Assign | ast.Import | ast.ImportFrom | ast.FunctionDef | ast.Expr):
                before.append(statement)
            elif not isinstance(statement, ast.Assert | ast.With):
                break  # What follows a loop or a branch depends on more than can be cut out.


def _is_test(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test") and not node.decorator_list


def _names(node: ast.AST) -> set[str]:
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def _subjects(statement: ast.stmt) -> Iterator[ast.expr]:
    """What a statement of a test evaluates to check it: the side of the comparison that calls, the call that raises."""
    match statement:
        case ast.Assert(test=condition):
            yield from _checked(condition)
        case ast.With(body=body):
            for inner in body:
                if isinstance(inner, ast.Expr | ast.Assign):
                    yield from _checked(inner.value)
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name("self"), attr=name), args=arguments)):
            if name.startswith("assert"):  # unittest's own
                for argument in arguments[:2]:
                    yield from _checked(argument)


def _checked(condition: ast.expr) -> Iterator[ast.expr]:
    match condition:
        case ast.Compare(left=left, comparators=[right]):
            for side in (left, right):
                yield from _checked(side)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield from _checked(operand)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _checked(value)
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _WRAPPERS and calls(first):
            yield from _checked(first)
        case _ if calls(condition):
            yield condition


def _needed(before: Sequence[ast.stmt], subject: ast.expr) -> list[ast.stmt]:
    """Of the statements before, those that bind what the subject uses, directly or not, and calls on what they bind."""
    wanted = {n.id for n in ast.walk(subject) if isinstance(n, ast.Name)}
    needed: list[ast.stmt] = []
    for node in reversed(before):
        mutates = isinstance(node, ast.Expr) and {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & wanted
        if mutates or binds(node) & wanted:
            needed.insert(0, node)
            wanted |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return needed


# Variants


def _variants(setup: Sequence[ast.stmt], subject: ast.expr) -> Iterator[_Parsed]:
    """One literal changed at a time: first one change of every place, then the second, and so on."""
    places = [index for index, node in enumerate(_nodes(setup, subject)) if _is_literal(node)]
    changes = [list(_changed(list(_nodes(setup, subject))[index])) for index in places]
    for step in zip_longest(*changes):
        for index, change in zip(places, step, strict=True):
            if change is not None:
                new_setup, new_subject = deepcopy(list(setup)), deepcopy(subject)
                old = list(_nodes(new_setup, new_subject))[index]
                swap = _Swap(old, change)
                yield tuple(swap.statement(node) for node in new_setup), swap.expression(new_subject)


def _nodes(setup: Sequence[ast.stmt], subject: ast.expr) -> Iterator[ast.AST]:
    """Every node in which a literal may be changed, always in one order. Definitions and imports stay as they are."""
    for node in (*setup, subject):
        if isinstance(node, ast.Assign | ast.Expr | ast.expr):
            yield from ast.walk(node)


def _is_literal(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return node.value is None or isinstance(node.value, bool | int | float | str | bytes)
    return isinstance(node, ast.List | ast.Tuple | ast.Dict) and not isinstance(
        getattr(node, "ctx", ast.Load()), ast.Store
    )


def _changed(node: ast.AST) -> Iterator[ast.expr]:
    """The literal's neighbours, nearest to a boundary first."""
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield from map(ast.Constant, dict.fromkeys((type(value)(0), value + 1, value - 1, -value, value * 10)))
        case ast.Constant(value=str() as value):
            texts = ("", value + value, value[:1], value[:-1], f" {value} ", value.swapcase(), f"{value}é")
            yield from (ast.Constant(text) for text in dict.fromkeys(texts) if text != value)
        case ast.Constant(value=bytes() as value):
            yield from (ast.Constant(part) for part in dict.fromkeys((b"", value + value, value[:-1])) if part != value)
        case ast.Constant(value=None):
            yield ast.Constant(0)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            kind = type(node)
            lists: tuple[list[ast.expr], ...] = ([], items[:1], items[:-1], [*items, *items], items[::-1])
            different = {ast.dump(ast.List(part, ast.Load())): part for part in lists if part != items}
            yield from (kind(deepcopy(part), ast.Load()) for part in different.values())
        case ast.Dict(keys=keys, values=values):
            if keys:
                yield ast.Dict([], [])
            if len(keys) > 1:
                yield ast.Dict(deepcopy(keys[1:]), deepcopy(values[1:]))


class _Swap(ast.NodeTransformer):
    """Replaces one node by another."""

    def __init__(self, old: ast.AST, new: ast.expr) -> None:
        self._old = old
        self._new = new

    def statement(self, node: ast.stmt) -> ast.stmt:
        changed = self.visit(node)
        assert isinstance(changed, ast.stmt)
        return changed

    def expression(self, node: ast.expr) -> ast.expr:
        changed = self.visit(node)
        assert isinstance(changed, ast.expr)
        return changed

    def visit(self, node: ast.AST) -> ast.AST:
        return deepcopy(self._new) if node is self._old else self.generic_visit(node)
