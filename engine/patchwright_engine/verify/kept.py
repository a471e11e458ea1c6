"""Copies that outlive their job, so that the next job of the same workspace writes only what changed since.

    <copies>/<workspace>/<number>/    owner (locked while in use), clock, work/, contents, manifest

A manifest says that its copy is whole, and is deleted before anything touches the copy: a copy without one (its
process was killed) is thrown away, never repaired. It is believed only with its own digest, schema and boot right, and
then only for entries whose stamps still agree.
Invariants: a copy is the user's alone (0700) and in use by one process; all together stay below the bounds.
"""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from patchwright_engine.verify.contents_store import Span
from patchwright_engine.verify.orphans import OWNER, delete, try_lock
from patchwright_engine.verify.stamps import Stamp, stamp_of
from patchwright_engine.workspace.contents import Entry

SCHEMA = 1
MANIFEST = "manifest"
CONTENTS = "contents"
WORK = "work"
_ASIDE = "aside-"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of the user's disk kept copies may take, and for how long."""

    bytes: int = 2 << 30
    """All workspaces together; the longest unused go first. 0 keeps none."""
    seconds: float = 14 * 86_400.0
    """Age at which an unused copy goes."""
    a_workspace: int = 8
    """Copies kept of one workspace: so many runs at once, of one job or of several, find one ready."""
    free_bytes: int = 1 << 30
    """Disk that is left to others."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of ours for one copy, locked until it is released."""

    folder: Path
    owner: int
    """Descriptor that holds the lock."""
    kept: bool
    """Whether the copy may stay when its job ends."""

    def release(self) -> None:
        os.close(self.owner)


Held = Mapping[str, str]
"""Path → `proof` of what a copy holds there, as it was when it was last known to be right."""


def proof(entry: Entry, stamp: Stamp) -> str:
    """Equal proofs: the same entry, and nobody touched it. One string, since thousands are read and compared."""
    return f"{entry.kind} {entry.mode:o} {stamp} {entry.content}"


def take_place(copies: Path, root: Path, bounds: Bounds) -> Place | None:
    """Lock a folder for a copy of the workspace at `root`; None when all are in use or none can be made."""
    with suppress(OSError):
        _make_private(copies)
        home = copies.resolve() / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
        for number in range(bounds.a_workspace):
            folder = home / str(number)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = _lock(folder)
            if owner is not None:
                return Place(folder, owner, kept=True)
    return None


