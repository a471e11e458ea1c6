"""The index as the rest of the engine sees it: open, refresh from a snapshot, ask.

Invariant: a cache is never trusted and never fatal. An old or broken database is deleted and rebuilt, one
that cannot be written is replaced by one in memory, and the report says so.
"""

import hashlib
import json
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from patchwright_engine.config import folders
from patchwright_engine.control import CancelToken, ProgressSink, ignore_progress
from patchwright_engine.index.graph import ModuleMap
from patchwright_engine.index.import_graph import ImportGraph, read_imports
from patchwright_engine.index.lexical_search import LexicalScores, LexicalSearch, UnitTable
from patchwright_engine.index.opening import open_store, replace_store
from patchwright_engine.index.refresh import IndexReport, bring
from patchwright_engine.index.shown import Shown
from patchwright_engine.index.store import Store
from patchwright_engine.index.used_names import UsedNames
from patchwright_engine.syntax.parse import Import
from patchwright_engine.types import RepoPath, Snapshot, Symbol

Value = TypeVar("Value")
TOP_UNITS = 2_000
BATCH = 250
"""Names asked for at a time: three spellings each, of which old SQLite takes 999."""


def open_index(root: Path, cache_dir: Path | None = None) -> "Index":
    """The index of a workspace. Its database lies below `cache_dir` (default: the user's cache folder).

    Nothing is read from the workspace before `refresh`. Close it after use; it is a context manager too.
    """
    name = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    base = cache_dir if cache_dir is not None else folders().cache / "index"
    return Index(base / name / "index.sqlite")


