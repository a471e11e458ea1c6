"""The locate job: where an issue most likely comes from, on what the user sees now, without a model."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from patchwright_engine.control import CancelToken, ProgressSink
from patchwright_engine.index import Index, open_index
from patchwright_engine.localize import locate
from patchwright_engine.localize.reasons import reasons
from patchwright_engine.types import Issue, RepoPath
from patchwright_engine.workspace.snapshot import take_snapshot

POLL_SECONDS = 0.05


class KeptIndex:
    """The index of the workspace, open from the first question on: the next one finds what was read for it.

    One question at a time: an index answers about the texts it was last refreshed from.
    """

    def __init__(self) -> None:
        self._asked = threading.Lock()
        self._index: Index | None = None
        self._root: Path | None = None

    @contextmanager
    def of(self, root: Path, cancel: CancelToken) -> Iterator[Index]:
        """The index of `root`, for one question.

        Raises:
            Cancelled: the token was cancelled while another question was being answered.
        """
        while not self._asked.acquire(timeout=POLL_SECONDS):
            cancel.check()
        try:
            if self._index is None or self._root != root:
                self._drop()
                self._index, self._root = open_index(root), root
            yield self._index
        finally:
            self._asked.release()

    def close(self) -> None:
        """Release the database, unless a question that nobody waits for any more still reads it."""
        if self._asked.acquire(blocking=False):
            self._drop()
            self._asked.release()

    def _drop(self) -> None:
        if self._index is not None:
            self._index.close()
        self._index = None


def run_locate(
    kept: KeptIndex,
    root: Path,
    issue: Issue,
    overlays: Mapping[RepoPath, str],
    *,
    top: int,
    cancel: CancelToken,
    progress: ProgressSink,
) -> dict[str, Any]:
    """The `top` files and symbols as plain values: absolute paths, 1-based lines, scores 0-1, reasons in words.

    Raises:
        Cancelled: the token was cancelled.
    """
    with kept.of(root, cancel) as index:
        snapshot = take_snapshot(root, overlays, cancel, progress)
        index.refresh(snapshot, cancel, progress)
        ranking = locate(issue, snapshot, index, top, cancel)
    return {
        "files": [
            {"path": str(root / item.path), "score": round(item.score, 4), "reasons": reasons(item.signals)}
            for item in ranking.files
        ],
        "symbols": [
            {
                "path": str(root / item.symbol.path),
                "name": item.symbol.name,
                "kind": item.symbol.kind,
                "start_line": item.symbol.start_line,
                "end_line": item.symbol.end_line,
                "score": round(item.score, 4),
                "reasons": reasons(item.signals),
            }
            for item in ranking.symbols
        ],
        "seconds": round(ranking.seconds, 3),
    }
