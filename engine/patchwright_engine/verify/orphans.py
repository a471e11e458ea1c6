"""Throw-away folders that outlived their process: killed at the wrong moment, it could not delete them.

A folder's owner holds a lock on a file inside it, which the system lets go when the process ends, however it ends.
Invariant: only folders of this user that nobody holds are deleted.
"""

import itertools
import os
import secrets
import shutil
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "patchwright-copy-"
OWNER = "owner"
"""Name of the file that is locked."""
_SETTLING_SECONDS = 10.0
"""A folder younger than this may not have been claimed yet."""


def claim(folder: Path) -> int:
    """Mark a folder as in use; returns the descriptor to close when it is given up. Raises OSError."""
    owner = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT, 0o600)
    try_lock(owner)
    return owner


def remove_orphans(parent: Path) -> None:
    """Delete the folders below `parent` whose owners are gone; those that cannot be deleted stay."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            owner = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            info = os.fstat(owner)
            settled = time.time() - info.st_mtime > _SETTLING_SECONDS
            if settled and info.st_uid == os.getuid() and not folder.is_symlink() and try_lock(owner):
                with suppress(OSError):
                    delete(folder)
        finally:
            os.close(owner)


def delete(path: Path) -> None:
    """Delete a folder, whatever rights tests have taken away below it and however deep it goes; or a file or link.

    Raises:
        OSError: something in it cannot be deleted.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    with suppress(RecursionError):
        make_removable(path)
        shutil.rmtree(path, ignore_errors=True)
    if path.exists():  # Too deep: for Python's stack, for the length of a path, or for the number of open files.
        _delete_deep(path)


def _delete_deep(top: Path) -> None:
    """Delete a folder without ever naming, or standing in, anything deeper than its own entries.

    Each folder found in one of them is moved up beside it first. Slower than `rmtree`, and without its bounds.
    """
    prefix = f"{secrets.token_hex(8)}-"
    moved = itertools.count()
    base = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        pending = os.listdir(base)  # noqa: PTH208 - Path knows no descriptors
        while pending:
            name = pending.pop()
            if not _unlink_unless_folder(name, base):
                folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=base)
                try:
                    for inner in os.listdir(folder):  # noqa: PTH208
                        if not _unlink_unless_folder(inner, folder):
                            raised = f"{prefix}{next(moved)}"
                            os.rename(inner, raised, src_dir_fd=folder, dst_dir_fd=base)
                            pending.append(raised)
                finally:
                    os.close(folder)
                os.rmdir(name, dir_fd=base)
    finally:
        os.close(base)
    top.rmdir()


def _unlink_unless_folder(name: str, within: int) -> bool:
    """Whether the entry is gone now; if not, it is a folder that its owner may change."""
    info = os.stat(name, dir_fd=within, follow_symlinks=False)
    if stat.S_ISDIR(info.st_mode):
        os.chmod(name, 0o700, dir_fd=within)
        return False
    os.unlink(name, dir_fd=within)
    return True


def make_removable(root: Path) -> None:
    """Give the owner back the right to enter and change every folder: tests of permissions take it away."""
    _open_folder(root)
    for folder, below, _ in os.walk(root, topdown=True):
        for name in below:
            with suppress(OSError):  # such as a path that is too long; whoever deletes it sees to that
                _open_folder(Path(folder, name))


def _open_folder(folder: Path) -> None:
    mode = folder.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
        folder.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)


def try_lock(descriptor: int) -> bool:
    """Whether the lock is ours now; where there is no such lock, nothing counts as given up."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
