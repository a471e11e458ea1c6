"""The locate job: where an issue most likely comes from, on what the user sees now, without a model.

A failing test that the user names is followed first; one that cannot be is told of, and the index ranks alone.
"""

import shlex
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchwright_engine.config import load_settings
from patchwright_engine.control import CancelToken, Progress, ProgressSink
from patchwright_engine.errors import BadInput, Cancelled, PatchwrightError
from patchwright_engine.host.named_test import find_test
from patchwright_engine.index import Index, open_index
from patchwright_engine.localize import locate
from patchwright_engine.localize.reasons import reasons
from patchwright_engine.types import Issue, RepoPath, Snapshot
from patchwright_engine.workspace.snapshot import take_snapshot

if TYPE_CHECKING:
    from patchwright_engine.verify.execution import Execution

POLL_SECONDS = 0.05
SHOWN_LINES = 200
"""Of a test's code, which tells what it is about."""


@dataclass(frozen=True, slots=True)
class WantedTest:
    """The failing test that a locate job follows: `issue.test_command` names it, unless `here` says where it is."""

    here: tuple[RepoPath | None, int] | None = None
    """File and 1-based line."""
    python: str | None = None
    """The user's interpreter. None: their settings, then discovery."""


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
    test: WantedTest | None = None,
) -> dict[str, Any]:
    """The `top` files and symbols as plain values: absolute paths, 1-based lines, scores 0-1, reasons in words.

    With `test` that test is run in the sandbox, and what it alone runs is suspected; 'problem' says why that tells
    nothing, '' when it does.

    Raises:
        BadInput: no test is where `test` says.
        Cancelled: the token was cancelled.
    """
    snapshot = take_snapshot(root, overlays, cancel, progress)
    execution, problem = None, ""
    if test is not None:
        if test.here is not None:
            with kept.of(root, cancel) as index:
                index.refresh(snapshot, cancel, progress)
                issue = _about_test(issue, snapshot, index, *test.here)
        execution, problem = _followed(issue, snapshot, test.python, cancel, progress)  # while others may ask
    with kept.of(root, cancel) as index:
        index.refresh(snapshot, cancel, progress)
        if execution is None:
            ranking = locate(issue, snapshot, index, top, cancel)
        else:
            from patchwright_engine.search.failing_test import rank_with

            ranking = rank_with(execution, issue, snapshot, index, top, cancel=cancel)
    return {
        "problem": problem,
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


def _about_test(issue: Issue, snapshot: Snapshot, index: Index, path: RepoPath | None, line: int) -> Issue:
    """The issue that the test at a place fails: its own code says what it is about. Raises BadInput where none is."""
    found = find_test(path, line, index.symbols(path)) if path is not None else None
    if path is None or found is None:
        raise BadInput(
            f"no test is at line {line} of {path or 'this file'}",
            "Put the cursor into a test of Python, a function or method whose name begins with `test`.",
        )
    name, first, last = found
    code = "\n".join(snapshot.read_text(path).splitlines()[first - 1 : last][:SHOWN_LINES])
    text = f"The test fails: {name}\n\n```python\n{code}\n```"
    # Without the place: it is where the fault shows, not where it is.
    return Issue(text if issue.origin == "test" else f"{issue.text}\n\n{text}", "test", test_command=shlex.quote(name))


def _followed(
    issue: Issue, snapshot: Snapshot, python: str | None, cancel: CancelToken, progress: ProgressSink
) -> "tuple[Execution | None, str]":
    """What the issue's test runs, or why nothing is known of it."""
    from patchwright_engine.search.failing_test import TestRun, follow  # heavy, and seldom needed
    from patchwright_engine.verify.kept import Bounds

    progress(Progress("locate", "following the failing test"))
    try:
        settings = load_settings()
        bounds = Bounds(bytes=settings.kept_copies_bytes)
        run = TestRun(issue.test_command or "", python or settings.python, settings.runner, kept=bounds)
        return follow(run, snapshot, cancel), ""
    except Cancelled:
        raise
    except PatchwrightError as error:
        return None, f"The test was not followed: {error.message}. {error.cure}".strip()
