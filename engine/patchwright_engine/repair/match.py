"""Where a SEARCH text stands in a file: exact, then line-end spaces, then an indentation shift, then unique fuzzy.

Invariant: one place or none. Two places at the same rung are a refusal, never a guess. Lines the model repeats
unchanged keep the file's own text, so a fuzzy match never rewrites what the model merely misquoted.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from patchwright_engine.syntax.statements import is_left_out
from patchwright_engine.text.lines import LineEdit

FUZZY_RATIO = 0.9
FUZZY_LEAD = 0.05
"""A fuzzy match must be this much better than any other place that does not overlap it."""
_SHOWN_LINES = 12


@dataclass(frozen=True, slots=True)
class NoMatch:
    """Why there is no single place, with the nearest lines for the model."""

    ambiguous: bool
    reason: str
    nearest: str


def place(
    search: Sequence[str], replace: Sequence[str], lines: Sequence[str], shown: Sequence[tuple[int, int]] = ()
) -> LineEdit | NoMatch:
    """Turn one SEARCH/REPLACE pair into an edit of `lines` (bare, 0-based).

    `shown` are half-open line spans the model had seen: of several equal places, a single one within them is meant.
    """
    search, replace = _trim(search, replace)
    if not search:
        return NoMatch(False, "the SEARCH part is empty", "")
    if any(is_left_out(line) for line in (*search, *replace)):
        return NoMatch(False, "a line such as '... # 37 lines left out' is no code", "")
    for normal in (_same, str.rstrip, str.strip):
        starts = _starts([normal(line) for line in search], [normal(line) for line in lines])
        if normal is str.strip:
            starts = [at for at in starts if _shift(search, lines[at : at + len(search)]) is not None]
        within = [at for at in starts if any(a <= at and at + len(search) <= b for a, b in shown)]
        if len(within) == 1:
            starts = within
        if len(starts) > 1:
            return NoMatch(True, f"the SEARCH part occurs {len(starts)} times", _show(starts, len(search), lines))
        if starts:
            return _edit(search, replace, lines, starts[0])
    return _fuzzy(search, replace, lines)


def _same(line: str) -> str:
    return line


def _starts(needle: Sequence[str], lines: Sequence[str]) -> list[int]:
    size = len(needle)
    return [
        at
        for at in range(len(lines) - size + 1)
        if lines[at] == needle[0] and all(lines[at + k] == needle[k] for k in range(size))
    ]


def _trim(search: Sequence[str], replace: Sequence[str]) -> tuple[list[str], list[str]]:
    """Drop blank lines around SEARCH, and as many around REPLACE, so that framing does not matter."""
    left, right = list(search), list(replace)
    while left and not left[0].strip():
        left.pop(0)
        if right and not right[0].strip():
            right.pop(0)
    while left and not left[-1].strip():
        left.pop()
        if right and not right[-1].strip():
            right.pop()
    return left, right


def _edit(search: Sequence[str], replace: Sequence[str], lines: Sequence[str], at: int) -> LineEdit:
    """The edit at a known place: SEARCH lines and file lines stand one to one."""
    there = lines[at : at + len(search)]
    shift = _shift(search, there) or _common_shift(search, there)
    old, new = [line.rstrip() for line in search], [line.rstrip() for line in replace]
    result: list[str] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        result += there[i1:i2] if tag == "equal" else [_shifted(line, shift) for line in replace[j1:j2]]
    return LineEdit(at, at + len(search), tuple(result))


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


Shift = tuple[str, str]
"""(prefix to take away, prefix to put in its place)"""


def _shift(search: Sequence[str], there: Sequence[str]) -> Shift | None:
    """The one prefix change that turns every SEARCH line's indentation into the file's, if there is one."""
    pairs = [(_indent(a), _indent(b)) for a, b in zip(search, there, strict=True) if a.strip() and b.strip()]
    shallow = min(pairs, key=lambda pair: len(pair[0]), default=("", ""))
    for given, wanted in pairs:
        if not given.startswith(shallow[0]) or wanted != shallow[1] + given[len(shallow[0]) :]:
            return None
    return shallow


def _common_shift(search: Sequence[str], there: Sequence[str]) -> Shift:
    pairs = [(_indent(a), _indent(b)) for a, b in zip(search, there, strict=True) if a.strip() and b.strip()]
    return max(pairs, key=lambda pair: (pairs.count(pair), -len(pair[0])), default=("", ""))


def _shifted(line: str, shift: Shift) -> str:
    if not line.strip():
        return ""
    taken, put = shift
    return put + line[len(taken) :] if line.startswith(taken) else put + line.lstrip()


def _fuzzy(search: Sequence[str], replace: Sequence[str], lines: Sequence[str]) -> LineEdit | NoMatch:
    scored = _scores(search, lines)
    if not scored:
        return NoMatch(False, "the SEARCH part is not in the file", "")
    best, at = scored[0]
    rival = next((score for score, other in scored if abs(other - at) >= len(search)), 0.0)
    if best >= FUZZY_RATIO and best - rival >= FUZZY_LEAD:
        return _edit(search, replace, lines, at)
    reason = "the SEARCH part is not in the file"
    if best >= FUZZY_RATIO:
        places = [at for score, at in scored[:3] if best - score < FUZZY_LEAD]
        return NoMatch(True, "the SEARCH part fits several places about as well", _show(places, len(search), lines))
    return NoMatch(False, reason, _show([at], len(search), lines))


def _scores(search: Sequence[str], lines: Sequence[str]) -> list[tuple[float, int]]:
    """(similarity, line) of the windows that share most with SEARCH, best first."""
    bare, there = [line.strip() for line in search], [line.strip() for line in lines]
    words = {word for line in bare for word in line.split()}
    rough = [len(words & {*line.split()}) for line in there]
    size = len(search)
    sums = [(sum(rough[at : at + size]), at) for at in range(max(0, len(lines) - size) + 1)]
    promising = [at for score, at in sorted(sums, key=lambda pair: (-pair[0], pair[1]))[:40] if score]
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2("\n".join(bare))
    scored = []
    for at in promising:
        if len(there[at : at + size]) < size:
            continue
        matcher.set_seq1("\n".join(there[at : at + size]))
        scored.append((matcher.ratio(), at))
    return sorted(scored, key=lambda pair: (-pair[0], pair[1]))


def _show(starts: Sequence[int], size: int, lines: Sequence[str]) -> str:
    parts = ["\n".join(lines[at : at + min(size, _SHOWN_LINES)]) for at in starts[:3]]
    return "\n...\n".join(f"(line {at + 1})\n{part}" for at, part in zip(starts, parts, strict=False))
