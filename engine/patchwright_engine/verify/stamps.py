"""Tell what changed in a copy without reading it: inode, size and time of change of every entry.

The time of change is set by the kernel and cannot be set back, so an equal stamp proves equal content, provided that
no change falls into the same tick of the clock as the stamp: `wait_for_next_tick` makes sure of that.
"""

import os
import stat
import time
from pathlib import Path

Stamp = str
"""'inode size time-of-change' (ns) of a file or link; 'mode' of a folder, whose times move with its content."""

_PATIENCE_SECONDS = 1.2
"""Longer than a tick of any file system's clock (ext3: a second); only a server with a clock ahead takes longer."""
_OWNER_MAY = stat.S_IRWXU


def stamp_of(info: os.stat_result) -> Stamp:
    """The stamp of one entry, from `lstat` or `fstat`."""
    if stat.S_ISDIR(info.st_mode):
        return f"{stat.S_IMODE(info.st_mode):o}"
    return f"{info.st_ino} {info.st_size} {info.st_ctime_ns}"


def scan_stamps(top: Path) -> dict[str, Stamp]:
    """The stamp of every entry below `top`, by relative path; links are not followed.

    Folders that tests made unreadable are opened to the owner again; their stamps tell the mode they were left with.

    Raises:
        OSError: something cannot be read, such as a path that grew too long.
    """
    _open_to_owner(str(top), top.lstat())
    stamps: dict[str, Stamp] = {}
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(f"{top}/{folder}") as entries:
            for entry in entries:
                path = folder + entry.name
                info = entry.stat(follow_symlinks=False)
                stamps[path] = stamp_of(info)
                if entry.is_dir(follow_symlinks=False):
                    _open_to_owner(entry.path, info)
                    pending.append(path + "/")
    return stamps


def is_folder(stamp: Stamp) -> bool:
    return " " not in stamp


def time_of(stamp: Stamp) -> int:
    """The time of change in a stamp that is no folder's, in ns."""
    return int(stamp.rpartition(" ")[2])


def wait_for_next_tick(clock: Path, newest: int) -> bool:
    """Wait until a change made from now on must get a later time of change than `newest` (ns).

    `clock` is a file of ours on the same file system, which is touched to read that system's clock.
    False when that took too long: stamps as new as `newest` prove nothing then.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        clock.touch(mode=0o600)
        if clock.stat().st_ctime_ns > newest:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.001)


def _open_to_owner(folder: str, info: os.stat_result) -> None:
    if info.st_mode & _OWNER_MAY != _OWNER_MAY:
        os.chmod(folder, stat.S_IMODE(info.st_mode) | _OWNER_MAY)  # noqa: PTH101
