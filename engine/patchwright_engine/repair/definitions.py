"""Whole definitions in languages other than Python: each one in an answer replaces its namesake among those shown.

A definition that stands alone is read as it is. A method without its class is no source file of most languages, so
it is tried in its place: it fits where the file then parses as before and still defines the same names. Imports and
new functions beside it are not taken over; the prompt asks for the definition alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from patchwright_engine.repair import other_source as source
from patchwright_engine.repair.answers import Fence
from patchwright_engine.repair.refusal import Refusal
from patchwright_engine.syntax.languages import language_of
from patchwright_engine.text.lines import LineEdit, bare_lines, replace_lines
from patchwright_engine.types import RepoPath, Symbol

_LIST_LIMIT = 8
Edits = dict[Symbol, tuple[str, ...]]


def rewrite_definitions(
    fences: Sequence[Fence], symbols: Sequence[Symbol], snapshot_text: Callable[[RepoPath], str]
) -> Mapping[RepoPath, Sequence[LineEdit]] | Refusal:
    """Turn the definitions in fenced code into line edits of the files that hold `symbols`."""
    texts = {symbol.path: snapshot_text(symbol.path) for symbol in symbols if source.is_known(symbol.path)}
    edits: Edits = {}
    unchanged: list[str] = []
    unplaced: list[Refusal] = []
    for fence in fences:
        shown = _meant(fence, [symbol for symbol in symbols if symbol.path in texts])
        if not shown:
            continue
        placed = _place(fence, shown, texts)
        if isinstance(placed, Refusal):
            if placed.kind == "ambiguous":
                return placed
            unplaced.append(placed)  # An example beside the answer, perhaps.
            continue
        for symbol, lines in placed.items():
            old = bare_lines(texts[symbol.path])[symbol.start_line - 1 : symbol.end_line]
            elided = source.elision(lines, old)
            if elided:
                return _elided(symbol, elided)
            if [line.rstrip() for line in lines] == [line.rstrip() for line in old]:
                unchanged.append(symbol.name)
            else:
                edits[symbol] = lines
    if not edits:
        return unplaced[0] if unplaced and not unchanged else _nothing(fences, symbols, unchanged)
    found: dict[RepoPath, list[LineEdit]] = {}
    for symbol, lines in edits.items():
        if not any(_holds(other, symbol) for other in edits if other != symbol):
            found.setdefault(symbol.path, []).append(LineEdit(symbol.start_line - 1, symbol.end_line, lines))
    return found


def _meant(fence: Fence, symbols: Sequence[Symbol]) -> list[Symbol]:
    """The shown symbols that a fence can be about, by its language and the path it was labelled with."""
    spoken = []
    for symbol in symbols:
        entry = language_of(symbol.path)
        if entry is not None and fence.language in ("", *entry.fences):
            spoken.append(symbol)
    label = fence.path or ""
    named = [
        s for s in spoken if label and (s.path == label or s.path.endswith(f"/{label}") or label.endswith(f"/{s.path}"))
    ]
    return named or spoken


def _place(fence: Fence, shown: Sequence[Symbol], texts: Mapping[RepoPath, str]) -> Edits | Refusal:
    if source.syntax_problem(shown[0].path, "", fence.code) is None:
        return _by_name(fence, shown, texts) or _in_place(fence, shown, texts)
    placed = _in_place(fence, shown, texts)
    return placed if isinstance(placed, dict) else _by_name(fence, shown, texts) or placed


def _by_name(fence: Fence, shown: Sequence[Symbol], texts: Mapping[RepoPath, str]) -> Edits | Refusal:
    """The definitions that the code has by itself, each in place of the shown one it names."""
    lines = bare_lines(fence.code)
    written = source.symbols(shown[0].path, fence.code)
    targets = _with_members(shown, texts)
    edits: Edits = {}
    done = 0
    for new in written:
        if new.start_line <= done:
            continue  # inside one that was taken as a whole
        found = [old for old in targets if _same_name(old, new)]
        exact = [old for old in found if old.signature == new.signature]
        found = exact or [old for old in found if old.name == new.name] or found
        if len(found) > 1:
            return _ambiguous(new, found)
        if not found or (new.kind == "class" and _lacks_members(found[0], new, written, texts)):
            continue
        if found[0] in edits and not exact:
            continue  # another form of a function that was already found under its own parameters
        done = new.end_line
        old_lines = bare_lines(texts[found[0].path])[found[0].start_line - 1 : found[0].end_line]
        edits[found[0]] = _reindented(lines[new.start_line - 1 : new.end_line], old_lines)
    return edits


def _in_place(fence: Fence, shown: Sequence[Symbol], texts: Mapping[RepoPath, str]) -> Edits | Refusal:
    """The whole code in place of the one shown definition that it fits."""
    lines = [line for line in bare_lines(fence.code.strip("\n")) if line.strip() != "<?php"]
    fits: Edits = {}
    problem = "it defines nothing that was shown"
    for symbol in shown:
        last = symbol.name.rpartition(".")[2]
        if not re.search(rf"(?<!\w){re.escape(last)}(?!\w)", fence.code):
            continue
        text = texts[symbol.path]
        old_lines = bare_lines(text)[symbol.start_line - 1 : symbol.end_line]
        new_lines = _reindented(lines, old_lines)
        after = replace_lines(text, [LineEdit(symbol.start_line - 1, symbol.end_line, new_lines)])
        wrong = source.syntax_problem(symbol.path, text, after) or source.harm(symbol.path, text, after)
        if wrong is None and _starts_in(symbol, after, len(new_lines)):
            fits[symbol] = new_lines
        else:
            problem = wrong or problem
    if len(fits) > 1:
        return _ambiguous(next(iter(fits)), list(fits))
    if fits:
        return fits
    ask = f"Answer with the complete new text of one of these and nothing else in the fence: {_names(shown)}."
    return Refusal("syntax", f"the code in the answer fits nowhere: {problem}", f"{problem}. {ask}")


def _with_members(shown: Sequence[Symbol], texts: Mapping[RepoPath, str]) -> list[Symbol]:
    """The shown symbols, and what is defined inside those that are classes."""
    found = dict.fromkeys(shown)
    for path, text in texts.items():
        classes = [symbol for symbol in shown if symbol.path == path and symbol.kind == "class"]
        inner = source.symbols(path, text) if classes else ()
        found.update(dict.fromkeys(s for s in inner if any(_holds(outer, s) for outer in classes)))
    return list(found)


def _same_name(old: Symbol, new: Symbol) -> bool:
    """Whether a written definition can be a shown one: the same kind, and the same name as far as it is written."""
    if (old.kind == "class") != (new.kind == "class"):
        return False
    return old.name == new.name or f".{old.name}".endswith(f".{new.name}") or f".{new.name}".endswith(f".{old.name}")


def _lacks_members(old: Symbol, new: Symbol, written: Sequence[Symbol], texts: Mapping[RepoPath, str]) -> bool:
    """Whether a class was given only in part: then it is but the frame around its members."""
    there = {s.name.removeprefix(old.name) for s in source.symbols(old.path, texts[old.path]) if _holds(old, s)}
    given = {symbol.name.removeprefix(new.name) for symbol in written if _holds(new, symbol)}
    return not there <= given


def _holds(outer: Symbol, inner: Symbol) -> bool:
    return (
        outer.path == inner.path
        and outer.name != inner.name
        and outer.start_line <= inner.start_line
        and inner.end_line <= outer.end_line
    )


def _starts_in(symbol: Symbol, after: str, size: int) -> bool:
    """Whether the new text defines `symbol` within the `size` lines that were put in its place."""
    end = symbol.start_line + size
    return any(
        s.name == symbol.name and symbol.start_line <= s.start_line < end for s in source.symbols(symbol.path, after)
    )


def _reindented(lines: Sequence[str], old_lines: Sequence[str]) -> tuple[str, ...]:
    """`lines` moved to where the old ones stand; indented with tabs where those are."""
    lines = [line.rstrip() for line in lines]
    margin = _indent(next((line for line in lines if line.strip()), ""))
    wanted = _indent(old_lines[0]) if old_lines else ""
    moved = [line.removeprefix(margin) if line.startswith(margin) else line.lstrip() for line in lines]
    if any(line.startswith("\t") for line in old_lines) and not any(line.startswith("\t") for line in moved):
        unit = min((len(_indent(line)) for line in moved if _indent(line) and line.strip()), default=4)
        moved = ["\t" * (len(_indent(line)) // unit) + line.lstrip() for line in moved]
    return tuple(wanted + line if line else "" for line in moved)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _names(symbols: Sequence[Symbol]) -> str:
    more = ", ..." if len(symbols) > _LIST_LIMIT else ""
    return ", ".join(f"`{symbol.name}`" for symbol in symbols[:_LIST_LIMIT]) + more


def _ambiguous(new: Symbol, found: Sequence[Symbol]) -> Refusal:
    places = ", ".join(
        f"`{symbol.name}` in line {symbol.start_line} of {symbol.path}" for symbol in found[:_LIST_LIMIT]
    )
    return Refusal(
        "ambiguous",
        f"`{new.name}` can mean {places}",
        f"`{new.name}` can mean {places}. Write the path of the file on the line before the fence, keep the "
        "parameters, and put methods in their class.",
    )


def _elided(symbol: Symbol, comment: str) -> Refusal:
    return Refusal(
        "elided",
        f"`{symbol.name}` is given with a placeholder: {comment}",
        f"Write `{symbol.name}` in full, every line of it; do not abbreviate with comments.",
    )


def _nothing(fences: Sequence[Fence], symbols: Sequence[Symbol], unchanged: Sequence[str]) -> Refusal:
    if unchanged:
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(unchanged))
        return Refusal(
            "no_change",
            f"the answer repeats {names} unchanged",
            f"{names} was given back as it was. Change what is wrong in it.",
        )
    entry = language_of(symbols[0].path) if symbols else None
    fence = f"```{entry.fences[0]} fence" if entry else "fence"
    ask = f"Answer with the complete new text of one of these in a {fence}: {_names(symbols)}."
    if any(fence.language in ("diff", "patch") for fence in fences):
        return Refusal("no_edit", "the answer is a diff", f"Do not write a diff. {ask}")
    if fences:
        return Refusal("no_edit", "the code in the answer defines nothing that was shown", ask)
    return Refusal("no_edit", "the answer holds no code fence", ask)
