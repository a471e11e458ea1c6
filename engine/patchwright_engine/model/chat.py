"""Turns messages into tokens with the model's own chat template.

Invariant: nobody can speak as somebody else. Control tokens are recognised in the template's text only; the
contents of messages, which hold untrusted code and issues, are tokenized as plain text, so a `<|im_end|>` inside
them is just characters. To that end the template is rendered around placeholders, cut at them, and template
pieces and contents are tokenized apart. The template is the one in the GGUF as far as llama.cpp knows it,
ChatML otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from patchwright_engine.errors import BadInput
from patchwright_engine.model.backend import Message
from patchwright_engine.model.thinking import OPEN, ThinkFormat, think_format

ROLES = ("system", "user", "assistant")

Render = Callable[[str, Sequence[tuple[str, str]]], str | None]


class Tokenizer(Protocol):
    """The part of a model that turns text into tokens."""

    def tokenize(self, text: str, *, special: bool = False, start: bool = False) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the prompt; `trusted` text comes from the template and may hold control tokens."""

    text: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """How one model wants its conversations. `render` is llama.cpp's own template engine."""

    template: str | None
    render: Render
    told: bool = False
    """The user says that the model thinks, whatever its template says."""

    @property
    def thinking(self) -> ThinkFormat:
        """How the model opens and closes thoughts, if it has any."""
        return think_format(self.template, told=self.told)

    @property
    def thinks(self) -> bool:
        """Whether the model reasons in a `<think>` block before it answers."""
        return self.thinking.thinks

    def pieces(self, messages: Sequence[Message], *, think: bool, answer_prefix: str = "") -> tuple[Piece, ...]:
        """The prompt in stretches, ending where the answer (or, with `think`, the thinking) begins.

        Raises:
            BadInput: no message, or a role other than 'system', 'user' and 'assistant'.
        """
        unknown = [message.role for message in messages if message.role not in ROLES]
        if not messages or unknown:
            raise BadInput(f"a conversation cannot be made of {unknown or 'no messages'}")
        marks = [f"PATCHWRIGHT{index}CONTENT" for index in range(len(messages))]
        marked = [(message.role, mark) for message, mark in zip(messages, marks, strict=True)]
        text = self.render(self.template, marked) if self.template else None
        if text is None or not _in_order(text, marks):
            text = chatml(marked)
        pieces = []
        for message, mark in zip(messages, marks, strict=True):
            before, _, text = text.partition(mark)
            pieces += [Piece(before, trusted=True), Piece(message.content, trusted=False)]
        thinking = self.thinking
        opening = (thinking.opened if think else thinking.closed) if thinking.thinks else ""
        if opening and text.rstrip().endswith(OPEN):
            text = text.rstrip().removesuffix(OPEN)
        pieces.append(Piece(text + opening, trusted=True))
        if answer_prefix and not (think and thinking.thinks):
            pieces.append(Piece(answer_prefix, trusted=False))
        return tuple(piece for piece in pieces if piece.text)


def chatml(messages: Sequence[tuple[str, str]]) -> str:
    """The ChatML rendering of (role, content) pairs with the assistant header."""
    turns = [f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in messages]
    return "".join(turns) + "<|im_start|>assistant\n"


def tokens_of(pieces: Sequence[Piece], tokenizer: Tokenizer) -> list[int]:
    """Tokenize stretch by stretch; only trusted ones may yield control tokens."""
    tokens: list[int] = []
    for index, piece in enumerate(pieces):
        tokens += tokenizer.tokenize(piece.text, special=piece.trusted, start=index == 0)
    return tokens


def _in_order(text: str, marks: Sequence[str]) -> bool:
    positions = [text.find(mark) for mark in marks]
    return -1 not in positions and positions == sorted(positions) and all(text.count(mark) == 1 for mark in marks)
