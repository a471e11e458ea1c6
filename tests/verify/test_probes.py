"""Inputs are taken from tests and varied a literal at a time, without anything of the test that cannot stand alone."""

import ast

import pytest

from patchwright_engine.types import RepoPath
from patchwright_engine.verify.probes import Probe, derive_probes, written_probes

FILE = RepoPath("tests/test_calc.py")

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
    return list(derive_probes({FILE: source}, limit))


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
    assert derive_probes({FILE: source}, 10) == ()


def test_unittest_assertions_count_too() -> None:
    source = "class TestA:\n    def test_a(self):\n        self.assertEqual(f(1), 2)\n"
    assert plain(source)[0].expression == "f(1)"


def test_only_tests_about_the_named_code_are_used_and_the_limit_holds() -> None:
    source = "def test_a():\n    assert f(1)\n\n\ndef test_b():\n    assert g(2)\n"
    assert {probe.expression[0] for probe in derive_probes({FILE: source}, 50, frozenset({"g"}))} == {"g"}
    assert len(derive_probes({FILE: source}, 5)) == 5
    assert {probe.expression[0] for probe in derive_probes({FILE: source}, 5)} == {"f", "g"}


def test_an_input_knows_the_file_it_was_taken_from() -> None:
    other = RepoPath("pkg/tests/test_x.py")
    probes = derive_probes({FILE: "def test_a():\n    assert f(1)\n", other: "def test_b():\n    assert f(1)\n"}, 100)
    assert {probe.file for probe in probes} == {FILE, other}
    assert len([probe for probe in probes if probe.expression == "f(1)"]) == 2


SCRIPT = """\
from calc import add, Parser
items = [3]
add(items, 1)
# a comment
print(add(2, 2), 5)
parser = Parser("ab")
parser.feed("c")
assert parser.parts() == ["ab", "c"]
"nothing is called here"
print("done")
"""


def test_what_a_script_calls_are_inputs_with_what_they_need() -> None:
    probes = written_probes([SCRIPT], 1_000)
    assert [probe.shown for probe in probes[:5]] == [
        "items = [3]; add(items, 1)",
        "add(2, 2)",
        "Parser('ab')",
        "parser = Parser('ab'); parser.feed('c')",
        "parser = Parser('ab'); parser.feed('c'); parser.parts()",
    ]
    assert all(probe.setup.startswith("from calc import add, Parser") for probe in probes)
    assert {"items = []; add(items, 1)", "add(0, 2)"} <= {probe.shown for probe in probes}


def test_a_scripts_own_version_of_what_it_imports_does_not_count() -> None:
    script = "from calc import add\ndef add(a):\n    return 0\ndef key(x):\n    return -x\nadd(key)\n"
    (probe,) = written_probes([script], 100)
    assert probe.setup == "from calc import add\n\ndef key(x):\n    return -x"


def test_scripts_take_turns_equal_calls_count_once_and_the_limit_holds() -> None:
    scripts = ["f(1)\nf(2)\nf(3)", "f(1)\ng(2)", "h(1)"]
    assert [probe.expression for probe in written_probes(scripts, 100)[:5]] == ["f(1)", "h(1)", "f(2)", "g(2)", "f(3)"]
    assert [probe.expression for probe in written_probes(scripts, 3)[:1]] == ["f(1)"]
    assert len(written_probes(scripts, 8)) == 8
    assert written_probes(scripts, 0) == ()


@pytest.mark.parametrize("end", ["f(2, [1,\n  2,", "f('a", "x = (", "def g(:\n"])
def test_a_script_cut_in_the_middle_counts_as_far_as_it_goes(end: str) -> None:
    assert written_probes([f"f(1)\n{end}"], 100)[0].expression == "f(1)"
    assert written_probes([end], 100) == ()


@pytest.mark.parametrize("script", ["words and words\n" * 5, "", "x = 1", "\0f(1)", "f(" * 500])
def test_what_is_no_script_gives_nothing(script: str) -> None:
    assert written_probes([script], 100) == ()
