"""What a patch is, in one key and in one sentence: for merging equal candidates, and for people.

Both are functions of the patch alone; nothing is taken from what the model said about it.
"""

from collections.abc import Sequence

from patchwright_engine.repair import other_source
from patchwright_engine.repair import python_source as python
from patchwright_engine.text.lines import split_lines
from patchwright_engine.text.rebase import changed_lines, minimal_hunks
from patchwright_engine.types import FileEdit, Patch, RepoPath

_NAMES = 3


def normalize_patch(patch: Patch) -> str:
    """A key for patches on the same files: equal if they differ in comments, docstrings and layout only."""
    return "\n".join(f"{edit.path}\n{_key(edit)}" for edit in sorted(patch.edits, key=lambda edit: edit.path))


def _key(edit: FileEdit) -> str:
    """The module-level statements that go and that come, normalized; only touched ones are looked at.

    In other languages all words and signs of the new text.
    """
    if not python.is_python(edit.path) and other_source.is_known(edit.path):
        return other_source.key(edit.path, edit.after)
    before, after = (python.parse(text) if python.is_python(edit.path) else None for text in (edit.before, edit.after))
    if before is None or after is None:
        return Patch((edit,)).diff
    gone, new = _touched_lines(edit)
    out = [python.normalized(node) for node in before.body if _overlaps(python.span(node), gone)]
    back = [python.normalized(node) for node in after.body if _overlaps(python.span(node), new)]
    return "\n".join(
        [f"-{text}" for text in out if text not in back] + [f"+{text}" for text in back if text not in out]
    )


Span = tuple[int, int]


def _touched_lines(edit: FileEdit) -> tuple[list[Span], list[Span]]:
    """Line spans of the change, 0-based and half-open, in the text before and after."""
    old, new, shift = [], [], 0
    for hunk in minimal_hunks(edit.before, edit.after):
        size = len(split_lines(hunk.replacement))
        start = hunk.start_line + shift
        old.append((hunk.start_line, hunk.end_line))
        new.append((start, start + size))
        shift += size - (hunk.end_line - hunk.start_line)
    return old, new


def _overlaps(span: Span, touched: list[Span]) -> bool:
    """Whether a span shares a line with the change; where lines only went or came, whether that is inside it."""
    start, end = span
    return any(a < end and start < b if a < b else start < a < end for a, b in touched)


def explain(patch: Patch) -> str:
    """For example 'changes naturalsize in src/humanize/filesize.py (+3 −1)'."""
    return "; ".join(_explain_edit(edit) for edit in patch.edits)


def _explain_edit(edit: FileEdit) -> str:
    added, removed = changed_lines(edit.before, edit.after)
    size = f"(+{added} \N{MINUS SIGN}{removed})"
    if not edit.before:
        return f"adds {edit.path} {size}"
    changed, new = _changed_names(edit)
    verbs = [f"{verb} {_list(names)}" for verb, names in (("changes", changed), ("adds", new)) if names]
    what = f"{' and '.join(verbs)} in {edit.path}" if verbs else f"changes {edit.path}"
    return f"{what} {size}"


def _changed_names(edit: FileEdit) -> tuple[list[str], list[str]]:
    """Qualified names of the innermost definitions that were touched, and of those that are new."""
    before, after = _definitions(edit.path, edit.before), _definitions(edit.path, edit.after)
    if before is None or after is None:
        return [], []
    gone, new = _touched_lines(edit)
    known = {d.name for d in before if not d.local}
    there = [d for d in after if not d.local]
    names = [d.name for d in there if _overlaps((d.start, d.end), new)]
    there_before = [d for d in before if not d.local and _overlaps((d.start, d.end), gone)]
    left = {d.name for d in there}
    names += [d.name for d in there_before if d.name in left and d.name not in names]
    added = [name for name in names if name not in known]
    changed = [name for name in names if name in known]
    inner = [name for name in changed if not any(other.startswith(name + ".") for other in names)]
    outer = [name for name in added if not any(name.startswith(other + ".") for other in added)]
    return list(dict.fromkeys(inner)), list(dict.fromkeys(outer))


def _definitions(path: RepoPath, text: str) -> Sequence[python.Definition] | Sequence[other_source.Definition] | None:
    """What a text defines, or None when it cannot be read."""
    if not python.is_python(path):
        return other_source.definitions(path, text)
    tree = python.parse(text)
    return list(python.definitions(tree.body)) if tree is not None else None


def _list(names: list[str]) -> str:
    return ", ".join(names[:_NAMES]) + (f" and {len(names) - _NAMES} more" if len(names) > _NAMES else "")
