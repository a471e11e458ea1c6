"""Hunks reproduce the change they came from; a rebase finds its one place or says why not."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchwright_engine.text.rebase import Conflict, Hunk, apply_hunks, changed_lines, minimal_hunks, rebase_edit
from patchwright_engine.types import FileEdit, RepoPath

PATH = RepoPath("a.py")
LINES = st.lists(st.sampled_from(["a", "b", "c", "", " a"]), max_size=12)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
TEXTS = st.one_of(st.text(alphabet="ab\r\n\x0c\u2028", max_size=30), st.builds(lambda e, ls: e.join(ls), ENDS, LINES))
NUMBERED = "".join(f"line {n}\n" for n in range(1, 21))


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_hunks_give_the_new_text_exactly(before: str, after: str) -> None:
    hunks = minimal_hunks(before, after)
    assert apply_hunks(before, hunks) == after
    assert all(one.end_line < other.start_line for one, other in itertools.pairwise(hunks))
    assert (hunks == ()) == (before == after)


def test_hunks_are_small() -> None:
    after = NUMBERED.replace("line 5\n", "five\n").replace("line 12\n", "")
    assert minimal_hunks(NUMBERED, after) == (Hunk(4, 5, "five\n"), Hunk(11, 12, ""))
    assert changed_lines(NUMBERED, after) == (1, 2)


def edit(before: str, after: str) -> FileEdit:
    return FileEdit(PATH, before, after)


def check_rebase(before: str, after: str, current: str, expected: str | None, reason: str = "") -> None:
    result = rebase_edit(edit(before, after), current)
    if expected is None:
        assert isinstance(result, Conflict)
        assert reason in result.reason
    else:
        assert result == FileEdit(PATH, current, expected)


FIXED = NUMBERED.replace("line 10\n", "ten\n")


@pytest.mark.parametrize(
    ("current", "expected", "reason"),
    [
        (NUMBERED, FIXED, ""),
        ("new\n" + NUMBERED, "new\n" + FIXED, ""),
        (NUMBERED.replace("line 2\n", ""), FIXED.replace("line 2\n", ""), ""),
        (NUMBERED.replace("\n", "\r\n"), FIXED.replace("\n", "\r\n"), ""),
        (NUMBERED[:-1], FIXED[:-1], ""),
        (FIXED, None, "already holds"),
        (NUMBERED.replace("line 10\n", "10\n"), None, "lines 10-10 of a.py were edited since"),
        (NUMBERED.replace("line 9\n", "9\n"), None, "were edited since"),
        (NUMBERED + NUMBERED, None, "more than once"),
        ("", None, "were edited since"),
    ],
    ids=["same", "moved down", "moved up", "CRLF", "open end", "applied", "line edited", "context", "twice", "emptied"],
)
def test_a_change_is_carried_over_or_refused(current: str, expected: str | None, reason: str) -> None:
    check_rebase(NUMBERED, FIXED, current, expected, reason)


def test_a_repeated_place_is_told_apart_by_more_context() -> None:
    block = "def f():\n    a\n    b\n    c\n    d\n    e\n"
    before = f"one\n{block}two\n{block}"
    after = f"one\n{block}two\n{block.replace('b', 'B')}"
    check_rebase(before, after, "zero\n" + before, "zero\n" + after)


def test_parts_that_changed_order_are_a_conflict() -> None:
    top, bottom = NUMBERED[: NUMBERED.index("line 11\n")], NUMBERED[NUMBERED.index("line 11\n") :]
    after = NUMBERED.replace("line 5\n", "five\n").replace("line 15\n", "fifteen\n")
    check_rebase(NUMBERED, after, bottom + top, None, "reordered")


def test_a_new_file_that_exists_meanwhile_is_a_conflict() -> None:
    check_rebase("", "x\n", "y\n", None, "exists now")


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_an_unmoved_file_takes_the_edit_as_it_is(before: str, after: str) -> None:
    assert rebase_edit(edit(before, after), before) == edit(before, after)


@settings(deadline=None)
@given(st.lists(st.integers(), unique=True, min_size=8, max_size=20), st.data())
def test_edits_away_from_the_change_never_lose_it(numbers: list[int], data: st.DataObject) -> None:
    lines = [f"{number}\n" for number in numbers]
    at = data.draw(st.integers(0, len(lines) - 1))
    before, after = "".join(lines), "".join([*lines[:at], "changed\n", *lines[at + 1 :]])
    current = "first\n" + before + "last\n"
    check_rebase(before, after, current, "first\n" + after + "last\n")
