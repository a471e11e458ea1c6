"""Answers that can only name what exists: a GBNF grammar of the lines an answer may consist of.

Used for short fields (files, symbols), never for code: a grammar cannot make code right, only samples of it poorer.
Names share their beginnings in the grammar, so that the parser follows a handful of paths and not one a name.

Invariant: a grammar made here is one llama.cpp's parser accepts, and from any point of it a whole line can be
reached. (Syntax: grammars/README.md of llama.cpp.)
"""

import itertools
import os
import re
from collections.abc import Iterable, Sequence

from patchwright_engine.errors import BadInput

MAX_CHOICES = 200
"""Beyond, a prompt has not shown them all anyway, and the parser's work at each token begins to show."""
# What ends a line or a C string, and lone surrogates: undecodable bytes of file names.
_UNSPELLABLE = re.compile("[\n\r\0\ud800-\udfff]")


def as_choices(names: Iterable[str]) -> tuple[str, ...]:
    """The names as `CompletionRequest.choices`; none where a grammar cannot offer them all, or they are too many.

    Leaving out the ones that cannot be spelled would forbid answers that are right.
    """
    choices = tuple(dict.fromkeys(names))
    return choices if len(choices) <= MAX_CHOICES and all(map(_is_spellable, choices)) else ()


def choices_grammar(choices: Sequence[str], most: int) -> str:
    """GBNF for one to `most` of `choices`, one a line, and nothing else. A line may come twice.

    Raises:
        BadInput: no choice, or one that is empty, holds a line break or is not Unicode text; `most` below 1.
    """
    bad = [choice for choice in choices if not _is_spellable(choice)]
    if bad or not choices or most < 1:
        raise BadInput(f"{most} of {bad or len(choices)} choices cannot be asked for")
    more = f' ("\\n" line){{0,{most - 1}}}' if most > 1 else ""
    return f'root ::= line{more} "\\n"?\nline ::= {_alternatives(sorted(set(choices)))}\n'


def _is_spellable(choice: str) -> bool:
    return bool(choice) and not _UNSPELLABLE.search(choice)


def _alternatives(words: Sequence[str]) -> str:
    """Sorted, different, non-empty words as alternatives, what several begin with written once."""
    parts = []
    for _, group in itertools.groupby(words, key=lambda word: word[0]):
        alike = list(group)
        common = os.path.commonprefix(alike)  # noqa: RUF071 - by character is what is wanted
        rest = [word[len(common) :] for word in alike if word != common]
        option = "?" if len(rest) < len(alike) else ""
        parts.append(f"{_quoted(common)} ({_alternatives(rest)}){option}" if rest else _quoted(common))
    return " | ".join(parts)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
