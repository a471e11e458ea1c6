"""A throw-away copy of the workspace that patches and tests may spoil, and that returns to the snapshot on demand.

Invariant: nothing here writes below the user's root; after `reset` the copy holds exactly what it held at first.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import EnvironmentProblem, StaleSnapshot
from patchwright_engine.types import Patch, RepoPath, Snapshot
from patchwright_engine.verify.orphans import PREFIX, claim, delete, make_removable, remove_orphans
from patchwright_engine.workspace.snapshot import write_copy


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What betrays a change. The change time counts, because a program can set the modification time back."""

    inode: int
    size: int
    changed: int


def no_room(error: OSError) -> EnvironmentProblem:
    """What to tell when a throw-away folder cannot be made."""
    return EnvironmentProblem(
        f"cannot make a throw-away copy of the project: {error.strerror or error}",
        "Free disk space, or set TMPDIR to a folder you can write to.",
    )


class WorkspaceCopy:
    """Owns one copy; a context manager. Not thread-safe: one run at a time."""

    def __init__(self, snapshot: Snapshot, parent: Path | None = None, cancel: CancelToken | None = None) -> None:
        """`parent` is where the copy is made; None means the system's temporary folder.

        Raises:
            EnvironmentProblem: there is no room for it, or nothing may be written there.
            Cancelled: while it was made; nothing is left of it.
        """
        cancel = cancel or CancelToken()
        self._snapshot = snapshot
        self._owner: int | None = None
        try:
            remove_orphans(parent or Path(tempfile.gettempdir()))
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
        except OSError as error:
            raise no_room(error) from error
        self.path = self._folder / "work" / (snapshot.root.name or "workspace")
        """Root of the copy, absolute."""
        self._pristine = self._folder / "pristine"

        def copy(source: str, target: str) -> str:
            cancel.check()
            return shutil.copy2(source, target, follow_symlinks=False)

        try:
            self._owner = claim(self._folder)
            write_copy(snapshot, self.path, cancel)
            shutil.copytree(self.path, self._pristine, symlinks=True, copy_function=copy)
            self._stamps = self._scan()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise no_room(error) from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete the copy. Repeated calls do nothing."""
        if self._folder.exists():
            delete(self._folder)
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None

    def apply(self, patch: Patch) -> None:
        """Write the patch's new texts.

        Raises:
            StaleSnapshot: an edited file does not hold what the patch was made against.
        """
        for edit in patch.edits:
            target = self.path / edit.path
            before = target.read_bytes() if target.is_file() else b""
            if before != edit.before.encode("utf-8", "surrogateescape"):
                raise StaleSnapshot(f"{edit.path} is not what the patch was made against", "Run the job again.")
        for edit in patch.edits:
            self.write(edit.path, edit.after)

    def write(self, path: RepoPath, text: str) -> None:
        """Write one file of the copy, UTF-8, line ends as given. A link is replaced, never followed."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            target.unlink()
        target.write_bytes(text.encode("utf-8", "surrogateescape"))

    def reset(self) -> None:
        """Undo whatever patches and runs did: changed and deleted files come back, new ones go."""
        make_removable(self.path)
        now = self._scan()
        for path in sorted(now.keys() - self._stamps.keys(), reverse=True):
            _remove(self.path / path)
        for path, stamp in sorted(self._stamps.items()):
            if now.get(path) != stamp:
                self._restore(path)
        self._stamps = self._scan()

    def _restore(self, path: str) -> None:
        source, target = self._pristine / path, self.path / path
        if source.is_dir() and not source.is_symlink():
            if target.is_symlink() or not target.is_dir():
                _remove(target)
                target.mkdir(parents=True)
            shutil.copymode(source, target)
            return
        _remove(target)
        shutil.copy2(source, target, follow_symlinks=False)

    def _scan(self) -> dict[str, _Stamp]:
        """Every entry below the copy. Folders count by their existence alone: their stamps move with their content."""
        stamps: dict[str, _Stamp] = {}
        pending = [""]
        while pending:
            folder = pending.pop()
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        stamps[path] = _Stamp(0, 0, 0)
                        pending.append(path)
                    else:
                        info = entry.stat(follow_symlinks=False)
                        stamps[path] = _Stamp(info.st_ino, info.st_size, info.st_ctime_ns)
        return stamps


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
