"""What a server's replies teach about its model: whether it thinks, asked or not. Few servers say it beforehand.

Invariant: what `read` calls an answer holds nothing that was thought, as far as tags, fields and caps tell.
"""

import dataclasses
from typing import Any

from patchwright_engine.model.backend import Completion, CompletionRequest
from patchwright_engine.model.openai_values import completion_of, until_stop


@dataclasses.dataclass(slots=True)
class Habits:
    """One model behind one server, as far as it is known."""

    thinks: bool | None = None
    """Whether a thought was ever seen; None: nothing was asked yet that might begin with one."""
    unasked: bool = False
    """It thinks also when asked not to: its answers come after thoughts or not at all."""

    def read(self, choice: dict[str, Any], request: CompletionRequest, *, suspect: bool = False) -> Completion:
        """One choice of a reply to `request`; without an answer when a thought took all the room.

        A server without a reasoning parser sends a thought bare when the prompt had opened its block, and without the
        closing tag when it was cut: so nothing but text that was cut counts as one, where one was to be expected
        (`suspect`: for another reason than the request's).
        """
        completion = completion_of(choice, request.answer_prefix)
        expected = request.max_think_tokens > 0 or suspect or self.unasked
        if completion.think:
            self.thinks = True
            self.unasked |= not request.max_think_tokens
        elif expected and completion.finish == "length" and self.thinks is not False:
            self.unasked |= suspect and self.thinks is True
            text = completion.answer.removeprefix(request.answer_prefix)
            return dataclasses.replace(completion, answer="", think=text, think_end="length")
        elif self.thinks is None and request.max_think_tokens:
            self.thinks = False
        return until_stop(completion, request)


def unanswered(completion: Completion) -> bool:
    """Whether a thought took all the room there was."""
    return bool(completion.think) and not completion.answer
