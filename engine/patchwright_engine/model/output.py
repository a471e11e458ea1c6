"""Reads one answer as it is generated: think block, answer, stop strings, caps, loops.

Invariant: pure bookkeeping over tokens and their bytes; it never sees the model, so every rule is testable alone.
"""

import codecs
from collections.abc import Sequence
from enum import Enum, auto

OPEN = b"<think>"
CLOSE = b"</think>"
LOOP_PERIODS = 128
LOOP_TOKENS = 128
LOOP_REPEATS = 4
LOOP_CHECK_EVERY = 16


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
        self, *, max_answer: int, max_think: int, stop: Sequence[str] = (), prefix: str = "", thinking: bool = False
    ) -> None:
        self._max_answer = max_answer
        self._max_think = max_think
        self._stop = [s.encode("utf-8", "surrogateescape") for s in stop if s]
        self._prefix = prefix
        self._phase = "think" if thinking else ("answer" if prefix else "start")
        self._think = bytearray()
        self._answer = bytearray()
        self._phase_tokens: list[int] = []
        self._phase_sizes: list[int] = []
        self.tokens = 0
        """Tokens generated so far, think and answer together, forced ones not counted."""

    @property
    def thinking(self) -> bool:
        return self._phase == "think"

    @property
    def left(self) -> int:
        """Tokens the cap of the present phase still allows."""
        return (self._max_think if self._phase == "think" else self._max_answer) - len(self._phase_tokens)

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

    def close_think(self) -> None:
        """The closing tag was forced; what follows is the answer."""
        self._enter_answer()

    @property
    def think(self) -> str:
        return _text(self._think).strip()

    @property
    def answer(self) -> str:
        """The answer so far, beginning with the forced prefix."""
        return self._prefix + _text(self._answer)

    def _settle_start(self) -> None:
        text = bytes(self._answer).lstrip()
        if OPEN.startswith(text[: len(OPEN)]) and len(text) < len(OPEN):
            return
        if text.startswith(OPEN):
            self._phase = "think"
            self._think = bytearray(text[len(OPEN) :])
            self._answer.clear()
        else:
            self._phase = "answer"

    def _after_think_token(self) -> Step:
        closed = self._think.find(CLOSE)
        if closed >= 0:
            rest = bytes(self._think[closed + len(CLOSE) :])
            del self._think[closed:]
            self._enter_answer()
            self._answer += b"" if self._prefix else rest.lstrip()
            return Step.THINK_CLOSED
        if len(self._phase_tokens) >= self._max_think or self._loop_start() is not None:
            return Step.CLOSE_THINK
        return Step.GO_ON

    def _enter_answer(self) -> None:
        self._phase = "answer"
        self._answer.clear()
        self._phase_tokens.clear()
        self._phase_sizes.clear()

    def _after_answer_token(self, added: int) -> Step:
        for stop in self._stop:
            found = self._answer.find(stop, max(0, len(self._answer) - added - len(stop)))
            if found >= 0:
                del self._answer[found:]
                return Step.STOP
        if len(self._answer) == added and self._think and not self._prefix:
            self._answer = bytearray(self._answer.lstrip())
        start = self._loop_start()
        if start is not None:
            del self._answer[max(0, len(self._answer) - sum(self._phase_sizes[start:])) :]
            return Step.LOOP
        return Step.LENGTH if len(self._phase_tokens) >= self._max_answer else Step.GO_ON

    def _loop_start(self) -> int | None:
        """Where the second round of a repetition that fills the tail begins, or None.

        A period p counts when it was repeated `LOOP_REPEATS` times and over `LOOP_TOKENS` tokens; code that
        repeats itself honestly (tables, runs of asserts) varies sooner than that.
        """
        tokens = self._phase_tokens
        if len(tokens) < LOOP_TOKENS or len(tokens) % LOOP_CHECK_EVERY:
            return None
        for period in range(1, LOOP_PERIODS + 1):
            need = period * max(LOOP_REPEATS, -(-LOOP_TOKENS // period))
            if need > len(tokens) or tokens[-1] != tokens[-1 - period]:
                continue
            if tokens[-need:-period] == tokens[-need + period :]:
                return len(tokens) - need + period
        return None


def _text(data: bytes | bytearray) -> str:
    """UTF-8 text of generated bytes: an unfinished last character is dropped, broken ones are replaced."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(data), final=False)
