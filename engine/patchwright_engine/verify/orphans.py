"""Throw-away folders that outlived their process: killed at the wrong moment, it could not delete them.

A folder's owner holds a lock on a file inside it, which the system lets go when the process ends, however it ends.
Invariant: only folders of this user that nobody holds are deleted.
"""

import os
import shutil
import stat
import subprocess
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
                delete(folder)
        finally:
            os.close(owner)


def delete(path: Path) -> None:
    """Delete a folder, whatever rights tests have taken away below it and however deep it goes; or a file or link."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    with suppress(RecursionError):
        make_removable(path)
        shutil.rmtree(path, ignore_errors=True)
    if path.exists():  # Too deep for Python: paths longer than the system takes, or than its stack is.
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", path], capture_output=True, check=False)


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
