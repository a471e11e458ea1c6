"""Which files an import of JavaScript, Go, Rust and the like means: the parts of its name against the parts of paths.

Invariant: purely textual over the list of files, by the rules of the language's row. An import that could mean
several places equally well means none.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from patchwright_engine.syntax.languages import ImportRules, names_test
from patchwright_engine.syntax.parse import Import
from patchwright_engine.types import RepoPath

SOURCE_ROOTS = ("src", "lib", "app", "include", "source")
"""Folders whose own name may be left out of the names of modules: packages/ui/src/list.ts is ui/list."""
MAX_PACKAGE = 60
"""Files of a folder that one import brings in; larger ones say nothing about each file."""

Parts = tuple[str, ...]


class ImportPaths:
    """The modules of one view in languages that share the same rules."""

    def __init__(self, files: Iterable[RepoPath], rules: ImportRules) -> None:
        self.rules = rules
        self._endings = tuple(sorted(rules.extensions, key=len, reverse=True))
        self._modules = _Places()
        self._folders = _Places()
        for path in files:
            if path.endswith(self._endings):
                self._modules.add(self._module(path), path)
                if not names_test(path):
                    self._folders.add(self._package_of(path), path)
        self._modules.settle(lambda path: rules.extensions.index(self._ending(path)))

    def targets(self, importer: RepoPath, item: Import) -> tuple[RepoPath, ...]:
        """Files of the workspace that `item`, written in `importer`, brings in."""
        relative = item.module.startswith((".", "/"))
        parts = tuple(part for part in item.module.split("/" if relative else self.rules.separator) if part)
        if not parts or parts[0] in self.rules.external:
            return ()
        found = self._find(importer, parts)
        for name in item.names:
            if name == "*" and not found:
                found = self._of_folder(importer, parts)
            elif self.rules.submodules and name.isidentifier():
                found += self._find(importer, (*parts, *name.split(self.rules.separator)), whole=True)
        return tuple(path for path in dict.fromkeys(found) if path != importer)

    def named(self, dotted: str) -> tuple[RepoPath, ...]:
        """Files that a dotted name in a text spells out in full, such as 'com.shop.Cart'."""
        return self._modules.find(tuple(dotted.split(".")), ()) if self.rules.separator != "/" else ()

    def _find(self, importer: RepoPath, parts: Parts, *, whole: bool = False) -> tuple[RepoPath, ...]:
        """Files of the module `parts`; with `whole` a last part that is inside a file does not count."""
        rules = self.rules
        base = self._base(importer, parts)
        if base is not None:
            module = self._bare(base)
            found = self._modules.at(module)
            if not found and parts[-1] in rules.index:
                found = self._modules.at(module[:-1])  # './index' spells what '.' means
            return _spelled(found, parts[-1])
        if rules.package:
            if len(parts) == 1 and rules.separator == "/":
                return ()  # One word alone is a package of Go itself.
            found = _if_small(self._dropping(importer, parts, self._folders))
            return found or (self._dropping(importer, parts, self._modules) if rules.members else ())
        found = _spelled(self._dropping(importer, self._bare(parts), self._modules), parts[-1])
        if not found and rules.members and not whole and len(parts) > 2:
            found = self._dropping(importer, parts[:-1], self._modules)
        return found

    def _of_folder(self, importer: RepoPath, parts: Parts) -> tuple[RepoPath, ...]:
        base = self._base(importer, parts)
        return _if_small(self._folders.at(base) if base is not None else self._folders.find(parts, _folder(importer)))

    def _dropping(self, importer: RepoPath, parts: Parts, places: "_Places") -> tuple[RepoPath, ...]:
        """The files of the longest end of `parts` that stands somewhere."""
        for dropped in range(min(self.rules.drop, len(parts) - 1) + 1):
            found = places.find(parts[dropped:], self._package_of(importer), self.rules.anywhere)
            if found:
                return found
        return ()

    def _package_of(self, path: RepoPath) -> Parts:
        """The parts of a file's folder; where packages have dotted names, so may folders: Shop.Web/Views."""
        folder = _folder(path)
        if not self.rules.package or self.rules.separator != ".":
            return folder
        return tuple(part for name in folder for part in name.split(".") if part)

    def _base(self, importer: RepoPath, parts: Parts) -> Parts | None:
        """The place that a name relative to its importer means; None for any other name."""
        rules = self.rules
        start = self._module(importer) if rules.from_module else _folder(importer)
        base: Parts | None = None
        for number, part in enumerate(parts):
            if part == rules.root and rules.root and number == 0:
                base = self._root(start)
            elif part == rules.here and (number == 0 or base is not None):
                base = start if base is None else base
            elif part == rules.up and (number == 0 or base is not None):
                base = (start if base is None else base)[:-1]
            elif part in (".", ".."):  # A path, also where modules are named in another way.
                base = _folder(importer) if base is None else base
                base = base[:-1] if part == ".." else base
            else:
                return None if base is None else (*base, *parts[number:])
        return base

    def _root(self, module: Parts) -> Parts:
        """The nearest place above a module that an index file makes the root of its package."""
        for length in range(len(module), -1, -1):
            stems = {PurePosixPath(path).stem for path in self._modules.at(module[:length])}
            if stems & set(self.rules.index[1:]):
                return module[:length]
        return module[:-1]

    def _module(self, path: RepoPath) -> Parts:
        return self._bare(PurePosixPath(path).parts)

    def _bare(self, parts: Parts) -> Parts:
        """`parts` without the extension of the last one, and without an index file's name there."""
        if not parts:
            return parts
        ending = self._ending(parts[-1])
        bare = (*parts[:-1], parts[-1].removesuffix(ending))
        return bare[:-1] if ending and bare[-1] in self.rules.index else bare

    def _ending(self, name: str) -> str:
        return next((ending for ending in self._endings if name.endswith(ending)), "")


