"""Runs one test function of QuixBugs statement by statement: `python -c … FILE FUNCTION CASE`; prints what each does.

It runs inside the sandbox, from the project's root, under the project's own interpreter, so it is plain Python and
imports nothing of ours. Each line it prints after MARK is JSON: {"at": N} before statement N of the function's body,
{"expected": TEXT} before an assertion's left side is worked out; then, for the statement that fails, {"raised": TEXT}
or {"shown": TEXT, "differing": [[KEY, SHOWN, EXPECTED], ...]}. Who sees neither knows which statement never ended.
"""

import ast
import importlib.util
import json
import re
import sys

MARK = "::probe:: "
_CELLS = 3


def main(path: str, function: str, case: str) -> None:
    sys.path[:0] = [".", path.rpartition("/")[0]]
    import pytest

    pytest.use_correct = pytest.run_slow = False  # type: ignore[attr-defined] # as the project's conftest does
    spec = importlib.util.spec_from_file_location("case", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - plain Python
        tree = ast.parse(file.read())
    test = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    names = dict(vars(module))
    if case:
        names.update(zip([argument.arg for argument in test.args.args], module.testdata[int(case)], strict=True))
    for number, statement in enumerate(test.body):
        _print({"at": number})
        try:
            failed = _fails(statement, names)
        except Exception as error:  # noqa: BLE001 - what the program does is what is asked
            _print({"raised": _text(f"{type(error).__name__}: {error}".rstrip(": "))})
            return
        if failed is not None:
            _print(failed)
            return


def _fails(statement: ast.stmt, names: dict) -> "dict | None":  # type: ignore[type-arg] # plain Python
    """What stands on both sides of a failed assertion, or None."""
    if not isinstance(statement, ast.Assert):
        exec(compile(ast.Module([statement], []), "test", "exec"), names)
        return None

    def value(node: ast.expr) -> object:
        return eval(compile(ast.Expression(node), "test", "eval"), names)

    test = statement.test
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq):
        expected = value(test.comparators[0])
        _print({"expected": _text(repr(expected))})
        shown = value(test.left)
        if shown == expected:
            return None
        return {"shown": _text(repr(shown)), "differing": _differing(shown, expected)}
    wanted, asked = (False, test.operand) if isinstance(test, ast.UnaryOp) else (True, test)
    _print({"expected": repr(wanted)})
    shown = value(asked)
    return None if bool(shown) is wanted else {"shown": _text(repr(shown))}


def _differing(shown: object, expected: object) -> list:  # type: ignore[type-arg] # plain Python
    """Of two dictionaries only the entries that differ: a person would not copy forty that do not."""
    if not isinstance(shown, dict) or not isinstance(expected, dict):
        return []
    keys = [key for key in expected if key not in shown or shown[key] != expected[key]][:_CELLS]
    return [[repr(key), repr(shown[key]) if key in shown else "missing", repr(expected[key])] for key in keys]


def _text(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _print(value: object) -> None:
    sys.stdout.write(MARK + json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