def adopt(place: Place, root: Path) -> tuple[Held, Mapping[str, Span]] | None:
    """What the last job left in this place, with the store's spans; None when that cannot be believed.

    From here on the place counts as spoiled, until `keep`.
    """
    manifest = place.folder / MANIFEST
    try:
        header, _, body = manifest.read_bytes().partition(b"\n")
        manifest.unlink()
        if json.loads(header) != {**_header(root, place.folder), **_measures(json.loads(header), body)}:
            return None
        value = json.loads(body)
        return dict(value["held"]), {digest: (offset, size) for digest, (offset, size) in value["spans"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        with suppress(OSError):
            manifest.unlink()
        return None


def keep(
    place: Place, root: Path, held: Held, *, digests: Sequence[str], spans: Mapping[str, Span], bounds: Bounds
) -> bool:
    """Say that the copy is whole and may serve the next job; False when it is too large to stay, or lies in memory.

    `digests` are those of its files, `spans` where their contents lie in the store.

    Raises:
        OSError: the disk does not take the manifest.
    """
    stored = (place.folder / CONTENTS).stat().st_size
    worked = sum(spans[digest][1] for digest in digests)
    live = sum(spans[digest][1] for digest in {*digests})
    if worked + stored > bounds.bytes or stored > 2 * live + (16 << 20):  # the latter: old contents pile up
        return False
    if shutil.disk_usage(place.folder).free < bounds.free_bytes or in_memory(place.folder):
        return False
    body = json.dumps({"held": held, "spans": dict(spans)}, separators=(",", ":")).encode("ascii")
    header = {**_header(root, place.folder), "bytes": worked + stored, "digest": hashlib.sha256(body).hexdigest()}
    part = place.folder / f"{MANIFEST}.part"
    part.write_bytes(json.dumps(header).encode("ascii") + b"\n" + body)
    part.replace(place.folder / MANIFEST)
    return True


def prune(copies: Path, bounds: Bounds) -> None:
    """Delete what is broken, too old or of a workspace that is gone, then the longest unused until the rest fits.

    What another process is using stays.
    """
    found: list[tuple[float, int, Path]] = []
    for folder in _folders(copies):
        header = _read_header(folder / MANIFEST)
        used = _modified(folder / MANIFEST)
        known = header is not None and header.get("schema") == SCHEMA and header.get("boot") == _boot()
        if header is None or not known or time.time() - used > bounds.seconds or not Path(header["root"]).is_dir():
            _delete_unused(folder)
        else:
            found.append((used, int(header["bytes"]), folder))
    total = sum(size for _, size, _ in found)
    for _, size, folder in sorted(found):
        if total <= bounds.bytes:
            break
        if _delete_unused(folder):
            total -= size
    for home in _listed(copies):
        with suppress(OSError):
            home.rmdir()  # only when it is empty


def put_aside(folder: Path, names: Sequence[str] = ()) -> None:
    """Clear a place, or just `names` in it, for what is waited for; `sweep` deletes it when nobody waits.

    ext4 makes files several times slower for minutes after thousands were deleted: it looks at each freed inode.

    Raises:
        OSError: something cannot be moved.
    """
    found = [entry for entry in _listed(folder) if entry.name != OWNER and not entry.name.startswith(_ASIDE)]
    moving = [entry for entry in found if not names or entry.name in names]
    if moving:
        aside = folder / f"{_ASIDE}{secrets.token_hex(8)}"
        aside.mkdir(mode=0o700)
        for entry in moving:
            entry.rename(aside / entry.name)


def sweep(folder: Path) -> None:
    """Delete what was put aside; what cannot be deleted stays for the next time."""
    for aside in folder.glob(f"{_ASIDE}*"):
        with suppress(OSError):
            delete(aside)


def empty(folder: Path) -> None:
    """Delete all of a place but its lock."""
    for entry in _listed(folder):
        if entry.name != OWNER:
            delete(entry)


def _header(root: Path, folder: Path) -> dict[str, Any]:
    """What must be the same for a manifest to count; the contents' stamp tells that nobody wrote to them since."""
    contents = stamp_of((folder / CONTENTS).lstat())
    return {"schema": SCHEMA, "boot": _boot(), "root": os.fsdecode(root), "contents": contents}


def _measures(header: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    return {"bytes": int(header["bytes"]), "digest": hashlib.sha256(body).hexdigest()}


def _read_header(manifest: Path) -> dict[str, Any] | None:
    try:
        with manifest.open("rb") as file:
            header = json.loads(file.readline(1 << 16))
        if isinstance(header["root"], str) and isinstance(header["bytes"], int):
            return dict(header)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _boot() -> str:
    """Changes with every start of the machine: after a power cut, stamps may outlive what was written."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return str(round(psutil.boot_time()))


def in_memory(folder: Path) -> bool:
    """Whether the folder takes memory instead of disk; a new copy there is quickly made."""
    mounts = {one.mountpoint: one.fstype for one in psutil.disk_partitions(all=True)}
    nearest = next((str(above) for above in (folder, *folder.parents) if str(above) in mounts), "")
    return mounts.get(nearest) in ("tmpfs", "ramfs")


def _make_private(copies: Path) -> None:
    """Raises OSError when the folder cannot be the user's alone."""
    copies.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = copies.lstat()
    if copies.is_symlink() or info.st_uid != os.getuid():
        raise PermissionError(f"{copies} is not a folder of this user")
    if info.st_mode & 0o077:
        copies.chmod(0o700)


def _lock(folder: Path) -> int | None:
    """The lock on a folder; None when another process has it."""
    for _ in range(10):
        owner = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            if not try_lock(owner):
                os.close(owner)
                return None
            if os.path.samestat(os.fstat(owner), (folder / OWNER).lstat()):
                return owner
        except FileNotFoundError:
            pass
        os.close(owner)  # It was deleted by its last owner while we waited for it; make it anew.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return None


def _delete_unused(folder: Path) -> bool:
    with suppress(OSError):
        owner = _lock(folder)
        if owner is not None:
            try:
                with suppress(FileNotFoundError):
                    (folder / MANIFEST).unlink()
                # Out of the way first: where it was, another process may make a new one at once.
                gone = folder.with_name(f"gone-{secrets.token_hex(8)}")
                folder.rename(gone)
                delete(gone)
                return True
            finally:
                os.close(owner)
    return False


def _folders(copies: Path) -> Iterator[Path]:
    for home in _listed(copies):
        yield from _listed(home)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
