"""Open documents against a plain string, with every kind of line end and characters that only look like one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from patchwright_engine.text.lines import LineTable, split_lines
from patchwright_server.documents import Documents

TEXT = st.text(st.sampled_from("ab\n\r\x0c\u2028é😀"), max_size=12)
POSITION = st.tuples(st.integers(0, 6), st.integers(0, 6))


@settings(max_examples=400, deadline=None)
@given(TEXT, st.lists(st.tuples(POSITION, POSITION, TEXT), max_size=5))
def test_a_change_does_to_the_lines_what_it_does_to_the_text(
    text: str, changes: list[tuple[tuple[int, int], tuple[int, int], str]]
) -> None:
    document = Documents().open("file:///a", None, 1, "python", text)
    for one, other, new in changes:
        start, end = sorted((one, other))
        table = LineTable.of(text)
        text = text[: table.offset(*start)] + new + text[table.offset(*end) :]
        document.replace(start, end, new)
        assert document.text == text
        assert document.lines == split_lines(text)


def test_pieces_join_to_the_text() -> None:
    text = "".join(f"line {number}\r\n" for number in range(5001))
    document = Documents().open("file:///a", None, 1, "python", text)
    assert len(document.pieces()) == 3
    assert "".join(document.pieces()) == text


def test_every_change_moves_the_revision() -> None:
    documents = Documents()
    document = documents.open("file:///a", None, 1, "python", "x")
    documents.changed(document, 2)
    documents.close("file:///a")
    assert documents.revision == 3
    assert documents.get("file:///a") is None
