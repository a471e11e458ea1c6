"""Whole definitions addressed by symbol: each one in the answer replaces its namesake in the files shown.

A class in an answer is only a container: members with a namesake replace it, new ones are added, missing ones
stay. So an excerpt never deletes what it leaves out. Definitions the model was not shown are never rewritten.
"""

import ast
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from patchwright_engine.repair import python_source as python
from patchwright_engine.repair.answers import Fence
from patchwright_engine.repair.python_rewrite import header_rewritten, import_edit, reindented, rewritten
from patchwright_engine.repair.refusal import Refusal
from patchwright_engine.text.lines import LineEdit, bare_lines
from patchwright_engine.types import RepoPath, Symbol

_LIST_LIMIT = 8


@dataclass(frozen=True, slots=True)
class _File:
    """One file the model was shown parts of."""

    path: RepoPath
    lines: tuple[str, ...]
    tree: ast.Module | None
    """None when this Python cannot parse the file: then only the symbols themselves are known."""
    known: tuple[python.Definition, ...]
    shown: tuple[python.Definition, ...]

    def text_of(self, definition: python.Definition) -> list[str]:
        return list(self.lines[definition.start : definition.end])


@dataclass(frozen=True, slots=True)
class _Written:
    """A definition in the answer."""

    definition: python.Definition
    lines: tuple[str, ...]
    tail: tuple[str, ...] = ()
    """Comments below its last statement that still belong to its body."""
    container: ast.ClassDef | None = None

    @property
    def is_function(self) -> bool:
        return isinstance(self.definition.node, ast.FunctionDef | ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class _Target:
    file: _File
    definition: python.Definition


@dataclass(slots=True)
class _Plan:
    """What one answer comes to, while it is worked out."""

    edits: dict[RepoPath, list[LineEdit]] = field(default_factory=dict)
    anchors: list[_Target] = field(default_factory=list)
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
    files = [_read_file(path, symbols, snapshot_text) for path in dict.fromkeys(s.path for s in symbols)]
    files = [file for file in files if file.shown]
    bodies: list[tuple[python.Excerpt, str | None]] = []
    problems: list[str] = []
    for fence in fences:
        if fence.language not in ("", "python", "py", "python3", "py3"):
            continue
        excerpt = python.read_excerpt(fence.code)
        if isinstance(excerpt, str):
            problems.append(excerpt)
        else:
            bodies.append((excerpt, fence.path))
    if not any(_written(excerpt) for excerpt, _ in bodies):
        return _nothing_usable(fences, problems, files)
    plan = _Plan()
    refusal = _match_all(bodies, files, plan)
    if refusal:
        return refusal
    if not plan.edits:
        return _nothing_changed(plan, files, fences, problems)
    _add_imports(plan, files, [node for excerpt, _ in bodies for node in excerpt.body])
    return plan.edits


def _read_file(path: RepoPath, symbols: Sequence[Symbol], snapshot_text: Callable[[RepoPath], str]) -> _File:
    text = snapshot_text(path)
    lines = tuple(bare_lines(text))
    spans = [(s.start_line - 1, s.end_line) for s in symbols if s.path == path]
    tree = python.parse(text) if python.is_python(path) else None
    if tree is None:
        alone = [_read_alone(lines, s) for s in symbols if s.path == path and python.is_python(path)]
        known = tuple(definition for definition in alone if definition)
        return _File(path, lines, None, known, known)
    known = tuple(python.definitions(tree.body))
    shown = tuple(
        d
        for d in known
        if (d.start, d.end) in spans or (not d.local and any(a <= d.start and d.end <= b for a, b in spans))
    )
    return _File(path, lines, tree, known, shown)


def _read_alone(lines: Sequence[str], symbol: Symbol) -> python.Definition | None:
    """A symbol of a file that does not parse as a whole, if its own text does."""
    excerpt = python.read_excerpt("\n".join(lines[symbol.start_line - 1 : symbol.end_line]) + "\n")
    if isinstance(excerpt, str):
        return None
    found = next(python.definitions(excerpt.body), None)
    return python.Definition(symbol.name, found.node, symbol.start_line - 1, symbol.end_line) if found else None


def _written(excerpt: python.Excerpt) -> list[_Written]:
    """The definitions an answer consists of: functions, assignments, and the members of classes."""
    return list(_flatten(excerpt.body, excerpt.lines, "", None))


def _flatten(
    body: Iterable[ast.stmt], lines: Sequence[str], owner: str, container: ast.ClassDef | None
) -> Iterator[_Written]:
    nested = 0
    for definition in python.definitions(body, owner):
        if definition.start < nested:
            continue  # inside a function or class that is handled as a whole
        nested = definition.end
        text = tuple(lines[definition.start : definition.end])
        yield _Written(definition, text, _tail(definition, lines), container)
        if isinstance(definition.node, ast.ClassDef):
            yield from _flatten(definition.node.body, lines, definition.name, definition.node)


def _tail(definition: python.Definition, lines: Sequence[str]) -> tuple[str, ...]:
    below = itertools.takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), lines[definition.end :])
    margin = definition.node.col_offset
    return tuple(line for line in below if line.strip() and len(line) - len(line.lstrip()) > margin)


