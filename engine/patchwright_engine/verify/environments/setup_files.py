"""setup.cfg and setup.py: what they say literally. setup.py is parsed and never run."""

import ast
import configparser
from typing import Any

from patchwright_engine.verify.environments.reading import Reader, for_tests, string_of


def read_setup_cfg(reader: Reader) -> None:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(reader.text("setup.cfg"))
    except configparser.Error:
        return
    reader.python = reader.python or parser.get("options", "python_requires", fallback="")
    values = [parser.get("options", key, fallback="") for key in ("install_requires", "tests_require")]
    if parser.has_section("options.extras_require"):
        extras = dict(parser.items("options.extras_require"))
        values += [extras[name] for name in for_tests(extras)]
    for value in values:
        reader.add([line for line in value.splitlines() if not line.lstrip().startswith(("#", "file:"))], "setup.cfg")


def read_setup_py(reader: Reader) -> None:
    """Literal arguments of `setup(...)`, and names bound to literals before it; whatever is computed stays unknown."""
    try:
        tree = ast.parse(reader.text("setup.py"))
    except (SyntaxError, ValueError, RecursionError):
        return
    known: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            known[node.targets[0].id] = _literal(node.value, known)
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and _called(call.func) == "setup":
            values = {keyword.arg: _literal(keyword.value, known) for keyword in call.keywords if keyword.arg}
            reader.setup_py |= {key: value for key, value in values.items() if isinstance(value, str)}
            reader.python = reader.python or string_of(values.get("python_requires"))
            extras = values.get("extras_require")
            chosen = [extras[name] for name in for_tests(extras)] if isinstance(extras, dict) else []
            for value in (values.get("install_requires"), values.get("tests_require"), *chosen):
                reader.add(value.splitlines() if isinstance(value, str) else value, "setup.py")


def _called(function: ast.expr) -> str:
    """The last part of the name that is called: 'setup' of `setuptools.setup`."""
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _literal(node: ast.expr, known: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Dict):
        keys = [_literal(key, known) if key is not None else None for key in node.keys]
        pairs = zip(keys, node.values, strict=True)
        return {key: _literal(value, known) for key, value in pairs if isinstance(key, str)}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return None
