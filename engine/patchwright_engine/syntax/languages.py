"""The table of languages: which files belong to which, and the grammar and query that read them.

Invariant: a grammar is imported and its query compiled at most once a process, and only when first needed.
"""

import importlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import PurePosixPath

import tree_sitter

from patchwright_engine.types import RepoPath


@dataclass(frozen=True, slots=True)
class LanguageEntry:
    """One row of `languages.toml`."""

    name: str
    extensions: tuple[str, ...]
    grammar: str
    """Module of the grammar wheel."""
    function: str
    """Function of that module that returns the grammar."""
    query: str
    """File in `queries/` that captures definitions, references and imports."""
    available: bool
    """Whether the grammar is installed with Patchwright; else files are searched as text only."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """A loaded grammar with its compiled query. Both are read-only and may be shared; parsers may not."""

    language: tree_sitter.Language
    query: tree_sitter.Query


@cache
def languages() -> tuple[LanguageEntry, ...]:
    """All known languages, in the order of the table."""
    table = tomllib.loads(_resource("languages.toml"))
    return tuple(
        LanguageEntry(
            name=row["name"],
            extensions=tuple(row["extensions"]),
            grammar=row["grammar"],
            function=row["function"],
            query=row["query"],
            available=row["available"],
        )
        for row in table["language"]
    )


def language_of(path: RepoPath) -> LanguageEntry | None:
    """The language of a file by its extension, or None when it is no source file we know."""
    return _by_extension().get(PurePosixPath(path).suffix.lower())


@cache
def load_grammar(entry: LanguageEntry) -> Grammar:
    """Import the grammar and compile its query (about 10 ms, once a process).

    Raises:
        ImportError: the grammar is not installed.
        tree_sitter.QueryError: the query does not fit the grammar.
    """
    language = tree_sitter.Language(getattr(importlib.import_module(entry.grammar), entry.function)())
    return Grammar(language, tree_sitter.Query(language, query_text(entry)))


def query_text(entry: LanguageEntry) -> str:
    """The source of the language's query file."""
    return _resource("queries", entry.query)


def grammar_version(entry: LanguageEntry) -> str:
    """The installed version of the grammar wheel, or '' when there is none; part of every cache key."""
    try:
        return metadata.version(entry.grammar.replace("_", "-"))
    except metadata.PackageNotFoundError:
        return ""


@cache
def _by_extension() -> Mapping[str, LanguageEntry]:
    return {extension: entry for entry in languages() for extension in entry.extensions}


def _resource(*names: str) -> str:
    return resources.files("patchwright_engine.syntax").joinpath(*names).read_text(encoding="utf-8")
