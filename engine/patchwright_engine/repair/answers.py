"""Reads a model's answer: fenced code and SEARCH/REPLACE blocks, and the file each one names.

Tolerant in form (marker lengths, fence styles, where the path stands), never in content: code comes out as
written. An unclosed fence is what remains when a stop word or the end of the answer closed it; whether it was
cut short is for the caller to judge from the finish reason.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from patchwright_engine.text.lines import bare_lines

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<mark>`{3,}|~{3,})(?P<info>[^`]*)$")
_SEARCH = re.compile(r"^\s*<{4,12}\s*(?:SEARCH|ORIGINAL|HEAD)\b:?\s*(?P<path>\S*)\s*$", re.IGNORECASE)
_DIVIDER = re.compile(r"^\s*={4,12}\s*$")
_REPLACE = re.compile(r"^\s*>{4,12}\s*(?:(?:REPLACE|UPDATED|END)\b.*)?$", re.IGNORECASE)
"""Four signs at least: three are a doctest prompt."""
_PATH = re.compile(r"(?:[\w.+@-]+/)*[\w+@-][\w.+@-]*\.[A-Za-z]\w{0,9}")
_PATH_LABEL = re.compile(r"^(?:file(?:\s*name)?|path|in|title|filename)\s*[:=]?\s*", re.IGNORECASE)
_CODE_START = re.compile(r"\s*(?:def|async def|class|from|import|@\w)\b")
_THINK = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block. `path` is the file it was labelled with, as written."""

    language: str
    path: str | None
    code: str
    closed: bool = True


@dataclass(frozen=True, slots=True)
class Replacement:
    """One SEARCH/REPLACE block, both sides as bare lines."""

    path: str | None
    search: tuple[str, ...]
    replace: tuple[str, ...]
    closed: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """All edits found in one answer, in order."""

    fences: tuple[Fence, ...]
    replacements: tuple[Replacement, ...]


def read_answer(text: str) -> Answer:
    """Find every fence and every SEARCH/REPLACE block in `text`, whatever surrounds them."""
    lines = bare_lines(strip_think(text))
    replacements = _read_replacements(lines)
    if any(block.search or block.replace for block in replacements):
        return Answer((), replacements)
    fences = _read_fences(lines)
    return Answer((), replacements) if replacements and not fences else Answer(fences or _read_bare_code(lines), ())


def strip_think(text: str) -> str:
    """`text` without its reasoning, also when the prompt had opened the block or the answer never closed it."""
    close = re.search(r"</think>", text, re.IGNORECASE)
    opening = re.search(r"<think>", text, re.IGNORECASE)
    fence = re.search(r"^\s*(?:```|~~~|<<<)", text, re.MULTILINE)
    if close and (not opening or opening.start() > close.start()) and (not fence or close.start() < fence.start()):
        text = text[close.end() :]
    elif opening and text[: opening.start()].strip():
        return text  # only a leading block is reasoning; the tag may be part of code
    return _THINK.sub("", text, count=1) if text.lstrip().lower().startswith("<think>") else text


def _read_bare_code(lines: Sequence[str]) -> tuple[Fence, ...]:
    """An answer that is nothing but code. Without a fence nobody can tell whether it is complete."""
    first = next((line for line in lines if line.strip()), "")
    return (Fence("", None, "\n".join(lines) + "\n", closed=False),) if _CODE_START.match(first) else ()


def _read_fences(lines: Sequence[str]) -> tuple[Fence, ...]:
    fences: list[Fence] = []
    at = 0
    while at < len(lines):
        opening = _FENCE.match(lines[at])
        if not opening:
            at += 1
            continue
        end = _closing(lines, at + 1, opening["mark"])
        closed = end < len(lines)
        body = [_unindent(line, opening["indent"]) for line in lines[at + 1 : end]]
        language, path = _read_info(opening["info"])
        path = path or _label_above(lines, at) or _label_inside(body)
        fences.append(Fence(language, path, "\n".join(_without_markers(body)) + "\n", closed))
        at = end + 1
    return tuple(fence for fence in fences if fence.code.strip())


def _without_markers(body: list[str]) -> list[str]:
    """Small models put a whole function between stray SEARCH/REPLACE markers: it is meant as the new text."""
    while body and (not body[0].strip() or any(mark.match(body[0]) for mark in (_SEARCH, _DIVIDER))):
        body = body[1:]
    while body and (not body[-1].strip() or any(mark.match(body[-1]) for mark in (_REPLACE, _DIVIDER))):
        body = body[:-1]
    return body


