"""Definitions of C and C++ that a macro makes look like something else, and what only looks like one."""

import pytest

from patchwright_engine.syntax.parse import parse_symbols
from patchwright_engine.types import RepoPath


def outline(path: str, text: str) -> list[tuple[str, str]]:
    return [(symbol.kind, symbol.name) for symbol in parse_symbols(RepoPath(path), text.encode()).symbols]


@pytest.mark.parametrize("path", ["a.c", "a.cpp"])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("struct EXPORT Point { int x; };\n", [("class", "Point")]),
        ("union EXPORT Value { int x; };\n", [("class", "Value")]),
        ("LUA_API int (lua_type) (lua_State *L) {\n  return 1;\n}\n", [("function", "lua_type")]),
        ("static int (square)(int a) { return a * a; }\n", [("function", "square")]),
        ("int API(run)(int a) { return a; }\n", [("function", "run")]),
        ("HANDLER(on_click) { return 1; }\n", [("function", "on_click")]),
        ("EXPORT int run(int a) { return a; }\n", [("function", "run")]),
        ("static INLINE int run(int a) { return a; }\n", [("function", "run")]),
        ("int __init run(void) { return 1; }\n", [("function", "run")]),
    ],
)
def test_a_macro_before_or_around_the_name_does_not_hide_it(path: str, text: str, found: list[tuple[str, str]]) -> None:
    assert outline(path, text) == found
    before, after = "int before(void) { return 0; }\n", "int after(void) { return 0; }\n"
    assert outline(path, before + text + after) == [("function", "before"), *found, ("function", "after")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "class FMT_API Foo : public Bar {\npublic:\n  int size() const { return 1; }\n};\n",
            [("class", "Foo"), ("method", "Foo.size")],
        ),
        ("class Q_EXPORT Foo final : public Bar { int f() { return 1; } };\n", [("class", "Foo"), ("method", "Foo.f")]),
        ("enum class API Color { red };\n", [("class", "Color")]),
        ("namespace a {\nclass API Foo { int f() { return 1; } };\n}\n", [("class", "Foo"), ("method", "Foo.f")]),
    ],
)
def test_a_macro_before_the_name_of_a_class_does_not_hide_it(text: str, found: list[tuple[str, str]]) -> None:
    assert outline("a.h", text) == found


def test_a_macro_that_defines_a_function_spans_its_head_and_body() -> None:
    text = "int x;\n\nSYSCALL_DEFINE3(open, const char *, name, int, flags)\n{\n  return find(name);\n}\n"
    symbols = parse_symbols(RepoPath("a.c"), text.encode()).symbols
    assert [(s.kind, s.name, s.start_line, s.end_line) for s in symbols] == [
        ("variable", "x", 1, 1),
        ("function", "open", 3, 6),
    ]


@pytest.mark.parametrize("path", ["a.c", "a.cpp"])
def test_conditions_and_calls_in_functions_are_no_definitions(path: str) -> None:
    text = "int f(int dn) {\n  if ISZERO(dn) { dn = 1; }\n  FOR_EACH(dn) { g(dn); }\n  struct point p = {1};\n  return 0;\n}\n"
    assert outline(path, text) == [("function", "f")]
