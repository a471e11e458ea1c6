"""Take an immutable view of a workspace, and see whether it still holds.

Invariant: nothing here writes below the snapshot's root; equal content gives an equal revision.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath

from patchwright_engine.control import CancelToken, Progress, ProgressSink, ignore_progress
from patchwright_engine.errors import BadInput
from patchwright_engine.types import RepoPath, Skipped, Snapshot
from patchwright_engine.workspace.scan import scan

BLOCK = 1 << 20
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""Not as text, and never waiting: a pipe may have taken a file's place."""
BATCH = 128
"""Files one thread hashes at a time: few enough to share the work evenly, enough that handing over costs nothing."""


def take_snapshot(
    root: Path,
    overlays: Mapping[RepoPath, str] | None = None,
    cancel: CancelToken | None = None,
    progress: ProgressSink = ignore_progress,
) -> Snapshot:
    """Hash every non-ignored file below `root`, unsaved buffers before the disk.

    Files that vanish while this runs are left out; those that cannot be read are named in `skipped`.

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
    listing = scan(root, cancel)
    paths = [path for path in listing.files if path not in buffers]
    skipped = [one for one in listing.skipped if one.path not in buffers]
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in buffers.items()}
    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    with ThreadPoolExecutor(max_workers=4) as pool:  # Reading and sha256 both release the GIL.
        done = 0
        for batch in pool.map(partial(_hash_files, root, cancel=cancel), batches):
            hashes.update((path, found) for path, found in batch.items() if isinstance(found, str))
            skipped += [found for found in batch.values() if isinstance(found, Skipped)]
            done += BATCH
            progress(Progress("index", f"read {min(done, len(paths))} of {len(paths)} files"))
    files = dict(sorted(hashes.items()))
    return Snapshot(root, _revision(files), files, buffers, tuple(sorted(skipped, key=lambda one: one.path)))


def check_fresh(snapshot: Snapshot, paths: Iterable[RepoPath]) -> tuple[RepoPath, ...]:
    """Those of `paths` whose content on disk is not what the snapshot holds (unsaved buffers included)."""
    held = {path: snapshot.files.get(path) for path in paths}
    return tuple(path for path, digest in held.items() if _digest(snapshot.root, path) != digest)


def _digest(root: Path, path: RepoPath) -> str | None:
    try:
        return _hash_file(root, path)
    except OSError:
        return None


def _hash_files(root: Path, paths: Iterable[RepoPath], cancel: CancelToken) -> Mapping[RepoPath, str | Skipped]:
    hashes: dict[RepoPath, str | Skipped] = {}
    for path in paths:
        try:
            hashes[path] = _hash_file(root, path, cancel)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
        except OSError as error:
            hashes[path] = Skipped(path, f"cannot be read: {error.strerror}")
    return hashes


def _hash_file(root: Path, path: RepoPath, cancel: CancelToken | None = None) -> str:
    file = os.open(f"{root}/{path}", _READ)  # no Path, no file object: they take longer than the hashing
    try:
        digest = hashlib.sha256()
        while block := os.read(file, BLOCK):
            digest.update(block)
            if cancel is not None:
                cancel.check()
        return digest.hexdigest()
    finally:
        os.close(file)


def _revision(files: Mapping[RepoPath, str]) -> str:
    digest = hashlib.sha256()
    for path, content in files.items():
        digest.update(os.fsencode(path) + b"\0" + content.encode("ascii") + b"\n")
    return digest.hexdigest()
