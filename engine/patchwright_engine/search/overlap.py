"""Decode, apply and verify at the same time: answers are settled in order, beside the model that writes the next ones.

Only where the runs take nothing from the model (`spare_cores`); elsewhere each batch is settled when it is written.
Invariant: the order of settling is that of the answers, so a search decides alike with and without overlap.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Settling(Generic[_Item]):
    """Takes items as they come and settles them one after the other."""

    def __init__(self, settle: Callable[[_Item], None], thread: ThreadPoolExecutor | None) -> None:
        """`thread` runs one thing at a time; None: items wait until the model pauses."""
        self._settle = settle
        self._thread = thread
        self._begun: list[Future[None]] = []
        self._waiting: list[_Item] = []
        self._failed = False

    def put(self, item: _Item) -> None:
        """Have an item settled after those before it."""
        if self._thread is None:
            self._waiting.append(item)
        else:
            self._begun.append(self._thread.submit(self._next, item))

    def pause(self) -> None:
        """The model does not write just now: settle what waited for that. Raises what settling raises."""
        waiting, self._waiting = self._waiting, []
        for item in waiting:
            self._settle(item)

    def finish(self) -> None:
        """Wait until all are settled. Raises what settling the first one that failed raised."""
        self.pause()
        begun, self._begun = self._begun, []
        for future in begun:
            future.result()

    def give_up(self) -> None:
        """Settle nothing more but what is being settled now: the search is ending."""
        self._failed = True

    def _next(self, item: _Item) -> None:
        if self._failed:  # What comes behind a failure is not run: the search is ending.
            return
        try:
            self._settle(item)
        except BaseException:
            self._failed = True
            raise


@contextmanager
def settling(settle: Callable[[_Item], None], *, beside: bool) -> Iterator[Settling[_Item]]:
    """Settle on a thread of its own when `beside`. All are settled, and that thread has ended, when this ends well.

    Raises what settling the first one that failed raised.
    """
    if not beside:
        items = Settling(settle, None)
        yield items
        items.finish()
        return
    with ThreadPoolExecutor(1, "settle") as thread:
        items = Settling(settle, thread)
        try:
            yield items
        except BaseException:
            items.give_up()
            raise
        items.finish()
