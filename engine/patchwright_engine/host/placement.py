"""Where a fix lands in today's text: rebased when its hunks still match, else a reason why not.

The answer speaks in points an editor can use without the whole text: the zero-based line as editors count lines
(ends at LF, CRLF or a lone CR, LSP §3.17 "textDocuments"), and the text of that line before the point. All files
of a fix land, or none does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from patchwright_engine.text.lines import LineTable
from patchwright_engine.text.rebase import Conflict, minimal_hunks
from patchwright_engine.types import FileEdit, RepoPath
from patchwright_engine.workspace.landing import land


@dataclass(frozen=True, slots=True)
class Point:
    """A place between two characters. `before` is the text of the line left of it, so that any unit can be counted."""

    line: int
    before: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """Replace what lies between two points."""

    start: Point
    end: Point
    text: str


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """The replacements for one file, top down and not overlapping. `create`: the file does not exist yet."""

    path: str
    """Absolute."""
    create: bool
    replacements: Sequence[Replacement]


@dataclass(frozen=True, slots=True)
class Placement:
    """`files` when the fix lands; `conflict` says in words why it does not (then `files` is empty)."""

    files: Sequence[PlacedFile] = ()
    conflict: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def placement_from_json(values: Mapping[str, Any]) -> Placement:
    """Read what `Placement.to_json` wrote."""
    files = tuple(
        PlacedFile(
            file["path"],
            file["create"],
            tuple(Replacement(Point(**r["start"]), Point(**r["end"]), r["text"]) for r in file["replacements"]),
        )
        for file in values["files"]
    )
    return Placement(files, values["conflict"])


def place(edits: Sequence[FileEdit], current: Mapping[RepoPath, str], root: Path) -> Placement:
    """Fit a fix to the workspace as it is now.

    Args:
        edits: the fix, whole texts before and after.
        current: open buffers; other files are read from disk below `root`.
        root: what the edits' paths are relative to, links resolved.
    """
    landed = land(edits, current, root)
    if isinstance(landed, Conflict):
        return Placement(conflict=landed.reason)
    return Placement(
        tuple(
            PlacedFile(str(root / edit.path), edit.created, tuple(replacements(edit.before, edit.after)))
            for edit in landed
        )
    )


def replacements(before: str, after: str) -> list[Replacement]:
    """The smallest replacements that turn `before` into `after`, cut down to the characters that differ."""
    table = LineTable.of(before)
    found = []
    for hunk in minimal_hunks(before, after):
        start, end = table.offset(hunk.start_line, 0), table.offset(hunk.end_line, 0)
        old, new = before[start:end], hunk.replacement
        head = _common(old, new)
        while head and (_cuts_crlf(old, head) or _cuts_crlf(new, head)):
            head -= 1
        tail = _common(old[head:][::-1], new[head:][::-1])
        while tail and (_cuts_crlf(old, len(old) - tail) or _cuts_crlf(new, len(new) - tail)):
            tail -= 1
        text = new[head : len(new) - tail]
        found.append(Replacement(_point(table, start + head), _point(table, end - tail), text))
    return found


def _common(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _cuts_crlf(text: str, offset: int) -> bool:
    return text[offset - 1 : offset + 1] == "\r\n"


def _point(table: LineTable, offset: int) -> Point:
    line, column = table.position(offset)
    return Point(line, table.line(line)[:column])
