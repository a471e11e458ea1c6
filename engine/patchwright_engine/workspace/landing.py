"""A fix on today's files: every edit carried over to what the file holds now, or the reason why not.

Invariant: all edits land, or none does, and none outside the root, links followed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from patchwright_engine.text.rebase import Conflict, rebase_edit
from patchwright_engine.types import FileEdit, RepoPath


def land(edits: Sequence[FileEdit], current: Mapping[RepoPath, str], root: Path) -> tuple[FileEdit, ...] | Conflict:
    """Fit a fix to the workspace as it is now.

    Args:
        edits: the fix, whole texts before and after.
        current: open buffers; other files are read from disk below `root`.
        root: what the edits' paths are relative to.
    """
    landed = []
    for edit in edits:
        text = current[edit.path] if edit.path in current else _on_disk(root, edit)
        if edit.created and text is None and (root / edit.path).is_symlink():
            return Conflict(f"{edit.path} is a link now, and the fix would make a file there")
        if isinstance(text, Conflict):
            return text
        if text is None and not edit.created:
            return Conflict(f"{edit.path} no longer exists")
        if text is not None and edit.created and (text or edit.path not in current):
            return Conflict(f"{edit.path} has been created by someone else meanwhile")
        moved = rebase_edit(edit, text or "")
        if isinstance(moved, Conflict):
            return moved
        landed.append(FileEdit(edit.path, moved.before, moved.after, created=text is None))
    return tuple(landed)


def _on_disk(root: Path, edit: FileEdit) -> str | Conflict | None:
    """What the file holds; None when there is none."""
    try:
        target = (root / edit.path).resolve()
        if not target.is_relative_to(root.resolve()):
            return Conflict(f"{edit.path} lies outside the workspace folder")
        return target.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        return Conflict(f"{edit.path} cannot be read: {getattr(error, 'strerror', None) or error}")
