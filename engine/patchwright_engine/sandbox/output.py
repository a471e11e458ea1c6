"""Untrusted output made safe to show: bounded while it is read, and without anything a terminal would obey.

Invariant: memory held for one run's output never exceeds its limit, however much is printed.
"""

import re

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, private modes
    r"|[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, SOS, PM, APC with their terminators
    r"|[ -/]*[0-~])"  # every other two- or three-byte escape
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_INVISIBLE = re.compile(_CONTROLS.pattern[:-1] + r"\u200b-\u200d\u2028\u2029\u2060-\u2065\ufeff\ud800-\udfff]")


def sanitize_output(text: str) -> str:
    """`text` without escape sequences, control characters (line feed and tab stay) and text-direction marks.

    A lone carriage return becomes a line feed, so that overwritten progress lines stay readable.
    """
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)


def visible(text: str) -> str:
    """`text` with whatever a terminal would obey, or not show, written as an escape: nothing acts, nothing hides."""
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """As `visible`, line ends escaped too: no name can begin a line that seems to be ours."""
    return visible(text).replace("\n", "\\n")


class BoundedOutput:
    """Keeps the first and the last half of `limit` bytes of a stream and drops the middle."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    @property
    def truncated(self) -> bool:
        return self._dropped + max(0, len(self._tail) - self._half) > 0

    def add(self, block: bytes) -> None:
        """Take the next bytes of the stream."""
        room = self._half - len(self._head)
        if room > 0:
            self._head += block[:room]
            block = block[room:]
        self._tail += block
        # Cutting only at twice the size makes each byte move at most once.
        if len(self._tail) > 2 * self._half:
            self._cut()

    def text(self) -> str:
        """What was kept, with a line that says how much is missing, made safe to show."""
        self._cut()
        missing = f"\n[... {self._dropped} bytes left out ...]\n".encode() if self._dropped else b""
        return sanitize_output(bytes(self._head + missing + self._tail).decode("utf-8", "replace"))

    def _cut(self) -> None:
        surplus = len(self._tail) - self._half
        if surplus > 0:
            del self._tail[:surplus]
            self._dropped += surplus
