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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from patchwright_engine.config import folders
from patchwright_engine.control import CancelToken, Progress, ProgressSink, ignore_progress
from patchwright_engine.index.build import make_records
from patchwright_engine.index.graph import ModuleMap
from patchwright_engine.index.lease import delete_database
from patchwright_engine.index.records import Record, SourceFile
from patchwright_engine.index.store import Store
from patchwright_engine.syntax.languages import language_of
from patchwright_engine.syntax.parse import Import
from patchwright_engine.types import RepoPath, Skipped, Snapshot, Symbol

if TYPE_CHECKING:
    from patchwright_engine.index.postings import Postings

Answer = TypeVar("Answer")
BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA, None})
"""Codes that a new database cures; a locked, full or read-only one is left alone (None: our own version check)."""


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What one refresh did."""

    files: int
    """Source files now in the index."""
    symbols: int
    bytes: int
    """Size of those files together."""
    seconds: float
    cache_hits: int
    """Files whose content was known already."""
    skipped: int
    """Source files left out."""
    skipped_files: tuple[Skipped, ...] = ()
    """The same by name, with the reason of each."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LexicalScores:
    """BM25 of what shares a term with a query, unnormalised."""

    files: Mapping[RepoPath, float]
    symbols: Mapping[Symbol, float]
    """Functions, and classes by what is in none of their methods."""
    outside: Mapping[RepoPath, float]
    """What a file says outside its functions and classes."""


def open_index(root: Path, cache_dir: Path | None = None) -> "Index":
    """The index of a workspace. Its database lies below `cache_dir` (default: the user's cache folder).

    Nothing is read from the workspace before `refresh`. Close it after use; it is a context manager too.
    """
    name = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    base = cache_dir if cache_dir is not None else folders().cache / "index"
    return Index(base / name / "index.sqlite")


