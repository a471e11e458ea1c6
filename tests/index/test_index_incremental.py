"""Whatever happens to a workspace, the index that followed it says what a fresh one says."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from patchwright_engine.control import CancelToken
from patchwright_engine.index import Index, open_index
from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.snapshot import take_snapshot

PATHS = ("a.py", "pkg/__init__.py", "pkg/b.py", "pkg/c.py", "tests/test_b.py", "notes.txt", "web/page.js")
TEXTS = (
    b"",
    b"import pkg.b\n\ndef first(value):\n    return second(value)\n",
    b"from pkg import b, c\r\nclass Thing:\r\n    '''Words.'''\r\n    def second(self): return first()\r\n",
    b"from . import b\nLIMIT = 3  # the limit\n",
    b"def broken(:\n    x = (\n",
    b"caf\xe9 = 'not utf-8'\n",
    b"\0binary\0",
    b"def first(value):\n" + b"    value += 1\n" * 50,
)
NAMES = ("first", "second", "Thing", "Thing.second", "LIMIT", "broken")
QUERY = {"first": 2.0, "thing": 1.0, "limit": 1.0, "word": 1.0, "value": 0.5}


def said(index: Index) -> dict[str, Any]:
    """Everything an index answers."""
    files = index.files()
    scores = index.search(QUERY)
    return {
        "files": files,
        "symbols": {path: index.symbols(path) for path in files},
        "imports": {path: index.imported_files(path) for path in files},
        "importers": {path: index.importers(path) for path in files},
        "used": {path: index.names_used(path) for path in files},
        "named": {name: index.find_symbols(name) for name in NAMES},
        "references": {name: index.references(name) for name in NAMES},
        "scores": {path: round(score, 9) for path, score in scores.files.items()},
        "units": {symbol: round(score, 9) for symbol, score in scores.symbols.items()},
        "outside": {path: round(score, 9) for path, score in scores.outside.items()},
    }


class Workspace(RuleBasedStateMachine):
    """Saves, deletes, renames, unsaved texts, closed and damaged caches, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.root = self.folder / "work"
        self.root.mkdir()
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
        target.write_bytes(text)

    @rule(path=st.sampled_from(PATHS))
    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    @rule(source=st.sampled_from(PATHS), place=st.sampled_from(PATHS))
    def rename(self, source: str, place: str) -> None:
        if (self.root / source).exists():
            (self.root / place).parent.mkdir(exist_ok=True)
            (self.root / source).replace(self.root / place)

    @rule(path=st.sampled_from(PATHS), text=st.sampled_from(TEXTS))
    def type_unsaved(self, path: str, text: bytes) -> None:
        self.overlays[RepoPath(path)] = text.decode("utf-8", "replace")

    @rule()
    def close_buffers(self) -> None:
        self.overlays.clear()

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
        with open_index(self.root, self.folder / "fresh") as fresh:
            fresh.refresh(snapshot, CancelToken())
            assert said(self.index) == said(fresh)
        shutil.rmtree(self.folder / "fresh")


TestWorkspace = Workspace.TestCase
TestWorkspace.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
