"""Facts about Python source: what it defines, whether two pieces mean the same, what would break callers.

With `python_rewrite.py` this is all that knows Python; other languages go by tree-sitter (`other_source.py`).
Nothing here changes text. Lines are 0-based and half-open, so that they index `bare_lines(text)`.
"""

import ast
import copy
import io
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from patchwright_engine.repair.elision import is_placeholder
from patchwright_engine.syntax.parse import error_lines
from patchwright_engine.text.lines import bare_lines
from patchwright_engine.types import RepoPath

Function = ast.FunctionDef | ast.AsyncFunctionDef
Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Definition:
    """A function, class or plain assignment in a file. `name` is qualified, the span includes decorators."""

    name: str
    node: Node
    start: int
    end: int
    local: bool = False
    """Defined inside a function."""

    @property
    def last_name(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def owner(self) -> str:
        """The qualified name of what it is defined in; '' at module level."""
        return self.name.rpartition(".")[0]


def is_python(path: str) -> bool:
    return path.endswith((".py", ".pyi"))


def parse(text: str) -> ast.Module | None:
    """The module, or None if this Python cannot parse it. Undecodable bytes and a byte order mark are tolerated."""
    tree = _parse(text)
    return tree if isinstance(tree, ast.Module) else None


def _parse(text: str) -> ast.Module | str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in the user's code are not ours to report
            return ast.parse(_SURROGATE.sub("?", text).removeprefix("\ufeff"))
    except SyntaxError as error:
        where = f"line {error.lineno}: " if error.lineno else ""
        return f"{where}{error.msg}" + (f" in `{error.text.strip()}`" if error.text and error.text.strip() else "")
    except (ValueError, RecursionError, MemoryError) as error:
        return f"not readable as Python: {error}"


def syntax_problem(before: str, after: str) -> str | None:
    """What is wrong with `after`, or None. A file this Python could not parse before is held to tree-sitter:
    it may not gain errors."""
    tree = _parse(after)
    if isinstance(tree, ast.Module):
        return None
    if not before or isinstance(_parse(before), ast.Module) or len(_error_lines(after)) > len(_error_lines(before)):
        return tree
    return None


def _error_lines(text: str) -> tuple[int, ...]:
    return error_lines(RepoPath("a.py"), text.encode("utf-8", "surrogateescape"))


def definitions(body: Iterable[ast.stmt], owner: str = "", *, local: bool = False) -> Iterator[Definition]:
    """Every function, class and plain assignment, in order, also inside classes, `if` and `try`.

    Of what a function defines inside only functions and classes are given, marked `local`.
    """
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                name = f"{owner}.{node.name}" if owner else node.name
                yield Definition(name, node, first_line(node), node.end_lineno or node.lineno, local)
                yield from definitions(node.body, name, local=local or not isinstance(node, ast.ClassDef))
            case ast.Assign(targets=[ast.Name(id=target)]) | ast.AnnAssign(target=ast.Name(id=target)) if not local:
                name = f"{owner}.{target}" if owner else target
                yield Definition(name, node, node.lineno - 1, node.end_lineno or node.lineno)
            case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
                yield from definitions(inner_statements(node), owner, local=local)
            case _:
                pass


def inner_statements(node: ast.AST) -> list[ast.stmt]:
    """The statements of all blocks of a compound statement, in order."""
    return [statement for block in blocks(node) for statement in block]


def blocks(node: ast.AST) -> list[list[ast.stmt]]:
    """The statement lists of a compound statement: body, handlers or cases, else, finally."""
    found = [getattr(node, "body", [])]
    found += [inner.body for inner in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]]
    found += [getattr(node, "orelse", []), getattr(node, "finalbody", [])]
    return [block for block in found if isinstance(block, list) and block]


def first_line(node: ast.stmt) -> int:
    """0-based first line of a statement with its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1


def span(node: ast.stmt) -> tuple[int, int]:
    """The lines of a statement with its decorators, 0-based and half-open."""
    return first_line(node), node.end_lineno or node.lineno


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Code a model wrote, parsed; `lines` are those the node positions refer to."""

    lines: tuple[str, ...]
    body: tuple[ast.stmt, ...]


