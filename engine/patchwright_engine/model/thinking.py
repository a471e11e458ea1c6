"""Which models think before they answer, how a thought is opened and closed, and how it is told from the answer.

A model's chat template says it: R1 distills open `<think>` in their prompt, Qwen3's kind has a switch
(`enable_thinking`), and a template of R1's first weeks only cuts thoughts out of the history. A model that thinks
without any of these is named in the catalog (`thinks = true`).

Invariant: pure functions over text. What they call the answer holds no thought that is set apart by tags, whether
the server split them, the prompt had opened the block, or a tag comes twice.
"""

import functools
import re
from dataclasses import dataclass, replace
from enum import Enum

OPEN = "<think>"
CLOSE = "</think>"

# What only templates of models that think hold, though they write no opening tag (deepseek-ai/DeepSeek-R1-Distill-*
# as first published, and the GGUF files made of them since).
_R1_HEADER = "<｜Assistant｜>"
_SWITCH = re.compile(r"\benable_thinking\b|\bthinking\s+is\s|\bif\s+(?:not\s+)?thinking\b|/no_?think\b")
_OPENED = re.compile(r"<think>(\n(?!\s*</think>)|(?=['\"]))")
_CLOSED = re.compile(r"<think>\s*</think>\n*")
_SPLIT_AT_TAG = re.compile(r"split\(\s*['\"]</?think>['\"]")
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})", re.MULTILINE)
_TAG = re.compile(rf"(?P<lone>^[ \t]*(?={CLOSE}[ \t]*$))?{CLOSE}", re.MULTILINE)
_ANSWER = re.compile(r"\s*<answer>[ \t]*\n?(?P<inside>.*?)(?:\n?[ \t]*</answer>.*|\Z)", re.DOTALL)


class ThinkStyle(Enum):
    """How a model comes to think."""

    NEVER = "never"
    ALWAYS = "always"
    """Its template has no switch: only a prompt that closes the block itself keeps it from thinking."""
    SWITCHED = "switched"
    """Its template has a switch, which servers are asked to use."""


@dataclass(frozen=True, slots=True)
class ThinkFormat:
    """A model's own way to open a thought behind the assistant's header, and to have none."""

    style: ThinkStyle
    opened: str = OPEN + "\n"
    closed: str = f"{OPEN}\n\n{CLOSE}\n\n"

    @property
    def thinks(self) -> bool:
        return self.style is not ThinkStyle.NEVER


@functools.cache
def think_format(template: str | None, *, told: bool = False) -> ThinkFormat:
    """What a chat template (Jinja source, None for none) says about thinking.

    `told`: the user says that the model thinks, whatever its template says.
    """
    source = template or ""
    if not (told or OPEN in source or (CLOSE in source and _R1_HEADER in source)):
        return ThinkFormat(ThinkStyle.NEVER)
    # Its own strings, as far as they can be read off without running it: what stands last is the prompt's end.
    text = _SPLIT_AT_TAG.sub("split(", source.replace("\\n", "\n"))
    opened, closed = _OPENED.findall(text), _CLOSED.findall(text)
    found = ThinkFormat(ThinkStyle.SWITCHED if _SWITCH.search(source) else ThinkStyle.ALWAYS)
    found = replace(found, opened=OPEN + opened[-1]) if opened else found
    return replace(found, closed=closed[-1]) if closed else found


def split_thoughts(text: str) -> tuple[str, str]:
    """(thoughts, answer) of a model's whole text.

    The thought is what stands in a leading block, closed or not, or before a closing tag that no opening one goes
    before: then the prompt had opened it. A tag inside a code fence is code. Without a thought `text` comes back as
    it is.
    """
    start = text.lstrip()
    if start.startswith(OPEN):
        thought, closed, rest = start[len(OPEN) :].partition(CLOSE)
        if not closed:
            return thought.strip(), ""
    else:
        end = _stray_close(text)
        if end is None:
            return "", text
        thought, rest = text[:end], text[end + len(CLOSE) :]
    more, answer = settle(rest)
    return "\n".join(filter(None, (thought.strip(), more))), answer


def settle(answer: str) -> tuple[str, str]:
    """(thoughts, answer) of what follows a closed thought: models close twice, and wrap what they mean in `<answer>`.

    SWE-Reasoner's answers stand in such a block (its paper's output format), R1's do when they were asked to.
    """
    thoughts = []
    while (end := _stray_close(answer)) is not None:
        thoughts.append(answer[:end].strip())
        answer = answer[end + len(CLOSE) :]
    wrapped = _ANSWER.fullmatch(answer)
    return "\n".join(filter(None, thoughts)), (wrapped["inside"] if wrapped else answer).lstrip()


def _stray_close(text: str) -> int | None:
    """Where the first closing tag stands that is no part of code, or None."""
    for found in _TAG.finditer(text):
        before, after = len(_FENCE.findall(text[: found.start()])), len(_FENCE.findall(text[found.end() :]))
        # A thought may break off inside a fence of its own: the answer's fences after it then stand in pairs, and where
        # there are none, a tag on a line of its own is no code.
        if before % 2 == 0 or (after % 2 == 0 and (after or found["lone"] is not None)):
            return found.end() - len(CLOSE)
    return None
