"""A throw-away copy of the workspace that patches and tests may spoil, and that returns to the snapshot on demand.

Invariant: nothing here writes below the user's root; after `reset` the copy holds exactly what it held at first,
whatever tests did to it and whatever the user did to their files meanwhile.

Plain files, not an overlay mount: that is seen only inside a namespace of its own, not by this process, which applies
patches, nor at the Landlock level. And no hard links, through which a test would write into what the next run starts
from. What makes it quick is that a copy is kept (`kept`) and that stamps tell what nobody touched (`stamps`).
"""

import stat
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from patchwright_engine.config import copies_folder
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled, EnvironmentProblem, StaleSnapshot
from patchwright_engine.room import lacks_room, no_room, saying_no_room, temporary_folder
from patchwright_engine.types import Patch, RepoPath, Snapshot
from patchwright_engine.verify.contents_store import ContentsStore
from patchwright_engine.verify.fill import Filler
from patchwright_engine.verify.kept import (
    CONTENTS,
    WORK,
    Bounds,
    Held,
    Place,
    adopt,
    empty,
    in_memory,
    keep,
    proof,
    prune,
    put_aside,
    sweep,
    take_place,
)
from patchwright_engine.verify.orphans import PREFIX, claim, delete, remove_orphans
from patchwright_engine.verify.stamps import Stamp, is_folder, scan_stamps, stamp_of, time_of, wait_for_next_tick
from patchwright_engine.workspace.contents import FILE_MODE, FOLDER_MODE, Entry, list_contents

BOUNDS = Bounds()


def prepare_copy(snapshot: Snapshot, cancel: CancelToken, bounds: Bounds = BOUNDS) -> None:
    """Make the copy that the next `WorkspaceCopy` of this workspace finds, now that there is time.

    Raises: as `WorkspaceCopy`.
    """
    with suppress(FileNotFoundError):
        if bounds.bytes > 0 and not in_memory(copies_folder()):
            with WorkspaceCopy(snapshot, cancel=cancel, bounds=bounds):
                pass


