"""Pairs what a model wrote with what it was shown: which definition of which file each one means.

Invariant: only definitions inside the shown symbols are ever targets, and two equally good ones are both given,
so that the caller can refuse instead of guessing.
"""

import ast
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from patchwright_engine.repair import python_source as python
from patchwright_engine.text.lines import bare_lines
from patchwright_engine.types import RepoPath, Symbol


@dataclass(frozen=True, slots=True)
class ShownFile:
    """One file the model was shown parts of."""

    path: RepoPath
    lines: tuple[str, ...]
    tree: ast.Module | None
    """None when this Python cannot parse the file: then only the symbols themselves are known."""
    known: tuple[python.Definition, ...]
    shown: tuple[python.Definition, ...]

    def text_of(self, definition: python.Definition) -> list[str]:
        return list(self.lines[definition.start : definition.end])


@dataclass(frozen=True, slots=True)
class Written:
    """A definition in the answer."""

    definition: python.Definition
    lines: tuple[str, ...]
    tail: tuple[str, ...] = ()
    """Comments below its last statement that still belong to its body."""
    container: ast.ClassDef | None = None

    @property
    def is_function(self) -> bool:
        return isinstance(self.definition.node, ast.FunctionDef | ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Target:
    """A definition that can be rewritten, and its file."""

    file: ShownFile
    definition: python.Definition


def read_file(path: RepoPath, symbols: Sequence[Symbol], snapshot_text: Callable[[RepoPath], str]) -> ShownFile:
    """What `symbols` show of one file."""
    text = snapshot_text(path)
    lines = tuple(bare_lines(text))
    spans = [(s.start_line - 1, s.end_line) for s in symbols if s.path == path]
    tree = python.parse(text) if python.is_python(path) else None
    if tree is None:
        alone = [_read_alone(lines, s) for s in symbols if s.path == path and python.is_python(path)]
        known = tuple(definition for definition in alone if definition)
        return ShownFile(path, lines, None, known, known)
    known = tuple(python.definitions(tree.body))
    shown = tuple(
        d
        for d in known
        if (d.start, d.end) in spans or (not d.local and any(a <= d.start and d.end <= b for a, b in spans))
    )
    return ShownFile(path, lines, tree, known, shown)


def _read_alone(lines: Sequence[str], symbol: Symbol) -> python.Definition | None:
    """A symbol of a file that does not parse as a whole, if its own text does."""
    excerpt = python.read_excerpt("\n".join(lines[symbol.start_line - 1 : symbol.end_line]) + "\n")
    if isinstance(excerpt, str):
        return None
    found = next(python.definitions(excerpt.body), None)
    return python.Definition(symbol.name, found.node, symbol.start_line - 1, symbol.end_line) if found else None


def written(excerpt: python.Excerpt) -> list[Written]:
    """The definitions an answer consists of: functions, assignments, and the members of classes."""
    return list(_flatten(excerpt.body, excerpt.lines, "", None))


def _flatten(
    body: Iterable[ast.stmt], lines: Sequence[str], owner: str, container: ast.ClassDef | None
) -> Iterator[Written]:
    nested = 0
    for definition in python.definitions(body, owner):
        if definition.start < nested:
            continue  # inside a function or class that is handled as a whole
        nested = definition.end
        text = tuple(lines[definition.start : definition.end])
        yield Written(definition, text, _tail(definition, lines), container)
        if isinstance(definition.node, ast.ClassDef):
            yield from _flatten(definition.node.body, lines, definition.name, definition.node)


def _tail(definition: python.Definition, lines: Sequence[str]) -> tuple[str, ...]:
    below = itertools.takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), lines[definition.end :])
    margin = definition.node.col_offset
    return tuple(line for line in below if line.strip() and len(line) - len(line.lstrip()) > margin)


def _same_file(path: str, label: str) -> bool:
    return path == label or path.endswith("/" + label) or label.endswith("/" + path)


def find_targets(item: Written, files: Sequence[ShownFile], label: str | None = None) -> list[Target]:
    """The shown definitions an item of the answer can mean: one, several or none.

    `label` is the file named next to the code, as the model wrote it.
    """
    files = [file for file in files if label is None or _same_file(file.path, label)] or files
    sort = kind(item.definition.node)
    name = item.definition.name
    shown = [Target(file, d) for file in files for d in file.shown if kind(d.node) == sort]
    found = [t for t in shown if t.definition.name == name or t.definition.name.endswith("." + name)]
    exact = [t for t in found if t.definition.name == name]
    if item.container is None and item.is_function:
        in_class = _takes_self(item.definition.node)
        exact = [t for t in exact if not in_class]
        same_side = [t for t in found if bool(t.definition.owner) == in_class]
        found = exact or same_side or found
    elif item.container is not None and not found:
        owners = {d.last_name for file in files for d in file.known}
        if item.container.name not in owners:  # a wrapper the model made up
            found = [t for t in shown if t.definition.last_name == item.definition.last_name and t.definition.owner]
    found = exact or found
    for same in (_same_decorators, _same_parameters):
        narrowed = [t for t in found if same(item.definition.node, t.definition.node)]
        found = narrowed if len(found) > 1 and narrowed else found
    return found


def kind(node: ast.AST) -> str:
    """'class', 'value' or 'def': only like replaces like."""
    return (
        "class"
        if isinstance(node, ast.ClassDef)
        else "value"
        if isinstance(node, ast.Assign | ast.AnnAssign)
        else "def"
    )


def _takes_self(node: ast.AST) -> bool:
    args = getattr(node, "args", None)
    first = [*args.posonlyargs, *args.args][:1] if args else []
    return bool(first) and first[0].arg in ("self", "cls")


def _same_decorators(one: ast.AST, other: ast.AST) -> bool:
    return [ast.dump(d) for d in getattr(one, "decorator_list", [])] == [
        ast.dump(d) for d in getattr(other, "decorator_list", [])
    ]


def _same_parameters(one: ast.AST, other: ast.AST) -> bool:
    names = [
        [arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)] if hasattr(node, "args") else []
        for node in (one, other)
    ]
    return names[0] == names[1]


def owner_of(item: Written, files: Sequence[ShownFile]) -> Target | None:
    """The one class of the files that an added member belongs to."""
    name = item.definition.owner
    found = [
        Target(file, d)
        for file in files
        for d in file.known
        if isinstance(d.node, ast.ClassDef) and (d.name == name or d.name.endswith("." + name))
    ]
    return found[0] if len(found) == 1 else None
