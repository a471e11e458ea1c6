"""The files that an index answers about, with what was made from them and holds until they change."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cached_property

from patchwright_engine.types import RepoPath, Symbol


class Shown:
    """One view of a store."""

    def __init__(self, shown: Mapping[RepoPath, int], digests: Mapping[RepoPath, str] | None = None) -> None:
        self.shown = shown
        """Path to the store's row of its content."""
        self.digests = digests or {}
        """Content hashes of the files whose row is that of just this content."""
        self.files = tuple(sorted(shown))
        self.made: dict[Callable[..., object], object] = {}
        self.symbols: dict[RepoPath, tuple[Symbol, ...]] = {}

    @cached_property
    def paths(self) -> dict[int, list[RepoPath]]:
        """The other way round."""
        paths: defaultdict[int, list[RepoPath]] = defaultdict(list)
        for path in self.files:
            paths[self.shown[path]].append(path)
        return dict(paths)

    @cached_property
    def contents(self) -> frozenset[int]:
        """The rows."""
        return frozenset(self.shown.values())

    def followed_by(self, shown: Mapping[RepoPath, int], digests: Mapping[RepoPath, str]) -> "Shown":
        """The next view, with what is still true of it."""
        new = Shown(shown, digests)
        if new.files == self.files:
            new.made = self.made
        new.symbols = {path: found for path, found in self.symbols.items() if shown.get(path) == self.shown[path]}
        return new
