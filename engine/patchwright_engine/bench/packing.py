"""How much of the developer's fix is in the context that prompts get, at some numbers of tokens.

What is there is read from the packed text itself, as a model would: headings give paths and lines, markers say how
many lines they stand for. Invariant: a change counts only when every line that it takes away is in the text, or, for
lines it only adds, one of the two lines around them.
"""

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from patchwright_engine.bench.instances import LocalizationInstance
from patchwright_engine.index import Index
from patchwright_engine.localize.context import code_excerpts, repo_map
from patchwright_engine.localize.fill import CountTokens
from patchwright_engine.localize.focus import read_focus
from patchwright_engine.repair.guards import is_judging_file
from patchwright_engine.types import Issue, Ranking, RepoPath, Snapshot, Symbol

_HEADING = re.compile(r"### (.+)::(\S+) \(lines (\d+)-(\d+)\)")
_MARKER = re.compile(r"\.\.\. (?:# )?(\d+) lines? left out$")
_MAP_LINE = re.compile(r" +.*\[(\d+)(?:-(\d+))?\]")
_OF_FUNCTIONS = ("whole", "changed", "named")
_OF_FILES = ("files_in_code", "files_in_map")
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")


@dataclass(frozen=True, slots=True)
class Packed:
    """What of one instance's fix is in its context at one budget."""

    budget: int
    tokens: int
    """Of the code, by the model's tokenizer; never more than the budget."""
    counts: int
    """Times the tokenizer was asked for it."""
    functions: int
    """Gold functions that were there before the fix."""
    whole: int
    """Those with all their lines in the code,"""
    changed: int
    """with all that the fix changes in them,"""
    named: int
    """and those whose signature is in the map."""
    files: int
    files_in_code: int
    files_in_map: int


@dataclass(frozen=True, slots=True)
class Change:
    """Lines of a file before the fix: all of them are taken away, or something is added between two of them."""

    lines: tuple[int, ...]
    added: bool


class _Counter:
    def __init__(self, count_tokens: CountTokens) -> None:
        self.calls = 0
        self._count_tokens = count_tokens

    def __call__(self, text: str) -> int:
        self.calls += 1
        return self._count_tokens(text)


def pack_instance(
    instance: LocalizationInstance,
    ranking: Ranking,
    snapshot: Snapshot,
    index: Index,
    *,
    count_tokens: CountTokens,
    budgets: Sequence[int],
) -> tuple[Packed, ...]:
    """Pack the context of one located instance to each budget, and look for its fix there."""
    issue = Issue(instance.problem)
    focus = read_focus(issue, index.files())
    symbols = [item.symbol for item in ranking.symbols if not is_judging_file(item.symbol.path)]
    symbols = [symbol for symbol in symbols if symbol.kind != "variable"]
    changes = changes_of(instance.patch)
    gold = [found for name in instance.gold_symbols if (found := _gold_symbol(name, index, changes)) is not None]
    packed = []
    for budget in budgets:
        counter = _Counter(count_tokens)
        code = code_excerpts(symbols, snapshot, counter, budget, focus).text
        calls = counter.calls
        listed = repo_map(ranking, snapshot, index, count_tokens, budget).text
        shown, spans = lines_shown(code), _spans_listed(listed)
        packed.append(
            Packed(
                budget=budget,
                tokens=count_tokens(code) if code else 0,
                counts=calls,
                functions=len(gold),
                whole=sum(_is_whole(symbol, shown, snapshot) for symbol in gold),
                changed=sum(_has_changes(symbol, shown, changes) for symbol in gold),
                named=sum((symbol.start_line, symbol.end_line) in spans.get(symbol.path, ()) for symbol in gold),
                files=len(instance.gold_files),
                files_in_code=sum(path in shown for path in instance.gold_files),
                files_in_map=sum(path in spans for path in instance.gold_files),
            )
        )
    return tuple(packed)


def packed_shares(instances: Iterable[Sequence[Packed]]) -> dict[str, dict[str, float | None]]:
    """By budget: shares (0-1) of all gold functions and files, and what packing took."""
    by_budget: defaultdict[int, list[Packed]] = defaultdict(list)
    for packed in instances:
        for one in packed:
            by_budget[one.budget].append(one)
    shares: dict[str, dict[str, float | None]] = {}
    for budget, ones in sorted(by_budget.items()):
        functions, files = sum(one.functions for one in ones), sum(one.files for one in ones)
        shares[str(budget)] = {
            "functions": functions,
            **{name: _share(sum(getattr(one, name) for one in ones), functions) for name in _OF_FUNCTIONS},
            **{name: _share(sum(getattr(one, name) for one in ones), files) for name in _OF_FILES},
            "tokens_median": statistics.median(one.tokens for one in ones),
            "tokens_max": max(one.tokens for one in ones),
            "counts_mean": round(statistics.mean(one.counts for one in ones), 2),
        }
    return shares


