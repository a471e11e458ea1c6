"""Which files use a name: the references of all contents in view, turned around once and kept from view to view."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable

from patchwright_engine.index.store import Store


class UsedNames:
    """The names that contents use, by row of the store. Contents that left the view stay known: branches come back."""

    def __init__(self) -> None:
        self._users: defaultdict[str, list[int]] = defaultdict(list)
        self._known: set[int] = set()

    def update(self, store: Store, files: Collection[int]) -> None:
        """Know the names of `files`. Raises sqlite3.Error."""
        missing = sorted(set(files) - self._known)
        if len(self._known) > 2 * len(files) + len(missing):
            self._users.clear()
            self._known.clear()
            missing = sorted(set(files))
        for start in range(0, len(missing), 500):
            batch = missing[start : start + 500]
            marks = ",".join("?" * len(batch))
            for file, refs in store.rows(f"SELECT id, refs FROM parsed WHERE id IN ({marks})", batch):
                for name in json.loads(refs):
                    self._users[name].append(file)
                self._known.add(file)

    def users(self, name: str) -> Iterable[int]:
        """Contents that use `name`, also such as are no longer in view."""
        return self._users.get(name, ())
