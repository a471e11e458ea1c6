"""The stack trace that a line of a document belongs to, for whoever points at it in an editor.

Invariant: only a few lines around the one pointed at are looked at, so that an event loop may ask for every cursor.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate, chain, takewhile

from patchwright_engine.localize.stack_formats import find_frames_in
from patchwright_engine.localize.traceback import FRAME

NEAR = 3
"""Lines between frames, or between a frame and the message above or below it, at most."""
MAX_LINES = 50
MAX_COLUMNS = 300
_HEADER = "Traceback (most recent call last):"
_LEADER = re.compile(r"[ \t]*(#(?!\d)|//+|\*|--(?!>)|;+|%)? ?")
"""What makes a line a comment; gdb and PHP begin frames with `#0`, rustc with `-->`."""


def trace_block(line: Callable[[int], str], count: int, at: int) -> str:
    """The trace or compiler message around line `at` of `count`, without what stands left of it; '' when there is none.

    The message above the frames counts as part of it, and so does one that an empty line separates, as Go has it.
    """
    if not _framed(line, max(0, at - NEAR), min(count, at + NEAR + 2)):
        return ""
    first, last = max(0, at - MAX_LINES), min(count, at + MAX_LINES)
    framed = _framed(line, first, last)
    nearest = min(framed, key=lambda number: abs(number - at))
    leader = _leader(line(nearest))

    def belongs(number: int) -> bool:
        return _leader(line(number)) == leader

    start = end = nearest
    for number in takewhile(belongs, range(nearest - 1, first - 1, -1)):
        if number in framed:
            start = number
        elif start - number > NEAR or not _content(line(number)):
            break
    for number in takewhile(belongs, range(nearest + 1, last)):
        if number in framed:
            end = number
        elif end + NEAR < number or not _content(line(number)):
            break
    start = _message_above(line, start, first, belongs)
    end = _message_below(line, end, last, belongs)
    return _without_margin([line(number) for number in range(start, end + 1)]) if start <= at <= end else ""


def holds_trace(text: str) -> bool:
    """Whether there is a frame or compiler message in the first lines of a text."""
    lines = text.split("\n", MAX_LINES)[:MAX_LINES]
    return bool(_framed(lines.__getitem__, 0, len(lines)))


def _framed(line: Callable[[int], str], first: int, last: int) -> set[int]:
    """The lines that hold a frame, or a part of one."""
    lines = [_content(line(number))[:MAX_COLUMNS] for number in range(first, last)]
    text = "\n".join(lines)
    framed: set[int] = {number for number, content in enumerate(lines, first) if content.startswith(_HEADER)}
    starts = list(accumulate((len(content) + 1 for content in lines), initial=0))
    matches = chain(find_frames_in(text), (match for match in FRAME.finditer(text) if match["file4"] is None))
    for match in matches:
        from_line, to_line = bisect_right(starts, match.start()), bisect_right(starts, match.end())
        framed.update(range(first + from_line - 1, first + to_line))
    return framed


def _message_above(line: Callable[[int], str], start: int, first: int, belongs: Callable[[int], bool]) -> int:
    """Where the words above the first frame begin; one empty line may stand between."""
    if _content(line(start)).startswith(_HEADER):
        return start
    found, gaps = start, 0
    for number in takewhile(belongs, range(start - 1, max(first, start - NEAR - 1) - 1, -1)):
        if _content(line(number)):
            found = number
        else:
            gaps += 1
            if gaps > 1 or found == start:
                break
    return found


def _message_below(line: Callable[[int], str], end: int, last: int, belongs: Callable[[int], bool]) -> int:
    """Where the words below the last frame end: its source line, the exception's message."""
    for number in takewhile(belongs, range(end + 1, min(last, end + NEAR + 1))):
        content = _content(line(number))
        if not content:
            break
        end = number
        if not content.startswith((" ", "\t")):
            break
    return end


def _leader(text: str) -> str:
    match = _LEADER.match(text)
    return match[1] or "" if match else ""


def _content(text: str) -> str:
    """A line without what makes it a comment; indentation stays where nothing does."""
    match = _LEADER.match(text)
    content = text[match.end() :] if match and match[1] else text
    return content.rstrip()


def _without_margin(lines: list[str]) -> str:
    contents = [_content(line) for line in lines]
    margin = min((len(text) - len(text.lstrip()) for text in contents if text), default=0)
    return "\n".join(text[margin:] for text in contents)
