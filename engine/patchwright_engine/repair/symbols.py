"""Whole definitions addressed by symbol: each one in the answer replaces its namesake in the files shown.

A class in an answer is only a container: members with a namesake replace it, new ones are added, missing ones
stay. So an excerpt never deletes what it leaves out. Definitions the model was not shown are never rewritten.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from patchwright_engine.repair import python_source as python
from patchwright_engine.repair.answers import Fence
from patchwright_engine.repair.python_rewrite import header_rewritten, import_edit, reindented, rewritten
from patchwright_engine.repair.refusal import Refusal
from patchwright_engine.repair.targets import (
    ShownFile,
    Target,
    Written,
    find_targets,
    kind,
    owner_of,
    read_file,
    written,
)
from patchwright_engine.text.lines import LineEdit
from patchwright_engine.types import RepoPath, Symbol

_LIST_LIMIT = 8


@dataclass(slots=True)
class _Plan:
    """What one answer comes to, while it is worked out."""

    edits: dict[RepoPath, list[LineEdit]] = field(default_factory=dict)
    anchors: list[Target] = field(default_factory=list)
    """Rewritten definitions, in order."""
    nodes: list[ast.AST] = field(default_factory=list)
    """Everything new, to see which names it uses."""
    unchanged: list[str] = field(default_factory=list)
    not_shown: list[str] = field(default_factory=list)
    """Functions of the answer that are none of those shown."""

    def add(self, path: RepoPath, edit: LineEdit) -> None:
        self.edits.setdefault(path, []).append(edit)


def rewrite_symbols(
    fences: Sequence[Fence], symbols: Sequence[Symbol], snapshot_text: Callable[[RepoPath], str]
) -> Mapping[RepoPath, Sequence[LineEdit]] | Refusal:
    """Turn the definitions in fenced code into line edits of the files that hold `symbols`."""
    files = [read_file(path, symbols, snapshot_text) for path in dict.fromkeys(s.path for s in symbols)]
    files = [file for file in files if file.shown]
    bodies: list[tuple[python.Excerpt, str | None]] = []
    problems: list[str] = []
    broken = False
    for fence in fences:
        if fence.language not in ("", "python", "py", "python3", "py3"):
            continue
        excerpt = python.read_excerpt(fence.code)
        if isinstance(excerpt, str):
            problems.append(excerpt)
            broken = broken or "def " in fence.code
        else:
            bodies.append((excerpt, fence.path))
    if broken or not any(written(excerpt) for excerpt, _ in bodies):
        return _nothing_usable(fences, problems, files)
    plan = _Plan()
    refusal = _match_all(bodies, files, plan)
    if refusal:
        return refusal
    if not plan.edits:
        return _nothing_changed(plan, files, fences)
    _add_imports(plan, files, [node for excerpt, _ in bodies for node in excerpt.body])
    return plan.edits


def _match_all(
    bodies: Sequence[tuple[python.Excerpt, str | None]], files: Sequence[ShownFile], plan: _Plan
) -> Refusal | None:
    matched: dict[tuple[RepoPath, int], tuple[Target, Written]] = {}
    new: list[Written] = []
    for excerpt, path in bodies:
        for item in written(excerpt):
            targets = find_targets(item, files, path)
            if len(targets) > 1:
                return _ambiguous(item, targets)
            if not targets:
                new.append(item)
            elif not python.same_code(item.definition.node, targets[0].definition.node):
                matched[targets[0].file.path, targets[0].definition.start] = targets[0], item
            else:
                plan.unchanged.append(targets[0].definition.name)
    for target, item in matched.values():
        refusal = _rewrite(target, item, plan)
        if refusal:
            return refusal
    _add_new(new, files, plan)
    return None


def _rewrite(target: Target, item: Written, plan: _Plan) -> Refusal | None:
    file, old, new = target.file, target.definition, item.definition
    old_lines = file.text_of(old)
    if isinstance(old.node, ast.ClassDef):
        header = header_rewritten(old_lines, item.lines)
        if header:
            plan.add(file.path, LineEdit(old.start + header.start, old.start + header.end, header.lines))
            plan.nodes += [*getattr(new.node, "bases", []), *getattr(new.node, "decorator_list", [])]
        return None
    elided = python.elision([*item.lines, *item.tail], new.node, old_lines, old.node)
    if elided:
        return Refusal(
            "elided",
            f"`{old.name}` is given with a placeholder: {elided}",
            f"Write `{old.name}` in full, every line of it; do not abbreviate with comments or `...`.",
        )
    if python.is_empty(new.node) and not python.is_empty(old.node):
        return Refusal(
            "harmful", f"the answer empties `{old.name}`", f"Keep `{old.name}` working; mend its fault only."
        )
    if isinstance(old.node, python.Function) and isinstance(new.node, python.Function):
        broken = python.signature_problem(old.node, new.node)
        if broken:
            return Refusal(
                "signature",
                f"`{old.name}` cannot be called as before: {broken}",
                f"Keep the parameters of `{old.name}` as they are; new ones need defaults and come last.",
            )
    lines = rewritten(old_lines, item.lines)
    if lines is None:
        return Refusal(
            "syntax", f"`{old.name}` cannot be put in place", f"Write `{old.name}` as one complete definition."
        )
    plan.add(file.path, LineEdit(old.start, old.end, tuple(lines)))
    plan.anchors.append(target)
    plan.nodes.append(new.node)
    return None


def _add_new(items: Sequence[Written], files: Sequence[ShownFile], plan: _Plan) -> None:
    """Insert what the answer adds: members of known classes, and what the new code needs at module level."""
    items = [item for item in items if not _is_known(item, files, plan)]
    wanted: set[int] = set()
    while True:
        more = {n for n, item in enumerate(items) if n not in wanted and _is_wanted(item, files, plan.nodes)}
        if not more:
            break
        wanted |= more
        plan.nodes += [items[n].definition.node for n in sorted(more)]
    for n in sorted(wanted):  # in the order of the answer: a helper may need a constant when it is defined
        _insert(items[n], files, plan)


def _is_known(item: Written, files: Sequence[ShownFile], plan: _Plan) -> bool:
    """Whether the name exists already, where the model was not shown it; such code is left alone."""
    name = item.definition.name
    known = any(d.name == name for file in files for d in file.known)
    known |= any(name in python.bound_names(file.tree.body) for file in files if file.tree)
    if item.is_function:
        plan.not_shown.append(name)
    return known


def _is_wanted(item: Written, files: Sequence[ShownFile], nodes: Sequence[ast.AST]) -> bool:
    name = item.definition.last_name
    if item.container is None:
        return name in python.free_names(nodes)
    owner = owner_of(item, files)
    if owner is None:
        return False
    shown = any(d == owner.definition for d in owner.file.shown)
    return shown or name in python.attributes(nodes) or (name.startswith("__") and name.endswith("__"))


def _insert(item: Written, files: Sequence[ShownFile], plan: _Plan) -> None:
    if item.container is not None:
        owner = owner_of(item, files)
        if owner is None or not isinstance(owner.definition.node, ast.ClassDef):
            return
        changed = [t.definition for t in plan.anchors if t.file is owner.file and kind(t.definition.node) == "def"]
        inside = [definition for definition in changed if definition.owner == owner.definition.name]
        at = inside[-1].end if inside else owner.definition.end
        first = owner.file.lines[python.first_line(owner.definition.node.body[0])]
        indent = first[: len(first) - len(first.lstrip())]
        lines = reindented(item.lines, indent)
        plan.add(owner.file.path, LineEdit(at, at, ("", *lines) if item.is_function else tuple(lines)))
    elif plan.anchors:
        anchor = plan.anchors[0]
        at = _statement_start(anchor)
        gap = ("",) if kind(item.definition.node) == "value" else ("", "")
        plan.add(anchor.file.path, LineEdit(at, at, (*reindented(item.lines, ""), *gap)))


def _statement_start(target: Target) -> int:
    """The first line of the module-level statement that holds `target`, its own comments included."""
    lines, at = target.file.lines, target.definition.start
    for node in target.file.tree.body if target.file.tree else []:
        if python.first_line(node) <= target.definition.start < (node.end_lineno or 0):
            at = python.first_line(node)
    while at and lines[at - 1].startswith("#"):
        at -= 1
    return at


def _add_imports(plan: _Plan, files: Sequence[ShownFile], body: Sequence[ast.stmt]) -> None:
    wanted = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    used = python.free_names(plan.nodes)
    for file in files:
        if file.path in plan.edits and file.tree:
            edit = import_edit(file.tree, file.lines, wanted, used)
            if edit:
                plan.add(file.path, edit)


def _names(files: Sequence[ShownFile]) -> str:
    names = [f"`{d.name}`" for file in files for d in file.shown if not isinstance(d.node, ast.Assign | ast.AnnAssign)]
    more = ", ..." if len(names) > _LIST_LIMIT else ""
    return ", ".join(names[:_LIST_LIMIT]) + more


def _nothing_usable(fences: Sequence[Fence], problems: Sequence[str], files: Sequence[ShownFile]) -> Refusal:
    ask = f"Answer with the complete new text of one of these in a ```python fence: {_names(files)}."
    if problems:
        return Refusal("syntax", f"the code in the answer does not parse: {problems[0]}", f"{problems[0]}. {ask}")
    if any(fence.language in ("diff", "patch") for fence in fences):
        return Refusal("no_edit", "the answer is a diff", f"Do not write a diff. {ask}")
    if fences:
        return Refusal("no_edit", "the code in the answer defines nothing that was shown", ask)
    return Refusal("no_edit", "the answer holds no code fence", ask)


def _nothing_changed(plan: _Plan, files: Sequence[ShownFile], fences: Sequence[Fence]) -> Refusal:
    if plan.unchanged:
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(plan.unchanged))
        return Refusal(
            "no_change",
            f"the answer repeats {names} unchanged",
            f"{names} was given back as it was. Change what is wrong in it.",
        )
    others = ", ".join(f"`{name}`" for name in dict.fromkeys(plan.not_shown))
    if not others:
        return _nothing_usable(fences, [], files)
    return Refusal(
        "not_shown",
        f"the answer defines {others}, which is nothing that was shown",
        f"Change only what was shown: {_names(files)}. Keep the names as they are.",
    )


def _ambiguous(item: Written, targets: Sequence[Target]) -> Refusal:
    places = ", ".join(f"`{t.definition.name}` in {t.file.path}" for t in targets[:_LIST_LIMIT])
    return Refusal(
        "ambiguous",
        f"`{item.definition.name}` can mean {places}",
        f"`{item.definition.name}` can mean {places}. Write the path of the file on the line before the fence, "
        "and put methods in their class.",
    )
