"""One file's share of the index, as the store keeps it, and how it is made from bytes.

Invariant: a record depends on nothing but the language and the content, so its key is their hash; records
are plain text and numbers that may cross a process boundary.
"""

import hashlib
import json
import os
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from patchwright_engine.index.vectors import make_vectors
from patchwright_engine.syntax.languages import grammar_version, language_of, languages, query_text
from patchwright_engine.syntax.parse import parse_symbols
from patchwright_engine.types import RepoPath, Skipped

MAX_BYTES = 1_000_000
"""Larger source files are generated or data; tree-sitter would need twenty times their size in memory."""
FORMAT = 3
"""Raised with any change to records, terms or the store's tables."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to index: where it is, what it should hold, and the unsaved text if there is one."""

    path: RepoPath
    absolute: str
    """Text, for it goes to another process: a `Path` takes ten times as long."""
    digest: str
    overlay: bytes | None = None

    @property
    def key(self) -> str:
        return record_key(self.path, self.digest)


class SymbolRow(NamedTuple):
    """A symbol without its path, since equal files share their record. A tuple: a cold index hands over very many."""

    name: str
    kind: str
    start_line: int
    end_line: int
    signature: str


@dataclass(frozen=True, slots=True)
class Record:
    """What the index keeps of one content. The `*_json` columns are read back by `view.py` only."""

    key: str
    size: int
    symbols: tuple[SymbolRow, ...]
    references_json: str
    """{name: [line, ...]}"""
    imports_json: str
    """[[module, [name, ...], line], ...]"""
    vectors: bytes
    """What each unit says (`vectors.py`)."""


def record_key(path: RepoPath, digest: str) -> str:
    """The key of a content in a language."""
    language = language_of(path)
    return f"{language.name if language else 'none'}:{digest}"


def schema_version() -> str:
    """Changes whenever a cached record could differ from a new one: format, row of the table, grammar, query."""
    parts = [str(FORMAT)]
    for entry in languages():
        parts += [repr(entry), grammar_version(entry), query_text(entry)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def make_record(file: SourceFile) -> Record | Skipped:
    """Read and parse one file, or say why not: it is gone, unreadable, too large or binary.

    The key is that of the bytes actually read, so a file that changed since the snapshot poisons nothing.
    """
    try:
        content = file.overlay if file.overlay is not None else _read(file.absolute)
    except OSError as error:
        return Skipped(file.path, f"cannot be read: {error.strerror}")
    if len(content) > MAX_BYTES:
        return Skipped(file.path, f"larger than {MAX_BYTES // 1_000_000} MB: data or generated")
    if b"\0" in content:
        return Skipped(file.path, "binary")
    syntax = parse_symbols(file.path, content)
    lines: defaultdict[str, list[int]] = defaultdict(list)
    for name, line in syntax.references:
        lines[name].append(line)
    symbols = tuple(
        SymbolRow(item.name, item.kind, item.start_line, item.end_line, item.signature) for item in syntax.symbols
    )
    return Record(
        key=record_key(file.path, hashlib.sha256(content).hexdigest()),
        size=len(content),
        symbols=symbols,
        references_json=json.dumps(lines, separators=(",", ":")),
        imports_json=json.dumps(syntax.imports),
        vectors=make_vectors(content, symbols, syntax.texts),
    )


def _read(path: str) -> bytes:
    """The start of a file; at once, for a pipe may have taken its place."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(file, "rb") as opened:
        return opened.read(MAX_BYTES + 1)
