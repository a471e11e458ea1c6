"""Functions of some standard library modules survive being given back in another shape."""

import ast
import configparser
import copy
import inspect
import textwrap
from types import ModuleType

import pytest

from patchwright_engine.repair import python_source as python
from patchwright_engine.repair.apply import Refusal, build_patch
from patchwright_engine.types import Patch, RepoPath, Symbol

PATH = RepoPath("module.py")
MODULES = [textwrap, configparser, inspect]


def functions(module: ModuleType) -> tuple[str, list[python.Definition]]:
    text = inspect.getsource(module)
    found = [d for d in python.definitions(ast.parse(text).body) if not d.local]
    return text, [d for d in found if isinstance(d.node, ast.FunctionDef) and not d.node.decorator_list]


def answer_with(text: str, definition: python.Definition, code: str) -> Patch | Refusal:
    symbol = Symbol(PATH, definition.name, "function", definition.start + 1, definition.end)
    return build_patch(f"```python\n{code}\n```\n", snapshot_text={PATH: text}.__getitem__, symbols=[symbol])


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_function_given_back_in_another_layout_is_no_change(module: ModuleType) -> None:
    text, found = functions(module)
    for definition in found[:: 1 + len(found) // 8]:
        result = answer_with(text, definition, ast.unparse(definition.node))
        assert isinstance(result, Refusal), definition.name
        assert result.kind == "no_change", definition.name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_statement_put_first_is_the_only_change(module: ModuleType) -> None:
    text, found = functions(module)
    found = [d for d in found if not python.is_empty(d.node)]
    for definition in found[:: 1 + len(found) // 8]:
        node = copy.deepcopy(definition.node)
        assert isinstance(node, ast.FunctionDef)
        node.body[1 if python.docstring(node) else 0 : 0] = ast.parse("marker = 1").body
        result = answer_with(text, definition, ast.unparse(node))
        assert isinstance(result, Patch), (definition.name, result)
        changed = [line for line in result.diff.splitlines()[2:] if line.startswith(("+", "-")) and line[1:].strip()]
        assert [line.strip("+ ") for line in changed] == ["marker = 1"], definition.name
