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
        self._packages = {path.rpartition("/")[0] for path in self._files if _stem(path) == "__init__"}
        self._tops: dict[str, int] = {"": 0}
        self._found: dict[tuple[str, str, tuple[str, ...]], tuple[RepoPath, ...]] = {}
        """What an import means, by the importer's folder where it matters: most are written many times."""
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
        folder = importer.rpartition("/")[0] if item.module.startswith(".") else ""
        key = (folder, item.module, item.names)
        if key not in self._found:
            self._found[key] = self._python_targets(folder, item)
        found = self._found[key]
        return tuple(path for path in found if path != importer) if importer in found else found

    def _python_targets(self, folder: str, item: Import) -> tuple[RepoPath, ...]:
        if not item.module.startswith("."):
            dotted = (item.module, *(f"{item.module}.{name}" for name in item.names))
            return tuple(dict.fromkeys(path for name in dotted for path in self._python_files(name)))
        package = item.module if item.module.endswith(".") else item.module + "."
        dotted = (item.module, *(package + name for name in item.names))
        return tuple(dict.fromkeys(path for name in dotted for path in self._relative(folder, name)))

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

    def _relative(self, folder: str, module: str) -> tuple[RepoPath, ...]:
        rest = module.lstrip(".")
        for _ in range(len(module) - len(rest) - 1):
            folder = folder.rpartition("/")[0]
        target = "/".join(part for part in (folder, *rest.split(".")) if part)
        inside = f"{target}/" if target else ""
        candidates = [f"{inside}__init__.py", f"{inside}__init__.pyi"]
        if rest:
            candidates = [f"{target}.py", f"{target}.pyi", *candidates]
        return tuple(RepoPath(path) for path in candidates if path in self._files)

    def _names(self, path: RepoPath) -> set[str]:
        folder, stem = path.rpartition("/")[0], _stem(path)
        parts = folder.split("/") if folder else []
        if stem != "__init__":
            parts.append(stem)
        if not parts:
            return set()
        names = {".".join(parts)}
        if parts[0] in SOURCE_ROOTS and len(parts) > 1:
            names.add(".".join(parts[1:]))
        if stem != "__init__" or folder in self._packages:
            names.add(".".join(parts[self._top(folder) :]))
        return names - {""}

    def _top(self, folder: str) -> int:
        """How many parts stand above the outermost package that `folder` is in, or is."""
        if folder not in self._tops:
            above = folder.rpartition("/")[0]
            self._tops[folder] = self._top(above) if folder in self._packages else folder.count("/") + 1
        return self._tops[folder]


def _stem(path: str) -> str:
    """The file's name without its extension, as `PurePath.stem` has it."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name