def _match_all(
    bodies: Sequence[tuple[python.Excerpt, str | None]], files: Sequence[_File], plan: _Plan
) -> Refusal | None:
    matched: dict[tuple[RepoPath, int], tuple[_Target, _Written]] = {}
    new: list[_Written] = []
    for excerpt, path in bodies:
        for item in _written(excerpt):
            targets = _targets(item, [f for f in files if path is None or _same_file(f.path, path)] or files)
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


def _same_file(path: str, label: str) -> bool:
    return path == label or path.endswith("/" + label) or label.endswith("/" + path)


def _targets(item: _Written, files: Sequence[_File]) -> list[_Target]:
    """The shown definitions an item of the answer can mean: one, several or none."""
    kind = _kind(item.definition.node)
    name = item.definition.name
    shown = [_Target(file, d) for file in files for d in file.shown if _kind(d.node) == kind]
    found = [t for t in shown if t.definition.name == name or t.definition.name.endswith("." + name)]
    exact = [t for t in found if t.definition.name == name]
    if item.container is None and item.is_function:
        in_class = _takes_self(item.definition.node)
        exact = [t for t in exact if not in_class]
        same_side = [t for t in found if bool(t.definition.owner) == in_class]
        found = exact or same_side or found
    elif item.container is not None and not found:
        owners = {d.last_name for file in files for d in file.known}
        if item.container.name not in owners:  # a wrapper the model made up
            found = [t for t in shown if t.definition.last_name == item.definition.last_name and t.definition.owner]
    found = exact or found
    for same in (_same_decorators, _same_parameters):
        narrowed = [t for t in found if same(item.definition.node, t.definition.node)]
        found = narrowed if len(found) > 1 and narrowed else found
    return found


def _kind(node: ast.AST) -> str:
    return (
        "class"
        if isinstance(node, ast.ClassDef)
        else "value"
        if isinstance(node, ast.Assign | ast.AnnAssign)
        else "def"
    )


def _takes_self(node: ast.AST) -> bool:
    args = getattr(node, "args", None)
    first = [*args.posonlyargs, *args.args][:1] if args else []
    return bool(first) and first[0].arg in ("self", "cls")


def _same_decorators(one: ast.AST, other: ast.AST) -> bool:
    return [ast.dump(d) for d in getattr(one, "decorator_list", [])] == [
        ast.dump(d) for d in getattr(other, "decorator_list", [])
    ]


def _same_parameters(one: ast.AST, other: ast.AST) -> bool:
    names = [
        [arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)] if hasattr(node, "args") else []
        for node in (one, other)
    ]
    return names[0] == names[1]


def _rewrite(target: _Target, item: _Written, plan: _Plan) -> Refusal | None:
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


def _add_new(items: Sequence[_Written], files: Sequence[_File], plan: _Plan) -> None:
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


def _is_known(item: _Written, files: Sequence[_File], plan: _Plan) -> bool:
    """Whether the name exists already, where the model was not shown it; such code is left alone."""
    name = item.definition.name
    known = any(d.name == name for file in files for d in file.known)
    known |= any(name in python.bound_names(file.tree.body) for file in files if file.tree)
    if item.is_function:
        plan.not_shown.append(name)
    return known


def _is_wanted(item: _Written, files: Sequence[_File], nodes: Sequence[ast.AST]) -> bool:
    name = item.definition.last_name
    if item.container is None:
        return name in python.free_names(nodes)
    owner = _owner(item, files)
    if owner is None:
        return False
    shown = any(d == owner.definition for d in owner.file.shown)
    return shown or name in python.attributes(nodes) or (name.startswith("__") and name.endswith("__"))


