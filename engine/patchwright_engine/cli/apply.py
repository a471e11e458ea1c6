"""`fix --apply`: write one verified fix to the user's files, whole or not at all.

A file that moved since the snapshot is rebased when the fix's hunks still match, else nothing is written.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from patchwright_engine.errors import EnvironmentProblem, StaleSnapshot
from patchwright_engine.text.rebase import Conflict
from patchwright_engine.types import FileEdit, Fix
from patchwright_engine.workspace.landing import land
from patchwright_engine.workspace.repository import find_repository


def apply_fix(fix: Fix | None, repo: Path, console: Console, *, with_test: bool = False) -> bool:
    """Apply `fix` when it is verified, and its regression test when asked; says what was done.

    Returns whether files were written.

    Raises:
        StaleSnapshot: a file changed during the job in the lines the fix changes.
        EnvironmentProblem: a file cannot be written; files already written are put back.
    """
    if fix is None or not fix.evidence.verified:
        console.print("Nothing applied: no fix is verified.")
        return False
    root = find_repository(repo)
    test = (fix.test,) if with_test and fix.test else ()
    landed = land((*fix.patch.edits, *test), {}, root)
    if isinstance(landed, Conflict):
        raise StaleSnapshot(
            f"the fix no longer fits: {landed.reason}",
            "Run the fix again, or apply the diff by hand; nothing was written.",
        )
    _write_all(landed, root)
    console.print(f"Applied fix {fix.id} to {', '.join(fix.patch.paths)}.")
    if with_test:
        console.print(f"Added its test {test[0].path}." if test else "There is no regression test to add.")
    for flag in fix.flags:
        console.print(f"Look closely: the patch {flag}", markup=False)
    return True


def _write_all(edits: Sequence[FileEdit], root: Path) -> None:
    written: list[FileEdit] = []
    folders: list[Path] = []
    for edit in edits:
        try:
            folders += _make_folders((root / edit.path).parent)
            _replace(root / edit.path, edit.after, new=edit.created)
        except OSError as error:
            stuck = [other.path for other in reversed(written) if not _put_back(other, root)]
            for folder in reversed(folders):
                with contextlib.suppress(OSError):  # Somebody else uses it by now.
                    folder.rmdir()
            left = (
                f"These were written and cannot be put back: {', '.join(stuck)}." if stuck else "Nothing was changed."
            )
            raise EnvironmentProblem(
                f"cannot write {edit.path}: {error.strerror or error}", f"Check the permissions. {left}"
            ) from error
        written.append(edit)


def _put_back(edit: FileEdit, root: Path) -> bool:
    try:
        if edit.created:
            (root / edit.path).unlink()
        else:
            _replace(root / edit.path, edit.before)
    except OSError:
        return False
    return True


def _make_folders(folder: Path) -> list[Path]:
    """Make what is missing of a path; the folders that were made, outermost first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()][::-1]
    made: list[Path] = []
    try:
        for one in missing:
            one.mkdir()
            made.append(one)
    except OSError:
        for one in reversed(made):
            one.rmdir()
        raise
    return made


def _replace(path: Path, text: str, *, new: bool = False) -> None:
    """Atomic replacement that keeps the file's mode and follows a symlink to its target.

    A `new` file is never put in the place of one that somebody else made meanwhile, nor behind a link.
    """
    target = path.parent.resolve() / path.name if new else path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".patchwright-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        temporary.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask())
        if new:
            _put_new(temporary, target)
        else:
            temporary.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _put_new(temporary: Path, target: Path) -> None:
    """Rename to a name that must be free. Raises OSError, also when it is not."""
    try:
        os.link(temporary, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # A file system without hard links: nearly as good.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "it has been created by someone else meanwhile") from None
        temporary.replace(target)
    else:
        temporary.unlink()


def _umask() -> int:
    """The process's umask; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
