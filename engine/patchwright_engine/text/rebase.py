"""Small edits out of whole texts, and carrying an edit over to a text that has moved since.

Invariant: applying `minimal_hunks(before, after)` to `before` gives `after`, byte for byte.
A rebase never guesses: each hunk must be found at exactly one place, with its context, or it is a `Conflict`.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from patchwright_engine.text.lines import detect_line_end, split_lines, strip_end
from patchwright_engine.types import FileEdit

CONTEXT_LINES = 3
"""What `diff -u` and `git apply` use: enough to place a hunk, few enough to survive edits elsewhere."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines `start_line` up to, not including, `end_line` (0-based) become `replacement`."""

    start_line: int
    end_line: int
    replacement: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why an edit cannot be carried over; one sentence for the user."""

    reason: str


def minimal_hunks(before: str, after: str) -> tuple[Hunk, ...]:
    """The line-wise difference as hunks in ascending order, none touching another."""
    old, new = split_lines(before), split_lines(after)
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    matcher = difflib.SequenceMatcher(None, middle_old, middle_new, autojunk=False)
    return tuple(
        Hunk(head + i1, head + i2, "".join(middle_new[j1:j2]))
        for tag, i1, i2, j1, j2 in matcher.get_opcodes()
        if tag != "equal"
    )


def apply_hunks(text: str, hunks: Iterable[Hunk]) -> str:
    """Apply hunks given in ascending order and counted in the lines of `text`."""
    lines = split_lines(text)
    result: list[str] = []
    done = 0
    for hunk in hunks:
        result += lines[done : hunk.start_line]
        result.append(hunk.replacement)
        done = hunk.end_line
    return "".join(result + lines[done:])


def changed_lines(before: str, after: str) -> tuple[int, int]:
    """How many lines the change adds and removes."""
    hunks = minimal_hunks(before, after)
    added = sum(len(split_lines(hunk.replacement)) for hunk in hunks)
    return added, sum(hunk.end_line - hunk.start_line for hunk in hunks)


def rebase_edit(edit: FileEdit, current: str) -> FileEdit | Conflict:
    """The same change on top of `current`, which may differ from `edit.before` elsewhere in the file.

    Line ends may have changed as well: the replacement takes those of `current`.
    """
    if current == edit.before:
        return edit
    if current == edit.after:
        return Conflict(f"{edit.path} already holds this change")
    if not edit.before:
        return Conflict(f"{edit.path} is new in this change, but exists now")
    old, now = split_lines(edit.before), split_lines(current)
    old_bare, now_bare = [strip_end(line) for line in old], [strip_end(line) for line in now]
    moved: list[Hunk] = []
    for hunk in minimal_hunks(edit.before, edit.after):
        start = _place(hunk, old_bare, now_bare)
        if isinstance(start, str):
            return Conflict(
                f"lines {hunk.start_line + 1}-{max(hunk.end_line, hunk.start_line + 1)} of {edit.path} {start}"
            )
        if moved and start < moved[-1].end_line:
            return Conflict(f"the changed parts of {edit.path} were reordered since")
        length = hunk.end_line - hunk.start_line
        moved.append(Hunk(start, start + length, _with_ends_of(current, hunk.replacement)))
    after = _close_inner_lines(current, moved)
    return FileEdit(edit.path, current, after)


def _place(hunk: Hunk, old: Sequence[str], now: Sequence[str]) -> int | str:
    """The line of `now` where the hunk belongs, or what is wrong. More context is tried while it is ambiguous."""
    context = CONTEXT_LINES
    while True:
        first = max(0, hunk.start_line - context)
        last = min(len(old), hunk.end_line + context)
        found = _occurrences(old[first:last], now)
        if not found:
            return "were edited since" if context == CONTEXT_LINES else "now occur more than once"
        if len(found) == 1:
            return found[0] + hunk.start_line - first
        if first == 0 and last == len(old):
            return "now occur more than once"
        context *= 2


def _occurrences(needle: Sequence[str], lines: Sequence[str]) -> list[int]:
    size = len(needle)
    return [
        at
        for at in range(len(lines) - size + 1)
        if lines[at] == needle[0] and all(lines[at + k] == needle[k] for k in range(size))
    ]


def _with_ends_of(current: str, replacement: str) -> str:
    end_of_line = detect_line_end(current)
    return "".join(
        strip_end(line) + (end_of_line if strip_end(line) != line else "") for line in split_lines(replacement)
    )


def _close_inner_lines(current: str, hunks: Sequence[Hunk]) -> str:
    """Apply hunks; an unterminated last line that is no longer last (or the reverse) gets its end."""
    end_of_line = detect_line_end(current)
    lines = split_lines(current)
    closed = [line if strip_end(line) != line else line + end_of_line for line in lines]
    fixed = [Hunk(hunk.start_line, hunk.end_line, _closed(hunk.replacement, end_of_line)) for hunk in hunks]
    result = apply_hunks("".join(closed), fixed)
    ends_open = bool(current) and not current.endswith(("\n", "\r"))
    return strip_end(result) if ends_open else result


def _closed(text: str, end_of_line: str) -> str:
    return text if not text or text.endswith(("\n", "\r")) else text + end_of_line


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
