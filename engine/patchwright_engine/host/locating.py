"""The locate job: where an issue most likely comes from, on what the user sees now, without a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from patchwright_engine.control import CancelToken, ProgressSink
from patchwright_engine.index import open_index
from patchwright_engine.localize import locate
from patchwright_engine.localize.reasons import reasons
from patchwright_engine.types import Issue, RepoPath
from patchwright_engine.workspace.snapshot import take_snapshot


def run_locate(
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
    with open_index(root) as index:
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
