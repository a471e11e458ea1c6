"""Lines and positions as editors count them, and line edits that keep line ends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchwright_engine.text.lines import (
    LineEdit,
    LineTable,
    bare_lines,
    column_from_units,
    column_in_units,
    detect_line_end,
    replace_lines,
    split_lines,
)

TEXTS = st.text(alphabet="ab \t\r\n\x0c\x85\u2028é😀", max_size=40)
ENCODINGS = st.sampled_from(["utf-8", "utf-16", "utf-32"])


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\nb", ["a\n", "b"]),
        ("a\r\nb\rc\n", ["a\r\n", "b\r", "c\n"]),
        ("a\x0cb\x85c\u2028d\x1ce\n", ["a\x0cb\x85c\u2028d\x1ce\n"]),
        ("\n\r\n\r", ["\n", "\r\n", "\r"]),
    ],
)
def test_a_line_ends_at_line_feed_and_carriage_return_only(text: str, lines: list[str]) -> None:
    assert split_lines(text) == lines


@settings(deadline=None)
@given(TEXTS)
def test_lines_joined_give_the_text_again(text: str) -> None:
    assert "".join(split_lines(text)) == text


@settings(deadline=None)
@given(TEXTS, st.data())
def test_offsets_and_positions_are_inverse(text: str, data: st.DataObject) -> None:
    table = LineTable.of(text)
    offset = data.draw(st.integers(0, len(text)))
    line, column = table.position(offset)
    inside_crlf = text[offset - 1 : offset + 1] == "\r\n"
    assert table.offset(line, column) == (offset - 1 if inside_crlf else offset)
    assert column <= len(table.line(line))


def test_positions_outside_the_text_mean_its_nearest_place() -> None:
    table = LineTable.of("ab\r\ncd")
    assert table.offset(0, 99) == 2
    assert table.offset(9, 0) == 6
    assert table.offset(-1, 0) == 0
    assert table.position(99) == (1, 2)
    assert table.position(3) == (0, 2)
    with pytest.raises(IndexError):
        table.line(2)


def test_a_final_line_end_opens_an_empty_line() -> None:
    assert LineTable.of("a\n").line_count == 2
    assert LineTable.of("").line_count == 1


def test_a_span_of_whole_lines_ends_at_the_text_end_when_the_last_line_is_open() -> None:
    assert LineTable.of("a\nbc").span(1, 2) == ((1, 0), (1, 2))
    assert LineTable.of("a\nbc\n").span(1, 2) == ((1, 0), (2, 0))


@pytest.mark.parametrize(
    ("text", "end"), [("", "\n"), ("a", "\n"), ("a\r\nb\r\nc\n", "\r\n"), ("a\rb", "\r"), ("a\r\nb\n", "\n")]
)
def test_the_line_end_is_that_of_most_lines(text: str, end: str) -> None:
    assert detect_line_end(text) == end


@pytest.mark.parametrize(
    ("line", "column", "utf8", "utf16"),
    [("abc", 2, 2, 2), ("é😀x", 1, 2, 1), ("é😀x", 2, 6, 3), ("é😀x", 9, 7, 4), ("\udc80x", 1, 1, 1), ("€", 1, 3, 1)],
)
def test_columns_are_counted_in_the_units_of_the_protocol(line: str, column: int, utf8: int, utf16: int) -> None:
    assert column_in_units(line, column, "utf-8") == utf8
    assert column_in_units(line, column, "utf-16") == utf16
    assert column_in_units(line, column, "utf-32") == min(column, len(line))


def test_a_unit_inside_a_character_means_its_start() -> None:
    assert column_from_units("a😀b", 2, "utf-16") == 1
    assert column_from_units("aéb", 2, "utf-8") == 1


@settings(deadline=None)
@given(st.text(alphabet="aé€😀", max_size=10), st.integers(0, 12), ENCODINGS)
def test_units_convert_back_to_the_same_column(line: str, column: int, encoding: str) -> None:
    units = column_in_units(line, column, encoding)  # type: ignore[arg-type]
    assert column_from_units(line, units, encoding) == min(column, len(line))  # type: ignore[arg-type]
    if encoding != "utf-32":
        width = 2 if encoding == "utf-16" else 1
        assert units == len(line[:column].encode(f"{encoding}-le" if width == 2 else encoding)) // width


@pytest.mark.parametrize(
    ("text", "edit", "result"),
    [
        ("a\r\nb\r\n", LineEdit(1, 2, ("x", "y")), "a\r\nx\r\ny\r\n"),
        ("a\r\nb\nc\n", LineEdit(2, 3, ("x",)), "a\r\nb\nx\n"),
        ("a\nb", LineEdit(1, 2, ("x",)), "a\nx"),
        ("a\nb", LineEdit(2, 2, ("x",)), "a\nb\nx"),
        ("a\nb", LineEdit(0, 1, ()), "b"),
        ("a\nb\n", LineEdit(0, 2, ()), ""),
        ("", LineEdit(0, 0, ("x",)), "x\n"),
    ],
)
def test_line_edits_keep_the_ends_of_the_file(text: str, edit: LineEdit, result: str) -> None:
    assert replace_lines(text, [edit]) == result


def test_overlapping_line_edits_are_an_error() -> None:
    with pytest.raises(ValueError, match="overlaps"):
        replace_lines("a\nb\nc\n", [LineEdit(0, 2, ("x",)), LineEdit(1, 3, ("y",))])


@settings(deadline=None)
@given(TEXTS, st.data())
def test_a_line_edit_changes_its_lines_and_no_other(text: str, data: st.DataObject) -> None:
    count = len(split_lines(text))
    start = data.draw(st.integers(0, count))
    end = data.draw(st.integers(start, count))
    new = tuple(data.draw(st.lists(st.text(alphabet="xyz", min_size=1), max_size=3)))
    result = replace_lines(text, [LineEdit(start, end, new)])
    old = bare_lines(text)
    if new or start < end < count or start == end:
        assert bare_lines(result) == [*old[:start], *new, *old[end:]]
