"""Read one source file into plain records: symbols with spans, references, imports.

Invariant: parsing never fails. Broken code gives what the partial tree still shows; a file in a language
without a grammar gives an empty record. Nothing of tree-sitter leaves this module.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import tree_sitter

from patchwright_engine.syntax.languages import Grammar, language_of, load_grammar
from patchwright_engine.types import RepoPath, Symbol

MAX_SIGNATURE = 300


@dataclass(frozen=True, slots=True)
class Reference:
    """A use of a name (its last component: 'parse' in `self.parser.parse()`), 1-based line."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module as written ('.utils' keeps its dots) and the names taken from it."""

    module: str
    names: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class FileSyntax:
    """What one file defines and uses. Symbols are in source order, outer before inner."""

    path: RepoPath
    symbols: tuple[Symbol, ...] = ()
    references: tuple[Reference, ...] = ()
    imports: tuple[Import, ...] = ()
    texts: tuple[tuple[int, int], ...] = ()
    """Byte ranges of comments and strings."""
    has_error: bool = False


def parse_symbols(path: RepoPath, source: bytes) -> FileSyntax:
    """Symbols, references and imports of a file. The span of a decorated definition starts at its decorators."""
    grammar = _grammar_of(path)
    if grammar is None:
        return FileSyntax(path)
    root = tree_sitter.Parser(grammar.language).parse(source).root_node
    captures = tree_sitter.QueryCursor(grammar.query).captures(root)
    return FileSyntax(
        path=path,
        symbols=_symbols(path, source, captures),
        references=tuple(
            Reference(_text(source, node), node.start_point.row + 1) for node in captures.get("reference", ())
        ),
        imports=_imports(source, captures.get("import", ())),
        texts=tuple((node.start_byte, node.end_byte) for node in captures.get("text", ())),
        has_error=root.has_error,
    )


def has_syntax_error(path: RepoPath, source: bytes) -> bool:
    """Whether the file does not parse in its language; False for languages without a grammar."""
    grammar = _grammar_of(path)
    return grammar is not None and tree_sitter.Parser(grammar.language).parse(source).root_node.has_error


def enclosing_symbol(symbols: Sequence[Symbol], line: int) -> Symbol | None:
    """The innermost symbol whose span holds the 1-based `line`, or None at module level."""
    around = [symbol for symbol in symbols if symbol.start_line <= line <= symbol.end_line]
    return min(around, key=lambda symbol: (symbol.end_line - symbol.start_line, -symbol.start_line), default=None)


def _grammar_of(path: RepoPath) -> Grammar | None:
    entry = language_of(path)
    return load_grammar(entry) if entry is not None and entry.available else None


def _symbols(path: RepoPath, source: bytes, captures: dict[str, list[tree_sitter.Node]]) -> tuple[Symbol, ...]:
    nodes = [(node, "class") for node in captures.get("definition.class", ())]
    nodes += [(node, "function") for node in captures.get("definition.function", ())]
    nodes += [(node, "variable") for node in captures.get("definition.variable", ())]
    nodes.sort(key=lambda item: (item[0].start_byte, -item[0].end_byte))
    symbols: list[Symbol] = []
    seen_variables: set[str] = set()
    around: list[tuple[int, str, str]] = []  # (end byte, qualified name, kind) of the definitions we are inside
    for node, kind in nodes:
        while around and around[-1][0] <= node.start_byte:
            around.pop()
        name_node = node if kind == "variable" else node.child_by_field_name("name")
        if name_node is None or not (name := _text(source, name_node)):
            continue
        if kind == "variable":
            if name not in seen_variables:
                seen_variables.add(name)
                symbols.append(_symbol(path, source, node.parent or node, name, kind))
            continue
        in_class = bool(around) and around[-1][2] == "class"
        qualified = f"{around[-1][1]}.{name}" if around else name
        full_kind = "method" if kind == "function" and in_class else kind
        symbols.append(_symbol(path, source, node, qualified, full_kind))
        around.append((node.end_byte, qualified, full_kind))
    return tuple(symbols)


def _symbol(path: RepoPath, source: bytes, node: tree_sitter.Node, name: str, kind: str) -> Symbol:
    parent = node.parent
    outer = parent if parent is not None and parent.type == "decorated_definition" else node
    body = node.child_by_field_name("body")
    head = source[node.start_byte : body.start_byte if body is not None else node.end_byte]
    if kind == "variable":
        head = head.partition(b"\n")[0]
    signature = " ".join(head.decode("utf-8", "replace").split()).rstrip(": ")
    signature = signature.replace("( ", "(").replace(", )", ")").replace(" )", ")")[:MAX_SIGNATURE]
    return Symbol(path, name, kind, outer.start_point.row + 1, outer.end_point.row + 1, signature)


def _imports(source: bytes, nodes: Iterable[tree_sitter.Node]) -> tuple[Import, ...]:
    found: list[Import] = []
    for node in sorted(nodes, key=lambda item: item.start_byte):
        line = node.start_point.row + 1
        names = tuple(_imported_name(source, child) for child in node.children_by_field_name("name"))
        if node.type == "import_statement":
            found += [Import(name, (), line) for name in names]
            continue
        module = node.child_by_field_name("module_name")
        if module is not None:
            starred = any(child.type == "wildcard_import" for child in node.children)
            found.append(Import(_text(source, module), ("*",) if starred else names, line))
    return tuple(found)


def _imported_name(source: bytes, node: tree_sitter.Node) -> str:
    """The imported name itself, without `as alias`."""
    inner = node.child_by_field_name("name") if node.type == "aliased_import" else node
    return _text(source, inner or node)


def _text(source: bytes, node: tree_sitter.Node) -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "replace")