class _Places:
    """Files by the parts of a name, found by any end of it."""

    def __init__(self) -> None:
        self._files: defaultdict[Parts, list[RepoPath]] = defaultdict(list)
        self._named: defaultdict[Parts, list[RepoPath]] = defaultdict(list)
        """The same, and under the names without a source root."""
        self._by_last: defaultdict[str, set[Parts]] = defaultdict(set)

    def add(self, parts: Parts, path: RepoPath) -> None:
        self._files[parts].append(path)
        shorter = [parts[:at] + parts[at + 1 :] for at, part in enumerate(parts) if part in SOURCE_ROOTS]
        for name in (parts, *shorter):
            if name:
                self._named[name].append(path)
                self._by_last[name[-1]].add(name)

    def settle(self, rank: Callable[[RepoPath], int]) -> None:
        """Put the files of each place in order."""
        for paths in (*self._files.values(), *self._named.values()):
            paths.sort(key=lambda path: (rank(path), path))

    def at(self, parts: Parts) -> tuple[RepoPath, ...]:
        return tuple(self._files.get(parts, ()))

    def find(self, ending: Parts, folder: Parts, anywhere: bool = False) -> tuple[RepoPath, ...]:
        """Files of the place that `ending` means, seen from `folder`.

        That is one in a folder above; else, unless `ending` is a single word that may not be
        `anywhere`, the nearest place that ends so, and none when two are as near.
        """
        if ending[-1] not in self._by_last:
            return ()  # Most imports: what they name is not in the workspace at all.
        for length in range(len(folder), -1, -1):
            found = self._named.get(folder[:length] + ending)
            if found:
                return tuple(found)
        if len(ending) == 1 and not anywhere:
            return ()
        places = [parts for parts in self._by_last[ending[-1]] if parts[-len(ending) :] == ending]
        nearness = sorted(((_common(parts, folder), -len(parts), parts) for parts in places), reverse=True)
        if not nearness or (len(nearness) > 1 and nearness[0][:2] == nearness[1][:2]):
            return ()
        return tuple(self._named[nearness[0][2]])


def _common(one: Parts, other: Parts) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _spelled(files: tuple[RepoPath, ...], last: str) -> tuple[RepoPath, ...]:
    """The file whose very name is spelled, where there is one: `util.h` is not `util.c`."""
    return tuple(path for path in files if PurePosixPath(path).name == last) or files


def _if_small(files: tuple[RepoPath, ...]) -> tuple[RepoPath, ...]:
    return files if len(files) <= MAX_PACKAGE else ()


def _folder(path: RepoPath) -> Parts:
    return PurePosixPath(path).parent.parts
