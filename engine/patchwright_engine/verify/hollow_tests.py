"""What the text of a test tells before and after it ran: that it cannot show an issue, whatever the project does.

Invariant: nothing is run here, and what is doubtful is let through: the run decides.
"""

import ast
import builtins
from collections import Counter
from pathlib import PurePosixPath

from patchwright_engine.types import Snapshot
from patchwright_engine.verify.statements import binds

_DJANGO_DOORS = {"client", "async_client", "Client", "AsyncClient", "RequestFactory", "call_command", "reverse"}
"""How Django's tests reach a project without importing it."""
_PURE = {
    *("abs", "all", "any", "bool", "bytes", "dict", "float", "frozenset", "int", "isinstance", "len", "list", "max"),
    *("min", "range", "repr", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "type", "zip"),
}
"""Built-in functions that give nothing of the project unless they are given some."""
_EXCEPTIONS = {name for name in vars(builtins) if name.endswith(("Error", "Exception", "StopIteration"))}
_EXPECTING = ("raises", "assertRaises", "assertRaisesRegex")
_FRAMEWORK = {"TestCase", "SimpleTestCase", "TransactionTestCase", "raises"}
"""What a test imports to be one. It says nothing about the project, also where the project is the framework."""
_FORMS = {
    "unittest": "Write at least one method whose name starts with `test_`, in a class derived from unittest.TestCase.",
    "django": "Write at least one method whose name starts with `test_`, in a class derived from a TestCase of Django.",
}


def objection_to(source: str, snapshot: Snapshot, runner: str) -> str | None:
    """What can be told without running: syntax, no test at all, nothing of the project imported."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return f"The test is not valid Python: {error}. Write one complete test file."
    if not any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
        for node in ast.walk(tree)
    ):
        form = _FORMS.get(runner, "Write at least one function whose name starts with `test_`.")
        return f"The file defines no test. {form}"
    own = {PurePosixPath(path).stem for path in snapshot.files if path.endswith(".py")}
    own |= {part for path in snapshot.files if path.endswith(".py") for part in PurePosixPath(path).parts[:-1]}
    if not (_imported(tree) & own) and not _starts_processes(tree) and not _reaches(tree, snapshot, runner):
        return "The test imports nothing of the project, so it cannot show the issue. Import the code at fault."
    return None


def _imported(tree: ast.Module) -> set[str]:
    """Top-level names of imported modules; for relative imports the names they bring."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not {alias.name for alias in node.names} <= _FRAMEWORK:
            names |= {(node.module or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names |= {str(a.value).split(".")[0] for a in node.args[:1] if isinstance(a, ast.Constant)}
    return names


def _starts_processes(tree: ast.Module) -> bool:
    return bool(_imported(tree) & {"subprocess", "runpy"})


def _reaches(tree: ast.Module, snapshot: Snapshot, runner: str) -> bool:
    """Whether a test gets at the project without importing it: by Django's test client, or by its fixtures."""
    names = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    names |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    if runner == "django" and names & _DJANGO_DOORS:
        return True
    tests = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test"))
    wanted = {argument.arg for test in tests for argument in test.args.args} - {"self"}
    if not wanted:
        return False
    shared = [snapshot.read_text(path) for path in snapshot.files if PurePosixPath(path).name == "conftest.py"]
    return any(f"def {name}(" in text for name in wanted for text in shared)


def asserts_constant(source: str, line: int) -> bool:
    """Whether the statement at `line` fails whatever the project does: `assert False`, a bare `pytest.fail()`."""
    tree = ast.parse(source)
    known = _known(tree)
    here = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and n.lineno <= line <= (n.end_lineno or line)]
    for node in here:
        match node:
            case ast.Assert(test=condition):
                return _is_constant(condition, known)
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name) | ast.Name(name)) as call) if _asserts(call):
                values = (*call.args[name in _EXPECTING :], *(keyword.value for keyword in call.keywords))
                return all(_is_constant(value, known) for value in values)
    for node in here:
        if isinstance(node, ast.With) and all(_is_constant(statement, known) for statement in node.body):
            return True
    for function in here:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in function.body:  # directly in the body: under a condition or an except it may be meant
                if statement in here:
                    fails = ast.unparse(statement).startswith(("pytest.fail(", "self.fail("))
                    return fails or isinstance(statement, ast.Raise)
    return False


def _asserts(call: ast.Call) -> bool:
    """Whether a call is an assertion of unittest's, or of SymPy's and pytest's `raises`."""
    function = ast.unparse(call.func)
    return function.startswith("self.assert") or function in ("raises", "pytest.raises")


def _is_constant(node: ast.AST, known: set[str]) -> bool:
    """Whether nothing in it but what is known can differ from one state of the project to another."""
    return all(n.id in known for n in ast.walk(node) if isinstance(n, ast.Name))


def _known(tree: ast.Module) -> set[str]:
    """Names that stand for the same whatever the project is: built-in ones, and those bound once, to a literal."""
    bound = Counter(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    bound.update(n.arg for n in ast.walk(tree) if isinstance(n, ast.arg))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.update(binds(node))
    literals: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=ast.Constant()) if bound[name] == 1:
                literals.add(name)
    return ((_PURE | _EXCEPTIONS) - bound.keys()) | literals
