"""Puts the text of a rewritten Python definition into the shape of the one it replaces.

What the model changed is kept; what it merely lost on the way (indentation, decorators, docstring, annotations,
comments and layout of statements it left alone) comes back from the original.
Invariant: the result means what the model wrote, apart from what is carried over (checked on the syntax tree).
"""

import ast
import copy
import difflib
import tokenize
from collections.abc import Iterator, Sequence

from patchwright_engine.repair import python_source as python
from patchwright_engine.text.lines import LineEdit


def rewritten(old_lines: Sequence[str], new_lines: Sequence[str]) -> list[str] | None:
    """The lines that replace `old_lines`, both the whole text of one definition. None if they do not parse alone."""
    old = _only_node(old_lines)
    if old is None:
        return None
    lines = reindented(new_lines, _indent(old_lines[old.lineno - 1]), _unit(old_lines, old))
    new = _only_node(lines)
    if new is None:
        return None
    for carry in (_carry_decorators, _carry_header, _carry_docstring):
        carried = carry(old_lines, old, lines, new)
        node = _only_node(carried)
        if node is not None:
            lines, new = carried, node
    merged = _keep_layout(old_lines, old, lines, new)
    node = _only_node(merged)
    return merged if node is not None and python.same_code(node, new) else lines


def reindented(lines: Sequence[str], indent: str, unit: str = "    ") -> list[str]:
    """A definition moved to `indent`, one level being `unit`. The insides of strings stay, docstrings move along."""
    node = _only_node(lines)
    if node is None:
        return list(lines)
    given = _indent(lines[node.lineno - 1])
    given_unit = _unit(lines, node)
    fixed = _lines_inside_strings(lines, node)
    result = []
    for number, line in enumerate(lines):
        if number in fixed:
            result.append(line)
        elif not line.strip():
            result.append("")
        else:
            inner = _indent(line).removeprefix(given)
            levels, rest = divmod(len(inner), len(given_unit)) if given_unit != unit else (0, len(inner))
            result.append(indent + unit * levels + inner[len(inner) - rest :] + line.lstrip())
    return result


def header_rewritten(old_lines: Sequence[str], new_lines: Sequence[str]) -> LineEdit | None:
    """The edit, counted in `old_lines`, that gives a class the bases and decorators of another; None if equal."""
    old, new = _only_node(old_lines), _only_node(new_lines)
    if (
        not isinstance(old, ast.ClassDef)
        or not isinstance(new, ast.ClassDef)
        or _class_header(old) == _class_header(new)
    ):
        return None
    start = python.first_line(new) if new.decorator_list else new.lineno - 1
    lines = list(new_lines[start : _header_end(new_lines, new)])
    old_start = python.first_line(old) if new.decorator_list else old.lineno - 1
    indent, given = _indent(old_lines[old.lineno - 1]), _indent(new_lines[new.lineno - 1])
    return LineEdit(old_start, _header_end(old_lines, old), tuple(indent + line.removeprefix(given) for line in lines))


def _class_header(node: ast.ClassDef) -> list[str]:
    return [ast.dump(part) for part in [*node.bases, *node.keywords]] + _decorators(node)


def import_edit(tree: ast.Module, lines: Sequence[str], wanted: Sequence[ast.stmt], used: set[str]) -> LineEdit | None:
    """Insert those of the `wanted` imports whose name is used and which the module does not bind yet."""
    if not wanted:
        return None
    bound = python.bound_names(tree.body)
    dotted = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    new: list[str] = []
    for node in wanted:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        for alias in getattr(node, "names", []):
            name = alias.asname or alias.name.split(".")[0]
            is_bound = alias.name in dotted if "." in alias.name and not alias.asname else name in bound
            if name not in used or is_bound:
                continue
            single: ast.stmt = (
                ast.ImportFrom(node.module, [alias], node.level)
                if isinstance(node, ast.ImportFrom)
                else ast.Import([alias])
            )
            statement = ast.unparse(single)
            new += [] if statement in new else [statement]
    if not new:
        return None
    at, before, after = _import_place(tree, lines)
    return LineEdit(at, at, (*before, *new, *after))


