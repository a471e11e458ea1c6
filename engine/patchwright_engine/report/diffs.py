"""The lines of a unified diff with what each is, for colouring."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a diff: 'file', 'place', 'added', 'removed', 'same' or 'note'."""

    kind: str
    text: str


def read_diff(diff: str) -> Iterator[DiffLine]:
    """By the counts in each '@@' line, since a removed line may well begin with '-- '."""
    old = new = 0
    for line in diff.rstrip("\n").split("\n") if diff else ():
        hunk = _HUNK.match(line) if old <= 0 and new <= 0 else None
        if hunk:
            old, new = int(hunk[1] or 1), int(hunk[2] or 1)
            yield DiffLine("place", line)
        elif old <= 0 and new <= 0:
            yield DiffLine("file" if line.startswith(("--- ", "+++ ")) else "note", line)
        elif line.startswith("\\"):
            yield DiffLine("note", line)
        else:
            kind = {"+": "added", "-": "removed"}.get(line[:1], "same")
            old -= kind != "added"
            new -= kind != "removed"
            yield DiffLine(kind, line)
