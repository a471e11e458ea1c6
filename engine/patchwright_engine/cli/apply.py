"""`fix --apply`: write one verified fix to the user's files, whole or not at all.

A file that moved since the snapshot is rebased when the fix's hunks still match, else nothing is written.
"""

import os
import tempfile
from pathlib import Path

from rich.console import Console

from patchwright_engine.errors import EnvironmentProblem, StaleSnapshot
from patchwright_engine.text.rebase import Conflict, rebase_edit
from patchwright_engine.types import Fix
from patchwright_engine.workspace.repository import find_repository


def apply_fix(fix: Fix | None, repo: Path, console: Console) -> bool:
    """Apply `fix` when it is verified; says what was done. Returns whether files were written.

    Raises:
        StaleSnapshot: a file changed during the job in the lines the fix changes.
        EnvironmentProblem: a file cannot be written; files already written are put back.
    """
    if fix is None or not fix.evidence.verified:
        console.print("Nothing applied: no fix is verified.")
        return False
    root = find_repository(repo)
    texts: list[tuple[Path, str, str]] = []
    for edit in fix.patch.edits:
        path = root / edit.path
        try:
            current = path.read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            raise StaleSnapshot(
                f"cannot read {edit.path}, which the fix changes: {error.strerror}",
                "Apply the diff by hand, or run the fix again; nothing was written.",
            ) from error
        rebased = rebase_edit(edit, current)
        if isinstance(rebased, Conflict):
            raise StaleSnapshot(
                f"{edit.path} changed while the search ran: {rebased.reason}", "Run the fix again; nothing was written."
            )
        texts.append((path, current, rebased.after))
    written: list[tuple[Path, str]] = []
    try:
        for path, before, after in texts:
            _replace(path, after)
            written.append((path, before))
    except OSError as error:
        for path, before in written:
            _replace(path, before)
        raise EnvironmentProblem(
            f"cannot write {path}: {error.strerror}", "Check the permissions; nothing was changed."
        ) from error
    console.print(f"Applied fix {fix.id} to {', '.join(fix.patch.paths)}.")
    return True


def _replace(path: Path, text: str) -> None:
    """Atomic replacement that keeps the file's mode and follows a symlink to its target."""
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".patchwright-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        temporary.chmod(target.stat().st_mode & 0o7777)
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
