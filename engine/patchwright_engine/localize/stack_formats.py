"""Stack traces and compiler messages of all languages but Python, by the patterns in the table of languages.

Invariant: the text is untrusted; every pattern bounds its repetitions, so hostile text costs no more than long text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from patchwright_engine.syntax.languages import LanguageEntry, languages

_MESSAGE = (
    r"^[ \t>|*-]{{0,16}}(?P<file>(?:[A-Za-z]:)?[^\s:()'\"`<>]{{1,400}}(?:{endings}))"
    r"[:(](?P<line>\d{{1,7}})(?=[:,)\s]|$)"
)
"""What compilers, linters and test runners print: `src/cart.go:12:5: undefined: x`, `--> src/cart.rs:3:1`."""
_NAMES = re.compile(r"[A-Za-z_$~][\w$?!=]*")
_NO_NAME = re.compile(r"func\d+|h[0-9a-f]{16}|closure|anonymous|MoveNext|d__\d+")
_INSIDE = re.compile(r"<(\w+)>d__\d+|lambda\$(\w+)\$\d+")
"""What C# and Java make of an async method and of a lambda: the name inside is the one in the source."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of source that a stack trace or message names, as it is written there."""

    file: str
    line: int | None
    function: str | None


def find_places(text: str) -> tuple[Place, ...]:
    """Everything that traces and messages name, outermost frame first."""
    found: dict[tuple[int, str], tuple[Place, int]] = {}
    for match in find_frames_in(text):
        groups = match.groupdict()
        line = groups["line"]
        file = (groups.get("package") or "").replace(".", "/") + groups["file"]
        place = Place(file, int(line) if line else None, _last_name(groups.get("function") or ""))
        found.setdefault((match.start("file"), file), (place, match.start("file")))
    return tuple(place for place, _ in sorted(found.values(), key=lambda item: -item[1]))


def find_frames_in(text: str) -> Iterator[re.Match[str]]:
    """Where the patterns of all rows, and after them that of messages, are found in a text."""
    for entry in languages():
        if entry.frames and any(extension in text for extension in entry.extensions):
            for pattern in _patterns(entry):
                yield from pattern.finditer(text)
    if any(extension in text for extension in _endings()):
        yield from _message().finditer(text)


def prepare() -> None:
    """Compile every pattern now, where waiting 50 ms disturbs nobody."""
    _message()
    for entry in languages():
        _patterns(entry)


def _last_name(function: str) -> str | None:
    """The function's own name as its source has it: 'Total' for `main.(*Cart).Total.func1`; None for what has none."""
    inside = _INSIDE.search(function)
    if inside:
        return inside[1] or inside[2]
    names = [name for name in _NAMES.findall(function) if not _NO_NAME.fullmatch(name)]
    return names[-1] if names else None


@cache
def _patterns(entry: LanguageEntry) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.MULTILINE) for pattern in entry.frames)


@cache
def _endings() -> tuple[str, ...]:
    return tuple(extension for entry in languages() if entry.name != "python" for extension in entry.extensions)


@cache
def _message() -> re.Pattern[str]:
    endings = "|".join(re.escape(extension) for extension in sorted(_endings(), key=len, reverse=True))
    return re.compile(_MESSAGE.format(endings=endings), re.MULTILINE)
