"""What a throw-away copy of a snapshot holds: each file with content and mode, each link, each folder.

Invariant: an ignored file is in it only when imports may need it (`generated_files`); no link points out of the root.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from patchwright_engine.control import CancelToken
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.workspace.scan import directory_links, generated_files

FILE_MODE = 0o644
"""Of a file that is only an unsaved buffer, or vanished from the disk."""
FOLDER_MODE = 0o755
BLOCK = 1 << 20


class Entry(NamedTuple):
    """One thing in a copy. Equal entries are the same file, link or folder to any program that reads it."""

    kind: Literal["file", "link", "folder"]
    content: str
    """sha256 of a file's bytes; where a link points, relative to its own folder; '' for a folder."""
    mode: int
    """Permission bits; 0 for a link."""


FOLDER = Entry("folder", "", FOLDER_MODE)


def list_contents(snapshot: Snapshot, cancel: CancelToken | None = None) -> dict[str, Entry]:
    """Every entry a copy of `snapshot` should hold, by path, folders included; the disk tells modes and links.

    What vanished from the disk since the snapshot is listed all the same: its content may still be had elsewhere.
    Where a file and a folder claim one path (an unsaved buffer inside what is a file on disk), the folder wins.

    Raises:
        Cancelled: the token was cancelled.
    """
    cancel = cancel or CancelToken()
    root = snapshot.root
    with ThreadPoolExecutor(max_workers=2) as pool:  # Two git processes, while this one looks at every file.
        generated = pool.submit(_hash_generated, snapshot, cancel)
        folder_links = pool.submit(directory_links, root, snapshot.files)
        entries = {}
        links: list[RepoPath] = []
        for path in snapshot.files:
            cancel.check()
            mode = _lstat_mode(f"{root}/{path}")
            if mode is not None and stat.S_ISLNK(mode) and path not in snapshot.overlays:
                links.append(path)
            else:
                entries[str(path)] = Entry("file", snapshot.files[path], _permissions(root, path, mode))
        entries.update(generated.result())
        present = {*entries, *links}
        for path in links:
            entries[path] = _link_entry(root, path, present) or Entry(
                "file", snapshot.files[path], _permissions(root, path, stat.S_IFLNK)
            )
        for path in folder_links.result():
            if path not in entries:
                entries[path] = Entry("link", _relative_target(root, path), 0)
    entries.update(dict.fromkeys(_folders_above(entries), FOLDER))
    return entries


def _hash_generated(snapshot: Snapshot, cancel: CancelToken) -> Mapping[str, Entry]:
    entries: dict[str, Entry] = {}
    for path in generated_files(snapshot.root).files:
        mode = _lstat_mode(f"{snapshot.root}/{path}")
        if path in snapshot.files or mode is None or not stat.S_ISREG(mode):
            continue
        digest = hashlib.sha256()
        try:
            with (snapshot.root / path).open("rb", buffering=0) as file:
                while block := file.read(BLOCK):
                    cancel.check()
                    digest.update(block)
        except OSError:
            continue
        entries[path] = Entry("file", digest.hexdigest(), stat.S_IMODE(mode))
    return entries


def _lstat_mode(path: str) -> int | None:
    try:
        return os.lstat(path).st_mode
    except OSError:
        return None


def _permissions(root: Path, path: RepoPath, mode: int | None) -> int:
    """Permission bits of a regular file, or of the one a link leads to."""
    if mode is not None and stat.S_ISLNK(mode):
        try:
            mode = (root / path).stat().st_mode
        except OSError:
            mode = None
    return stat.S_IMODE(mode) if mode is not None and stat.S_ISREG(mode) else FILE_MODE


def _link_entry(root: Path, path: RepoPath, present: set[str]) -> Entry | None:
    """A link to a file that the copy holds; None when its content must be copied, or it leads nowhere any more."""
    try:
        target = (root / path).resolve(strict=True).relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):
        return None
    return Entry("link", _relative_target(root, path), 0) if target.as_posix() in present else None


def _relative_target(root: Path, path: RepoPath) -> str:
    """Where a link points, relative to its own folder, so that it stays inside the copy."""
    source = root / path
    return os.path.relpath(source.resolve(), source.parent.resolve())


def _folders_above(paths: Iterable[str]) -> set[str]:
    folders: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders
