"""The project's other tests as they are before any patch, measured while the model writes.

Only where that takes nothing from the model; elsewhere when the first fix needs them.
Invariant: what they say is the same either way, time limits aside. When the `with` ends, nothing of it runs on.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import EnvironmentProblem
from patchwright_engine.verify.context import VerificationContext, open_rest
from patchwright_engine.verify.copies import Copies
from patchwright_engine.verify.shards import RUN_BYTES, Room, room_here

NICENESS = 10
"""Runs beside which the user and other runs go first; at 19 a busy machine would let them starve."""


class OtherTests:
    """Measures the other tests once. For the thread that made it."""

    def __init__(
        self, context: VerificationContext, cancel: CancelToken, begun: Future[VerificationContext | None] | None = None
    ) -> None:
        """`begun` is the measuring under way, on copies of its own; None: it begins when it is asked for."""
        self._context = context
        self._cancel = cancel
        self._begun = begun
        self._measured: VerificationContext | None = None
        self._asked = False

    @property
    def in_background(self) -> bool:
        """Whether they were begun beside the caller."""
        return self._begun is not None

    @property
    def pending(self) -> bool:
        """Whether `measured` has to run or to wait for them."""
        known = self._asked or (self._begun is not None and self._begun.done())
        return bool(self._context.rest) and not known

    def measured(self) -> VerificationContext | None:
        """As `open_rest`; waits for what runs in the background.

        Raises: as `open_rest`.
        """
        if not self._asked:
            self._measured = self._result()
            self._asked = True
        return self._measured

    def _result(self) -> VerificationContext | None:
        if self._begun is not None:
            try:
                return self._begun.result()
            except EnvironmentProblem:  # No room for copies of its own, say: with those of the job it may still work.
                pass
            finally:
                self._cancel.check()  # which knows why it was cancelled
        return open_rest(self._context, self._cancel)


@contextmanager
def other_tests(context: VerificationContext, cancel: CancelToken, cores: int) -> Iterator[OtherTests]:
    """The other tests of `context`, begun at once when there are `cores` that nobody else needs (`spare_cores`)."""
    room = _room_beside(context, cores)
    if room is None or context.copies is None:
        yield OtherTests(context, cancel)
        return
    ending = CancelToken(cancel.deadline)
    forget = cancel.on_cancel(ending.cancel)
    with context.copies.apart(ending) as own, ThreadPoolExecutor(1, "other-tests") as thread:
        begun = thread.submit(_measure, context, own, room, ending)
        try:
            yield OtherTests(context, cancel, begun)
        finally:
            forget()
            ending.cancel("shutdown")


def spare_cores(cores: int, model_threads: int) -> int:
    """Cores that tests may take while the model writes: none where it needs more than half of them itself.

    Memory and its bandwidth are shared too, so a model that computes on the processor is slower beside anything.
    """
    return cores - model_threads if cores >= 2 * model_threads else 0


def _room_beside(context: VerificationContext, cores: int) -> Room | None:
    """What is left beside the runs of the candidates, which go on meanwhile; None where that is too little."""
    if not context.rest or cores < 1:
        return None
    here = room_here()
    room = Room(min(here.cores, cores), here.memory_bytes - RUN_BYTES * max(1, len(context.lanes)))
    return room if room.memory_bytes >= RUN_BYTES else None


def _measure(
    context: VerificationContext, copies: Copies, room: Room, cancel: CancelToken
) -> VerificationContext | None:
    """`open_rest` on copies of its own; what it returns may use them until they are closed."""
    own = copies.take(1)
    if not own:
        raise EnvironmentProblem("no copy like the first could be made")  # never shown: see `_result`
    pace = replace(context.pace, room=room, niceness=NICENESS)
    measured = open_rest(replace(context, workspace=own[0], copies=copies, pace=pace), cancel)
    return None if measured is None else replace(measured, pace=context.pace)