def read_excerpt(code: str) -> Excerpt | str:
    """Parse code that may be indented as a whole, or only in parts; else the syntax error in words."""
    problem = _parse(code)
    if isinstance(problem, ast.Module):
        return Excerpt(tuple(bare_lines(code)), tuple(problem.body))
    wrapped = _parse("if True:\n" + code)
    if isinstance(wrapped, ast.Module) and len(wrapped.body) == 1 and isinstance(wrapped.body[0], ast.If):
        ast.increment_lineno(wrapped, -1)
        return Excerpt(tuple(bare_lines(code)), tuple(wrapped.body[0].body))
    for mended in (_with_first_line_indented(code), _with_parts_dedented(code)):
        tree = _parse(mended)
        if isinstance(tree, ast.Module):
            return Excerpt(tuple(bare_lines(mended)), tuple(tree.body))
    return problem


def _with_first_line_indented(code: str) -> str:
    """A model that starts a method without its indentation goes on with it: dedent all lines but the first."""
    lines = bare_lines(code)
    first = next((at for at, line in enumerate(lines) if line.strip()), 0)
    rest = [line for line in lines[first + 1 :] if line.strip()]
    margin = min((_width(line) for line in rest), default=0)
    return "\n".join([*lines[: first + 1], *(line[margin:] for line in lines[first + 1 :])]) + "\n"


def _with_parts_dedented(code: str) -> str:
    """Dedent each definition that stands indented below module level, e.g. a method after imports."""
    margin, result = 0, []
    open_block = False
    for line in bare_lines(code):
        if line.strip():
            width = _width(line)
            if width < margin:
                margin = 0
            if not open_block and margin == 0 and re.match(r"\s+(?:@|def |async def |class )", line):
                margin = width
            if width - margin == 0:
                open_block = bool(re.match(r"\s*(?:def|async def|class|if|try|with|for|while)\b", line))
        result.append(line[margin:] if line.strip() else "")
    return "\n".join(result) + "\n"


def _width(line: str) -> int:
    return len(line) - len(line.lstrip())


def same_code(one: ast.AST, other: ast.AST) -> bool:
    """Whether two trees are equal apart from docstrings, comments and layout."""
    return dump(without_docstrings(one)) == dump(without_docstrings(other))


def dump(node: ast.AST) -> str:
    return ast.dump(node)


def without_docstrings(tree: ast.AST) -> ast.AST:
    """A copy of `tree` with every docstring taken out."""
    tree = copy.deepcopy(tree)
    for node in ast.walk(tree):
        if docstring(node) is not None and isinstance(node, Function | ast.ClassDef | ast.Module):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def docstring(node: ast.AST) -> ast.stmt | None:
    """The statement that is the docstring of a function, class or module."""
    match node:
        case (
            ast.FunctionDef(body=body)
            | ast.AsyncFunctionDef(body=body)
            | ast.ClassDef(body=body)
            | ast.Module(body=body)
        ):
            match body:
                case [ast.Expr(value=ast.Constant(value=str())) as first, *_]:
                    return first
    return None


def normalized(node: ast.AST) -> str:
    """Code without comments, docstrings and layout."""
    return ast.unparse(ast.fix_missing_locations(without_docstrings(node)))


def signature_problem(old: Function, new: Function) -> str | None:
    """What callers of `old` would miss in `new`, in words; None if every call still binds the same way."""
    if isinstance(old, ast.AsyncFunctionDef) != isinstance(new, ast.AsyncFunctionDef):
        return "it changes between `def` and `async def`"
    before, after = old.args, new.args
    old_names = [arg.arg for arg in [*before.posonlyargs, *before.args]]
    new_names = [arg.arg for arg in [*after.posonlyargs, *after.args]]
    everything = {*new_names, *(arg.arg for arg in after.kwonlyargs)}
    gone = [name for name in [*old_names, *(arg.arg for arg in before.kwonlyargs)] if name not in everything]
    gone += [f"*{before.vararg.arg}"] if before.vararg and not after.vararg else []
    gone += [f"**{before.kwarg.arg}"] if before.kwarg and not after.kwarg else []
    if gone:
        return f"it drops or renames the parameter {', '.join(f'`{name}`' for name in gone)}"
    if new_names[: len(old_names)] != old_names:
        return "it changes the order of the parameters"
    was_needed, is_needed = _required(before), _required(after)
    needed = [name for name in is_needed if name not in was_needed]
    return f"its parameter `{needed[0]}` has no default" if needed else None


