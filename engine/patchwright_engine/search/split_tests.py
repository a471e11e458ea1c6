"""One test file in, one file a claim out: small models write right and wrong claims side by side.

A reproduction counts only when all of it passes, so a file with one wrong expectation would condemn every correct
patch. Split, each claim is judged alone, and equal claims of several samples become votes. Texts are normalised,
so that only what a test does tells it from another.
"""

import ast
from collections.abc import Iterator, Sequence
from copy import deepcopy

from patchwright_engine.verify.statements import binds, calls

MAX_CLAIMS = 6
_KEPT = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def split_claims(source: str) -> tuple[str, ...]:
    """Normalised test files, one claim each; () when the source does not parse or holds no test function.

    A straight-line test is split at its assertions, each with the statements before it; a test with control flow,
    a class or fixtures stays whole. Module-level calls (prints, `pytest.main`) are dropped.
    """
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    tests = [node for node in module.body if _is_test(node)]
    if not tests:
        classes = [n for n in module.body if isinstance(n, ast.ClassDef) and any(_is_test(m) for m in n.body)]
        shared: list[ast.stmt] = [n for n in module.body if isinstance(n, _KEPT)]
        return (ast.unparse(ast.Module(shared, [])),) if classes else ()
    shared = [node for node in module.body if isinstance(node, _KEPT) and node not in tests]
    claims = (
        ast.unparse(ast.fix_missing_locations(_ValueLast().visit(ast.Module([*_needed(shared, claim), claim], []))))
        for test in tests
        for claim in _claims(test)
    )
    return tuple(dict.fromkeys(claims))[:MAX_CLAIMS]


class _ValueLast(ast.NodeTransformer):
    """Writes `0 == f(x)` as `f(x) == 0`, so that the two are one claim."""

    def visit_Compare(self, node: ast.Compare) -> ast.Compare:
        symmetric = len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq | ast.NotEq)
        if symmetric and not calls(node.left) and calls(node.comparators[0]):
            return ast.Compare(node.comparators[0], node.ops, [node.left])
        return node


def _is_test(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")


def _claims(test: ast.stmt) -> Iterator[ast.stmt]:
    assert isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef)
    body = [s for s in test.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    asserts = [s for s in body if isinstance(s, ast.Assert)]
    plain = all(
        isinstance(s, ast.Assert | ast.Assign | ast.AnnAssign | ast.Expr | ast.Import | ast.ImportFrom) for s in body
    )
    if test.args.args or test.decorator_list or isinstance(test, ast.AsyncFunctionDef) or not plain or len(asserts) < 2:
        yield _named(test, body or test.body)
        return
    for claim in asserts:
        before = [s for s in body[: body.index(claim)] if not isinstance(s, ast.Assert)]
        yield _named(test, [*before, claim])


def _named(test: "ast.FunctionDef | ast.AsyncFunctionDef", body: list[ast.stmt]) -> ast.stmt:
    """The same test under one name, so that equal claims are equal texts; parameters and decorators stay."""
    name = test.name if test.args.args or test.decorator_list else "test_issue"
    copy = deepcopy(test)
    copy.name, copy.body, copy.returns = name, body, None
    return copy


def _needed(shared: Sequence[ast.stmt], claim: ast.stmt) -> list[ast.stmt]:
    """Of the module's imports and helpers, those a claim uses, directly or through other helpers."""
    wanted = {n.id for n in ast.walk(claim) if isinstance(n, ast.Name)}
    wanted |= {a.arg for n in ast.walk(claim) if isinstance(n, ast.arguments) for a in n.args}
    needed: list[ast.stmt] = []
    for node in reversed(shared):
        if binds(node) & wanted or "*" in binds(node):
            needed.insert(0, node)
            wanted |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return needed
