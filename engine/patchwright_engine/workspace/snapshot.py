"""Take an immutable view of a workspace, see whether it still holds, and write it out as a throw-away copy.

Invariant: nothing here writes below the snapshot's root; equal content gives an equal revision.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.workspace.scan import directory_links, generated_files, scan

BLOCK = 1 << 20
BATCH = 256
"""Files hashed between two looks at the cancel token: about 10 ms of work."""


def take_snapshot(
    root: Path, overlays: Mapping[RepoPath, str] | None = None, cancel: CancelToken | None = None
) -> Snapshot:
    """Hash every non-ignored file below `root`, unsaved buffers before the disk.

    Files that vanish or cannot be read while this runs are left out.

    Raises:
        BadInput: an overlay's path leaves the root.
        Cancelled: the token was cancelled.
    """
    cancel = cancel or CancelToken()
    root = root.resolve()
    buffers = {path: text.encode("utf-8", "surrogateescape") for path, text in (overlays or {}).items()}
    for path in buffers:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise BadInput(f"{path} is outside the workspace {root}", "Open the file's own folder as a workspace.")
    cancel.check()
    paths = [path for path in scan(root) if path not in buffers]
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in buffers.items()}
    with ThreadPoolExecutor(max_workers=4) as pool:  # Reading and sha256 both release the GIL.
        for start in range(0, len(paths), BATCH):
            cancel.check()
            batch = paths[start : start + BATCH]
            for path, digest in zip(batch, pool.map(partial(_hash_file, root, cancel=cancel), batch), strict=True):
                if digest is not None:
                    hashes[path] = digest
    files = dict(sorted(hashes.items()))
    return Snapshot(root=root, revision=_revision(files), files=files, overlays=buffers)


def check_fresh(snapshot: Snapshot, paths: Iterable[RepoPath]) -> tuple[RepoPath, ...]:
    """Those of `paths` whose content on disk is not what the snapshot holds (unsaved buffers included)."""
    return tuple(path for path in dict.fromkeys(paths) if _hash_file(snapshot.root, path) != snapshot.files.get(path))


def write_copy(snapshot: Snapshot, destination: Path, cancel: CancelToken | None = None) -> None:
    """Write every file of the snapshot, as it reads, below `destination` (made when missing); no `.git`.

    File modes and links inside the root are kept. Ignored files that imports need (a generated
    `_version.py`, an extension module built in place) come along, since tests fail without them.
    Files that vanished since the snapshot are left out.

    Raises:
        BadInput: `destination` holds something already.
        OSError: the destination cannot be written.
        Cancelled: the token was cancelled; what was written stays.
    """
    cancel = cancel or CancelToken()
    destination.mkdir(parents=True, exist_ok=True)
    if any(destination.iterdir()):
        raise BadInput(f"{destination} is not empty", "Give a new folder for the copy.")
    extra = [path for path in generated_files(snapshot.root) if path not in snapshot.files]
    present = {*snapshot.files, *extra}
    for folder in sorted({str(PurePosixPath(path).parent) for path in present}):
        (destination / folder).mkdir(parents=True, exist_ok=True)
    for path in sorted(present):
        cancel.check()
        overlay = snapshot.overlays.get(path)
        if overlay is None:
            _copy_entry(snapshot.root, path, destination, present)
        else:
            _write_overlay(snapshot.root / path, overlay, destination / path)
    for path in directory_links(snapshot.root):
        link = destination / path
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(_relative_target(snapshot.root, path), target_is_directory=True)


def _hash_file(root: Path, path: RepoPath, cancel: CancelToken | None = None) -> str | None:
    digest = hashlib.sha256()
    try:
        with (root / path).open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                digest.update(block)
                if cancel is not None:
                    cancel.check()
    except OSError:
        return None
    return digest.hexdigest()


def _revision(files: Mapping[RepoPath, str]) -> str:
    digest = hashlib.sha256()
    for path, content in files.items():
        digest.update(os.fsencode(path) + b"\0" + content.encode("ascii") + b"\n")
    return digest.hexdigest()


def _copy_entry(root: Path, path: RepoPath, destination: Path, present: set[RepoPath]) -> None:
    source = root / path
    try:
        if source.is_symlink():
            target = os.path.relpath(source.resolve(strict=True), root)
            if RepoPath(PurePosixPath(Path(target)).as_posix()) in present:
                (destination / path).symlink_to(_relative_target(root, path))
                return
        shutil.copyfile(source, destination / path)
        shutil.copymode(source, destination / path)
    except (FileNotFoundError, IsADirectoryError):
        return


def _write_overlay(source: Path, content: bytes, target: Path) -> None:
    target.write_bytes(content)
    if source.exists():
        shutil.copymode(source, target)


def _relative_target(root: Path, path: RepoPath) -> str:
    """Where a link points, relative to its own folder, so that it stays inside the copy."""
    source = root / path
    return os.path.relpath(source.resolve(), source.parent.resolve())