def _owner(item: _Written, files: Sequence[_File]) -> _Target | None:
    """The one class of the files that an added member belongs to."""
    name = item.definition.owner
    found = [
        _Target(file, d)
        for file in files
        for d in file.known
        if isinstance(d.node, ast.ClassDef) and (d.name == name or d.name.endswith("." + name))
    ]
    return found[0] if len(found) == 1 else None


def _insert(item: _Written, files: Sequence[_File], plan: _Plan) -> None:
    if item.container is not None:
        owner = _owner(item, files)
        if owner is None or not isinstance(owner.definition.node, ast.ClassDef):
            return
        changed = [t.definition for t in plan.anchors if t.file is owner.file and _kind(t.definition.node) == "def"]
        inside = [definition for definition in changed if definition.owner == owner.definition.name]
        at = inside[-1].end if inside else owner.definition.end
        first = owner.file.lines[python.first_line(owner.definition.node.body[0])]
        indent = first[: len(first) - len(first.lstrip())]
        lines = reindented(item.lines, indent)
        plan.add(owner.file.path, LineEdit(at, at, ("", *lines) if item.is_function else tuple(lines)))
    elif plan.anchors:
        anchor = plan.anchors[0]
        at = _statement_start(anchor)
        gap = ("",) if _kind(item.definition.node) == "value" else ("", "")
        plan.add(anchor.file.path, LineEdit(at, at, (*reindented(item.lines, ""), *gap)))


def _statement_start(target: _Target) -> int:
    """The first line of the module-level statement that holds `target`, its own comments included."""
    lines, at = target.file.lines, target.definition.start
    for node in target.file.tree.body if target.file.tree else []:
        if python.first_line(node) <= target.definition.start < (node.end_lineno or 0):
            at = python.first_line(node)
    while at and lines[at - 1].startswith("#"):
        at -= 1
    return at


def _add_imports(plan: _Plan, files: Sequence[_File], body: Sequence[ast.stmt]) -> None:
    wanted = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    used = python.free_names(plan.nodes)
    for file in files:
        if file.path in plan.edits and file.tree:
            edit = import_edit(file.tree, file.lines, wanted, used)
            if edit:
                plan.add(file.path, edit)


def _names(files: Sequence[_File]) -> str:
    names = [f"`{d.name}`" for file in files for d in file.shown if not isinstance(d.node, ast.Assign | ast.AnnAssign)]
    more = ", ..." if len(names) > _LIST_LIMIT else ""
    return ", ".join(names[:_LIST_LIMIT]) + more


def _nothing_usable(fences: Sequence[Fence], problems: Sequence[str], files: Sequence[_File]) -> Refusal:
    ask = f"Answer with the complete new text of one of these in a ```python fence: {_names(files)}."
    if problems:
        return Refusal("syntax", f"the code in the answer does not parse: {problems[0]}", f"{problems[0]}. {ask}")
    if any(fence.language in ("diff", "patch") for fence in fences):
        return Refusal("no_edit", "the answer is a diff", f"Do not write a diff. {ask}")
    if fences:
        return Refusal("no_edit", "the code in the answer defines nothing that was shown", ask)
    return Refusal("no_edit", "the answer holds no code fence", ask)


def _nothing_changed(plan: _Plan, files: Sequence[_File], fences: Sequence[Fence], problems: Sequence[str]) -> Refusal:
    if problems:
        return Refusal("syntax", f"part of the answer does not parse: {problems[0]}", f"Mend this: {problems[0]}.")
    if plan.unchanged:
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(plan.unchanged))
        return Refusal(
            "no_change",
            f"the answer repeats {names} unchanged",
            f"{names} was given back as it was. Change what is wrong in it.",
        )
    others = ", ".join(f"`{name}`" for name in dict.fromkeys(plan.not_shown))
    if not others:
        return _nothing_usable(fences, problems, files)
    return Refusal(
        "not_shown",
        f"the answer defines {others}, which is nothing that was shown",
        f"Change only what was shown: {_names(files)}. Keep the names as they are.",
    )


def _ambiguous(item: _Written, targets: Sequence[_Target]) -> Refusal:
    places = ", ".join(f"`{t.definition.name}` in {t.file.path}" for t in targets[:_LIST_LIMIT])
    return Refusal(
        "ambiguous",
        f"`{item.definition.name}` can mean {places}",
        f"`{item.definition.name}` can mean {places}. Write the path of the file on the line before the fence, "
        "and put methods in their class.",
    )
