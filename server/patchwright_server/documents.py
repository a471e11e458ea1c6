"""Open documents as the client last described them; each is a list of lines, so that a keystroke costs little.

Invariant: joined, the lines are the client's text exactly. A line ends at LF, CRLF or a lone CR and nowhere else
(LSP §3.17, "Text Documents"). Columns here are code points; LSP's units are `convert.py`'s business.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from patchwright_engine.text.lines import split_lines, strip_end

PIECE_LINES = 2000
"""Lines sent to the engine at a time: about 80 kB of source, well under a millisecond to encode."""


@dataclass(slots=True)
class Document:
    """One open buffer. `uri` is spelled as the client spells it, which edits must repeat."""

    uri: str
    version: int
    language: str
    path: str | None
    """Where it lies on disk, absolute, links resolved; None for buffers that are not files."""
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def line(self, number: int) -> str:
        """A line (0-based) without its end; empty past the last one."""
        return strip_end(self.lines[number]) if 0 <= number < len(self.lines) else ""

    def pieces(self) -> list[str]:
        """The text in pieces, for a message that is encoded in turns."""
        return ["".join(self.lines[at : at + PIECE_LINES]) for at in range(0, len(self.lines), PIECE_LINES)]

    def replace_all(self, text: str) -> None:
        """A full change (LSP `TextDocumentContentChangeWholeDocument`)."""
        self.lines = split_lines(text)

    def replace(self, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        """Replace from one (line, column) to another, both clamped to the text; columns in code points."""
        first, column = self._clamp(start)
        last, end_column = self._clamp(end)
        head = self.lines[first][:column] if first < len(self.lines) else ""
        tail = self.lines[last][end_column:] if last < len(self.lines) else ""
        if first > 0 and not head and self.lines[first - 1].endswith("\r"):
            first -= 1  # the new text may begin with the line feed that belongs to this carriage return
            head = self.lines[first]
        elif first > 0 and first == len(self.lines) and not self.lines[first - 1].endswith("\n"):
            first -= 1
            head = self.lines[first] + head
        self.lines[first : last + 1] = split_lines(head + text + tail)

    def _clamp(self, position: tuple[int, int]) -> tuple[int, int]:
        line, column = position
        if line >= len(self.lines):
            return len(self.lines), 0
        return line, min(column, len(self.line(line)))


@dataclass(slots=True)
class Documents:
    """All open documents, and how often any of them changed."""

    revision: int = 0
    """Goes up with every open, change and close."""
    _by_uri: dict[str, Document] = field(default_factory=dict)

    def open(self, uri: str, path: str | None, version: int, language: str, text: str) -> Document:
        """Take in a document the client opened."""
        document = Document(uri, version, language, path, split_lines(text))
        self._by_uri[uri] = document
        self.revision += 1
        return document

    def close(self, uri: str) -> None:
        self._by_uri.pop(uri, None)
        self.revision += 1

    def changed(self, document: Document, version: int) -> None:
        """Note that a document was changed to `version`."""
        document.version = version
        self.revision += 1

    def get(self, uri: str) -> Document | None:
        return self._by_uri.get(uri)

    def __iter__(self) -> Iterator[Document]:
        return iter(list(self._by_uri.values()))
