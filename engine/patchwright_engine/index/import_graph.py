"""Which file imports which, resolved once for a view and kept from view to view for what did not change.

Invariant: a file's imports mean the same as long as its content and the set of files do.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from patchwright_engine.index.graph import ModuleMap
from patchwright_engine.index.store import Store
from patchwright_engine.syntax.parse import Import
from patchwright_engine.types import RepoPath


class ImportGraph:
    """The imports between the files of a view."""

    def __init__(self) -> None:
        self._modules: ModuleMap | None = None
        self._shown: Mapping[RepoPath, int] = {}
        self._targets: dict[RepoPath, tuple[int, tuple[RepoPath, ...]]] = {}
        """What a file imports, with the content it was resolved from."""
        self._importers: dict[RepoPath, tuple[RepoPath, ...]] | None = None

    def show(self, shown: Mapping[RepoPath, int], modules: ModuleMap) -> None:
        """Be about the files `shown`, path to row of content. Another `modules` forgets everything."""
        if modules is not self._modules:
            self._targets.clear()
        elif shown is self._shown:
            return
        self._modules, self._shown, self._importers = modules, shown, None

    def imported(self, store: Store, path: RepoPath) -> tuple[RepoPath, ...]:
        """Files in view that `path` imports. Raises sqlite3.Error."""
        self._resolve(store, [path])
        known = self._targets.get(path)
        return known[1] if known is not None and path in self._shown else ()

    def importers(self, store: Store, path: RepoPath) -> tuple[RepoPath, ...]:
        """Files in view that import `path`, sorted. Raises sqlite3.Error."""
        if self._importers is None:
            self._resolve(store, self._shown)
            found: defaultdict[RepoPath, list[RepoPath]] = defaultdict(list)
            for importer in sorted(self._shown):
                for target in self._targets[importer][1]:
                    found[target].append(importer)
            self._importers = {target: tuple(paths) for target, paths in found.items()}
        return self._importers.get(path, ())

    def _resolve(self, store: Store, paths: Iterable[RepoPath]) -> None:
        """Know the targets of `paths`."""
        modules, shown = self._modules, self._shown
        new = [
            path
            for path in paths
            if path in shown and (path not in self._targets or self._targets[path][0] != shown[path])
        ]
        if not new or modules is None:
            return
        imports = dict(_read(store, {shown[path] for path in new}))
        for path in new:
            items = imports.get(shown[path], ())
            targets = dict.fromkeys(target for item in items for target in modules.targets(path, item))
            self._targets[path] = (shown[path], tuple(targets))


def read_imports(text: str) -> tuple[Import, ...]:
    """The imports as the store keeps them."""
    return tuple(Import(module, tuple(names), line) for module, names, line in json.loads(text))


def _read(store: Store, files: set[int]) -> Iterator[tuple[int, tuple[Import, ...]]]:
    wanted = sorted(files)
    for start in range(0, len(wanted), 500):
        batch = wanted[start : start + 500]
        marks = ",".join("?" * len(batch))
        for file, text in store.rows(f"SELECT id, imports FROM parsed WHERE id IN ({marks})", batch):
            yield file, read_imports(text)
