"""From one model answer to a `Patch`, or a `Refusal` that helps the next try.

Invariants: all edits of an answer apply or none do; no file is written; the new text of every file in a language we
know parses (or, if it did not before, has no more errors than before); no patch touches what judges it.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from patchwright_engine.repair import other_source
from patchwright_engine.repair import python_source as python
from patchwright_engine.repair.answers import Answer, Fence, Replacement, read_answer
from patchwright_engine.repair.definitions import rewrite_definitions
from patchwright_engine.repair.guards import forbidden, is_judging_file
from patchwright_engine.repair.match import NoMatch, place
from patchwright_engine.repair.refusal import Refusal
from patchwright_engine.repair.symbols import rewrite_symbols
from patchwright_engine.text.lines import LineEdit, bare_lines, replace_lines
from patchwright_engine.types import FileEdit, Patch, RepoPath, Symbol

__all__ = ["Refusal", "build_patch", "is_judging_file"]

_CUT = Refusal("cut", "the answer was cut off before its end", "Answer shorter: no explanation, only the changed code.")


def build_patch(
    answer: str,
    *,
    snapshot_text: Callable[[RepoPath], str],
    symbols: Sequence[Symbol],
    allowed: frozenset[RepoPath] | None = None,
    finish: str = "stop",
) -> Patch | Refusal:
    """Read, place, apply and check one answer.

    Args:
        snapshot_text: the text of a file; raises OSError or KeyError for one that does not exist.
        symbols: the definitions whose text the model was shown, from the same snapshot.
        allowed: the files it may touch or create; None leaves it to `is_judging_file`.
        finish: `Completion.finish`; an unclosed block counts as cut unless it is 'stop'.
    """
    try:
        return _build(answer, _Texts(snapshot_text), symbols, allowed, finish)
    except RecursionError:
        return Refusal("syntax", "the code is nested too deeply to be read", "Write simpler expressions.")


def _build(
    answer: str, texts: "_Texts", symbols: Sequence[Symbol], allowed: frozenset[RepoPath] | None, finish: str
) -> Patch | Refusal:
    read = read_answer(answer)
    whole = read if finish == "stop" else _without_cut(read, symbols)
    if whole is None:
        return _CUT
    if whole.replacements:
        after = _replace_all(whole.replacements, texts, symbols, allowed)
    else:
        after = _rewrite_all(whole.fences, texts, symbols, allowed)
        if isinstance(after, Refusal) and after.kind == "no_edit" and finish != "stop":
            return _CUT
    if isinstance(after, Refusal):
        return after
    edits = tuple(
        FileEdit(path, texts(path), text, created=not texts.exists(path))
        for path, text in sorted(after.items())
        if texts(path) != text
    )
    return _checked(edits)


class _Texts:
    """Reads each file once, and '' for one that does not exist."""

    def __init__(self, read: Callable[[RepoPath], str]) -> None:
        self._read = read
        self._texts: dict[RepoPath, str | None] = {}

    def __call__(self, path: RepoPath) -> str:
        if path not in self._texts:
            try:
                self._texts[path] = self._read(path)
            except (OSError, KeyError):
                self._texts[path] = None
        return self._texts[path] or ""

    def exists(self, path: RepoPath) -> bool:
        self(path)
        return self._texts[path] is not None


def _without_cut(answer: Answer, symbols: Sequence[Symbol]) -> Answer | None:
    """What is whole in an answer that was cut; None if what is missing could matter."""
    if any(not block.closed for block in answer.replacements):
        return None
    fences = []
    for fence in answer.fences:
        whole = fence if fence.closed else _without_last_definition(fence)
        lost = {symbol.name.rpartition(".")[2] for symbol in symbols if _defines(fence.code, symbol)}
        kept = {symbol.name.rpartition(".")[2] for symbol in symbols if _defines(whole.code, symbol)}
        if lost != kept:
            return None
        if whole.code.strip():
            fences.append(whole)
    return Answer(tuple(fences), answer.replacements)


def _without_last_definition(fence: Fence) -> Fence:
    """Small models often ramble on below the answer; what stands above the unfinished definition is whole."""
    lines = bare_lines(fence.code)
    starts = [at for at, line in enumerate(lines) if re.match(r"(?:@|def |async def |class |if __name__)", line)]
    above = [at for at in starts if not any(lines[i].startswith("@") for i in range(max(0, at - 1), at))]
    return Fence(fence.language, fence.path, "\n".join(lines[: above[-1] if above else 0]) + "\n")


def _defines(code: str, symbol: Symbol) -> bool:
    return re.search(rf"\b(?:def|class)\s+{re.escape(symbol.name.rpartition('.')[2])}\b", code) is not None


def _rewrite_all(
    fences: Sequence[Fence], texts: _Texts, symbols: Sequence[Symbol], allowed: frozenset[RepoPath] | None
) -> Mapping[RepoPath, str] | Refusal:
    edits = _rewritten(fences, symbols, texts)
    if isinstance(edits, Refusal):
        return edits
    for path in edits:
        reason = forbidden(path, allowed)
        if reason:
            return _forbidden(reason)
    return {path: replace_lines(texts(path), parts) for path, parts in edits.items()}


def _rewritten(
    fences: Sequence[Fence], symbols: Sequence[Symbol], texts: _Texts
) -> Mapping[RepoPath, Sequence[LineEdit]] | Refusal:
    """The edits of whole definitions; where symbols of Python and of other languages were shown, of either kind."""
    others = [symbol for symbol in symbols if not python.is_python(symbol.path) and other_source.is_known(symbol.path)]
    parts = [rewrite_definitions(fences, others, texts)] if others else []
    if len(others) < len(symbols) or not symbols:
        parts.append(rewrite_symbols(fences, [symbol for symbol in symbols if symbol not in others], texts))
    found = [part for part in parts if not isinstance(part, Refusal)]
    return {path: edits for part in found for path, edits in part.items()} if found else parts[-1]


def _replace_all(
    blocks: Sequence[Replacement], texts: _Texts, symbols: Sequence[Symbol], allowed: frozenset[RepoPath] | None
) -> Mapping[RepoPath, str] | Refusal:
    """Place every block in the text the model saw; blocks of one file may not overlap."""
    edits: dict[RepoPath, list[LineEdit]] = {}
    created: dict[RepoPath, str] = {}
    candidates = tuple(dict.fromkeys([*(s.path for s in symbols), *sorted(allowed or ())]))
    for block in dict.fromkeys(blocks):
        if not block.search and not block.replace and not block.closed:
            return _malformed()
        path = _path_of(block, texts, candidates)
        if isinstance(path, Refusal):
            return path
        reason = forbidden(path, allowed)
        if reason:
            return _forbidden(reason)
        if not any(line.strip() for line in block.search):
            if texts.exists(path):
                return _empty_search(path)
            created[path] = "\n".join(block.replace).strip("\n") + "\n"
            continue
        if not texts.exists(path):
            return _unknown_file(path, candidates)
        shown = [(s.start_line - 1, s.end_line) for s in symbols if s.path == path]
        edit = place(block.search, block.replace, bare_lines(texts(path)), shown)
        if isinstance(edit, NoMatch):
            return _no_match(path, edit)
        edits.setdefault(path, []).append(edit)
    try:
        changed = {path: replace_lines(texts(path), parts) for path, parts in edits.items()}
    except ValueError:
        return Refusal(
            "ambiguous",
            "two SEARCH/REPLACE blocks change the same lines",
            "Change every line in one block only; merge blocks that overlap.",
        )
    return changed | created


def _path_of(block: Replacement, texts: _Texts, candidates: Sequence[RepoPath]) -> RepoPath | Refusal:
    """The file a block names, or the only one that can be meant."""
    if block.path:
        exact = RepoPath(block.path)
        if exact in candidates or texts.exists(exact):
            return exact
        near = [path for path in candidates if path.endswith("/" + exact) or exact.endswith("/" + path)]
        if len(near) == 1:
            return near[0]
        if not any(line.strip() for line in block.search):
            return exact
    if len(candidates) == 1:
        return candidates[0]
    holding = [
        path for path in candidates if isinstance(place(block.search, block.replace, bare_lines(texts(path))), LineEdit)
    ]
    if len(holding) == 1:
        return holding[0]
    if block.path:
        return _unknown_file(block.path, candidates)
    listed = ", ".join(candidates[:8])
    return Refusal(
        "ambiguous", "a SEARCH/REPLACE block does not name its file", f"Write the path before each block: {listed}."
    )


def _checked(edits: tuple[FileEdit, ...]) -> Patch | Refusal:
    """The gate every patch passes: it changes code, parses, and destroys nothing."""
    if not edits:
        return Refusal(
            "no_change", "the answer changes nothing", "The code was given back as it was. Change what is wrong in it."
        )
    changed = False
    for edit in edits:
        if not python.is_python(edit.path):
            refusal = _checked_other(edit)
            if refusal:
                return refusal
            changed = changed or not other_source.same_code(edit.path, edit.before, edit.after)
            continue
        before, after = python.parse(edit.before), python.parse(edit.after)
        problem = python.syntax_problem(edit.before, edit.after) if after is None else None
        if problem:
            return _unparsable(edit, problem)
        if before is None or after is None:
            changed = True
            continue
        harm = python.harm(before, after)
        if harm:
            return _harmful(edit, harm)
        changed = changed or python.dump(before) != python.dump(after)
    if not changed:
        return Refusal(
            "no_change",
            "the answer changes comments or layout only",
            "Only comments or layout changed. Change what the code does.",
        )
    return Patch(edits)


def _checked_other(edit: FileEdit) -> Refusal | None:
    """The same gate for other languages; files in none, such as templates, always pass."""
    problem = other_source.syntax_problem(edit.path, edit.before, edit.after)
    if problem:
        return _unparsable(edit, problem)
    harm = other_source.harm(edit.path, edit.before, edit.after)
    return _harmful(edit, harm) if harm else None


def _unparsable(edit: FileEdit, problem: str) -> Refusal:
    return Refusal(
        "syntax",
        f"{edit.path} would not parse: {problem}",
        f"With your edit {edit.path} does not parse: {problem}. Write complete, correctly indented code.",
    )


def _harmful(edit: FileEdit, harm: str) -> Refusal:
    return Refusal("harmful", f"in {edit.path} {harm}", f"Do not delete or empty code: {harm}.")


def _forbidden(reason: str) -> Refusal:
    return Refusal("forbidden", reason, f"{reason}; leave it as it is and change the code it is about.")


def _malformed() -> Refusal:
    return Refusal(
        "no_edit",
        "a SEARCH/REPLACE block lacks its middle or end line",
        "Write each block as <<<<<<< SEARCH, the old lines, =======, the new lines, >>>>>>> REPLACE.",
    )


def _empty_search(path: str) -> Refusal:
    return Refusal(
        "no_match",
        f"the SEARCH part is empty, but {path} exists",
        f"{path} exists: copy the lines to change from it into the SEARCH part.",
    )


def _unknown_file(path: str, candidates: Sequence[str]) -> Refusal:
    return Refusal(
        "not_shown", f"there is no file {path}", f"There is no file {path}. The files are: {', '.join(candidates[:8])}."
    )


def _no_match(path: str, problem: NoMatch) -> Refusal:
    nearest = f"\nThe nearest lines of {path}:\n{problem.nearest}" if problem.nearest else ""
    cure = (
        "Add neighbouring lines until the SEARCH part is unique."
        if problem.ambiguous
        else "Copy the SEARCH lines exactly from the file."
    )
    kind = "ambiguous" if problem.ambiguous else "no_match"
    return Refusal(
        kind, f"{problem.reason} ({path})", f"{problem.reason[0].upper()}{problem.reason[1:]}. {cure}{nearest}"
    )
