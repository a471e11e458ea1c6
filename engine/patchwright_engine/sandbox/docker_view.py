"""What a container sees of this disk, and as whom it may write to the copy.

Invariants: everything but the workspace is read-only; a file that is not the copy's own never changes its owner.
"""

import os
import pwd
import stat
from pathlib import Path
from typing import Any

from patchwright_engine.sandbox import policy
from patchwright_engine.sandbox.disk import SCRATCH_FILES
from patchwright_engine.sandbox.docker_daemon import Daemon, Image

_DOCKERS_OWN = frozenset({Path("/etc/hosts"), Path("/sys/devices/system/cpu")})
"""The daemon makes its own hosts file, and shows /sys read-only."""

_NOBODY = 65534


def mounts(workspace: Path, readable: tuple[Path, ...], image: Image, daemon: Daemon) -> list[dict[str, Any]]:
    """The bind mounts, as the daemon's interface takes them; it sorts them by depth.

    With an image of the user's own, this machine's system folders stay out, and so does any readable folder inside
    them: the image's take their place.
    """
    shown: dict[Path, bool] = {}
    if image.named is None:
        for path in policy.system_paths():
            if path not in _DOCKERS_OWN and not (path.is_symlink() and path.parent == Path("/")):
                shown[path] = False
    for path in policy.shown(readable):
        if path.exists() and not (image.named is not None and _is_system(path)):
            shown[path] = False
    shown[workspace] = True
    # The daemon would copy the machine's own, with the addresses of its name servers.
    no_names = _bind(Path("/dev/null"), Path("/etc/resolv.conf"), False, daemon)
    return [no_names, *(_bind(path, path, writable, daemon) for path, writable in shown.items())]


def temporary_folders(image: Image, user: tuple[int, int], daemon: Daemon) -> dict[str, str]:
    """Folders in memory, bounded by the memory limit too: /tmp, and what the image would keep in volumes."""
    options = f"rw,exec,nosuid,nodev,mode=1777,size={policy.SCRATCH_BYTES}"
    if not daemon.podman:  # Docker gives them the mode of the image's folder; Podman knows no owners here.
        options += f",uid={user[0]},gid={user[1]},nr_inodes={SCRATCH_FILES}"
    return dict.fromkeys(("/tmp", *image.volumes), options)


def user_for(workspace: Path, daemon: Daemon) -> tuple[int, int]:
    """(user, group) of the run: who may write the copy, but never this machine's root.

    A rootless daemon's user 0 is the user who runs it, without rights beyond theirs. When root itself works here,
    the copy's owner serves if that is someone else, else `nobody`, to whom the copy has to be handed over.
    """
    if daemon.rootless:
        return 0, 0
    if os.geteuid() != 0:
        return os.getuid(), os.getgid()
    status = workspace.stat()
    return (status.st_uid, status.st_gid or status.st_uid) if status.st_uid != 0 else _nobody()


def hand_over(workspace: Path, user: int, group: int) -> None:
    """Give the copy to `user`. Only root can, and only root has to.

    A file with a second name is left alone: that name may lie outside and be the user's own.
    """
    for folder, _, files in os.walk(workspace):
        for name in (folder, *(os.path.join(folder, file) for file in files)):  # noqa: PTH118 - thousands of files
            status = os.lstat(name)
            if status.st_uid != user and (stat.S_ISDIR(status.st_mode) or status.st_nlink == 1):
                os.chown(name, user, group, follow_symlinks=False)


def _bind(source: Path, target: Path, writable: bool, daemon: Daemon) -> dict[str, Any]:
    # Docker would make a missing source as an empty folder if it were asked with `Binds`; `Mounts` refuses.
    options: dict[str, Any] = {"Propagation": "rprivate"}
    if not writable and not daemon.recursive_read_only:
        options["NonRecursive"] = True  # what is mounted below would stay writable: better not to show it
    return {
        "Type": "bind",
        "Source": str(source),
        "Target": str(target),
        "ReadOnly": not writable,
        "BindOptions": options,
    }


def _is_system(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in policy.SYSTEM_FOLDERS)


def _nobody() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return _NOBODY, _NOBODY
    return entry.pw_uid, entry.pw_gid
