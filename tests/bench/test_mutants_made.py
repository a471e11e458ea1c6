"""Wrong patches made from right ones."""

import ast

import pytest

from patchwright_engine.bench.mutate import Mutant, mutants
from patchwright_engine.types import FileEdit, Patch, RepoPath
from toy_bug import CALC, FIXED

GOLD = Patch((FileEdit(RepoPath("calc.py"), CALC, FIXED),))


def edited(before: str, after: str) -> Patch:
    return Patch((FileEdit(RepoPath("m.py"), before, after),))


def made(mutant: Mutant) -> str:
    return mutant.patch.edits[0].after


def test_mutants_parse_and_are_all_different_also_from_the_fix_and_from_nothing() -> None:
    found = mutants(GOLD)
    trees = {ast.dump(ast.parse(made(mutant))) for mutant in found}
    assert len(found) >= 10
    assert len(trees) == len(found)
    assert not trees & {ast.dump(ast.parse(CALC)), ast.dump(ast.parse(FIXED))}


def test_equal_seeds_make_equal_mutants_and_other_seeds_others() -> None:
    assert mutants(GOLD, seed=3) == mutants(GOLD, seed=3)
    assert mutants(GOLD, seed=3) != mutants(GOLD, seed=4)


def test_the_limit_holds_and_the_first_are_mixed() -> None:
    found = mutants(GOLD, limit=6)
    assert len(found) == 6
    assert [mutant.kind for mutant in found] == ["hunk", "function", "instead", "part", "hunk", "file"]


def test_a_change_within_the_fix_keeps_the_rest_of_it() -> None:
    inside = [made(mutant) for mutant in mutants(GOLD, limit=200) if mutant.kind == "hunk"]
    assert FIXED.replace("value > high", "value <= high") in inside
    assert FIXED.replace("return high", "return None") in inside
    assert FIXED.replace("value > high", "(not (value > high))") in inside


def test_a_part_left_out_is_the_fix_with_one_hunk_undone() -> None:
    parts = {made(mutant) for mutant in mutants(GOLD, limit=200) if mutant.kind == "part"}
    first = CALC.replace('str(value) + " " + unit', '" ".join([str(value), unit])')
    assert parts == {first, FIXED.replace('" ".join([str(value), unit])', 'str(value) + " " + unit')}


def test_instead_of_the_fix_something_else_changes_in_its_function() -> None:
    found = [mutant for mutant in mutants(GOLD, limit=200) if mutant.kind == "instead"]
    assert CALC.replace("value < low", "value >= low") in map(made, found)
    assert all("value > high" not in made(mutant) for mutant in found)
    assert all("span" not in mutant.change for mutant in found)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return a == b", "return a != b"),
        ("return a is not b", "return a is b"),
        ("return a not in b", "return a in b"),
        ("return (a) <  (b)", "return (a) >=  (b)"),
        ("return a and b", "return a or b"),
        ("return not a", "return (a)"),
        ("return a + b", "return a - b"),
        ("return a // b", "return a * b"),
        ("return f(a, b)", "return f(b, a)"),
        ("return f(a,\n    b)", "return f(b,\n    a)"),
        ("return 7", "return 8"),
        ("return True", "return False"),
        ("return 'x'", "return ''"),
        ("return 'ä', 'x', 1", "return 'ä', 'x', 2"),
        ("raise ValueError", "pass"),
        ("a.append(b)", "pass"),
        ("a[b] = 1", "pass"),
    ],
)
def test_each_small_change(line: str, expected: str) -> None:
    before = "def g(a, b, f):\n    return 0\n"
    found = mutants(edited(before, f"def g(a, b, f):\n    {line}\n"), limit=200)
    assert f"def g(a, b, f):\n    {expected}\n" in map(made, found)


def test_docstrings_are_left_alone() -> None:
    before = 'def g(a):\n    """Text 1."""\n    return a\n'
    found = mutants(edited(before, before.replace("return a", "return -a")), limit=200)
    assert found
    assert all('"""Text 1."""' in made(mutant) for mutant in found)


def test_windows_line_ends_are_kept() -> None:
    found = mutants(edited("x = 1\r\ny = 2\r\n", "x = 1\r\ny = 3\r\n"), limit=50)
    assert "x = 2\r\ny = 3\r\n" in map(made, found)


def test_other_edits_of_the_fix_stay_as_they_are() -> None:
    notes = FileEdit(RepoPath("notes.txt"), "", "fixed\n", created=True)
    found = mutants(Patch((notes, *GOLD.edits)))
    assert found
    assert all(mutant.patch.edits[0] == notes for mutant in found)


def test_a_fix_without_python_has_no_mutants() -> None:
    assert mutants(Patch((FileEdit(RepoPath("notes.txt"), "a\n", "b\n"),))) == ()
