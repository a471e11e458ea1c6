"""What the code that a patch adds does to be judged well rather than to be right.

Read from the syntax tree, without running anything. Refused is what no fix has a need of: looking for the test
runner, ending the process, skipping or rewriting tests. Flagged is what is often a cheat and sometimes a fix; the
user is told. Invariant: only what is new counts, and a file that already did such things is never refused for more.
"""

import ast
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from patchwright_engine.repair import python_source as python
from patchwright_engine.sandbox.output import visible
from patchwright_engine.text.lines import bare_lines
from patchwright_engine.types import FileEdit, Patch
from patchwright_engine.verify.special_cases import special_cases

_SHOWN = 6
_TOOLS = r"(?:pytest|_pytest|unittest|nose2?|py\.test|patchwright\w*)"
_OWN_NAMES = re.compile(r"_?PYTEST_\w+|PATCHWRIGHT\w*|patchwright_\w+|\.?patchwright-.*")
_LOOKS_AROUND = re.compile(
    r"\bsys\.(?:modules|argv|orig_argv|path)\b|\b(?:environ|getenv|find_spec|import_module|__import__)\b"
    r"|\b__main__\b|\bmodules\b"
)
_NAMES_TOOL = re.compile(rf"['\"][^'\"]*\b{_TOOLS}\b[^'\"]*['\"]")
_STACK = re.compile(
    r"\b(?:inspect\.(?:stack|currentframe|getouterframes)|sys\._getframe|_getframe|currentframe"
    r"|traceback\.(?:extract_stack|walk_stack|format_stack))\("
)
_FRAME_NAMES = re.compile(r"\b(?:filename|co_filename|co_name|f_code|function|f_globals|f_back)\b")
_TEST_WORD = re.compile(r"['\"][^'\"]*\btest[^'\"]*['\"]")
_SKIPS = re.compile(r"\bSkipTest\b|\b(?:pytest|unittest)\.(?:skip\w*|xfail|exit|importorskip|expectedFailure)\b")
_ENDS = re.compile(r"\bos\.(?:_exit|abort)\b")
_SIGNALS = re.compile(r"\bos\.(?:kill|killpg|exec[lv]\w*)\(|\bsignal\.raise_signal\(")
_LEAVES = re.compile(r"\bsys\.exit\(|^(?:exit|quit)\(|\bSystemExit\b")
_INTERNALS = re.compile(
    r"\bgc\.get_(?:objects|referrers|referents)\(|\b__closure__\b|\bcell_contents\b|\bctypes\b|\batexit\.\w+\("
    r"|\bsys\.(?:settrace|setprofile|addaudithook)\(|/proc/(?:self|\d+)/|\bf_locals\b|\b__subclasshook__\b"
)
_RUNS_TEXT = re.compile(r"(?<![\w.])(?:exec|eval|compile|__import__)\(")
_WARNINGS = re.compile(r"\bwarnings\.(?:filterwarnings|simplefilter|resetwarnings|catch_warnings)\(")
_TEST_FILES = re.compile(r"(?:^|/)(?:tests?/|conftest\.py|test_\w+\.py)")
_MACHINERY = {"builtins", "__builtins__", "pytest", "_pytest", "unittest"}
_COMPARISONS = {"__eq__": True, "__ne__": False, "__contains__": True, "__instancecheck__": True}


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What was found, as phrases that go on from "the patch"."""

    refused: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


class _Finding(NamedTuple):
    """One thing in one file. Equal ones before and after the patch are not the patch's."""

    words: str
    code: str
    sure: bool = False
    """Whether no fix has a need of it, in a file that did nothing of the kind before."""


def inspect_patch(patch: Patch, quoted: Callable[[], Iterable[str]] = tuple) -> Suspicion:
    """Look at what `patch` adds. `quoted` gives the texts that show what is tested: issue, reproductions, tests.

    It is asked only when the patch compares with a value of its own.
    """
    refused: list[str] = []
    flags: list[str] = []
    for edit in patch.edits:
        for finding in _new_findings(edit, quoted):
            shown = visible(f"{finding.words}: `{_short(finding.code)}` in {edit.path}")
            (refused if finding.sure else flags).append(shown)
    return Suspicion(tuple(dict.fromkeys(refused))[:_SHOWN], tuple(dict.fromkeys(flags))[:_SHOWN])


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= 90 else line[:87] + "..."


