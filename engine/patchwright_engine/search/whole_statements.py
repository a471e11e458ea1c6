"""Pieces of a Python file for a reader with little room: whole statements in the file's own lines, nothing cut inside.

Two things are rewritten: an import brings only the names that are used, and a long table of a decorator has only its
first rows.
"""

import ast
from collections.abc import Sequence
from copy import deepcopy

from patchwright_engine.search.cases import is_test
from patchwright_engine.verify.statements import binds

_TABLE_LINES = 6
"""A decorator with more is a table of parameters."""
_TABLE_ROWS = 2

Function = ast.FunctionDef | ast.AsyncFunctionDef
AnyImport = ast.Import | ast.ImportFrom


def first_line(node: ast.stmt) -> int:
    """Where a statement begins, decorators included."""
    if not isinstance(node, Function | ast.ClassDef):
        return node.lineno
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def length(node: ast.stmt) -> int:
    """Lines of a statement, less one."""
    return (node.end_lineno or node.lineno) - first_line(node)


def source_lines(lines: Sequence[str], node: ast.stmt) -> list[str]:
    """The lines of a statement."""
    return list(lines[first_line(node) - 1 : node.end_lineno])


def class_head(lines: Sequence[str], owner: ast.ClassDef) -> list[str]:
    """A class up to the first statement in it."""
    return list(lines[first_line(owner) - 1 : first_line(owner.body[0]) - 1])


def function_lines(lines: Sequence[str], node: Function, statements: Sequence[ast.stmt]) -> list[str]:
    """A function with some statements of its body; [] when these have no lines of their own."""
    begin = first_line(node.body[0])
    if begin <= node.lineno or not statements:
        return []
    head = list(lines[first_line(node) - 1 : begin - 1])
    if len(head) > _TABLE_LINES and node.decorator_list:
        indent = " " * node.col_offset
        tables = [_FirstRows().visit(deepcopy(decorator)) for decorator in node.decorator_list]
        head = [*(f"{indent}@{ast.unparse(table)}" for table in tables), *lines[node.lineno - 1 : begin - 1]]
    if len(statements) == len(node.body):
        return [*head, *lines[begin - 1 : node.end_lineno]]
    return [*head, *(line for statement in statements for line in source_lines(lines, statement))]


class _FirstRows(ast.NodeTransformer):
    def visit_List(self, node: ast.List) -> ast.List:
        return ast.List(node.elts[:_TABLE_ROWS], node.ctx)

    def visit_Tuple(self, node: ast.Tuple) -> ast.Tuple:
        rows = all(isinstance(element, ast.Tuple | ast.List) for element in node.elts)
        return ast.Tuple(node.elts[:_TABLE_ROWS], node.ctx) if rows else node


def imports_in(nodes: Sequence[ast.stmt]) -> list[AnyImport]:
    """The imports among some statements."""
    return [node for node in nodes if isinstance(node, AnyImport)]


def reduced(node: AnyImport, used: set[str]) -> str:
    """The import of those names alone that are used."""
    kept = [alias for alias in node.names if (alias.asname or alias.name).partition(".")[0] in (used | {"*"})]
    if isinstance(node, ast.Import):
        return ast.unparse(ast.Import(kept))
    return ast.unparse(ast.ImportFrom(node.module, kept, node.level))


def names_in(node: ast.AST) -> set[str]:
    """What a piece of code mentions: names, attributes, parameters."""
    return bindable_in(node) | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def bindable_in(node: ast.AST) -> set[str]:
    """The names, parameters (fixtures) included, that something else in the module may give their meaning."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names | {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}


def needed_for(module: ast.Module, used: set[str], *, helpers: bool) -> list[ast.stmt]:
    """The imports of the module that bring what is used; with `helpers` also the functions, fixtures and constants.

    Adds to `used` what these use in turn.
    """
    needed: list[ast.stmt] = []
    for node in reversed(module.body):
        helping = helpers and isinstance(node, ast.Assign | ast.AnnAssign | Function) and not is_test(node)
        if (isinstance(node, AnyImport) or helping) and binds(node) & (used | {"*"}):
            needed.insert(0, node)
            used |= bindable_in(node)
    return needed