def _closing(lines: Sequence[str], start: int, mark: str) -> int:
    """The line of the closing fence, `len(lines)` if there is none. A fence inside a docstring does not close."""
    first = None
    for at in range(start, len(lines)):
        stripped = lines[at].strip()
        if set(stripped) == {mark[0]} and len(stripped) >= len(mark):
            if not _inside_string(lines[start:at]):
                return at
            first = at if first is None else first
    return len(lines) if first is None else first


def _inside_string(lines: Sequence[str]) -> bool:
    return any(sum(line.count(quotes) for line in lines) % 2 for quotes in ('"""', "'''"))


def _unindent(line: str, indent: str) -> str:
    return line.removeprefix(indent) if line.startswith(indent) else line.lstrip(" \t")


def _read_info(info: str) -> tuple[str, str | None]:
    """Language and path of an info string such as 'python', 'python src/a.py', 'py:src/a.py' or 'py title="a.py"'."""
    words = info.replace(":", " ", 1).replace("{", " ").replace("}", " ").split()
    path = next((_as_path(word) for word in words if _as_path(word)), None)
    language = words[0].lower() if words and not _as_path(words[0]) else ""
    return language, path


def _label_above(lines: Sequence[str], at: int) -> str | None:
    above = next((line for line in reversed(lines[max(0, at - 2) : at]) if line.strip()), "")
    return _as_label(above)


def _label_inside(body: Sequence[str]) -> str | None:
    first = next((line for line in body if line.strip()), "")
    return _as_label(first) if first.startswith(("#", "//")) else None


def _as_label(line: str) -> str | None:
    """The path a line consists of, apart from decoration; or the only quoted path of a lead-in ending in ':'."""
    bare = line.strip().strip("#*/<>-_` :").strip()
    path = _as_path(_PATH_LABEL.sub("", bare).strip("`*: "))
    if path:
        return path
    quoted = [_as_path(word) for word in re.findall(r"`([^`]+)`", line)]
    paths = [path for path in quoted if path and "/" in path]
    return paths[0] if len(set(paths)) == 1 and line.rstrip().endswith(":") else None


def _as_path(word: str) -> str | None:
    word = word.split("=", 1)[-1].strip("\"'`,;()").removeprefix("./")
    return word if _PATH.fullmatch(word) else None


def _read_replacements(lines: Sequence[str]) -> tuple[Replacement, ...]:
    blocks: list[Replacement] = []
    path: str | None = None
    starts = [at for at, line in enumerate(lines) if _SEARCH.match(line)]
    for at, stop in itertools.pairwise([*starts, len(lines)]):
        opening = _SEARCH.match(lines[at])
        path = (_as_path(opening["path"]) if opening else None) or _path_above(lines, at) or path
        end = next((i for i in range(at + 1, stop) if _REPLACE.match(lines[i])), None)
        body = lines[at + 1 : end] if end is not None else _until_fence(lines[at + 1 : stop])
        divider = _divider(body)
        if divider is None:
            blocks.append(Replacement(path, (), (), closed=False))
            continue
        search, replace = _without_inner_fence(body[:divider]), _without_inner_fence(body[divider + 1 :])
        blocks.append(Replacement(path, search, replace, end is not None))
    return tuple(blocks)


def _divider(body: Sequence[str]) -> int | None:
    """The line between the two sides; seven signs are meant before any other number of them."""
    found = [at for at, line in enumerate(body) if _DIVIDER.match(line)]
    exact = [at for at in found if len(body[at].strip()) == 7]
    return next(iter(exact or found), None)


def _until_fence(body: Sequence[str]) -> Sequence[str]:
    """The block as far as the fence around it, for a block without its own end."""
    divider = _divider(body) or 0
    stop = next((at for at in range(divider, len(body)) if _FENCE.match(body[at])), len(body))
    return body[:stop]


def _path_above(lines: Sequence[str], at: int) -> str | None:
    """The path in the fence line that opened just above, or in the line above that."""
    above = lines[at - 1] if at else ""
    fence = _FENCE.match(above)
    if fence:
        return _read_info(fence["info"])[1] or _label_above(lines, at - 1)
    return _label_above(lines, at)


def _without_inner_fence(lines: Sequence[str]) -> tuple[str, ...]:
    """Some models fence each side by itself: drop a fence that encloses the whole side."""
    if len(lines) >= 2 and _FENCE.match(lines[0]) and set(lines[-1].strip()) in ({"`"}, {"~"}):
        return tuple(lines[1:-1])
    return tuple(lines)