def _new_findings(edit: FileEdit, quoted: Callable[[], Iterable[str]]) -> Iterator[_Finding]:
    yield from _hidden_characters(edit)
    if not python.is_python(edit.path):
        return
    after = python.parse(edit.after)
    if after is None:
        return
    before = python.parse(edit.before) or ast.Module([], [])
    old, new = _touched(before, edit.before, edit.after), _touched(after, edit.after, edit.before)
    known = Counter(_findings(old, before))
    for finding in _findings(new, after):
        if known[finding] > 0:
            known[finding] -= 1
        else:
            habit = finding.sure and any(finding.words == other.words for other in _findings(before.body, before))
            yield finding._replace(sure=finding.sure and not habit)
    for code in special_cases(old, new, quoted):
        yield _Finding("treats a tested value as a special case", code)
    yield from _disabled(before, after)


def _touched(tree: ast.Module, text: str, other: str) -> list[ast.stmt]:
    """The statements of a module that the other text does not have as they are: the rest is not looked at."""
    lines = bare_lines(text)
    theirs = python.parse(other) or ast.Module([], [])
    other_lines = bare_lines(other)
    same = {tuple(other_lines[slice(*python.span(node))]) for node in theirs.body}
    return [node for node in tree.body if tuple(lines[slice(*python.span(node))]) not in same]


def _findings(body: Sequence[ast.stmt], module: ast.Module) -> Iterator[_Finding]:
    inside = (node for statement in body for node in ast.walk(statement))
    imported = {name for node in itertools.chain(module.body, inside) for name in _imported(node)}
    for statement, place in _statements(body, "import"):
        yield from _of_statement(statement, imported)
        for piece in _pieces(statement):
            yield from _of_text(ast.unparse(piece), place)
            yield from _of_constants(piece)


def _statements(body: Iterable[ast.stmt], place: str) -> Iterator[tuple[ast.stmt, str]]:
    """Every statement, and when it runs: at the 'import', as a 'script', or in a 'call'."""
    for node in body:
        yield node, place
        inner = place
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = "call"
        elif isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            inner = "script"
        yield from _statements(python.inner_statements(node), inner)


