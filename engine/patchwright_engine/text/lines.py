"""Lines and positions as editors count them.

A line ends at `\\n`, `\\r\\n` or `\\r` and nowhere else (LSP 3.17, "Text Documents"); Python's own tokenizer agrees.
`str.splitlines` does not: it also breaks at form feed, U+0085 and U+2028.
Lines and columns here are 0-based; a column counts code points. Only `column_in_units` and its inverse
know the other units of the protocol.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Encoding = Literal["utf-8", "utf-16", "utf-32"]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_END = re.compile(r"\r\n|\n|\r")


def split_lines(text: str) -> list[str]:
    """Lines with their ends; joined they give `text` again. The last one may have no end."""
    return _LINE.findall(text)


def strip_end(line: str) -> str:
    """One line without its line end."""
    return line.removesuffix("\n").removesuffix("\r")


def bare_lines(text: str) -> list[str]:
    """Lines without their ends."""
    return [strip_end(line) for line in split_lines(text)]


def detect_line_end(text: str) -> str:
    """The line end most lines of `text` have; `\\n` when there is none or a tie."""
    counts = Counter(_END.findall(text))
    return max(("\n", "\r\n", "\r"), key=lambda end: counts[end])


@dataclass(frozen=True, slots=True)
class LineTable:
    """Where each line of one text begins. A final line end opens an empty last line, as in every editor."""

    text: str
    starts: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> "LineTable":
        return cls(text, (0, *(match.end() for match in _END.finditer(text))))

    @property
    def line_count(self) -> int:
        return len(self.starts)

    def line(self, line: int) -> str:
        """The text of one line without its end. Raises IndexError outside the text."""
        if not 0 <= line < len(self.starts):
            raise IndexError(f"line {line} of {len(self.starts)}")
        return strip_end(self.text[self.starts[line] : self._stop(line)])

    def offset(self, line: int, column: int) -> int:
        """The offset of a position. A column past the line's end means its end, a line past the text its end."""
        if line < 0:
            return 0
        if line >= len(self.starts):
            return len(self.text)
        return self.starts[line] + min(max(column, 0), len(self.line(line)))

    def position(self, offset: int) -> tuple[int, int]:
        """(line, column) of an offset, clamped to the text. Between `\\r` and `\\n` means before both."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self.starts, offset) - 1
        return line, min(offset - self.starts[line], len(self.line(line)))

    def span(self, start_line: int, end_line: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Start and end position of the whole lines `start_line` up to, not including, `end_line`."""
        return self.position(self.offset(start_line, 0)), self.position(self.offset(end_line, 0))

    def _stop(self, line: int) -> int:
        return self.starts[line + 1] if line + 1 < len(self.starts) else len(self.text)


@dataclass(frozen=True, slots=True)
class LineEdit:
    """Lines `start` up to, not including, `end` become `lines` (bare, without ends)."""

    start: int
    end: int
    lines: tuple[str, ...]


def replace_lines(text: str, edits: Iterable[LineEdit]) -> str:
    """Apply line edits that do not overlap, all of them counted in the lines of `text`.

    Untouched lines keep their own ends, new ones get the file's; a text without a final line end stays so.
    Edits that start at the same line apply in the order given. Raises ValueError when edits overlap.
    """
    lines = split_lines(text)
    end_of_line = detect_line_end(text)
    result: list[str] = []
    done = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if not done <= edit.start <= edit.end <= len(lines):
            raise ValueError(f"line edit {edit.start}-{edit.end} overlaps or lies outside {len(lines)} lines")
        result += lines[done : edit.start]
        result += [line + end_of_line for line in edit.lines]
        done = edit.end
    result += lines[done:]
    return _with_final_end_of(text, result, end_of_line)


def _with_final_end_of(text: str, lines: list[str], end_of_line: str) -> str:
    closed = [line if _END.search(line) else line + end_of_line for line in lines[:-1]] + lines[-1:]
    joined = "".join(closed)
    if text and not text.endswith(("\n", "\r")):
        return strip_end(joined) if closed else joined
    return joined if joined.endswith(("\n", "\r")) or not joined else joined + end_of_line


def column_in_units(line_text: str, column: int, encoding: Encoding) -> int:
    """A code point column as LSP counts it (PositionEncodingKind). A column past the end means the end."""
    head = line_text[: max(column, 0)]
    if encoding == "utf-32":
        return len(head)
    return sum(_units(char, encoding) for char in head)


def column_from_units(line_text: str, units: int, encoding: Encoding) -> int:
    """The inverse of `column_in_units`. A position inside a character means the start of that character."""
    if encoding == "utf-32":
        return min(max(units, 0), len(line_text))
    seen = 0
    for column, char in enumerate(line_text):
        seen += _units(char, encoding)
        if seen > units:
            return column
    return len(line_text)


def _units(char: str, encoding: Encoding) -> int:
    point = ord(char)
    if encoding == "utf-16":
        return 2 if point > 0xFFFF else 1
    if 0xDC80 <= point <= 0xDCFF:
        return 1  # an undecodable byte kept by surrogateescape: one byte in the file
    return 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4