class Index:
    """What the workspace's source files define, use and say. Answers are about the snapshot last refreshed from."""

    def __init__(self, location: Path) -> None:
        self._notes: list[str] = []
        self._lock = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._modules: ModuleMap | None = None
        self._importers: dict[RepoPath, tuple[RepoPath, ...]] | None = None
        self._postings: Postings | None = None
        self._store = self._open(location)

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
        return IndexReport(
            files=report.files,
            symbols=report.symbols,
            bytes=report.bytes,
            seconds=time.perf_counter() - started,
            cache_hits=report.cache_hits,
            skipped=report.skipped,
            skipped_files=report.skipped_files,
            notes=tuple(self._notes),
        )

    def files(self) -> tuple[RepoPath, ...]:
        """All indexed files, sorted."""
        return tuple(path for (path,) in self._rows("SELECT path FROM current ORDER BY path"))

    def symbols(self, path: RepoPath) -> tuple[Symbol, ...]:
        """The symbols of one file in source order; empty for an unknown file."""
        return self._symbols("WHERE path = ? ORDER BY position", (path,))

    def find_symbols(self, name: str) -> tuple[Symbol, ...]:
        """Symbols called `name`, by last component ('parse') or by the end of the qualified name ('Parser.parse').

        A last component may lack its '?' or '!', as it does in text about Ruby.
        """
        last = name.rpartition(".")[2]
        found = self._symbols("WHERE last IN (?, ?, ?) ORDER BY path, position", (last, f"{last}?", f"{last}!"))
        if last == name:
            return found
        return tuple(symbol for symbol in found if f".{symbol.name}".rstrip("?!").endswith(f".{name}".rstrip("?!")))

    def imports(self, path: RepoPath) -> tuple[Import, ...]:
        """The imports of one file as written."""
        rows = self._rows("SELECT imports FROM current JOIN parsed ON parsed.id = file WHERE path = ?", (path,))
        return _imports(rows[0][0]) if rows else ()

    def imported_files(self, path: RepoPath) -> tuple[RepoPath, ...]:
        """Files of the workspace that `path` imports."""
        modules = self.modules()
        found = (target for item in self.imports(path) for target in modules.targets(path, item))
        return tuple(dict.fromkeys(found))

    def importers(self, path: RepoPath) -> tuple[RepoPath, ...]:
        """Files of the workspace that import `path`, sorted."""
        with self._lock:
            if self._importers is None:
                self._importers = self._reverse_imports()
            return self._importers.get(path, ())

    def references(self, name: str) -> tuple[tuple[RepoPath, int], ...]:
        """Places (file, 1-based line) that use something called `name`, by last component."""
        last = name.rpartition(".")[2]
        rows = self._rows(
            "SELECT path, refs FROM current JOIN parsed ON parsed.id = file WHERE instr(refs, ?) ORDER BY path",
            (f"{json.dumps(last)}:",),
        )
        return tuple((path, line) for path, refs in rows for line in json.loads(refs).get(last, ()))

    def names_used(self, path: RepoPath) -> dict[str, tuple[int, ...]]:
        """Every name that a file uses (last components), with the lines."""
        rows = self._rows("SELECT refs FROM current JOIN parsed ON parsed.id = file WHERE path = ?", (path,))
        return {name: tuple(lines) for name, lines in json.loads(rows[0][0]).items()} if rows else {}

    def modules(self) -> ModuleMap:
        """Module names of the files in view."""
        with self._lock:
            if self._modules is None:
                self._modules = ModuleMap(self.files())
            return self._modules

    def search(self, query: Mapping[str, float]) -> LexicalScores:
        """Score every file, and the functions and classes that fit best, by the terms of `query` with their weights."""
        with self._lock:
            return self._mending(lambda: self._search(query))

    def _refresh(self, snapshot: Snapshot, cancel: CancelToken, progress: ProgressSink) -> IndexReport:
        sources = _source_files(snapshot)
        known = self._store.ids(source.key for source in sources)
        rows = {source.path: known[source.key] for source in sources if source.key in known}
        hits = len(rows)
        missing = [source for source in sources if source.path not in rows and _is_utf8(source.path)]
        skipped = [Skipped(s.path, "its name is not UTF-8") for s in sources if not _is_utf8(s.path)]
        skipped += [one for one in snapshot.skipped if one.path.endswith("/") or language_of(one.path) is not None]
        skipped += self._learn(missing, rows, cancel, progress)
        while lost := frozenset(self._store.show(rows)):  # Forgotten by another process since we looked.
            rows = {path: row for path, row in rows.items() if path not in lost}
            missing = [source for source in sources if source.path in lost]
            skipped += self._learn(missing, rows, CancelToken(), ignore_progress)
        self._snapshot, self._modules, self._importers = snapshot, None, None
        self._store.forget_stale()
        [(files, symbols, size)] = self._store.rows(
            "SELECT count(*), total(symbol_count), total(size) FROM current JOIN parsed ON parsed.id = file"
        )
        skipped.sort(key=lambda one: one.path)
        return IndexReport(files, int(symbols), int(size), 0.0, hits, len(skipped), tuple(skipped))

    def _learn(
        self, sources: Sequence[SourceFile], rows: dict[RepoPath, int], cancel: CancelToken, progress: ProgressSink
    ) -> list[Skipped]:
        """Read and store `sources`, equal contents once; note each one's row, or why it has none."""
        alike: defaultdict[str, list[SourceFile]] = defaultdict(list)
        for source in sources:
            alike[source.key].append(source)
        waiting = list(alike.values())
        skipped: list[Skipped] = []
        while waiting:
            groups = {group[0].path: group for group in waiting}
            waiting = []
            done = len(sources) - sum(map(len, groups.values()))
            for batch in make_records([group[0] for group in groups.values()], cancel):
                records = [record for _, record in batch if isinstance(record, Record)]
                self._store.add(records)
                ids = self._store.ids(record.key for record in records)
                for source, record in batch:
                    first, *others = groups[source.path]
                    if isinstance(record, Skipped):
                        skipped.append(record)
                        waiting += [[other] for other in others]
                    elif record.key not in ids:
                        waiting.append([first, *others])
                    elif record.key != source.key:  # It has changed since the snapshot; the others may not have.
                        rows[source.path] = ids[record.key]
                        waiting += [others] if others else []
                    else:
                        rows.update((one.path, ids[record.key]) for one in (first, *others))
                done += sum(len(groups[source.path]) for source, _ in batch)
                progress(Progress("index", f"indexed {done - sum(map(len, waiting))} of {len(sources)} changed files"))
        return skipped

    def _search(self, query: Mapping[str, float]) -> LexicalScores:
        from patchwright_engine.index.postings import Postings  # numpy takes a tenth of a second: only for a search

        postings = self._postings = self._postings or Postings()
        paths: defaultdict[int, list[RepoPath]] = defaultdict(list)
        for path, file in self._store.rows("SELECT path, file FROM current ORDER BY path"):
            paths[file].append(path)
        try:
            postings.update(paths, self._store.vectors)
        except ValueError as error:
            raise sqlite3.DatabaseError(f"damaged vectors: {error}") from error
        scores = postings.search(query)
        units: defaultdict[int, dict[int, float]] = defaultdict(dict)
        for unit in scores.units:
            units[unit.file][unit.symbol] = unit.score
        symbols: dict[Symbol, float] = {}
        for path, positions in ((path, found) for file, found in units.items() for path in paths[file]):
            own = self.symbols(path)
            symbols.update({own[at]: score for at, score in positions.items() if 0 <= at < len(own)})
        return LexicalScores(
            files={path: score for file, score in scores.files.items() for path in paths[file]},
            symbols=symbols,
            outside={path: found[-1] for file, found in units.items() if -1 in found for path in paths[file]},
        )

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._mending(lambda: self._store.rows(sql, values))

    def _symbols(self, condition: str, values: Sequence[object]) -> tuple[Symbol, ...]:
        rows = self._rows(
            "SELECT path, name, kind, start_line, end_line, signature"
            f" FROM current JOIN symbol ON symbol.file = current.file {condition}",
            values,
        )
        return tuple(Symbol(*row) for row in rows)

    def _reverse_imports(self) -> dict[RepoPath, tuple[RepoPath, ...]]:
        modules = self.modules()
        importers: defaultdict[RepoPath, set[RepoPath]] = defaultdict(set)
        for path, text in self._rows("SELECT path, imports FROM current JOIN parsed ON parsed.id = file"):
            for item in _imports(text):
                for target in modules.targets(path, item):
                    importers[target].add(path)
        return {target: tuple(sorted(paths)) for target, paths in importers.items()}

    def _open(self, location: Path) -> Store:
        try:
            location.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                return Store(location)
            except sqlite3.Error as error:
                if not _is_broken(error):
                    raise
                return _rebuild(location)
        except (OSError, sqlite3.Error) as error:
            return self._in_memory(location, error)

    def _in_memory(self, location: Path, error: Exception) -> Store:
        self._notes.append(
            f"The index is kept in memory only and made anew each time, since {location.parent} is not usable: {error}."
            " Free some space there, make the folder writable, or close other windows that use it; PATCHWRIGHT_HOME"
            " names another place for it."
        )
        return Store(None)

    def _mending(self, work: Callable[[], Answer], *, asking: bool = True) -> Answer:
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
        location = self._store.location
        self._postings = None
        self._store.close()
        reason: Exception = error
        if location is not None and rebuild and _is_broken(error):
            try:
                self._store = _rebuild(location)
                self._notes.append("The index was broken and has been rebuilt.")
                return
            except (OSError, sqlite3.Error) as failure:
                reason = failure
        self._store = self._in_memory(location, reason) if location is not None else Store(None)


def _rebuild(location: Path) -> Store:
    """The database made anew; as it is where another process has it open, which may have rebuilt it already."""
    with suppress(BlockingIOError):
        delete_database(location)
    return Store(location)


def _source_files(snapshot: Snapshot) -> list[SourceFile]:
    return [
        SourceFile(path, snapshot.root / path, digest, snapshot.overlays.get(path))
        for path, digest in snapshot.files.items()
        if language_of(path) is not None
    ]


def _imports(text: str) -> tuple[Import, ...]:
    return tuple(Import(module, tuple(names), line) for module, names, line in json.loads(text))


def _is_broken(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return (code & 0xFF if code is not None else None) in BROKEN


def _is_utf8(path: RepoPath) -> bool:
    """SQLite stores text as UTF-8; a file name that is not stays out of the index."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
