"""From the captures of a query to symbols, references and imports, the same way for every language.

What the captures mean is in ADDING_A_LANGUAGE.md. Invariant: nothing here knows a language; how definitions are
nested, named and led in is said by captures alone.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import tree_sitter

from patchwright_engine.syntax.languages import LanguageEntry
from patchwright_engine.types import RepoPath, Symbol

MAX_SIGNATURE = 300
MAX_HEAD = 1_200
"""Bytes looked at for a signature: a thousand names may share one statement of a megabyte."""
MAX_DEPTH = 40
"""Definitions inside one another; what is deeper was generated, and its qualified names would outgrow the file."""
_CLASS, _FUNCTION, _VARIABLE, _CONTAINER = range(4)
_RANK = {
    "definition.class": _CLASS,
    "definition.function": _FUNCTION,
    "definition.method": _FUNCTION,
    "definition.variable": _VARIABLE,
    "container": _CONTAINER,
    "container.class": _CONTAINER,
}
_GAP = re.compile(rb"(?:\s|#[^\n]*|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*")
"""What may stand between a decorator and what it decorates: space and comments of any language."""
_INNERMOST = re.compile(r"<[^<>]*>")

Captures = Mapping[str, list[tree_sitter.Node]]


class Reference(NamedTuple):
    """A use of a name (its last component: 'parse' in `self.parser.parse()`), 1-based line.

    A tuple, as `Import` is: a cold index makes very many.
    """

    name: str
    line: int


class Import(NamedTuple):
    """One imported module as written ('.utils' keeps its dots) and the names taken from it."""

    module: str
    names: tuple[str, ...]
    line: int


@dataclass(slots=True)
class _Defined:
    """A definition or container, with all that its patterns captured."""

    node: tree_sitter.Node
    name: tree_sitter.Node
    capture: str
    scope: tree_sitter.Node | None = None
    body: tree_sitter.Node | None = None


@dataclass(slots=True)
class _Imported:
    node: tree_sitter.Node
    module: list[tree_sitter.Node]
    relative: bool
    names: dict[int, tree_sitter.Node] = field(default_factory=dict)


@dataclass(slots=True)
class Found:
    """Everything that the query found in one file, each node once."""

    defined: dict[tuple[int, bool], _Defined] = field(default_factory=dict)
    """By where the name starts; a container may share its name with a definition."""
    leading: dict[int, tree_sitter.Node] = field(default_factory=dict)
    references: dict[int, tree_sitter.Node] = field(default_factory=dict)
    imports: dict[tuple[int, ...], _Imported] = field(default_factory=dict)
    texts: list[tuple[int, int]] = field(default_factory=list)
    """Byte ranges of comments and strings."""


def collect(matches: Iterable[tuple[int, Captures]]) -> Found:
    """Sort the matches of a query by what they are."""
    found = Found()
    references, texts = found.references, found.texts
    for _, captures in matches:
        if "reference" in captures:
            for node in captures["reference"]:
                references[node.start_byte] = node
        elif "text" in captures:
            texts.append(captures["text"][0].byte_range)
        elif "name" in captures:
            _note_definition(captures, found)
        elif "import" in captures:
            _note_import(captures, found)
        else:
            found.leading.update((node.start_byte, node) for node in captures.get("leading", ()))
    return found


def _note_definition(captures: Captures, found: Found) -> None:
    capture = next(name for name in captures if name in _RANK)
    node, name = captures[capture][0], captures["name"][0]
    scope, body = captures.get("scope"), captures.get("body")
    new = _Defined(node, name, capture, scope[0] if scope else None, body[0] if body else None)
    key = (name.start_byte, _RANK[capture] == _CONTAINER)
    known = found.defined.get(key)
    if known is not None and _precedence(known) <= _precedence(new):
        new, known = known, new
    if known is not None:
        new.scope = new.scope or known.scope
        if known.body is not None and (new.body is None or known.body.start_byte < new.body.start_byte):
            new.body = known.body
    found.defined[key] = new


def _precedence(item: _Defined) -> tuple[int, int]:
    """Of several patterns for one name the strongest kind counts, then the smallest node."""
    return _RANK[item.capture], item.node.end_byte - item.node.start_byte


def _note_import(captures: Captures, found: Found) -> None:
    relative = "import.relative" in captures
    module = captures["import.relative" if relative else "import.module"]
    key = tuple(node.start_byte for node in module)
    imported = found.imports.setdefault(key, _Imported(captures["import"][0], module, relative))
    imported.names.update((node.start_byte, node) for node in captures.get("import.name", ()))


def symbols_of(path: RepoPath, source: bytes, found: Found) -> tuple[Symbol, ...]:
    """The definitions in source order, outer before inner, with qualified names."""
    ahead = _Ahead(source, found.leading)
    symbols: dict[tuple[str, str, int], Symbol] = {}
    variables: set[str] = set()
    around: list[
        tuple[int, str, bool, int]
    ] = []  # (end, qualified name, is a class, start of the body), outermost first
    for item in sorted(found.defined.values(), key=_order):
        node, body = item.node, item.body or item.node.child_by_field_name("body")
        body_start = body.start_byte if body is not None else -1
        while around and (around[-1][0] <= node.start_byte or around[-1][3] == body_start >= 0):
            around.pop()  # Two names of one body, as in `typedef struct a {...} b`, stand side by side.
        name = _name(source, item)
        if not name or len(around) >= MAX_DEPTH:
            continue
        qualified = f"{around[-1][1]}.{name}" if around else name
        kind = item.capture.partition(".")[2]
        if kind == "function" and around and around[-1][2]:
            kind = "method"
        if _RANK[item.capture] == _CONTAINER:
            around.append((node.end_byte, qualified, kind == "class", -1))
            continue
        if kind == "variable":
            if qualified in variables:
                continue
            variables.add(qualified)
        else:
            around.append((node.end_byte, qualified, kind == "class", body_start))
        start, end = ahead.first_row(node) + 1, node.end_point.row + 1
        if node.end_point.column == 0 and end > start:
            end -= 1  # The node holds its line end, as a preprocessor line does.
        signature = _signature(source, item, body, ahead.after(node.start_byte))
        symbol = Symbol(path, qualified, kind, start, end, signature)
        symbols.setdefault((qualified, kind, start), symbol)
    return tuple(symbols.values())


def references_of(source: bytes, found: Found) -> tuple[Reference, ...]:
    """The uses of names in source order. A name is not a use of itself where it is defined."""
    for start, container in found.defined:
        if not container:
            found.references.pop(start, None)
    return tuple(
        Reference(source[start : node.end_byte].decode("utf-8", "replace"), node.start_point.row + 1)
        for start, node in sorted(found.references.items())
    )


def imports_of(source: bytes, found: Found, entry: LanguageEntry) -> tuple[Import, ...]:
    """The imports in source order."""
    imports = []
    for _, item in sorted(found.imports.items()):
        module = entry.separator.join(_text(source, node) for node in item.module)
        if item.relative and not module.startswith("."):
            module = entry.relative + module.lstrip("/")
        names = tuple(_text(source, node) for _, node in sorted(item.names.items()))
        imports.append(Import(module.strip('<>"'), names, item.node.start_point.row + 1))
    return tuple(imports)


class _Ahead:
    """What leads in to each place: decorators, attributes, `template <...>`, `export`."""

    def __init__(self, source: bytes, leading: Mapping[int, tree_sitter.Node]) -> None:
        self._rows: dict[int, int] = {}
        self._after: dict[int, int] = {}
        for start, node in sorted(leading.items()):
            after = self._after[start] = _end_of_gap(source, node.end_byte)
            self._rows[after] = self._rows.get(start, node.start_point.row)

    def first_row(self, node: tree_sitter.Node) -> int:
        """The row where `node` begins with all that stands directly ahead of it."""
        return self._rows.get(node.start_byte, node.start_point.row)

    def after(self, start: int) -> int:
        """Where a definition that starts at `start` goes on behind its own decorators."""
        while start in self._after:
            start = self._after[start]
        return start


def _end_of_gap(source: bytes, start: int) -> int:
    gap = _GAP.match(source, start)
    return gap.end() if gap is not None else start


def _order(item: _Defined) -> tuple[int, int, bool, int]:
    """Outer before inner; of one node a definition before the container, and names as they stand."""
    return item.node.start_byte, -item.node.end_byte, _RANK[item.capture] == _CONTAINER, item.name.start_byte


def _name(source: bytes, item: _Defined) -> str:
    name = "".join(_text(source, item.name).split())
    types, colons, last = name.rpartition("::")
    if colons:
        while (plain := _INNERMOST.sub("", types)) != types:
            types = plain
        name = f"{types}::{last}".strip(":").replace("::", ".")
    return f"{_text(source, item.scope)}.{name}" if item.scope is not None and name else name


def _signature(source: bytes, item: _Defined, body: tree_sitter.Node | None, start: int) -> str:
    """The head of a definition in one line: what stands before its body."""
    node = item.node
    if body is not None and item.capture != "definition.variable":
        end = body.start_byte
    elif node.end_byte > start + MAX_HEAD:
        end = node.end_byte  # Cut below; asking for the last of very many children takes long.
    else:
        last = node.named_child(node.named_child_count - 1) if node.named_child_count else None
        end = last.end_byte if last is not None else node.end_byte
    head = source[start : max(start, min(end, start + MAX_HEAD))]
    if item.capture == "definition.variable":
        head = head.partition(b"\n")[0]
    ends = ": " if item.capture == "definition.variable" else ":;= "
    signature = " ".join(head.decode("utf-8", "replace").split()).rstrip(ends)
    return signature.replace("( ", "(").replace(", )", ")").replace(" )", ")")[:MAX_SIGNATURE]


def _text(source: bytes, node: tree_sitter.Node) -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "replace")