def _import_place(tree: ast.Module, lines: Sequence[str]) -> tuple[int, list[str], list[str]]:
    """The line after the last import of the head of the module, and the blank lines to put around."""
    last = None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            break
        last = node if isinstance(node, ast.Import | ast.ImportFrom) else last
    if last is not None:
        return last.end_lineno or last.lineno, [], []
    doc = python.docstring(tree)
    if doc is not None:
        at = doc.end_lineno or doc.lineno
        return at, [""], [] if at >= len(lines) or not lines[at].strip() else [""]
    at = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return at, [""] if at else [], [""] if at < len(lines) and lines[at].strip() else []


def _only_node(lines: Sequence[str]) -> python.Node | None:
    """The definition that `lines` consist of, positions counted in `lines`."""
    excerpt = python.read_excerpt("\n".join(lines) + "\n")
    if isinstance(excerpt, str) or len(excerpt.body) != 1 or list(excerpt.lines) != list(lines):
        return None
    node = excerpt.body[0]
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
    return node if isinstance(node, kinds) else None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _unit(lines: Sequence[str], node: ast.stmt) -> str:
    """One level of indentation as a definition has it."""
    body = getattr(node, "body", [])
    if not body or body[0].lineno == node.lineno:
        return "    "
    outer, inner = _indent(lines[node.lineno - 1]), _indent(lines[python.first_line(body[0])])
    return inner.removeprefix(outer) if inner.startswith(outer) and inner != outer else "    "


def _lines_inside_strings(lines: Sequence[str], node: ast.AST) -> set[int]:
    """Lines that begin within a string which is not a docstring: their spaces are part of the value."""
    inside: set[int] = set()
    open_at: list[int] = []
    for token in python.tokens(lines):
        kind = tokenize.tok_name[token.type]
        if kind == "STRING":
            inside |= {*range(token.start[0], token.end[0])}
        elif kind in ("FSTRING_START", "TSTRING_START"):
            open_at.append(token.start[0])
        elif kind in ("FSTRING_END", "TSTRING_END") and open_at:
            inside |= {*range(open_at.pop(), token.end[0])}
    for inner in ast.walk(node):
        doc = python.docstring(inner)
        inside -= {*range(doc.lineno, doc.end_lineno or doc.lineno)} if doc else set()
    return inside


def _header_end(lines: Sequence[str], node: ast.stmt) -> int:
    """The line after the logical line of `def ...:` or `class ...:`."""
    ends = (t.start[0] for t in python.tokens(lines) if t.type == tokenize.NEWLINE and t.start[0] >= node.lineno)
    return next(ends, node.lineno)


def _body_below(lines: Sequence[str], node: ast.stmt) -> bool:
    body = getattr(node, "body", [])
    return bool(body) and python.first_line(body[0]) >= _header_end(lines, node)


def _carry_decorators(old_lines: Sequence[str], old: ast.stmt, lines: Sequence[str], new: ast.stmt) -> list[str]:
    """Bring back decorators that were dropped, or the layout of equal ones."""
    before, after = _decorators(old), _decorators(new)
    if before and (not after or before == after):
        return [*old_lines[: old.lineno - 1], *lines[new.lineno - 1 :]]
    return list(lines)


def _decorators(node: ast.stmt) -> list[str]:
    return [ast.dump(decorator) for decorator in getattr(node, "decorator_list", [])]


