"""Whatever happens to a workspace, the index that followed it says what a fresh one says."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from index_answers import said, said_fresh
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled
from patchwright_engine.index import Index, open_index
from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.snapshot import take_snapshot
from trees import git

PATHS = ("a.py", "pkg/__init__.py", "pkg/b.py", "pkg/c.py", "tests/test_b.py", "notes.txt", "web/page.js", "Shop.cs")
FOLDERS = ("pkg", "web", "lib")
TEXTS = (
    b"",
    b"import pkg.b\n\ndef first(value):\n    return second(value)\n",
    b"from pkg import b, c\r\nclass Thing:\r\n    '''Words.'''\r\n    def second(self): return first()\r\n",
    b"from . import b\nLIMIT = 3  # the limit\n",
    b"def broken(:\n    x = (\n",
    b"caf\xe9 = 'not utf-8'\ndef first(value): return '\xff\xfe'\n",
    b"\0binary\0",
    b"def first(value):\n" + b"    value += 1\n" * 50,
    b"\xef\xbb\xbfLIMIT = 1\rLIMIT = 2\r\n\n\rdef second(): pass",
    b"class Thing { second() { return first() } }" * 20,
)
BRANCHES = ("main", "one", "two")


class Workspace(RuleBasedStateMachine):
    """Saves, deletes, renames, links, branches, unsaved texts, cancels, closed and damaged caches, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.root = self.folder / "work"
        self.root.mkdir()
        (self.folder / "outside.py").write_text("def outside(): pass\n")
        git(self.root, "init", "--quiet", "--initial-branch", BRANCHES[0])
        git(self.root, "commit", "--quiet", "--allow-empty", "--message", "nothing")
        self.overlays: dict[RepoPath, str] = {}
        self.index = self.opened()

    def teardown(self) -> None:
        self.index.close()
        shutil.rmtree(self.folder)

    def opened(self) -> Index:
        return open_index(self.root, self.folder / "cache")

    @rule(path=st.sampled_from(PATHS), text=st.sampled_from(TEXTS))
    def save(self, path: str, text: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(exist_ok=True)
        if target.is_symlink():
            target.unlink()
        target.write_bytes(text)

    @rule(path=st.sampled_from(PATHS))
    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    @rule(source=st.sampled_from(PATHS), place=st.sampled_from(PATHS))
    def rename(self, source: str, place: str) -> None:
        if (self.root / source).exists():
            (self.root / place).parent.mkdir(exist_ok=True)
            (self.root / source).replace(self.root / place)

    @rule(source=st.sampled_from(FOLDERS), place=st.sampled_from(FOLDERS))
    def rename_folder(self, source: str, place: str) -> None:
        if (self.root / source).is_dir() and not (self.root / place).exists():
            (self.root / source).rename(self.root / place)

    @rule(path=st.sampled_from(PATHS), to=st.sampled_from((*PATHS, "nowhere.py", "../outside.py")))
    def link(self, path: str, to: str) -> None:
        place = self.root / path
        place.parent.mkdir(exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(self.root / to)

    @rule(branch=st.sampled_from(BRANCHES))
    def commit_and_switch(self, branch: str) -> None:
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--allow-empty", "--message", "all")
        exists = git(self.root, "branch", "--list", branch).strip()
        git(self.root, "switch", "--quiet", *([] if exists else ["--create"]), branch)

    @rule()
    def throw_away(self) -> None:
        git(self.root, "reset", "--quiet", "--hard")

    @rule(path=st.sampled_from(PATHS), text=st.sampled_from(TEXTS))
    def type_unsaved(self, path: str, text: bytes) -> None:
        self.overlays[RepoPath(path)] = text.decode("utf-8", "replace")

    @rule()
    def close_buffers(self) -> None:
        self.overlays.clear()

    @rule()
    def cancel(self) -> None:
        cancel = CancelToken()
        snapshot = take_snapshot(self.root, self.overlays)
        cancel.cancel()
        with suppress(Cancelled):  # With nothing to read it ends before it looks.
            self.index.refresh(snapshot, cancel)

    @rule()
    def open_again(self) -> None:
        self.index.close()
        self.index = self.opened()

    @rule(cut=st.booleans())
    def damage(self, cut: bool) -> None:
        self.index.close()
        for database in self.folder.rglob("index.sqlite*"):
            content = database.read_bytes()
            database.write_bytes(content[: len(content) // 2] if cut else b"x" * 100 + content[100:])
        self.index = self.opened()

    @invariant()
    def equals_a_fresh_one(self) -> None:
        snapshot = take_snapshot(self.root, self.overlays)
        self.index.refresh(snapshot, CancelToken())
        assert said(self.index) == said_fresh(snapshot, self.folder / "fresh")
        shutil.rmtree(self.folder / "fresh")


TestWorkspace = Workspace.TestCase
TestWorkspace.settings = settings(
    max_examples=15, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
)