def _required(args: ast.arguments) -> list[str]:
    positional = [arg.arg for arg in [*args.posonlyargs, *args.args]]
    keyword = [arg.arg for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True) if default is None]
    return positional[: len(positional) - len(args.defaults)] + keyword


def is_empty(node: ast.AST) -> bool:
    """Whether a function does nothing: only a docstring, `pass`, `...` or `raise NotImplementedError`."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and all(_does_nothing(s) for s in node.body)


def _does_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Raise(exc=ast.Name(id="NotImplementedError") | ast.Call(func=ast.Name(id="NotImplementedError"))):
            return True
    return False


def elision(lines: Sequence[str], node: ast.AST, old_lines: Sequence[str], old: ast.AST) -> str | None:
    """A placeholder in the new text of a definition that the old one did not have: the comment, or '...'."""
    known = "\n".join(old_lines)
    for comment in comments(lines):
        text = comment.lstrip("# ").strip()
        if is_placeholder(text) and comment not in known:
            return comment
    return "..." if _dots(node) > _dots(old) else None


def _dots(node: ast.AST) -> int:
    return sum(
        isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant) and inner.value.value is ...
        for inner in ast.walk(node)
    )


def comments(lines: Sequence[str]) -> list[str]:
    """The comments of a piece of code, in order."""
    return [token.string for token in tokens(lines) if token.type == tokenize.COMMENT]


def tokens(lines: Sequence[str]) -> list[tokenize.TokenInfo]:
    """The tokens as far as they can be read; positions are 1-based lines, code point columns."""
    found: list[tokenize.TokenInfo] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
            found.append(token)
    except (tokenize.TokenError, SyntaxError):
        pass  # the excerpt is indented as a whole or ends early; what was read is enough for its callers
    return found


def free_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that the given trees read and do not bind themselves."""
    free: set[str] = set()
    for tree in nodes:
        inner = list(ast.walk(tree))
        names = [node for node in inner if isinstance(node, ast.Name)]
        bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        bound |= {node.arg for node in inner if isinstance(node, ast.arg)}
        bound |= {alias.asname or alias.name.split(".")[0] for node in inner for alias in _aliases(node)}
        free |= {node.id for node in names if isinstance(node.ctx, ast.Load)} - bound
    return free


def attributes(nodes: Iterable[ast.AST]) -> set[str]:
    """Every attribute name that occurs."""
    return {node.attr for tree in nodes for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def _aliases(node: ast.AST) -> list[ast.alias]:
    return node.names if isinstance(node, ast.Import | ast.ImportFrom) else []


def harm(old_tree: ast.Module, new_tree: ast.Module) -> str | None:
    """What a change destroys: a function or class that is gone, or a body that became empty. None if nothing."""
    new = {d.name: d.node for d in definitions(new_tree.body)}
    bound = set(new) | bound_names(new_tree.body)
    for old in definitions(old_tree.body):
        if not isinstance(old.node, ast.Assign | ast.AnnAssign):
            if old.name not in bound and not old.local:
                return f"it deletes `{old.name}`"
            if old.name in new and is_empty(new[old.name]) and not is_empty(old.node):
                return f"it empties `{old.name}`"
    return None


def bound_names(body: Iterable[ast.stmt]) -> set[str]:
    """Names a module binds at its top level, by any statement, also inside `if` and `try`."""
    names: set[str] = set()
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
            case _:
                names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
                names |= bound_names(inner_statements(node))
    return names
