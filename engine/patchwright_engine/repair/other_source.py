"""Facts about source in any language of the table but Python: what tree-sitter can tell without knowing its rules.

Nothing here changes text. Lines are 0-based and half-open, so that they index `bare_lines(text)`.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from patchwright_engine.repair.elision import is_placeholder
from patchwright_engine.syntax.languages import language_of
from patchwright_engine.syntax.parse import code_tokens, error_lines, parse_symbols
from patchwright_engine.text.lines import bare_lines
from patchwright_engine.types import RepoPath, Symbol

_COMMENT = re.compile(r"(?://+|#|/\*+|(?<=\s)\*)\s*(.*)")


@dataclass(frozen=True, slots=True)
class Definition:
    """A function or class of a file, with its qualified name and lines."""

    name: str
    start: int
    end: int
    local: bool
    """Defined inside a function."""


def is_known(path: RepoPath) -> bool:
    """Whether the table has the file's language."""
    return language_of(path) is not None


def symbols(path: RepoPath, text: str) -> tuple[Symbol, ...]:
    """The functions and classes of a text; names at module level are left out."""
    return tuple(symbol for symbol in parse_symbols(path, _encoded(text)).symbols if symbol.kind != "variable")


def definitions(path: RepoPath, text: str) -> list[Definition]:
    """The functions and classes of a text, in order."""
    found = symbols(path, text)
    functions = {symbol.name for symbol in found if symbol.kind != "class"}
    return [Definition(s.name, s.start_line - 1, s.end_line, _is_inside(s.name, functions)) for s in found]


def _is_inside(name: str, functions: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in functions for length in range(1, len(parts)))


def syntax_problem(path: RepoPath, before: str, after: str) -> str | None:
    """What is wrong with `after`, or None when it has no more syntax errors than `before`."""
    wrong = error_lines(path, _encoded(after))
    if len(wrong) <= len(error_lines(path, _encoded(before))):
        return None
    known = set(bare_lines(before))
    lines = bare_lines(after)
    at = next((line for line in wrong if line <= len(lines) and lines[line - 1] not in known), wrong[0])
    shown = lines[at - 1].strip() if at <= len(lines) else ""
    return f"line {at}: syntax error" + (f" near `{shown[:80]}`" if shown else "")


def harm(path: RepoPath, before: str, after: str) -> str | None:
    """What a change destroys: a function or class that is gone, or a body that became empty. None if nothing."""
    new = {definition.name: definition for definition in definitions(path, after)}
    after_lines, before_lines = bare_lines(after), bare_lines(before)
    for old in definitions(path, before):
        if old.local:
            continue
        if old.name not in new:
            return f"it deletes `{old.name}`"
        now = new[old.name]
        if is_empty(path, after_lines[now.start : now.end]) and not is_empty(path, before_lines[old.start : old.end]):
            return f"it empties `{old.name}`"
    return None


def is_empty(path: RepoPath, lines: Sequence[str]) -> bool:
    """Whether a definition ends in braces with nothing but comments between them."""
    tokens = code_tokens(path, _encoded("\n".join(lines)))
    return tokens is not None and b"".join(tokens[-3:]).rstrip(b";").endswith(b"{}")


def same_code(path: RepoPath, one: str, other: str) -> bool:
    """Whether two texts are equal apart from comments and layout."""
    tokens = code_tokens(path, _encoded(one))
    return tokens is not None and tokens == code_tokens(path, _encoded(other))


def key(path: RepoPath, text: str) -> str:
    """Equal for texts that `same_code` calls equal."""
    return hashlib.sha256(b"\0".join(code_tokens(path, _encoded(text)) or ())).hexdigest()


def elision(lines: Sequence[str], old_lines: Sequence[str]) -> str | None:
    """A comment of the new text, unknown to the old one, that stands for code left out; None if there is none."""
    known = "\n".join(old_lines)
    for line in lines:
        comment = _COMMENT.search(line)
        if comment and is_placeholder(comment[1]) and comment[0].strip() not in known:
            return comment[0].strip()
    return None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
