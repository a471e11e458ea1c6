"""Whose request the model host serves next.

Clients share the model by time, not by requests: who has had least of it since they came goes first, and each
client's own requests keep their order (start-time fair queueing, Goyal, Vin and Cheng 1996, on measured seconds).
Invariant: a newcomer starts level with whoever is being served, so neither hoarding nor staying away pays; a request
waits for at most the one under way and for clients that have had less than its own.

A request under way is never interrupted for another: the answers side by side in the KV cache decide each other's
last bits, and equal seeds must give equal answers. The price is that a short request may wait for one long one.
"""

import threading
from collections import deque
from typing import Generic, TypeVar

Work = TypeVar("Work")

# Requests that take no time at all still alternate.
_LEAST_SECONDS = 1e-3


class Turns(Generic[Work]):
    """A queue for many producers and one consumer, which calls `charge` for what it took before it takes again."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._waiting: dict[str, deque[Work]] = {}
        self._used: dict[str, float] = {}
        self._clock = 0.0

    def __len__(self) -> int:
        with self._ready:
            return sum(map(len, self._waiting.values()))

    def put(self, client: str, work: Work) -> None:
        """Let `work` wait behind whatever else `client` has waiting."""
        with self._ready:
            if client not in self._waiting:
                self._used[client] = max(self._used.get(client, 0.0), self._clock)
                self._waiting[client] = deque()
            self._waiting[client].append(work)
            self._ready.notify()

    def take(self, seconds: float) -> Work | None:
        """The next piece of work; None when there is none within `seconds`."""
        with self._ready:
            if not self._ready.wait_for(lambda: bool(self._waiting), seconds):
                return None
            client = min(self._waiting, key=self._used.__getitem__)
            self._clock = self._used[client]
            work = self._waiting[client].popleft()
            if not self._waiting[client]:
                del self._waiting[client]
            return work

    def remove(self, client: str, work: Work) -> bool:
        """Forget work that nobody wants any more; False when it is no longer waiting."""
        with self._ready:
            queue = self._waiting.get(client, deque())
            if work not in queue:
                return False
            queue.remove(work)
            if not queue:
                del self._waiting[client]
            return True

    def charge(self, client: str, seconds: float) -> None:
        """Count what serving `client` has cost."""
        with self._ready:
            self._used[client] = max(self._used.get(client, 0.0), self._clock) + max(seconds, _LEAST_SECONDS)
            if not self._waiting:
                # Nobody was kept waiting, so nobody owes anything.
                self._clock = max(self._used.values())
                self._used.clear()