class Index:
    """What the workspace's source files define, use and say. Values are about the snapshot last refreshed from."""

    def __init__(self, location: Path) -> None:
        self._notes: list[str] = []
        self._lock = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._view = Shown({})
        self._lexical = LexicalSearch()
        self._imports = ImportGraph()
        self._used = UsedNames()
        self._store = open_store(location, self._notes)

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the database; the cache stays for next time."""
        with self._lock:
            self._store.close()

    def refresh(self, snapshot: Snapshot, cancel: CancelToken, progress: ProgressSink | None = None) -> IndexReport:
        """Bring the index to `snapshot`, parsing only contents it has not seen.

        Raises:
            Cancelled: the token was cancelled; what was parsed so far is kept.
        """
        started = time.perf_counter()
        with self._lock:
            report = self._mending(lambda: self._refresh(snapshot, cancel, progress or ignore_progress), asking=False)
        return replace(report, seconds=time.perf_counter() - started, notes=tuple(self._notes))

    def files(self) -> tuple[RepoPath, ...]:
        """All indexed files, sorted."""
        return self._view.files

    def of_files(self, make: Callable[[tuple[RepoPath, ...]], Value]) -> Value:
        """`make(index.files())`, made once for as long as the set of files stays the same.

        For what depends on paths alone: `index.of_files(PathWords)`. `make` itself is the key, so it must not be a
        lambda or another function made anew each time.
        """
        with self._lock:
            made = self._view.made
            if make not in made:
                made[make] = make(self._view.files)
            return cast("Value", made[make])

    def symbols(self, path: RepoPath) -> tuple[Symbol, ...]:
        """The symbols of one file in source order; empty for an unknown file."""
        with self._lock:
            known = self._view.symbols
            if path not in known:
                found = self._symbols("WHERE path = ? ORDER BY position", (path,))
                self._view.symbols[path] = found  # Of the view that answered: a broken store brings a new one.
            return self._view.symbols[path]

    def find_symbols(self, name: str) -> tuple[Symbol, ...]:
        """Symbols called `name`, by last component ('parse') or by the end of the qualified name ('Parser.parse').

        A last component may lack its '?' or '!', as it does in text about Ruby.
        """
        return self.find_all_symbols((name,))[name]

    def find_all_symbols(self, names: Collection[str]) -> dict[str, tuple[Symbol, ...]]:
        """What `find_symbols` says of each of `names`, at a fraction of the cost of asking one by one."""
        found: dict[str, tuple[Symbol, ...]] = {}
        wanted = list(dict.fromkeys(names))
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            endings = {f"{name.rpartition('.')[2]}{end}" for name in batch for end in ("", "?", "!")}
            by_last: defaultdict[str, list[tuple[int, Symbol]]] = defaultdict(list)
            marks = ",".join("?" * len(endings))
            rows = self._symbols(f"WHERE last IN ({marks}) ORDER BY path, position", list(endings))
            for order, symbol in enumerate(rows):
                by_last[symbol.name.rpartition(".")[2]].append((order, symbol))
            found.update((name, _called(name, by_last)) for name in batch)
        return found

    def imports(self, path: RepoPath) -> tuple[Import, ...]:
        """The imports of one file as written."""
        rows = self._rows("SELECT imports FROM current JOIN parsed ON parsed.id = file WHERE path = ?", (path,))
        return read_imports(rows[0][0]) if rows else ()

    def imported_files(self, path: RepoPath) -> tuple[RepoPath, ...]:
        """Files of the workspace that `path` imports."""
        return self._ask(lambda store: self._graph().imported(store, path))

    def importers(self, path: RepoPath) -> tuple[RepoPath, ...]:
        """Files of the workspace that import `path`, sorted."""
        return self._ask(lambda store: self._graph().importers(store, path))

    def references(self, name: str) -> tuple[tuple[RepoPath, int], ...]:
        """Places (file, 1-based line) that use something called `name`, by last component."""
        last = name.rpartition(".")[2]
        return tuple((path, line) for path in self.users(last) for line in self.names_used(path).get(last, ()))

    def users(self, name: str) -> tuple[RepoPath, ...]:
        """Files that use something called `name`, by last component, sorted."""
        last = name.rpartition(".")[2]

        def ask(store: Store) -> tuple[RepoPath, ...]:
            paths = self._view.paths
            self._used.update(store, paths)
            return tuple(sorted(path for file in self._used.users(last) for path in paths.get(file, ())))

        return self._ask(ask)

    def names_used(self, path: RepoPath) -> dict[str, tuple[int, ...]]:
        """Every name that a file uses (last components), with the lines."""
        rows = self._rows("SELECT refs FROM current JOIN parsed ON parsed.id = file WHERE path = ?", (path,))
        return {name: tuple(lines) for name, lines in json.loads(rows[0][0]).items()} if rows else {}

    def modules(self) -> ModuleMap:
        """Module names of the files in view."""
        return self.of_files(ModuleMap)

    def search(self, query: Mapping[str, float]) -> LexicalScores:
        """Score every file, and the functions and classes that fit best, by the terms of `query` with their weights."""
        return self.search_many((query,))[0]

    def search_many(
        self,
        queries: Sequence[Mapping[str, float]],
        among: Collection[RepoPath] | None = None,
        top_units: int = TOP_UNITS,
    ) -> tuple[LexicalScores, ...]:
        """The same for several queries, which costs little more than one with all their terms.

        `among` names the files whose functions and classes are told, `top_units` says how many of them for each query,
        which is most of what a search costs; all files are scored.
        """
        return self._ask(lambda store: self._lexical.search(store, self._view, queries, among, top_units))

    def unit_terms(self, terms: Sequence[str], of: Collection[RepoPath]) -> UnitTable:
        """How often the functions and classes of the files `of` say each of `terms`; of equal files, the first."""
        return self._ask(lambda store: self._lexical.unit_terms(store, self._view, terms, of))

    def _refresh(self, snapshot: Snapshot, cancel: CancelToken, progress: ProgressSink) -> IndexReport:
        self._view, report = bring(self._store, snapshot, self._view, cancel, progress)
        self._snapshot = snapshot
        return report

    def _graph(self) -> ImportGraph:
        self._imports.show(self._view.shown, self.modules())
        return self._imports

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._ask(lambda store: store.rows(sql, values))

    def _ask(self, ask: Callable[[Store], Value]) -> Value:
        """The answer of `ask`; where the store turns out to be broken, that of a new one."""
        with self._lock:
            return self._mending(lambda: ask(self._store))

    def _symbols(self, condition: str, values: Sequence[object]) -> tuple[Symbol, ...]:
        rows = self._rows(
            "SELECT path, name, kind, start_line, end_line, signature"
            f" FROM current JOIN symbol ON symbol.file = current.file {condition}",
            values,
        )
        return tuple(Symbol(*row) for row in rows)

    def _mending(self, work: Callable[[], Value], *, asking: bool = True) -> Value:
        """Do `work`; a database that fails is replaced, for a question with its view, and the work done again."""
        attempt = 0
        while True:
            try:
                if attempt and asking and self._snapshot is not None:
                    self._refresh(self._snapshot, CancelToken(), ignore_progress)
                return work()
            except sqlite3.Error as error:
                attempt += 1
                if attempt == 3:
                    raise
                self._recover(error, rebuild=attempt == 1)

    def _recover(self, error: sqlite3.Error, *, rebuild: bool) -> None:
        """Replace a database that failed while in use: rebuilt when broken, else one in memory."""
        self._view, self._lexical = Shown({}), LexicalSearch()  # They know contents by rows that are gone.
        self._imports, self._used = ImportGraph(), UsedNames()
        self._store = replace_store(self._store, error, self._notes, rebuild=rebuild)


def _called(name: str, by_last: Mapping[str, Sequence[tuple[int, Symbol]]]) -> tuple[Symbol, ...]:
    """Those of the symbols, given by last component with their order, that `name` means."""
    last = name.rpartition(".")[2]
    found = sorted((item for end in ("", "?", "!") for item in by_last.get(last + end, ())), key=lambda item: item[0])
    if last == name:
        return tuple(symbol for _, symbol in found)
    return tuple(symbol for _, symbol in found if f".{symbol.name}".rstrip("?!").endswith(f".{name}".rstrip("?!")))
