"""The table of languages: every row is complete, loads, is pinned and tested."""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from patchwright_engine.localize.mentions import PATH
from patchwright_engine.localize.stack_formats import find_places
from patchwright_engine.syntax.extract import MAX_SIGNATURE
from patchwright_engine.syntax.languages import (
    LanguageEntry,
    grammar_version,
    language_of,
    languages,
    load_grammar,
    missing_grammars,
    query_text,
)
from patchwright_engine.syntax.parse import has_syntax_error, parse_symbols
from patchwright_engine.types import RepoPath

ROOT = Path(__file__).parents[2]
CAPTURES = {
    "definition.class", "definition.function", "definition.method", "definition.variable", "name", "scope", "body",
    "container", "container.class", "leading", "reference", "import", "import.module", "import.relative", "import.name",
    "text",
}  # fmt: skip
every_language = pytest.mark.parametrize("entry", languages(), ids=lambda entry: entry.name)


def captured(entry: LanguageEntry) -> set[str]:
    query = load_grammar(entry).query
    return {query.capture_name(number) for number in range(query.capture_count)}


@every_language
def test_the_grammar_loads_and_the_query_captures_what_the_page_explains(entry: LanguageEntry) -> None:
    names = {name for name in captured(entry) if not name.startswith("_")}
    assert names & {"definition.function", "definition.method"}
    assert {"definition.class", "name", "reference", "text", "import", "import.module"} <= names
    assert names <= CAPTURES
    page = (ROOT / "engine/patchwright_engine/syntax/ADDING_A_LANGUAGE.md").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f"`@{name}`" not in page] == []


@every_language
def test_every_pattern_captures_one_thing_and_all_that_it_needs(entry: LanguageEntry) -> None:
    query, text = load_grammar(entry).query, query_text(entry).encode()
    for number in range(query.pattern_count):
        pattern = text[query.start_byte_for_pattern(number) : query.end_byte_for_pattern(number)].decode()
        names = {
            name
            for name in re.findall(r"@([\w.]+)", re.sub(r'(?m)"[^"\n]*"|;.*$', "", pattern))
            if not name.startswith("_")
        }
        kinds = {name.partition(".")[0] for name in names} & {
            "definition",
            "container",
            "leading",
            "reference",
            "text",
            "import",
        }
        assert len(kinds) == 1, pattern
        assert "name" in names or not kinds & {"definition", "container"}, pattern
        assert "import" in names or kinds != {"import"}, pattern


@every_language
def test_the_installed_grammar_is_the_one_that_is_pinned(entry: LanguageEntry) -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = dict(line.split("==") for line in table["project"]["dependencies"] if "==" in line)
    assert grammar_version(entry) == pinned[entry.grammar.replace("_", "-")]
    assert metadata.version("tree-sitter").startswith("0.26.")


@every_language
def test_the_language_has_a_test_file(entry: LanguageEntry) -> None:
    assert entry.name == "python" or (Path(__file__).parent / "languages" / f"test_{entry.name}.py").is_file()


def test_a_language_whose_grammar_is_missing_is_read_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    path, text = RepoPath("a.go"), b"package a\n\nfunc Run() {}\n"
    assert missing_grammars() == ()
    assert parse_symbols(path, text).symbols
    load_grammar.cache_clear()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "tree_sitter_go", None)
        assert missing_grammars() == ("tree-sitter-go",)
        assert parse_symbols(path, text).symbols == ()
        assert not has_syntax_error(path, b"func (")
    assert parse_symbols(path, text).symbols


def test_no_query_file_lies_about_unused() -> None:
    folder = ROOT / "engine/patchwright_engine/syntax/queries"
    assert {path.name for path in folder.iterdir()} == {name for entry in languages() for name in entry.queries}
    assert all(query_text(entry).startswith(";") for entry in languages())


def test_no_extension_belongs_to_two_languages() -> None:
    extensions = [extension for entry in languages() for extension in entry.extensions]
    assert len(extensions) == len(set(extensions))


def test_files_are_told_by_extension_whatever_its_case() -> None:
    entry = language_of(RepoPath("a/B.PY"))
    assert entry is not None
    assert entry.name == "python"
    assert language_of(RepoPath("README.md")) is None


@every_language
def test_a_file_name_of_the_language_is_a_path_in_an_issue(entry: LanguageEntry) -> None:
    for extension in entry.extensions:
        assert PATH.findall(f"see cart{extension} there") == [f"cart{extension}"]


@every_language
def test_a_long_head_is_cut(entry: LanguageEntry) -> None:
    for symbol in parse_symbols(
        RepoPath(f"a{entry.extensions[0]}"), b"class A { int f(int " + b"a" * 5000 + b") {} }"
    ).symbols:
        assert len(symbol.signature) <= MAX_SIGNATURE


@every_language
def test_an_empty_file_and_one_of_zeros_are_read(entry: LanguageEntry) -> None:
    path = RepoPath(f"a{entry.extensions[0]}")
    assert parse_symbols(path, b"").symbols == ()
    assert parse_symbols(path, b"\xff\xfe\0" * 50).symbols == ()


@pytest.mark.parametrize(
    "piece",
    [
        "at a", " at (", "#0 a ", "\n#0 a.php(1): ", "goroutine\n\ta.go:", "a.b.", "in a.php", "x.rb:1:in `", "(((",
        "at a.A.", "a::b::", "panicked at '", "\n 1: a\n at ", "a/", "\t", "@http://", "x.c:1: ", "[as a] ", "<a>",
        "1:1:", ".java",
    ],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_hostile_repetition_in_stack_traces_is_read_in_bounded_time(piece: str) -> None:
    """Quadratic patterns take minutes here."""
    text = "a.js a.go a.rs a.java a.c a.rb a.php a.cs\n" + piece * (60_000 // len(piece))
    assert len(find_places(text)) <= len(text)


@every_language
def test_patterns_of_a_row_bound_their_repetitions(entry: LanguageEntry) -> None:
    for pattern in entry.frames:
        plain = re.sub(r"\\.|\[(?:\\.|[^\]])*\]", "x", pattern)
        assert not re.search(r"[*+]|\{\d+,\}", plain), pattern
