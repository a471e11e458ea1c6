"""Whatever a workspace holds, whatever tests do to its copy and users to their files: the copy is the snapshot's."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.verify.workspace import WorkspaceCopy
from patchwright_engine.workspace.snapshot import take_snapshot
from trees import Picture, picture

NAMES = ("a", "b", "c.py", "d e", os.fsdecode(b"\xff"))
CONTENTS = (b"", b"x", b"y", b"x\r\n", b"long" * 2000)
Place = tuple[str, ...]
Thing = tuple[str, object, int]
"""('file', content, mode), ('link', target, 0), ('folder', None, mode) or ('nothing', None, 0)."""

places = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple)
modes = st.sampled_from((0o644, 0o755, 0o600, 0o444))
files = st.tuples(st.just("file"), st.sampled_from(CONTENTS), modes)
things = st.one_of(
    files,
    files,
    st.tuples(st.just("link"), st.sampled_from(("a", "../b", "c.py", "/etc/passwd", "nowhere")), st.just(0)),
    st.tuples(st.just("folder"), st.none(), st.sampled_from((0o755, 0o700, 0o000))),
    st.tuples(st.just("nothing"), st.none(), st.just(0)),
)
edits = st.lists(st.tuples(places, things), max_size=8)
buffers = st.dictionaries(places, st.sampled_from(("", "unsaved\n", "x\r\n")), max_size=2)


def put(root: Path, place: Place, thing: Thing) -> None:
    """Make one change as a careless program would: what is in the way goes, links on the way are not followed."""
    target = root
    for name in place[:-1]:
        target = target / name
        if target.is_symlink() or target.is_file():
            target.unlink()
        target.mkdir(exist_ok=True)
        target.chmod(0o755)
    target = target / place[-1]
    kind, value, mode = thing
    if target.is_dir() and not target.is_symlink():
        if kind == "folder":
            target.chmod(mode)
            return
        target.chmod(0o755)
        shutil.rmtree(target)
    elif kind == "file" and target.is_file() and not target.is_symlink():
        assert isinstance(value, bytes)
        target.chmod(0o644)
        target.write_bytes(value)  # in place: the same inode
        target.chmod(mode)
        return
    else:
        target.unlink(missing_ok=True)
    if kind == "file":
        assert isinstance(value, bytes)
        target.write_bytes(value)
        target.chmod(mode)
    elif kind == "link":
        target.symlink_to(str(value))
    elif kind == "folder":
        target.mkdir()
        target.chmod(mode)


def open_up(root: Path) -> None:
    for folder, below, _ in os.walk(root):
        for name in below:
            if not Path(folder, name).is_symlink():
                Path(folder, name).chmod(0o755)


def torn(path: RepoPath, snapshot: Snapshot, copy: Picture) -> bool:
    """Whether disk and unsaved buffers make it a file and a folder at once; the copy then has the folder."""
    buffer = path in snapshot.overlays or any(other.startswith(f"{path}/") for other in snapshot.overlays)
    return buffer and copy[path][0] == "folder"


def readable_files(top: Path) -> dict[str, bytes]:
    return {
        path.relative_to(top).as_posix(): path.read_bytes()
        for path in (Path(folder, name) for folder, _, names in os.walk(top) for name in names)
        if path.is_file()
    }


@settings(max_examples=40, deadline=None, database=None)
@given(first=edits, unsaved=buffers, spoiled=edits, meanwhile=edits, second=edits, spoiled_again=edits)
def test_open_spoil_reset_close_and_again(
    *,
    first: list[tuple[Place, Thing]],
    unsaved: dict[Place, str],
    spoiled: list[tuple[Place, Thing]],
    meanwhile: list[tuple[Place, Thing]],
    second: list[tuple[Place, Thing]],
    spoiled_again: list[tuple[Place, Thing]],
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATCHWRIGHT_HOME", f"{folder}/home")
        root = Path(folder, "project").resolve()
        root.mkdir()
        jobs = ((first, unsaved, spoiled, meanwhile), (second, {}, spoiled_again, ()))
        for changes, open_buffers, spoiling, after in jobs:
            for place, thing in changes:
                put(root, place, thing)
            open_up(root)
            snapshot = take_snapshot(root, {RepoPath("/".join(place)): text for place, text in open_buffers.items()})
            with WorkspaceCopy(snapshot) as copy:
                before = picture(copy.path)
                files = {path: snapshot.read_bytes(path) for path in snapshot.files if not torn(path, snapshot, before)}
                assert readable_files(copy.path) == files
                for path in files:
                    if (root / path).is_file() and RepoPath(path) not in snapshot.overlays:
                        assert (copy.path / path).stat().st_mode == (root / path).stat().st_mode
                for place, thing in after:
                    put(root, place, thing)
                for place, thing in spoiling:
                    put(copy.path, place, thing)
                copy.reset()
                assert picture(copy.path) == before
                for place, thing in spoiling:  # left for the end of the job to clean up
                    put(copy.path, place, thing)
            open_up(root)