class WorkspaceCopy:
    """Owns one copy; a context manager. Not thread-safe: one run at a time.

    Several may be open for one snapshot, in one process or in many; each is a folder of its own.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        parent: Path | None = None,
        cancel: CancelToken | None = None,
        bounds: Bounds = BOUNDS,
    ) -> None:
        """With `parent` None the copy is made in `copies_folder()` and kept there, within `bounds`, for the next job of
        this workspace, which then writes only what differs; where that cannot be, it is one for this job alone, in
        the system's temporary folder. With a `parent` it is made there and deleted in the end.

        Raises:
            EnvironmentProblem: there is no room for it, or nothing may be written there.
            Cancelled: while it was made; what there is of one to be kept goes with the next, so as not to take time.
        """
        cancel = cancel or CancelToken()
        self._snapshot = snapshot
        self._bounds = bounds
        self._copies: Path | None = None
        self._place: Place | None = None
        self._store: ContentsStore | None = None
        self._held: Held = {}
        self._first: Mapping[str, Entry] = {}
        self._touched: set[str] = set()
        self._whole = False
        self.path = Path()
        """Root of the copy, absolute."""
        try:
            with ThreadPoolExecutor(max_workers=1) as pool:  # While git lists the workspace, look at the last copy.
                listing = pool.submit(list_contents, snapshot, cancel)
                now = self._open_kept() if parent is None and bounds.bytes > 0 else None
                wanted = listing.result()
            made = self._made(wanted, now, cancel) if now is not None else None
            self._first = self._made_privately(wanted, parent, cancel) if made is None else made
        except Cancelled:
            self._abandon()
            raise
        except BaseException as error:
            self._discard()
            self._remove_empty()
            if isinstance(error, OSError):
                raise self._no_room(error, parent) from error
            raise
        self._whole = True
        expected = snapshot.files
        self.changed: tuple[RepoPath, ...] = tuple(
            path
            for path in expected
            if wanted[path].kind == "file" and (path not in self._first or self._first[path].content != expected[path])
        )
        """Files that the user changed or deleted between the snapshot and this copy; it has them as they were then."""

    @property
    def contents(self) -> Mapping[str, Entry]:
        """What `reset` brings back, by path."""
        return self._first

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the copy up: it is cleaned and kept, or deleted. Repeated calls do nothing."""
        place = self._place
        if place is None:
            return
        kept = False
        if place.kept and self._whole:
            with suppress(OSError, EnvironmentProblem):
                self.reset()
                assert self._store is not None
                self._store.close()
                digests = [entry.content for entry in self._first.values() if entry.kind == "file"]
                spans, bounds = self._store.spans, self._bounds
                kept = keep(place, self._snapshot.root, self._held, digests=digests, spans=spans, bounds=bounds)
        if kept:
            sweep(place.folder)
            self._release()
        else:
            self._discard()
        if self._copies is not None:
            with suppress(OSError):
                prune(self._copies, self._bounds)

    def apply(self, patch: Patch) -> None:
        """Write the patch's new texts.

        Raises:
            StaleSnapshot: an edited file does not hold what the patch was made against.
            EnvironmentProblem: the disk is full.
        """
        for edit in patch.edits:
            target = self.path / edit.path
            before = target.read_bytes() if target.is_file() else b""
            if before != edit.before.encode("utf-8", "surrogateescape"):
                raise StaleSnapshot(f"{edit.path} is not what the patch was made against", "Run the job again.")
        for edit in patch.edits:
            self.write(edit.path, edit.after)

    def write(self, path: RepoPath, text: str) -> None:
        """Write one file of the copy, UTF-8, line ends as given. A link is replaced, never followed.

        Raises:
            EnvironmentProblem: the disk is full.
        """
        target = self.path / path
        self._touched.add(path)
        with saying_no_room(self.path, f"cannot write {path} in the throw-away copy"):
            target.parent.mkdir(parents=True, exist_ok=True)
            mode = FILE_MODE
            with suppress(FileNotFoundError):
                info = target.lstat()
                mode = stat.S_IMODE(info.st_mode) if stat.S_ISREG(info.st_mode) else FILE_MODE
                target.unlink()  # Written anew even so: it may be a link, or read-only.
            target.write_bytes(text.encode("utf-8", "surrogateescape"))
            target.chmod(mode)

    def reset(self) -> None:
        """Undo whatever patches and runs did: changed and deleted files come back, new ones go.

        Raises:
            EnvironmentProblem: the disk does not take it, or a file cannot be had again.
        """
        try:
            try:
                self._bring(self._first, scan_stamps(self.path))
            except OSError:  # A tree too deep to walk, say: start over beside it.
                self._start_over()
                self._bring(self._first, {})
        except OSError as error:
            self._whole = False
            raise self._no_room(error, self.path.parent) from error
        lost = self._first.keys() - self._held.keys()
        if lost:
            self._whole = False
            raise EnvironmentProblem(
                f"the copy of the project lost {sorted(lost)[0]}, and what was stored of it is damaged",
                "Check the disk, and run the job again.",
            )

    def _open_kept(self) -> Mapping[str, Stamp] | None:
        """Take a place for a kept copy and see what is in it; None without one."""
        self._copies = copies_folder()
        place = take_place(self._copies, self._snapshot.root, self._bounds)
        if place is None:
            return None
        self._settle_in(place)
        try:
            found = adopt(place, self._snapshot.root)
            if found is not None:
                self._held, spans = found
                self._store = ContentsStore(place.folder / CONTENTS, spans)
                return scan_stamps(self.path)
        except OSError:
            pass
        self._held = {}
        return {}

    def _made(
        self, wanted: Mapping[str, Entry], now: Mapping[str, Stamp], cancel: CancelToken
    ) -> Mapping[str, Entry] | None:
        """Bring the kept place to what is wanted; None, and nothing left of it, when the disk does not take it."""
        assert self._place is not None
        try:
            if not now:
                self._start_empty()
            return self._bring(wanted, now, cancel)
        except OSError as error:
            self._discard()
            if lacks_room(error) and self._copies is not None:
                prune(self._copies, Bounds(bytes=0))
            return None

    def _made_privately(
        self, wanted: Mapping[str, Entry], parent: Path | None, cancel: CancelToken
    ) -> Mapping[str, Entry]:
        parent = parent or temporary_folder()
        remove_orphans(parent)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
        self._folder_made(folder)
        self._start_empty()
        return self._bring(wanted, {}, cancel)

    def _folder_made(self, folder: Path) -> None:
        """Own a fresh folder, or delete it when it cannot even be marked as in use."""
        try:
            self._settle_in(Place(folder, claim(folder), kept=False))
        except OSError:
            delete(folder)
            raise

    def _no_room(self, error: OSError, folder: Path | None) -> EnvironmentProblem:
        """What to tell: the files are there twice, as the copy and as what `reset` brings back."""
        if folder is None:
            with suppress(OSError):
                folder = temporary_folder()
        return no_room(error, folder, lambda: 2 * _size_of(self._snapshot))

    def _settle_in(self, place: Place) -> None:
        self._place = place
        self.path = place.folder / WORK / (self._snapshot.root.name or "workspace")

    def _start_empty(self) -> None:
        assert self._place is not None
        if self._store is not None:
            self._store.close()
        put_aside(self._place.folder)
        self.path.mkdir(parents=True)
        self._store = ContentsStore(self._place.folder / CONTENTS)
        self._held = {}

    def _start_over(self) -> None:
        """Put a copy that cannot be repaired out of the way, and an empty folder in its place."""
        assert self._place is not None
        put_aside(self._place.folder, (WORK,))
        self.path.mkdir(parents=True)
        self._held = {}

    def _bring(
        self, wanted: Mapping[str, Entry], now: Mapping[str, Stamp], cancel: CancelToken | None = None
    ) -> Mapping[str, Entry]:
        """Change what is there `now` into what is wanted, and say what it has become.

        Entries whose stamps prove them right are not touched.

        With `cancel` this is the first time, and files are taken as the disk has them now; later they are not.

        Raises:
            OSError: the disk does not take it.
            Cancelled: the token was cancelled.
        """
        assert self._place is not None
        assert self._store is not None
        top, held, touched = self.path, self._held, self._touched
        right = {
            path
            for path, entry in wanted.items()
            if path in now and held.get(path) == proof(entry, now[path]) and path not in touched
        }
        top.chmod(FOLDER_MODE)
        self._held = {}  # An error half-way leaves nothing to be believed.
        todo = {path: entry for path, entry in wanted.items() if path not in right}
        for path in sorted(now.keys() - right, reverse=True):  # what lies in a folder before the folder
            stays = path in todo and todo[path].kind == "folder" and is_folder(now[path])
            if not stays:
                delete(top / path)
        fresh: dict[str, tuple[Entry, Stamp]] = {}
        for path, entry in sorted(todo.items()):
            if entry.kind == "folder":
                (top / path).mkdir(exist_ok=True)
                (top / path).chmod(entry.mode)
            elif entry.kind == "link":
                (top / path).symlink_to(entry.content)
            else:
                continue
            fresh[path] = (entry, stamp_of((top / path).lstat()))
        files = {path: entry for path, entry in todo.items() if entry.kind == "file"}
        filler = Filler(self._snapshot, top, self._store, cancel or CancelToken())
        fresh.update(filler.write_files(files, exactly=cancel is None))
        changed = [time_of(stamp) for _, stamp in fresh.values() if not is_folder(stamp)]
        certain = not changed or wait_for_next_tick(self._place.folder / "clock", max(changed))
        proofs = {path: held[path] for path in right}
        proofs.update((path, proof(entry, stamp) if certain else "") for path, (entry, stamp) in fresh.items())
        self._held, self._touched = proofs, set()
        return {path: wanted[path] for path in right} | {path: entry for path, (entry, _) in fresh.items()}

    def _discard(self) -> None:
        if self._place is not None:
            folder, kept = self._place.folder, self._place.kept
            with suppress(OSError):
                if kept:
                    empty(folder)
                else:
                    delete(folder)
        self._release()

    def _remove_empty(self) -> None:
        """Leave nothing where nothing could be kept; folders that others use are not empty."""
        if self._copies is not None:
            with suppress(OSError):
                prune(self._copies, self._bounds)
                self._copies.rmdir()

    def _abandon(self) -> None:
        """As `_discard`, but what without a manifest goes with the next copy anyway may stay until then."""
        if self._place is not None and self._place.kept:
            self._release()
        self._discard()

    def _release(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._place is not None:
            self._place.release()
            self._place = None


def _size_of(snapshot: Snapshot) -> int:
    """Bytes of the snapshot's files as the disk has them now."""
    total = 0
    for path in snapshot.files:
        with suppress(OSError):
            total += (snapshot.root / path).stat().st_size
    return total
