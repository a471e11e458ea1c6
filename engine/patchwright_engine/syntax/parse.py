"""Read one source file into plain records: symbols with spans, references, imports.

Invariant: parsing never fails. Broken code gives what the partial tree still shows; a file in no known language,
or one whose grammar is not installed, gives an empty record. Nothing of tree-sitter leaves this package.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tree_sitter

from patchwright_engine.syntax.extract import Import, Reference, collect, imports_of, references_of, symbols_of
from patchwright_engine.syntax.languages import find_grammar, language_of
from patchwright_engine.types import RepoPath, Symbol

__all__ = ["FileSyntax", "Import", "Reference", "enclosing_symbol", "has_syntax_error", "parse_symbols"]


@dataclass(frozen=True, slots=True)
class FileSyntax:
    """What one file defines and uses. Symbols are in source order, outer before inner."""

    path: RepoPath
    symbols: tuple[Symbol, ...] = ()
    references: tuple[Reference, ...] = ()
    imports: tuple[Import, ...] = ()
    texts: tuple[tuple[int, int], ...] = ()
    """Byte ranges of comments and strings, in order."""
    has_error: bool = False


def parse_symbols(path: RepoPath, source: bytes) -> FileSyntax:
    """Symbols, references and imports of a file. The span of a decorated definition starts at its decorators."""
    entry, grammar = language_of(path), find_grammar(path)
    if entry is None or grammar is None:
        return FileSyntax(path)
    root = tree_sitter.Parser(grammar.language).parse(source).root_node
    found = collect(tree_sitter.QueryCursor(grammar.query).matches(root))
    return FileSyntax(
        path=path,
        symbols=symbols_of(path, source, found),
        references=references_of(source, found),
        imports=imports_of(source, found, entry),
        texts=tuple(sorted(found.texts)),
        has_error=root.has_error,
    )


def has_syntax_error(path: RepoPath, source: bytes) -> bool:
    """Whether the file does not parse in its language; False for files in no known language."""
    root = _root(path, source)
    return root is not None and root.has_error


def error_lines(path: RepoPath, source: bytes) -> tuple[int, ...]:
    """The 1-based lines where the file does not parse, in order, one for each place; empty in no known language."""
    root = _root(path, source)
    found: list[int] = []
    pending = [root] if root is not None and root.has_error else []
    while pending:
        node = pending.pop()
        if node.is_error or node.is_missing:
            found.append(node.start_point.row + 1)
        pending += [child for child in node.children if child.has_error or child.is_missing]
    return tuple(sorted(found))


def code_tokens(path: RepoPath, source: bytes) -> tuple[bytes, ...] | None:
    """The words and signs of a file without comments and layout, or None in no known language."""
    root = _root(path, source)
    return tuple(source[a:b] for a, b in _leaves(root)) if root is not None else None


def enclosing_symbol(symbols: Sequence[Symbol], line: int) -> Symbol | None:
    """The innermost symbol whose span holds the 1-based `line`, or None at module level."""
    around = [symbol for symbol in symbols if symbol.start_line <= line <= symbol.end_line]
    return min(around, key=lambda symbol: (symbol.end_line - symbol.start_line, -symbol.start_line), default=None)


def _root(path: RepoPath, source: bytes) -> tree_sitter.Node | None:
    grammar = find_grammar(path)
    return tree_sitter.Parser(grammar.language).parse(source).root_node if grammar is not None else None


def _leaves(root: tree_sitter.Node) -> Iterator[tuple[int, int]]:
    """Byte spans of all nodes without children but comments; text between the leaves of a string is one of them."""
    pending = [root]
    while pending:
        node = pending.pop()
        if "comment" in node.type:
            continue
        if node.child_count == 0 or "string" in node.type:
            yield node.start_byte, node.end_byte
        else:
            pending += reversed(node.children)
