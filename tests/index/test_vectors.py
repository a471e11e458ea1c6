"""Units of a file and their packed form."""

from collections import Counter

import pytest

from patchwright_engine.index.vectors import FIELDS, Vectors, make_vectors, term_key, unpack
from patchwright_engine.syntax.extract import MAX_DEPTH
from patchwright_engine.syntax.parse import parse_symbols
from patchwright_engine.types import RepoPath

SOURCE = b'''"""Module words."""

LIMIT = 3


@cached
class Reader:
    """Class words."""

    chunk = 1

    def read_all(self, path):
        # comment words
        def helper():
            return inner_name
        return open(path)


def close(handle):
    handle.close("string words")
'''


def vectors_of(source: bytes) -> Vectors:
    syntax = parse_symbols(RepoPath("a.py"), source)
    return unpack(make_vectors(source, syntax.symbols, syntax.texts))


def units(source: bytes) -> dict[str, Counter[tuple[int, str]]]:
    found = vectors_of(source)
    symbols = parse_symbols(RepoPath("a.py"), source).symbols
    named = {}
    start = 0
    for position, size in zip(found.symbols, found.sizes, strict=True):
        counts: Counter[tuple[int, str]] = Counter()
        for entry in range(start, start + size):
            key = found.terms[found.places[entry]]
            counts.update({(key, field): getattr(found, field)[entry] for field in FIELDS})
        named[symbols[position].name if position >= 0 else ""] = counts
        start += size
    return named


def test_each_function_and_class_is_a_unit_and_so_is_the_rest() -> None:
    assert set(units(SOURCE)) == {"Reader", "Reader.read_all", "Reader.read_all.helper", "close", ""}


@pytest.mark.parametrize(
    ("unit", "term", "field", "count"),
    [
        ("", "module", "text", 1),
        ("", "limit", "code", 1),
        ("", "chunk", "code", 0),
        ("Reader", "chunk", "code", 1),
        ("Reader", "cached", "code", 1),
        ("Reader", "word", "text", 1),
        ("Reader", "path", "code", 0),
        ("Reader", "reader", "name", 1),
        ("Reader.read_all", "path", "code", 2),
        ("Reader.read_all", "comment", "text", 1),
        ("Reader.read_all", "comment", "code", 0),
        ("Reader.read_all", "read", "name", 1),
        ("Reader.read_all", "inner", "code", 1),
        ("Reader.read_all.helper", "inner", "code", 1),
        ("close", "string", "text", 1),
        ("close", "string", "code", 0),
        ("close", "close", "code", 2),
    ],
)
def test_words_are_counted_where_they_stand(unit: str, term: str, field: str, count: int) -> None:
    assert units(SOURCE)[unit][term_key(term), field] == count


def test_text_inside_another_function_is_marked_as_nested() -> None:
    found = vectors_of(SOURCE)
    assert sum(found.nested) == 1
    symbols = parse_symbols(RepoPath("a.py"), SOURCE).symbols
    assert symbols[found.symbols[[*found.nested].index(1)]].name == "Reader.read_all.helper"


def test_counts_stop_at_a_byte() -> None:
    assert units(b"x1 = 1\n" + b"word\n" * 1000)[""][term_key("word"), "code"] == 255


@pytest.mark.parametrize(
    "source", [b"", b"\n", b"\xff\xfe def", b"def f(:\n  '''never closed", "naïve = 'é'\n".encode()]
)
def test_odd_files_have_at_least_the_rest(source: bytes) -> None:
    assert -1 in vectors_of(source).symbols


@pytest.mark.parametrize("cut", [0, 5, -1])
def test_a_damaged_pack_is_an_error(cut: int) -> None:
    syntax = parse_symbols(RepoPath("a.py"), SOURCE)
    packed = make_vectors(SOURCE, syntax.symbols, syntax.texts)
    with pytest.raises(ValueError, match="not packed vectors"):
        unpack(packed[:cut])


def test_many_functions_in_one_long_line_say_its_words_once() -> None:
    path, count = RepoPath("a.js"), 300
    source = "".join(f"function f{number}(a){{return word{number}(a)}}" for number in range(count)).encode()
    syntax = parse_symbols(path, source)
    assert len(syntax.symbols) == count
    packed = make_vectors(source, syntax.symbols, syntax.texts)
    assert len(packed) < 20 * len(source)
    found = unpack(packed)
    assert sum(found.lengths) < 8 * count
    assert [*found.symbols] == [*range(count), -1]
    assert min(found.lengths[:-1]) > 0, "each still has its name"


def test_a_long_line_inside_a_method_is_that_methods() -> None:
    source = b"class A:\n    def f(self):\n        return '" + b"needle " * 100 + b"'\n"
    said = {name: counts[term_key("needle"), "text"] for name, counts in units(source).items()}
    assert said == {"A": 0, "A.f": 100, "": 0}


def test_definitions_nested_without_end_do_not_grow_without_end() -> None:
    source = b"function f(){" * 2000 + b"}" * 2000
    symbols = parse_symbols(RepoPath("a.js"), source).symbols
    assert 0 < len(symbols) <= MAX_DEPTH
    assert sum(len(symbol.name) for symbol in symbols) < len(source)
