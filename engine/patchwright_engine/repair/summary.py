"""What a patch is, in one key and in one sentence: for merging equal candidates, and for people.

Both are functions of the patch alone; nothing is taken from what the model said about it.
"""

from patchwright_engine.repair import python_source as python
from patchwright_engine.text.rebase import changed_lines
from patchwright_engine.types import FileEdit, Patch

_NAMES = 3


def normalize_patch(patch: Patch) -> str:
    """A key that is equal for patches which differ in comments, docstrings and layout only."""
    parts = []
    for edit in sorted(patch.edits, key=lambda edit: edit.path):
        text = python.normalized(edit.after) if python.is_python(edit.path) else None
        parts.append(f"{edit.path}\n{Patch((edit,)).diff if text is None else text}")
    return "\n\0".join(parts)


def explain(patch: Patch) -> str:
    """For example 'changes naturalsize in src/humanize/filesize.py (+3 −1)'."""
    return "; ".join(_explain_edit(edit) for edit in patch.edits)


def _explain_edit(edit: FileEdit) -> str:
    added, removed = changed_lines(edit.before, edit.after)
    size = f"(+{added} \N{MINUS SIGN}{removed})"
    if not edit.before:
        return f"adds {edit.path} {size}"
    changed, new = _changed_names(edit) if python.is_python(edit.path) else ([], [])
    verbs = [f"{verb} {_list(names)}" for verb, names in (("changes", changed), ("adds", new)) if names]
    what = f"{' and '.join(verbs)} in {edit.path}" if verbs else f"changes {edit.path}"
    return f"{what} {size}"


def _changed_names(edit: FileEdit) -> tuple[list[str], list[str]]:
    """Qualified names of the innermost definitions that differ, and of those that are new."""
    before, after = python.parse(edit.before), python.parse(edit.after)
    if before is None or after is None:
        return [], []
    old: dict[str, list[str]] = {}
    for definition in python.definitions(before.body):
        old.setdefault(definition.name, []).append(python.dump(definition.node))
    new = list(python.definitions(after.body))
    added = [d.name for d in new if d.name not in old]
    changed = [d.name for d in new if d.name in old and python.dump(d.node) not in old[d.name]]
    inner = [name for name in changed if not any(o.startswith(name + ".") for o in [*changed, *added])]
    outer = [name for name in added if not any(name.startswith(o + ".") for o in [*changed, *added])]
    outer += [name for name in added if name.rpartition(".")[0] in changed]
    return list(dict.fromkeys(inner)), list(dict.fromkeys(outer))


def _list(names: list[str]) -> str:
    return ", ".join(names[:_NAMES]) + (f" and {len(names) - _NAMES} more" if len(names) > _NAMES else "")
