"""One test file in, one file a claim out: small models write right and wrong claims side by side.

A reproduction counts only when all of it passes, so a file with one wrong expectation would condemn every correct
patch. Split, each claim is judged alone, and equal claims of several samples become votes. Texts are normalised,
so that only what a test does tells it from another.
"""

import ast
from collections.abc import Iterator, Sequence
from copy import copy, deepcopy
from itertools import chain

from patchwright_engine.search.cases import CASE, TEST, as_case, in_own_words, is_assertion, is_case, is_test
from patchwright_engine.verify.statements import binds, calls

MAX_CLAIMS = 6
_KEPT = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def split_claims(source: str, base: str = "", header: str = "") -> tuple[str, ...]:
    """Normalised test files, one claim each; () when the source does not parse or holds no test function.

    A straight-line test is split at its assertions, each with the statements before it; a test with control flow,
    a plain class or fixtures stays whole. A case of unittest is split as functions are, each claim with the case's
    own set-up. Module-level calls (prints, `pytest.main`) are dropped.

    Args:
        source: a test file.
        base: class of which cases are derived, where the project's tests are cases: functions become one. '': never.
        header: the import that brings `base`.
    """
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    if base:
        module = as_case(module, base, header)
    tests = [node for node in module.body if is_test(node)]
    cases = [node for node in module.body if isinstance(node, ast.ClassDef) and is_case(node)]
    if not tests and not cases:
        classes = [n for n in module.body if isinstance(n, ast.ClassDef) and any(is_test(m) for m in n.body)]
        kept: list[ast.stmt] = [n for n in module.body if isinstance(n, _KEPT)]
        return (ast.unparse(ast.Module(kept, [])),) if classes else ()
    shared = [node for node in module.body if isinstance(node, _KEPT) and node not in tests and node not in cases]
    every = chain.from_iterable((*map(_claims, tests), *map(_claims_of_case, cases)))
    claims = (
        ast.unparse(ast.fix_missing_locations(_ValueLast().visit(ast.Module([*_needed(shared, claim), claim], []))))
        for claim in every
    )
    return tuple(dict.fromkeys(claims))[:MAX_CLAIMS]


class _ValueLast(ast.NodeTransformer):
    """Writes `0 == f(x)` as `f(x) == 0`, in unittest's words too, so that the two are one claim."""

    def visit_Compare(self, node: ast.Compare) -> ast.Compare:
        symmetric = len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq | ast.NotEq)
        if symmetric and not calls(node.left) and calls(node.comparators[0]):
            return ast.Compare(node.comparators[0], node.ops, [node.left])
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("self"), attr=name), args=[left, right], keywords=[]):
                if name in ("assertEqual", "assertNotEqual") and not calls(left) and calls(right):
                    return ast.Call(node.func, [right, left], [])
        self.generic_visit(node)
        return node


def _claims(test: ast.stmt) -> Iterator[ast.stmt]:
    assert isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef)
    if test.args.args or test.decorator_list:
        yield _with_body(test, test.name, _told(test))
        return
    for body in _bodies(test):
        yield _with_body(test, TEST, body)


def _claims_of_case(case: ast.ClassDef) -> Iterator[ast.stmt]:
    """The same class under one name with one claim, and all of it that is neither a test nor a docstring."""
    others = [node for node in case.body if not is_test(node) and not isinstance(node, ast.Expr)]
    for test in filter(is_test, case.body):
        assert isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef)
        own = in_own_words(test)
        assert isinstance(own, ast.FunctionDef | ast.AsyncFunctionDef)
        whole = len(own.args.args) != 1 or own.decorator_list
        for body in [_told(own)] if whole else _bodies(own):
            claim = copy(case)
            claim.name = CASE
            claim.body = [*others, _with_body(own, own.name if whole else TEST, body)]
            yield claim


def _bodies(test: "ast.FunctionDef | ast.AsyncFunctionDef") -> Iterator[list[ast.stmt]]:
    """The test's statements once for each assertion in it, or all of them where it does more than go straight on."""
    body = _told(test)
    asserts = [s for s in body if is_assertion(s)]
    plain = all(
        isinstance(s, ast.Assert | ast.Assign | ast.AnnAssign | ast.Expr | ast.Import | ast.ImportFrom) for s in body
    )
    if isinstance(test, ast.AsyncFunctionDef) or not plain or len(asserts) < 2:
        yield body
        return
    for claim in asserts:
        yield [*(s for s in body[: body.index(claim)] if not is_assertion(s)), claim]


def _told(test: "ast.FunctionDef | ast.AsyncFunctionDef") -> list[ast.stmt]:
    """The body without docstrings and other bare constants; a test of nothing else keeps them."""
    body = [s for s in test.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return body or test.body


def _with_body(test: ast.stmt, name: str, body: list[ast.stmt]) -> ast.stmt:
    """The same test under a name, with other statements; parameters and decorators stay."""
    new = deepcopy(test)
    assert isinstance(new, ast.FunctionDef | ast.AsyncFunctionDef)
    new.name, new.body, new.returns = name, body, None
    return new


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
