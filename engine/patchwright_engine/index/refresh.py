"""Bring a store to a snapshot: what is known is looked up, what is new is parsed, and the view follows.

Invariant: a file whose content the last view had costs a comparison; nothing is asked of the store for it but whether
its row is still there.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from patchwright_engine.control import CancelToken, Progress, ProgressSink, ignore_progress
from patchwright_engine.errors import Cancelled
from patchwright_engine.index.build import Batch, make_records
from patchwright_engine.index.records import Record, SourceFile, record_key
from patchwright_engine.index.shown import Shown
from patchwright_engine.index.store import Store
from patchwright_engine.syntax.languages import language_of
from patchwright_engine.types import RepoPath, Skipped, Snapshot

STORED_TOGETHER = 250
"""Files of one transaction: each rewrites much of the index of names, and half a second of work is little to lose."""


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


def bring(
    store: Store, snapshot: Snapshot, before: Shown, cancel: CancelToken, progress: ProgressSink
) -> tuple[Shown, IndexReport]:
    """Show `snapshot`; `before` is what the store shows now.

    Raises:
        Cancelled: the token was cancelled; what was parsed so far is kept, and the store shows what it did.
        sqlite3.Error: the store failed.
    """
    rows = _known(store, snapshot, before)
    hits = set(rows)
    missing = [path for path in snapshot.files if path not in rows and language_of(path) is not None]
    skipped = [Skipped(path, "its name is not UTF-8") for path in missing if not _is_utf8(path)]
    skipped += [one for one in snapshot.skipped if one.path.endswith("/") or language_of(one.path) is not None]
    files = _source_files(snapshot, [path for path in missing if _is_utf8(path)])
    found = _learn(store, files, rows, cancel, progress)
    while lost := store.show(rows):  # Forgotten by another process since we looked.
        hits.difference_update(lost)
        for path in lost:
            del rows[path]
        more = _learn(store, _source_files(snapshot, lost), rows, CancelToken(), ignore_progress)
        found = _Learnt(found.skipped + more.skipped, found.changed | more.changed)
    store.forget_stale()
    [(count, symbols, size)] = store.rows(
        "SELECT count(*), total(symbol_count), total(size) FROM current JOIN parsed ON parsed.id = file"
    )
    skipped = sorted(skipped + found.skipped, key=lambda one: one.path)
    digests = {path: snapshot.files[path] for path in rows if path not in found.changed}
    report = IndexReport(count, int(symbols), int(size), 0.0, len(hits), len(skipped), tuple(skipped))
    return before.followed_by(rows, digests), report


def _known(store: Store, snapshot: Snapshot, before: Shown) -> dict[RepoPath, int]:
    """The rows of all files whose content was parsed before."""
    shown, digests = before.shown, before.digests
    rows = {path: shown[path] for path, digest in snapshot.files.items() if digests.get(path) == digest}
    keys = {
        path: record_key(path, digest)
        for path, digest in snapshot.files.items()
        if path not in rows and language_of(path) is not None and _is_utf8(path)
    }
    known = store.ids(keys.values()) if keys else {}
    rows.update((path, known[key]) for path, key in keys.items() if key in known)
    return rows


@dataclass(frozen=True, slots=True)
class _Learnt:
    skipped: list[Skipped]
    changed: set[RepoPath]
    """Files that no longer were what the snapshot says when they were read."""


def _learn(
    store: Store, sources: Sequence[SourceFile], rows: dict[RepoPath, int], cancel: CancelToken, progress: ProgressSink
) -> _Learnt:
    """Read and store `sources`, equal contents once; note each one's row, or why it has none."""
    alike: defaultdict[str, list[SourceFile]] = defaultdict(list)
    for source in sources:
        alike[source.key].append(source)
    waiting = list(alike.values())
    found = _Learnt([], set())
    while waiting:
        groups = {group[0].path: group for group in waiting}
        waiting = []
        done = len(sources) - sum(map(len, groups.values()))
        held: Batch = []
        try:
            for batch in make_records([group[0] for group in groups.values()], cancel):
                held += batch
                done += sum(len(groups[source.path]) for source, _ in batch)
                progress(Progress("index", f"indexed {done} of {len(sources)} changed files"))
                if len(held) >= STORED_TOGETHER:
                    ready, held = held, []
                    waiting += _settle(store, ready, groups, rows, found)
        except Cancelled:
            _settle(store, held, groups, rows, found)
            raise
        waiting += _settle(store, held, groups, rows, found)
    return found


def _settle(
    store: Store,
    batch: Batch,
    groups: Mapping[RepoPath, Sequence[SourceFile]],
    rows: dict[RepoPath, int],
    found: _Learnt,
) -> list[list[SourceFile]]:
    """Store a batch and note its rows; returns those of its groups that must be read again."""
    records = [record for _, record in batch if isinstance(record, Record)]
    store.add(records)
    ids = store.ids(record.key for record in records)
    again: list[list[SourceFile]] = []
    for source, record in batch:
        first, *others = groups[source.path]
        if isinstance(record, Skipped):
            found.skipped.append(record)
            again += [[other] for other in others]
        elif record.key not in ids:
            again.append([first, *others])
        elif record.key != source.key:  # It has changed since the snapshot; the others may not have.
            rows[source.path] = ids[record.key]
            found.changed.add(source.path)
            again += [others] if others else []
        else:
            rows.update((one.path, ids[record.key]) for one in (first, *others))
    return again


def _source_files(snapshot: Snapshot, paths: Sequence[RepoPath]) -> list[SourceFile]:
    root = str(snapshot.root)
    return [SourceFile(path, f"{root}/{path}", snapshot.files[path], snapshot.overlays.get(path)) for path in paths]


def _is_utf8(path: RepoPath) -> bool:
    """SQLite stores text as UTF-8; a file name that is not stays out of the index."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