def packed_table(shares: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """The same for a person, a line a budget; nothing for nothing."""
    if not shares:
        return []
    rows = [["tokens", *(name.replace("_", " ") for name in (*_OF_FUNCTIONS, *_OF_FILES)), "counts"]]
    for budget, values in shares.items():
        cells = [values[name] for name in (*_OF_FUNCTIONS, *_OF_FILES)]
        rows.append([budget, *("-" if c is None else f"{100 * c:.1f}" for c in cells), f"{values['counts_mean']:.1f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return ["", "gold functions and files in the packed context, percent:", *lines]


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def lines_shown(code: str) -> dict[RepoPath, set[int]]:
    """The lines of each file that packed code shows."""
    shown: dict[RepoPath, set[int]] = {}
    path, line, last = RepoPath(""), 0, -1
    for text in code.split("\n"):
        heading = _HEADING.fullmatch(text)
        marker = _MARKER.search(text)
        if heading is not None:
            path, line, last = RepoPath(heading[1]), int(heading[3]), int(heading[4])
            shown.setdefault(path, set())
        elif marker is not None and line <= last:
            line += int(marker[1])
        elif line <= last:
            shown[path].add(line)
            line += 1
    return shown


def changes_of(patch: str) -> dict[RepoPath, list[Change]]:
    """What a git diff changes, by file, in lines of the old text."""
    changes: dict[RepoPath, list[Change]] = {}
    path = RepoPath("")
    line = 0
    removed: list[int] = []
    added = False

    def close() -> None:
        nonlocal removed, added
        if removed:
            changes.setdefault(path, []).append(Change(tuple(removed), added=False))
        elif added:
            changes.setdefault(path, []).append(Change((line - 1, line), added=True))
        removed, added = [], False

    for text in patch.split("\n"):
        if hunk := _HUNK.match(text):
            close()
            line = int(hunk[1])
        elif text.startswith("--- "):
            close()
            path = RepoPath(text[4:].split("\t")[0].removeprefix("a/"))
        elif text.startswith("-"):
            if text[1:].strip():
                removed.append(line)
            line += 1
        elif text.startswith("+") and not text.startswith("+++ "):
            added = True
        elif text.startswith(" ") or not text:
            close()
            line += 1
    close()
    return changes


def _gold_symbol(name: str, index: Index, changes: Mapping[RepoPath, Sequence[Change]]) -> Symbol | None:
    """The definition of that name, and of several the one that is changed; None when the fix brings it."""
    path, _, qualified = name.partition("::")
    found = [symbol for symbol in index.symbols(RepoPath(path)) if symbol.name == qualified]
    changed = [symbol for symbol in found if _inside(symbol, changes)]
    return next(iter([*changed, *found]), None)


def _inside(symbol: Symbol, changes: Mapping[RepoPath, Sequence[Change]]) -> list[Change]:
    return [
        change
        for change in changes.get(symbol.path, ())
        if any(symbol.start_line <= line <= symbol.end_line for line in change.lines)
    ]


def _is_whole(symbol: Symbol, shown: Mapping[RepoPath, set[int]], snapshot: Snapshot) -> bool:
    lines = snapshot.read_text(symbol.path).split("\n")
    wanted = {n for n in range(symbol.start_line, symbol.end_line + 1) if lines[n - 1].strip()}
    return wanted <= shown.get(symbol.path, set())


def _has_changes(
    symbol: Symbol, shown: Mapping[RepoPath, set[int]], changes: Mapping[RepoPath, Sequence[Change]]
) -> bool:
    lines = shown.get(symbol.path, set())
    inside = [
        (change.added, [line for line in change.lines if symbol.start_line <= line <= symbol.end_line])
        for change in _inside(symbol, changes)
    ]
    if not inside:
        return symbol.start_line in lines
    return all((any if added else all)(line in lines for line in wanted) for added, wanted in inside)


def _spans_listed(listed: str) -> dict[RepoPath, set[tuple[int, int]]]:
    spans: dict[RepoPath, set[tuple[int, int]]] = {}
    path = RepoPath("")
    for text in listed.split("\n"):
        if found := _MAP_LINE.fullmatch(text):
            spans[path].add((int(found[1]), int(found[2] or found[1])))
        elif text and not text.startswith((" ", "(")):
            path = RepoPath(text)
            spans[path] = set()
    return spans
