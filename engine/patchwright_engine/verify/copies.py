"""The throw-away copies of one job: the first, and equal ones for what runs beside it.

Invariant: copies of one owner hold the same, so that it does not matter which of them a test runs in; all are closed
in the end, whatever happened in them.
"""

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import EnvironmentProblem
from patchwright_engine.types import Snapshot
from patchwright_engine.verify.kept import Bounds
from patchwright_engine.verify.workspace import BOUNDS, WorkspaceCopy


class Copies:
    """Owns copies of one snapshot; a context manager. One thread at a time."""

    def __init__(
        self, snapshot: Snapshot, cancel: CancelToken, bounds: Bounds = BOUNDS, *, like: WorkspaceCopy | None = None
    ) -> None:
        """Opens none yet. `like` is somebody else's copy that all of these must equal."""
        self._snapshot = snapshot
        self._cancel = cancel
        self._bounds = bounds
        self._like = like
        self._open: list[WorkspaceCopy] = []
        self._no_more = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take(self, count: int) -> tuple[WorkspaceCopy, ...]:
        """The first `count` copies, opened when first asked for, always in the same order.

        Fewer when the disk has no room for more, or the user has changed a file since the first was made.

        Raises:
            EnvironmentProblem: there is no room for the first.
            Cancelled: while one was made.
        """
        while len(self._open) < count and not self._no_more:
            self._open_another()
        return tuple(self._open[:count])

    def apart(self, cancel: CancelToken) -> "Copies":
        """More of the same under an owner of their own, for another thread; `cancel` ends their making."""
        return Copies(self._snapshot, cancel, self._bounds, like=self._model)

    def close(self) -> None:
        """Close all at once, since each takes a while. Repeated calls do nothing."""
        copies, self._open = self._open, []
        self._no_more = True
        if copies:
            with ThreadPoolExecutor(max_workers=len(copies)) as pool:
                closing = [pool.submit(copy.close) for copy in copies]
            for one in closing:
                one.result()

    @property
    def _model(self) -> WorkspaceCopy | None:
        return self._like or (self._open[0] if self._open else None)

    def _open_another(self) -> None:
        try:
            copy = WorkspaceCopy(self._snapshot, cancel=self._cancel, bounds=self._bounds)
        except EnvironmentProblem:
            if self._model is None:
                raise
            self._no_more = True
            return
        if self._model is not None and copy.contents != self._model.contents:
            copy.close()
            self._no_more = True
        else:
            self._open.append(copy)
