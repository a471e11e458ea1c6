"""Which file an import means: Python's dotted module names here, other languages by their row in the table.

Invariant: purely textual over the list of files; nothing is imported or run, and an import that leaves the
workspace resolves to nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import PurePosixPath

from patchwright_engine.index.import_paths import ImportPaths
from patchwright_engine.syntax.languages import language_of
from patchwright_engine.syntax.parse import Import
from patchwright_engine.types import RepoPath

SOURCE_ROOTS = ("src", "lib", "python")
"""Folders commonly put on the import path."""


class ModuleMap:
    """Module names of the files of one view."""

    def __init__(self, files: Iterable[RepoPath]) -> None:
        self._all = tuple(files)
        self._others: dict[str, ImportPaths | None] = {}
        """By extension; rows of the table that share their rules share the map."""
        self._files = frozenset(path for path in self._all if path.endswith((".py", ".pyi")))
        self._packages = {
            str(PurePosixPath(path).parent) for path in self._files if PurePosixPath(path).stem == "__init__"
        }
        self._by_module: defaultdict[str, list[RepoPath]] = defaultdict(list)
        for path in sorted(self._files):
            for name in self._names(path):
                self._by_module[name].append(path)

    def files_of(self, module: str) -> tuple[RepoPath, ...]:
        """Files that the absolute dotted name `module` may mean."""
        found = self._python_files(module)
        if not found and "." in module:
            found = tuple(path for paths in self._other_languages() for path in paths.named(module))
        return found

    def module_of(self, path: RepoPath) -> str:
        """The name the file is most likely imported by, e.g. 'flask.app' for src/flask/app.py; '' for none."""
        return min(self._names(path), key=len, default="")

    def targets(self, importer: RepoPath, item: Import) -> tuple[RepoPath, ...]:
        """Files of the workspace that `item`, written in `importer`, brings in: the module, and submodules named."""
        if importer not in self._files:
            paths = self._import_paths(importer)
            return paths.targets(importer, item) if paths is not None else ()
        base = self._relative(importer, item.module) if item.module.startswith(".") else self._python_files(item.module)
        found = list(base)
        for name in item.names:
            if item.module.startswith("."):
                dotted = item.module if item.module.endswith(".") else item.module + "."
                found += self._relative(importer, dotted + name)
            else:
                found += self._python_files(f"{item.module}.{name}")
        return tuple(path for path in dict.fromkeys(found) if path != importer)

    def _python_files(self, module: str) -> tuple[RepoPath, ...]:
        return tuple(self._by_module.get(module, ()))

    def _import_paths(self, path: RepoPath) -> ImportPaths | None:
        """The modules of the language of a file, made when first asked for; None where imports are not resolved."""
        extension = PurePosixPath(path).suffix
        if extension not in self._others:
            language = language_of(path)
            rules = language.imports if language is not None else None
            known = (paths for paths in self._others.values() if paths is not None and paths.rules is rules)
            self._others[extension] = next(known, None) or (ImportPaths(self._all, rules) if rules else None)
        return self._others[extension]

    def _other_languages(self) -> Iterable[ImportPaths]:
        """The modules of every language but Python that the view holds, each map once."""
        for path in self._samples:
            self._import_paths(path)
        return dict.fromkeys(paths for paths in self._others.values() if paths is not None)

    @cached_property
    def _samples(self) -> tuple[RepoPath, ...]:
        """One file of every extension."""
        return tuple({PurePosixPath(path).suffix: path for path in self._all if path not in self._files}.values())

    def _relative(self, importer: RepoPath, module: str) -> tuple[RepoPath, ...]:
        rest = module.lstrip(".")
        folder = PurePosixPath(importer).parent
        for _ in range(len(module) - len(rest) - 1):
            folder = folder.parent
        target = folder.joinpath(*rest.split(".")) if rest else folder
        candidates = [target / "__init__.py", target / "__init__.pyi"]
        if rest:
            candidates = [target.with_name(f"{target.name}.py"), target.with_name(f"{target.name}.pyi"), *candidates]
        return tuple(RepoPath(str(path)) for path in candidates if RepoPath(str(path)) in self._files)

    def _names(self, path: RepoPath) -> set[str]:
        pure = PurePosixPath(path)
        parts = pure.parent.parts if pure.stem == "__init__" else (*pure.parent.parts, pure.stem)
        if not parts:
            return set()
        names = {".".join(parts)}
        if parts[0] in SOURCE_ROOTS and len(parts) > 1:
            names.add(".".join(parts[1:]))
        top = pure.parent
        while str(top) in self._packages and top != top.parent:
            top = top.parent
        if top != pure.parent or pure.stem != "__init__":
            names.add(".".join(parts[len(top.parts) :]))
        return names - {""}