def _carry_header(old_lines: Sequence[str], old: ast.stmt, lines: Sequence[str], new: ast.stmt) -> list[str]:
    """Keep the old `def` line where the new one differs in layout only, or in annotations it lost."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    if not isinstance(old, functions) or not isinstance(new, functions) or type(old) is not type(new):
        return list(lines)
    same = _signature(old, annotated=True) == _signature(new, annotated=True)
    lost = _signature(new, annotated=True) == _signature(new, annotated=False) == _signature(old, annotated=False)
    if not (same or lost) or not (_body_below(old_lines, old) and _body_below(lines, new)):
        return list(lines)
    header = old_lines[old.lineno - 1 : _header_end(old_lines, old)]
    return [*lines[: new.lineno - 1], *header, *lines[_header_end(lines, new) :]]


def _signature(node: python.Function, *, annotated: bool) -> str:
    bare: python.Function = type(node)(node.name, node.args, [ast.Pass()], [], node.returns)
    if not annotated:
        bare = copy.deepcopy(bare)
        bare.returns = None
        for inner in ast.walk(bare.args):
            if isinstance(inner, ast.arg):
                inner.annotation = None
    return f"{bare.name} {ast.dump(bare.args)} {ast.dump(bare.returns) if bare.returns else ''}"


def _carry_docstring(old_lines: Sequence[str], old: ast.stmt, lines: Sequence[str], new: ast.stmt) -> list[str]:
    """Bring back a docstring that was dropped, or the layout of one that says the same."""
    doc, given = python.docstring(old), python.docstring(new)
    if doc is None or not _body_below(lines, new) or not _body_below(old_lines, old):
        return list(lines)
    text = list(old_lines[doc.lineno - 1 : doc.end_lineno])
    if given is not None:
        same = _words(doc) == _words(given) and _indent(text[0]) == _indent(lines[given.lineno - 1])
        return [*lines[: given.lineno - 1], *text, *lines[given.end_lineno :]] if same else list(lines)
    at = _header_end(lines, new)
    gap_at = doc.end_lineno or doc.lineno
    gap = [""] if gap_at < len(old_lines) and not old_lines[gap_at].strip() and lines[at : at + 1] != [""] else []
    return [*lines[:at], *text, *gap, *lines[at:]]


def _words(doc: ast.stmt) -> list[str]:
    value = doc.value if isinstance(doc, ast.Expr) else None
    return str(value.value).split() if isinstance(value, ast.Constant) else []


def _keep_layout(old_lines: Sequence[str], old: ast.stmt, lines: Sequence[str], new: ast.stmt) -> list[str]:
    """Use the old text, comments included, for every statement that means the same in both."""
    result = list(lines)
    edits = sorted(_equal_statements(old_lines, old, lines, new), key=lambda edit: edit.start, reverse=True)
    for edit in edits:
        result[edit.start : edit.end] = edit.lines
    return result


def _equal_statements(old_lines: Sequence[str], old: ast.AST, lines: Sequence[str], new: ast.AST) -> Iterator[LineEdit]:
    """Edits of `lines` that bring back old text: of equal statements, and of what stands above changed ones."""
    for old_block, new_block in zip(python.blocks(old), python.blocks(new), strict=False):
        before, after = [ast.dump(s) for s in old_block], [ast.dump(s) for s in new_block]
        matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag not in ("equal", "replace") or i2 - i1 != j2 - j1:
                continue
            for i, j in zip(range(i1, i2), range(j1, j2), strict=True):
                a, b = _region(old_lines, old_block, i), _region(lines, new_block, j)
                alike = a is not None and b is not None and _indent(old_lines[a[1]]) == _indent(lines[b[1]])
                if tag == "equal":
                    if a and b and alike:
                        yield LineEdit(b[0], b[2], tuple(old_lines[a[0] : a[2]]))
                elif type(old_block[i]) is type(new_block[j]):
                    yield from _equal_statements(old_lines, old_block[i], lines, new_block[j])
                    if a and b and alike and _is_blank(lines[b[0] : b[1]]):
                        yield LineEdit(b[0], b[1], tuple(old_lines[a[0] : a[1]]))


def _is_blank(lines: Sequence[str]) -> bool:
    return not any(line.strip() for line in lines)


def _region(lines: Sequence[str], block: Sequence[ast.stmt], index: int) -> tuple[int, int, int] | None:
    """(first comment or blank line above, first line, line after) of a statement that has its lines to itself."""
    node = block[index]
    start, end = python.first_line(node), node.end_lineno or node.lineno
    floor = (block[index - 1].end_lineno or 0) if index else 0
    if index + 1 < len(block) and python.first_line(block[index + 1]) < end:
        return None
    if start < floor or lines[start][: node.col_offset].strip():
        return None
    lead = start
    while lead > floor and (not lines[lead - 1].strip() or lines[lead - 1].lstrip().startswith("#")):
        lead -= 1
    return lead, start, end
