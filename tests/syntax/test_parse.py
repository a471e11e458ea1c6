"""Symbols, references and imports of Python, whole and broken."""

from hypothesis import given
from hypothesis import strategies as st

from patchwright_engine.syntax.parse import (
    Import,
    Reference,
    code_tokens,
    enclosing_symbol,
    error_lines,
    has_syntax_error,
    parse_symbols,
)
from patchwright_engine.types import RepoPath

PATH = RepoPath("m.py")
SOURCE = b"""\
import os.path as p
from ..core import one, two as deux
from . import sibling
LIMIT = 3
LIMIT = 4

@wraps
@register("x")
class Parser(Base, mod.Mixin):
    @property
    def size(
        self,
    ) -> int:
        return measure(self).total()

    async def run(self):
        def inner():
            pass
"""


def test_symbols_are_qualified_with_kind_span_and_signature() -> None:
    symbols = parse_symbols(PATH, SOURCE).symbols
    assert [(s.name, s.kind, s.start_line, s.end_line) for s in symbols] == [
        ("LIMIT", "variable", 4, 4),
        ("Parser", "class", 7, 18),
        ("Parser.size", "method", 10, 14),
        ("Parser.run", "method", 16, 18),
        ("Parser.run.inner", "function", 17, 18),
    ]
    assert [s.signature for s in symbols[1:4]] == [
        "class Parser(Base, mod.Mixin)",
        "def size(self) -> int",
        "async def run(self)",
    ]


def test_imports_keep_dots_and_forget_aliases() -> None:
    assert parse_symbols(PATH, SOURCE).imports == (
        Import("os.path", (), 1),
        Import("..core", ("one", "two"), 2),
        Import(".", ("sibling",), 3),
    )


def test_calls_bases_decorators_and_annotations_are_references() -> None:
    found = set(parse_symbols(PATH, SOURCE).references)
    expected = {("wraps", 7), ("register", 8), ("Base", 9), ("Mixin", 9), ("int", 13), ("measure", 14), ("total", 14)}
    assert {Reference(name, line) for name, line in expected} <= found


def test_broken_code_still_gives_the_symbols_that_can_be_seen() -> None:
    broken = b"def fine():\n    return 1\n\ndef broken(:\n    x = \n\nclass After:\n    def m(self): pass\n"
    syntax = parse_symbols(PATH, broken)
    assert syntax.has_error
    assert {"fine", "After", "After.m"} <= {symbol.name for symbol in syntax.symbols}


def test_a_syntax_error_is_seen_and_valid_code_passes() -> None:
    assert has_syntax_error(PATH, b"def f(:\n")
    assert not has_syntax_error(PATH, SOURCE)
    assert not has_syntax_error(RepoPath("a.txt"), b"def f(:\n")


def test_a_file_in_no_known_language_gives_an_empty_record() -> None:
    syntax = parse_symbols(RepoPath("a.txt"), b"def f(): pass")
    assert syntax.symbols == ()
    assert not syntax.has_error


def test_references_are_in_the_order_of_the_source() -> None:
    found = parse_symbols(PATH, b"outer(first(), second().third)\nlast(inner())\n").references
    assert [reference.name for reference in found] == ["outer", "first", "second", "last", "inner"]


def test_the_lines_of_errors_and_the_words_of_code_are_told() -> None:
    assert error_lines(PATH, SOURCE) == ()
    assert error_lines(PATH, b"a = 1\nb = (\n") != ()
    assert code_tokens(PATH, b"a = 'x  y'  # why\n") == code_tokens(PATH, b"# other\na =  'x  y'\n")
    assert code_tokens(PATH, b"a = 'x  y'\n") != code_tokens(PATH, b"a = 'x y'\n")
    assert code_tokens(RepoPath("a.txt"), b"a") is None


def test_the_enclosing_symbol_is_the_innermost() -> None:
    symbols = parse_symbols(PATH, SOURCE).symbols
    inner = enclosing_symbol(symbols, 18)
    decorated = enclosing_symbol(symbols, 7)
    assert inner is not None
    assert decorated is not None
    assert (inner.name, decorated.name) == ("Parser.run.inner", "Parser")
    assert enclosing_symbol(symbols, 1) is None


@given(st.binary(max_size=200) | st.text(alphabet="def clas(:)\n @_x.=\"'\\", max_size=200).map(str.encode))
def test_no_bytes_break_the_parser_and_spans_stay_inside(source: bytes) -> None:
    lines = source.count(b"\n") + 1
    for symbol in parse_symbols(PATH, source).symbols:
        assert 1 <= symbol.start_line <= symbol.end_line <= lines
        symbol.name.encode("utf-8")
