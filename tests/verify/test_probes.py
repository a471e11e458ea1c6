"""Inputs are taken from tests and varied a literal at a time, without anything of the test that cannot stand alone."""

import ast

import pytest

from patchwright_engine.verify.probes import Probe, derive_probes

PLAIN = """\
import pytest
from calc import add, Parser

SIZE = 3


def helper(n):
    return n * SIZE


def test_sum():
    total = helper(2)
    assert add(total, 1) == 7
    assert not add(0, 0)


def test_raises():
    with pytest.raises(ValueError):
        add("x", [1, 2])


def test_length():
    parser = Parser("ab")
    parser.feed("c")
    assert len(parser.parts(1)) == 3
"""


def plain(source: str, limit: int = 1_000) -> list[Probe]:
    """Those without a changed literal: as many as there are assertions, and first."""
    return list(derive_probes([source], limit))


def test_what_a_test_evaluates_is_an_input_with_what_it_needs() -> None:
    sums, zero, raises, parts = plain(PLAIN)[:4]
    assert sums.expression == "add(total, 1)"
    assert sums.setup.splitlines()[0] == "from calc import add, Parser"
    assert "def helper" in sums.setup
    assert "SIZE = 3" in sums.setup
    assert sums.shown == "SIZE = 3; total = helper(2); add(total, 1)"
    assert (zero.expression, zero.shown) == ("add(0, 0)", "add(0, 0)")
    assert raises.expression == "add('x', [1, 2])"
    assert "pytest" not in raises.setup
    # `len` would hide what the parts are.
    assert parts.expression == "parser.parts(1)"
    assert parts.shown == "parser = Parser('ab'); parser.feed('c'); parser.parts(1)"


def test_variants_differ_in_one_literal_and_come_place_by_place() -> None:
    probes = plain("def test_a():\n    assert f(5, 'ab') == 1\n")
    assert probes[0].expression == "f(5, 'ab')"
    assert {probes[1].expression, probes[2].expression} == {"f(0, 'ab')", "f(5, '')"}
    assert {"f(6, 'ab')", "f(-5, 'ab')", "f(5, 'abab')", "f(5, 'a')"} <= {probe.expression for probe in probes}
    assert len(probes) == len(set(probes))
    for probe in probes:
        ast.parse(probe.expression, mode="eval")


@pytest.mark.parametrize(
    ("call", "variant"),
    [
        ("f([1, 2])", "f([2, 1])"),
        ("f([1, 2])", "f([])"),
        ("f((1, 2))", "f((1,))"),
        ("f({'a': 1, 'b': 2})", "f({})"),
        ("f({'a': 1, 'b': 2})", "f({'b': 2})"),
        ("f(x=True)", "f(x=False)"),
        ("f(None)", "f(0)"),
        ("f(1.5)", "f(-1.5)"),
        ("f(b'ab')", "f(b'')"),
    ],
)
def test_every_kind_of_literal_has_neighbours(call: str, variant: str) -> None:
    assert variant in {probe.expression for probe in plain(f"def test_a():\n    assert {call} == 1\n")}


def test_literals_of_the_statements_before_are_varied_too() -> None:
    probes = plain("def test_a():\n    items = [3]\n    assert f(items)\n")
    assert {"items = [3]", "items = []", "items = [3, 3]", "items = [0]"} <= {probe.setup for probe in probes}


@pytest.mark.parametrize(
    "source",
    [
        "def test_a(tmp_path):\n    assert f(tmp_path) == 1\n",
        "def test_a(tmp_path):\n    name = tmp_path / 'x'\n    assert f(name) == 1\n",
        "class TestA:\n    def test_a(self):\n        assert self.f(1) == 1\n",
        "@pytest.mark.parametrize('n', [1])\ndef test_a(n):\n    assert f(n)\n",
        "def test_a():\n    for n in range(3):\n        pass\n    assert f(n)\n",
        "def test_a():\n    assert 1 == 1\n",
        "def helper():\n    assert f(1) == 1\n",
        "def broken(:\n",
    ],
)
def test_what_cannot_stand_alone_gives_nothing(source: str) -> None:
    assert derive_probes([source], 10) == ()


def test_unittest_assertions_count_too() -> None:
    source = "class TestA:\n    def test_a(self):\n        self.assertEqual(f(1), 2)\n"
    assert plain(source)[0].expression == "f(1)"


def test_only_tests_about_the_named_code_are_used_and_the_limit_holds() -> None:
    source = "def test_a():\n    assert f(1)\n\n\ndef test_b():\n    assert g(2)\n"
    assert {probe.expression[0] for probe in derive_probes([source], 50, frozenset({"g"}))} == {"g"}
    assert len(derive_probes([source], 5)) == 5
    assert {probe.expression[0] for probe in derive_probes([source], 5)} == {"f", "g"}
