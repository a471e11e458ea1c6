"""Reads one answer as it is generated: think block, answer, stop strings, caps, loops.

Invariant: pure bookkeeping over tokens and their bytes; it never sees the model, so every rule is testable alone.
"""

import codecs
from collections.abc import Sequence
from enum import Enum, auto

from patchwright_engine.model.loops import Circles, loop_start
from patchwright_engine.model.thinking import CLOSE, OPEN, settle

_OPEN, _CLOSE = OPEN.encode(), CLOSE.encode()


class Step(Enum):
    """What to do after a token."""

    GO_ON = auto()
    CLOSE_THINK = auto()
    """The think cap was hit or thinking loops: force the closing tag, then the answer's prefix."""
    THINK_CLOSED = auto()
    """The model closed its think block: force the answer's prefix."""
    STOP = auto()
    LENGTH = auto()
    LOOP = auto()


class AnswerStream:
    """State of one answer. `thinking` says that the prompt itself has opened a think block."""

    def __init__(
        self,
        *,
        max_answer: int,
        max_think: int,
        stop: Sequence[str] = (),
        prefix: str = "",
        thinking: bool = False,
        room: int | None = None,
    ) -> None:
        """`room`: tokens there is place for, forced ones included; None: as many as the caps allow."""
        self._max_answer = max_answer
        self._max_think = max_think
        self._room = room
        self._stop = [s.encode("utf-8", "surrogateescape") for s in stop if s]
        self._prefix = prefix
        self._phase = "think" if thinking else ("answer" if prefix else "start")
        self._thought = thinking
        self._think = bytearray()
        self._answer = bytearray()
        self._circles = Circles()
        self._phase_tokens: list[int] = []
        self._phase_sizes: list[int] = []
        self._forced = 0
        self.tokens = 0
        """Tokens generated so far, think and answer together, forced ones not counted."""
        self.think_tokens = 0
        """Part of `tokens` that was thought, its tags included."""
        self.think_end = ""
        """As `Completion.think_end`."""

    @property
    def thinking(self) -> bool:
        return self._phase == "think"

    @property
    def left(self) -> int:
        """Tokens the cap of the present phase still allows."""
        return self._cap - len(self._phase_tokens)

    @property
    def _cap(self) -> int:
        if self._phase == "think":
            return self._max_think
        if self._room is None:
            return self._max_answer
        before = self.tokens - len(self._phase_tokens) + self._forced
        return max(1, min(self._max_answer, self._room - before))

    def feed(self, token: int, piece: bytes) -> Step:
        """Take one generated token (not an end token) and say how to go on."""
        self.tokens += 1
        self._phase_tokens.append(token)
        self._phase_sizes.append(len(piece))
        if self._phase == "think":
            self._think += piece
            return self._after_think_token()
        self._answer += piece
        if self._phase == "start":
            self._settle_start()
            if self._phase == "think":
                return self._after_think_token()
        return self._after_answer_token(len(piece))

    def close_think(self, forced: int = 0) -> None:
        """`forced` tokens were put behind the thought, its closing tag first; what follows is the answer."""
        self.think_end = self.think_end or "stop"
        self._enter_answer()
        self._forced += forced

    def force(self, forced: int) -> None:
        """As many tokens that the model did not choose were put before the answer."""
        self._forced += forced

    @property
    def think(self) -> str:
        return _text(self._think).strip()

    @property
    def answer(self) -> str:
        """The answer so far, beginning with the forced prefix; none while the model thinks."""
        text = _text(self._answer)
        return settle(text)[1] if self._thought and not self._prefix else self._prefix + text

    def _settle_start(self) -> None:
        text = bytes(self._answer).lstrip()
        if _OPEN.startswith(text[: len(_OPEN)]) and len(text) < len(_OPEN):
            return
        if text.startswith(_OPEN):
            self._phase = "think"
            self._thought = True
            self._think = bytearray(text[len(_OPEN) :])
            self._answer.clear()
        else:
            self._phase = "answer"

    def _after_think_token(self) -> Step:
        turning = self._circles.turning(self._phase_tokens[-1])
        closed = self._think.find(_CLOSE)
        if closed >= 0:
            rest = bytes(self._think[closed + len(_CLOSE) :])
            del self._think[closed:]
            self.think_end = "closed"
            self._enter_answer()
            self._answer += b"" if self._prefix else rest.lstrip()
            return Step.THINK_CLOSED
        if turning or loop_start(self._phase_tokens) is not None:
            self.think_end = "loop"
        elif len(self._phase_tokens) >= self._max_think:
            self.think_end = "length"
        return Step.CLOSE_THINK if self.think_end else Step.GO_ON

    def _enter_answer(self) -> None:
        self._phase = "answer"
        self.think_tokens += len(self._phase_tokens)
        self._answer.clear()
        self._phase_tokens.clear()
        self._phase_sizes.clear()

    def _after_answer_token(self, added: int) -> Step:
        for stop in self._stop:
            found = self._answer.find(stop, max(0, len(self._answer) - added - len(stop)))
            if found >= 0:
                del self._answer[found:]
                return Step.STOP
        if len(self._answer) == added and self._thought and not self._prefix:
            self._answer = bytearray(self._answer.lstrip())
        start = loop_start(self._phase_tokens)
        if start is not None:
            del self._answer[max(0, len(self._answer) - sum(self._phase_sizes[start:])) :]
            return Step.LOOP
        return Step.LENGTH if self.left <= 0 else Step.GO_ON


def _text(data: bytes | bytearray) -> str:
    """UTF-8 text of generated bytes: an unfinished last character is dropped, broken ones are replaced."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(data), final=False)