def _pieces(statement: ast.stmt) -> list[ast.AST]:
    """A statement's own expressions; those of the statements in it come with these."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return []  # a docstring
    if not python.blocks(statement):
        return [statement]
    children = ast.iter_child_nodes(statement)
    return [node for node in children if not isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case)]


def _of_text(text: str, place: str) -> Iterator[_Finding]:
    if _LOOKS_AROUND.search(text) and _NAMES_TOOL.search(text):
        yield _Finding("looks for the test runner", text, sure=True)
    if _FRAME_NAMES.search(text) and _TEST_WORD.search(text):
        yield _Finding("asks whether a test calls it", text, sure=True)
    elif _STACK.search(text):
        yield _Finding("looks at who calls it", text)
    if _SKIPS.search(text):
        yield _Finding("skips tests", text, sure=True)
    if _ENDS.search(text):
        yield _Finding("ends the process at once", text, sure=True)
    elif _SIGNALS.search(text):
        yield _Finding("signals or replaces processes", text)
    elif _LEAVES.search(text) and place != "script":
        words = "leaves the program while it is imported" if place == "import" else "leaves the program"
        yield _Finding(words, text, sure=place == "import")
    if _INTERNALS.search(text):
        yield _Finding("reaches into the running program", text)
    if _RUNS_TEXT.search(text):
        yield _Finding("runs text as code", text)
    if _WARNINGS.search(text):
        yield _Finding("silences warnings", text)


def _of_constants(piece: ast.AST) -> Iterator[_Finding]:
    for node in ast.walk(piece):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _OWN_NAMES.fullmatch(node.value):
                yield _Finding("looks for the test runner", repr(node.value), sure=True)
            elif _TEST_FILES.search(node.value):
                yield _Finding("names test files", repr(node.value))


def _of_statement(statement: ast.stmt, imported: set[str]) -> Iterator[_Finding]:
    code = ast.unparse(statement)
    match statement:
        case ast.Import() | ast.ImportFrom():
            if _imported(statement) & {"pytest", "_pytest", "unittest", "nose"} or "pytest" in code:
                yield _Finding("imports a test tool", code)
        case ast.Assign(targets=targets):
            yield from _patched(targets, code, imported)
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            yield from _patched([target], code, imported)
        case ast.Delete(targets=targets):
            yield from _patched(targets, code, imported)
        case ast.Expr(value=ast.Call(func=ast.Name(id="setattr"), args=[target, *_])):
            yield from _patched([ast.Attribute(target, "")], code, imported)
        case ast.FunctionDef(name=name) if name in _COMPARISONS and _only_returns(statement, _COMPARISONS[name]):
            yield _Finding("makes a comparison that always says the same", code)
        case ast.Try(handlers=handlers):
            yield from (_Finding("swallows every error", ast.unparse(h)) for h in handlers if _swallows(h))
        case ast.With(items=items):
            for item in items:
                if re.search(r"\bsuppress\((?:Base)?Exception\)", ast.unparse(item)):
                    yield _Finding("swallows every error", ast.unparse(item))
        case ast.If(test=test) | ast.While(test=test) if _is_false(test):
            yield _Finding("switches code off", code)


def _patched(targets: Iterable[ast.expr], code: str, imported: set[str]) -> Iterator[_Finding]:
    for target in targets:
        text = ast.unparse(target)
        root = re.split(r"[.\[(]", text)[0]
        if not isinstance(target, ast.Attribute | ast.Subscript):
            continue
        if root in _MACHINERY or (text.startswith("sys.modules") and re.search(_TOOLS, text)):
            yield _Finding("changes how tests are run or compared", code, sure=True)
        elif text.startswith("sys.modules"):
            yield _Finding("replaces a module", code)
        elif root in imported and isinstance(target, ast.Attribute) and root != "os":
            yield _Finding("replaces a part of another module", code)


def _imported(node: ast.AST) -> set[str]:
    """Names of modules that a statement binds."""
    if isinstance(node, ast.Import):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        return {node.module.split(".")[0]} if node.module.split(".")[0] in _MACHINERY | {"nose"} else set()
    return set()


def _only_returns(function: ast.FunctionDef, value: bool) -> bool:
    body = function.body[1:] if python.docstring(function) is not None else function.body
    return [ast.unparse(statement) for statement in body] == [f"return {value}"]


def _swallows(handler: ast.ExceptHandler) -> bool:
    """Whether it catches everything and tells nobody."""
    kinds = ast.unparse(handler.type) if handler.type is not None else "BaseException"
    if not re.search(r"\b(?:Base)?Exception\b", kinds):
        return False
    quiet = ast.Pass | ast.Continue | ast.Break | ast.Return | ast.Assign | ast.Expr
    return all(
        isinstance(statement, quiet) and not any(isinstance(part, ast.Call) for part in ast.walk(statement))
        for statement in handler.body
    )


def _is_false(test: ast.expr) -> bool:
    return ast.unparse(test) in {"False", "0", "not True", "None", "''"}


def _disabled(before: ast.Module, after: ast.Module) -> Iterator[_Finding]:
    """Code that is gone, or can no longer be reached."""
    harm = python.harm(before, after)
    if harm is not None:
        yield _Finding("takes code away", harm)
    # One name may be defined several times, as for one system and another: the n-th is compared with the n-th.
    old = _numbered(before)
    for (_, number), new in _numbered(after).items():
        function, was = new.node, old[new.name, number].node if (new.name, number) in old else None
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(was, ast.FunctionDef | ast.AsyncFunctionDef):
            if _is_constant(function) and not _is_constant(was) and len(was.body) > 1:
                yield _Finding("replaces a whole function by a constant", ast.unparse(function.body[-1]))
            if _dead_ends(function) > _dead_ends(was):
                yield _Finding("makes code unreachable", new.name)


def _numbered(module: ast.Module) -> dict[tuple[str, int], python.Definition]:
    """Name and how many of that name come before → definition."""
    seen: Counter[str] = Counter()
    found: dict[tuple[str, int], python.Definition] = {}
    for definition in python.definitions(module.body):
        found[definition.name, seen[definition.name]] = definition
        seen[definition.name] += 1
    return found


def _is_constant(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    body = function.body[1:] if python.docstring(function) is not None else function.body
    match body:
        case [ast.Return(value=value)]:
            return value is None or not any(isinstance(n, ast.Name | ast.Call) for n in ast.walk(value))
        case [ast.Pass()]:
            return True
    return False


def _dead_ends(function: ast.AST) -> int:
    """Blocks that go on after a statement that leaves them."""
    leaves = ast.Return | ast.Raise | ast.Continue | ast.Break
    blocks = [block for node in ast.walk(function) for block in python.blocks(node)]
    return sum(any(isinstance(statement, leaves) for statement in block[:-1]) for block in blocks)


def _hidden_characters(edit: FileEdit) -> Iterator[_Finding]:
    """Characters that a reader of the diff does not see, or sees in another order."""
    known = set(edit.before)
    for line in edit.after.splitlines():
        plain = line.replace("\t", " ").lstrip("\ufeff\x0c")
        if plain != visible(plain) and any(
            character not in known for character in plain if visible(character) != character
        ):
            yield _Finding("hides characters from its reader", line)
