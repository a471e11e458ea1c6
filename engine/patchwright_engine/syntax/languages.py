"""The table of languages: which files belong to which, and all that the engine knows about each.

Invariant: a grammar is imported and its query compiled at most once a process, and only when first needed.
"""

import importlib
import importlib.util
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tree_sitter

from patchwright_engine.types import RepoPath


@dataclass(frozen=True, slots=True)
class ImportRules:
    """How the imports of a language name files, for `index/import_paths.py`; ADDING_A_LANGUAGE.md says more."""

    extensions: tuple[str, ...]
    """Of files that an import can mean, the likeliest first."""
    separator: str = "."
    """Between the parts of a module's name."""
    index: tuple[str, ...] = ()
    """Stems of files that stand for their folder, such as 'index'; all but the first also make it a package's root."""
    drop: int = 0
    """Parts at the front that a project may leave out of its folders: 'example.com/shop' in Go."""
    package: bool = False
    """Whether a module is a folder with all its files."""
    submodules: bool = False
    """Whether an imported name may be a file below the module."""
    anywhere: bool = False
    """Whether a name of one part may be a file in any folder, as a header may."""
    members: bool = False
    """Whether the last part of a module may be something inside a file."""
    external: tuple[str, ...] = ()
    """First parts that never mean a file of the workspace."""
    here: str = "."
    up: str = ".."
    root: str = ""
    """First parts that mean the importer's own place, the one above, and the root of its package."""
    from_module: bool = False
    """Whether `here` is the importing module itself (Rust) rather than its folder."""


@dataclass(frozen=True, slots=True)
class LanguageEntry:
    """One row of `languages.toml`."""

    name: str
    extensions: tuple[str, ...]
    grammar: str
    """Module of the grammar wheel."""
    function: str
    """Function of that module that returns the grammar."""
    queries: tuple[str, ...]
    """Files in `queries/` that together capture definitions, references and imports."""
    fences: tuple[str, ...]
    """What may stand behind the three backquotes of code in this language; the first is what we write."""
    relative: str = "./"
    """Put before the text of an `import.relative`."""
    separator: str = "."
    """Joins several `import.module` of one import."""
    imports: ImportRules | None = None
    """None: imports are recorded but not resolved to files."""
    tests: str = ""
    """A pattern that is found in the paths of its tests, beside the folders every language uses."""
    blocks: tuple[str, ...] = ()
    """Nodes whose children are statements; see `statements.py`."""
    comment: str = "//"
    """Begins a comment that ends with the line."""
    frames: tuple[str, ...] = ()
    """Patterns for one line of its stack traces, innermost frame first, with groups file, line, function, package."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """A loaded grammar with its compiled query. Both are read-only and may be shared; parsers may not."""

    language: tree_sitter.Language
    query: tree_sitter.Query


@cache
def languages() -> tuple[LanguageEntry, ...]:
    """All known languages, in the order of the table."""
    rows: dict[str, dict[str, Any]] = {}
    for row in tomllib.loads(_resource("languages.toml"))["language"]:
        rows[row["name"]] = rows[row["like"]] | row if "like" in row else row
    rules: dict[int, ImportRules] = {}  # Rows that are alike share one object, and so one map of the workspace.
    return tuple(_entry(row, rules) for row in rows.values())


def language_of(path: RepoPath) -> LanguageEntry | None:
    """The language of a file by its extension, or None when it is no source file we know."""
    name = path.rpartition("/")[2]  # A PurePosixPath costs ten times as much, and this is asked of every file.
    return _by_extension().get(name[name.rfind(".") :].lower()) if "." in name[1:] else None


def names_test(path: RepoPath) -> bool:
    """Whether a path is that of a test by the habits of its language."""
    entry = language_of(path)
    return entry is not None and bool(entry.tests) and re.search(entry.tests, path) is not None


@cache
def load_grammar(entry: LanguageEntry) -> Grammar:
    """Import the grammar and compile its query (10 to 50 ms, once a process).

    Raises:
        ImportError: the grammar is not installed.
        tree_sitter.QueryError: the query does not fit the grammar.
    """
    language = tree_sitter.Language(getattr(importlib.import_module(entry.grammar), entry.function)())
    return Grammar(language, tree_sitter.Query(language, query_text(entry)))


def find_grammar(path: RepoPath) -> Grammar | None:
    """The grammar of a file; None in no known language, or where the wheel is missing, which `doctor` tells."""
    entry = language_of(path)
    if entry is None:
        return None
    try:
        return load_grammar(entry)
    except ImportError:
        return None


def missing_grammars() -> tuple[str, ...]:
    """The wheels of the table that are not installed; files in their languages are searched as text only."""
    wheels = {entry.grammar: entry.grammar.replace("_", "-") for entry in languages()}
    return tuple(wheel for module, wheel in wheels.items() if importlib.util.find_spec(module) is None)


def query_text(entry: LanguageEntry) -> str:
    """The source of the language's query."""
    return "\n".join(_resource("queries", name) for name in entry.queries)


def grammar_version(entry: LanguageEntry) -> str:
    """The installed version of the grammar wheel, or '' when there is none; part of every cache key."""
    from importlib import metadata  # Costs a process that starts to make records a tenth of its start.

    try:
        return metadata.version(entry.grammar.replace("_", "-"))
    except metadata.PackageNotFoundError:
        return ""


def _entry(row: Mapping[str, Any], rules: dict[int, ImportRules]) -> LanguageEntry:
    table = row.get("imports")
    if table is not None and id(table) not in rules:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        rules[id(table)] = ImportRules(**({"extensions": tuple(row["extensions"])} | values))
    return LanguageEntry(
        name=row["name"],
        extensions=tuple(row["extensions"]),
        grammar=row["grammar"],
        function=row["function"],
        queries=tuple(row["queries"]),
        fences=tuple(row["fences"]),
        relative=row.get("relative", "./"),
        separator=table["separator"] if table is not None and "separator" in table else ".",
        imports=rules[id(table)] if table is not None else None,
        tests=row.get("tests", ""),
        blocks=tuple(row.get("blocks", ())),
        comment=row.get("comment", "//"),
        frames=tuple(row.get("frames", ())),
    )


@cache
def _by_extension() -> Mapping[str, LanguageEntry]:
    return {extension: entry for entry in languages() for extension in entry.extensions}


def _resource(*names: str) -> str:
    return Path(__file__).parent.joinpath(*names).read_text(encoding="utf-8")
