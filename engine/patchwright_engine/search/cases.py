"""Tests as functions and as methods of a `unittest` case: one claim, two forms.

A reproduction is written, split into claims and offered in the form of the project's own framework; what a model
writes in the other form is brought into it here. Only the form changes, never what is asserted.
"""

import ast
from collections.abc import Sequence
from copy import deepcopy

TEST = "test_issue"
CASE = "IssueTest"
"""Names of a claim's test and of the class around it, so that equal claims are equal texts."""

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "assertEqual",
    ast.NotEq: "assertNotEqual",
    ast.Is: "assertIs",
    ast.IsNot: "assertIsNot",
    ast.In: "assertIn",
    ast.NotIn: "assertNotIn",
    ast.Lt: "assertLess",
    ast.LtE: "assertLessEqual",
    ast.Gt: "assertGreater",
    ast.GtE: "assertGreaterEqual",
}
_RAISES = {"pytest.raises", "raises"}


def is_test(node: ast.AST) -> bool:
    """Whether a node is a test function or method, going by its name."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")


def is_case(node: ast.AST) -> bool:
    """Whether a node is a class with tests that has a base: a case of unittest or of what builds on it."""
    return isinstance(node, ast.ClassDef) and bool(node.bases) and any(is_test(part) for part in node.body)


def is_assertion(statement: ast.stmt) -> bool:
    """Whether a statement is an `assert`, or a call of one of a case's own assertions."""
    match statement:
        case ast.Assert():
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name("self"), attr=name))):
            return name.startswith("assert")
    return False


def as_case(module: ast.Module, base: str, header: str) -> ast.Module:
    """The module with its test functions as methods of one class derived from `base`, which `header` imports.

    Functions with parameters stay as they are: their fixtures are not a case's. Without any other the module is
    given back as it is.
    """
    tests = [n for n in module.body if isinstance(n, ast.FunctionDef) and is_test(n) and not n.args.args]
    if not tests:
        return module
    wanted = ast.parse(header).body
    present = {ast.unparse(node) for node in module.body}
    added = [node for node in wanted if ast.unparse(node) not in present]
    case = ast.parse(f"class {CASE}({base}): pass").body[0]
    assert isinstance(case, ast.ClassDef)
    case.body = [in_own_words(_as_method(test)) for test in tests]
    rest = [node for node in module.body if node not in tests]
    return ast.fix_missing_locations(ast.Module([*added, *rest, case], []))


def _as_method(test: ast.FunctionDef) -> ast.FunctionDef:
    method = deepcopy(test)
    method.args.args.insert(0, ast.arg("self"))
    return method


def in_own_words(test: ast.stmt) -> ast.stmt:
    """A method of a case with unittest's own assertions, which say both values when they fail."""
    changed = _OwnWords().visit(deepcopy(test))
    assert isinstance(changed, ast.stmt)
    return ast.fix_missing_locations(changed)


class _OwnWords(ast.NodeTransformer):
    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        name, arguments = _assertion(node.test)
        return ast.Expr(_own(name, [*arguments, node.msg] if node.msg else arguments))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("self"), attr="assertTrue"), args=[condition], keywords=[]):
                name, arguments = _assertion(condition)
                return _own(name, arguments)
            case ast.Call(func=function, args=[expected, *rest]) if ast.unparse(function) in _RAISES:
                match = [keyword.value for keyword in node.keywords if keyword.arg == "match"]
                return _own("assertRaisesRegex" if match else "assertRaises", [expected, *match, *rest])
            case ast.Call(func=function, args=arguments) if ast.unparse(function) == "pytest.fail":
                return _own("fail", arguments)
        return node


def _assertion(condition: ast.expr) -> tuple[str, list[ast.expr]]:
    """unittest's assertion for a condition, and its arguments."""
    match condition:
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as operator], comparators=[ast.Constant(None)]):
            return ("assertIsNone" if isinstance(operator, ast.Is) else "assertIsNotNone"), [left]
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return _COMPARISONS[type(operator)], [left, right]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return "assertFalse", [operand]
        case ast.Call(func=ast.Name("isinstance"), args=[value, kind], keywords=[]):
            return "assertIsInstance", [value, kind]
    return "assertTrue", [condition]


def _own(name: str, arguments: Sequence[ast.expr]) -> ast.Call:
    return ast.Call(ast.Attribute(ast.Name("self", ast.Load()), name, ast.Load()), list(arguments), [])
