"""The issue of a QuixBugs program, as somebody would write it who met one failing case.

It holds what the program promises (the text in the faulty file itself) and ONE case: what was called, what came, what
was expected. The case is the first that the hidden tests fail on, and what came is what really came, in the sandbox.
Invariant: nothing else of the tests that judge is in it, and equal programs make equal texts.
"""

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchwright_engine.bench.instances import Instance
from patchwright_engine.bench.quixbugs import MIRROR, TEST_SECONDS
from patchwright_engine.bench.truth import HiddenRun
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import EnvironmentProblem
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Command
from patchwright_engine.verify.environment import TestEnvironment

_MARK = "::probe:: "
_CASE = re.compile(r"(?P<path>\S+\.py)::(?P<function>\w+)(?:\[input_data(?P<case>\d+)\b.*\])?")
_TITLE_CHARS = 72


@dataclass(frozen=True, slots=True)
class Observed:
    """What the first failing case does today. Neither raised nor shown: it never ends."""

    statement: int
    """Where in the test function's body it ends."""
    expected: str = ""
    raised: str | None = None
    shown: str | None = None
    differing: tuple[tuple[str, str, str], ...] = ()
    """Of two dictionaries: key, value that came, value that was expected."""

    @property
    def in_short(self) -> str:
        """For a title, behind a name."""
        if self.raised is not None:
            return f"raises {self.raised.partition(':')[0]}"
        return "never ends" if self.shown is None else "gives a wrong result"


def is_quixbugs(instance: Instance) -> bool:
    return instance.mirror == MIRROR


def quixbugs_issue(
    instance: Instance,
    before: HiddenRun,
    tree: Path,
    *,
    sandbox: Sandbox,
    environment: TestEnvironment,
    cancel: CancelToken,
) -> str:
    """The text; `before` is the run of the hidden tests without a fix, `tree` a throw-away copy that holds them.

    Raises:
        EnvironmentProblem: no case fails in a way that can be told.
    """
    name = instance.instance_id.partition("-")[2]
    failed = next((test for test, outcome in before.results.items() if outcome == "FAILED"), "no test")
    found = _CASE.fullmatch(failed)
    if found is None:
        raise EnvironmentProblem(f"{failed} of {name} fails, which tells no case", "Run the hidden tests by hand.")
    probe = Path(__file__).with_name("quixbugs_probe.py").read_text(encoding="utf-8")
    command = Command(
        (str(environment.executable), "-c", probe, found["path"], found["function"], found["case"] or ""),
        env={**environment.variables(tree), "PYTHONHASHSEED": "0"},  # Sets of strings are told in one order.
        timeout_seconds=TEST_SECONDS,
    )
    run = sandbox.run(command, tree, cancel, environment.readable)
    observed = read_probe(run.output.splitlines())
    if observed is None or (observed.raised is None and observed.shown is None and run.outcome == "exited"):
        raise EnvironmentProblem(f"{failed} does not fail by itself: {run.output.strip()[-300:]}", "Run it by hand.")
    program = (tree / "python_programs" / f"{name}.py").read_text(encoding="utf-8")
    test = (tree / found["path"]).read_text(encoding="utf-8")
    if found["case"]:
        cases = (tree / "json_testcases" / f"{name}.json").read_text(encoding="utf-8").splitlines()
        title, example = told_by_call(name, test, json.loads(cases[int(found["case"])])[0], observed)
    else:
        title, example = told_by_code(name, test, found["function"], observed)
    promised = specification(program)
    return f"{title}\n\n{example}\n\nWhat python_programs/{name}.py says of itself:\n\n{promised}\n"


def read_probe(lines: Iterable[str]) -> Observed | None:
    """What `quixbugs_probe` printed; None when it did not even begin."""
    told: dict[str, Any] = {}
    for line in lines:
        if line.startswith(_MARK):
            told.update(json.loads(line.removeprefix(_MARK)))
    if "at" not in told:
        return None
    differing = tuple((str(key), str(shown), str(expected)) for key, shown, expected in told.get("differing", ()))
    return Observed(told["at"], told.get("expected", ""), told.get("raised"), told.get("shown"), differing)


def specification(program: str) -> str:
    """What the program promises: the text that stands in its file, without runs of empty lines."""
    for node in reversed(ast.parse(program).body):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                return re.sub(r"\n\s*\n\s*\n+", "\n\n", text.strip())
    return ""


def told_by_call(name: str, test: str, arguments: list[Any], observed: Observed) -> tuple[str, str]:
    """Title and example of a case that is one call and its result."""
    assertion = next(node for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Assert))
    assert isinstance(assertion.test, ast.Compare)
    call = ast.unparse(_Given(arguments).visit(assertion.test.left))
    title = f"{call} {observed.in_short}"
    if len(title) > _TITLE_CHARS:
        title = f"{name} {observed.in_short}"
    lines = [f">>> from python_programs.{name} import {name}", f">>> {call}"]
    lines += [text for text in (observed.raised, observed.shown) if text is not None]
    ending = "This never ends; I" if observed.raised is observed.shown is None else "I"
    return title, "\n".join(lines) + f"\n\n{ending} expected {observed.expected}."


def told_by_code(name: str, test: str, function: str, observed: Observed) -> tuple[str, str]:
    """Title and example of a case that builds something first: its own code, up to the assertion that should hold."""
    tree = ast.parse(test)
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    last = next(n for n, one in enumerate(found.body) if n >= observed.statement and isinstance(one, ast.Assert))
    shown = [one for one in found.body[: last + 1] if not _is_docstring(one)]
    used = _names(shown)
    setup: list[ast.stmt] = []
    for node in reversed(tree.body[: tree.body.index(found)]):
        if isinstance(node, ast.Assign) and used & _names(node.targets):
            setup.insert(0, node)
            used |= _names([node])
    imports = [f"from python_programs.{name} import {name}"]
    if "Node" in used:  # The tests have a copy of it beside them, which is not to be found from the project's root.
        imports.insert(0, "from python_programs.node import Node")
    code = "\n".join([*imports, "", *(_source(test, node) for node in (*setup, *shown))])
    assertion = found.body[last]
    assert isinstance(assertion, ast.Assert)
    if observed.shown is None:
        what = f"`{name}` " + (f"raises {observed.raised}" if observed.raised is not None else "never ends")
    elif observed.differing:
        value = ast.unparse(assertion.test.left) if isinstance(assertion.test, ast.Compare) else "it"
        what = ", ".join(f"`{value}[{key}]` is {came} and not {wanted}" for key, came, wanted in observed.differing)
    else:
        what = f"`{_left(assertion.test)}` is {observed.shown}"
    return f"{name} {observed.in_short}", f"```python\n{code}\n```\n\nThe last line should hold, but {what}."


class _Given(ast.NodeTransformer):
    """Puts the arguments of a case where the test has `*input_data`."""

    def __init__(self, arguments: list[Any]) -> None:
        self._arguments = arguments

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            node.args = [ast.parse(repr(argument), mode="eval").body for argument in self._arguments]
        return node


def _left(test: ast.expr) -> str:
    match test:
        case ast.Compare(left=value) | ast.UnaryOp(operand=value):
            return ast.unparse(value)
    return ast.unparse(test)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    return {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}


def _source(text: str, node: ast.stmt) -> str:
    """The statement as it is written, at the margin."""
    lines = text.split("\n")[node.lineno - 1 : node.end_lineno]
    return "\n".join(line[node.col_offset :] if line[: node.col_offset].isspace() else line for line in lines)
