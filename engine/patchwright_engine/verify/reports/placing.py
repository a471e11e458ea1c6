"""Give reported tests the ids that the rest of verification uses: `path::suite::name`, the path from the root.

Runners spell a test's home in their own way: an absolute file, a class, an import path, a crate. Only names are
compared with the files of the copy; nothing is parsed beyond a test's own definition.
"""

import os
import re
from pathlib import Path, PurePosixPath

from patchwright_engine.verify.reports.base import ReportedTest

_GO_TEST = re.compile(r"^func\s+(?:\([^)]*\)\s*)?((?:Test|Fuzz|Example|Benchmark)\w*)\s*\(", re.MULTILINE)
_GO_MODULE = re.compile(r"^module\s+\"?([^\s\"]+)", re.MULTILINE)
_CRATE_NAME = re.compile(r"^name\s*=\s*[\"']([\w-]+)[\"']", re.MULTILINE)
_SKIPPED = {".git", "node_modules", "target", "build", "vendor"}
_READ_BYTES = 1 << 20
_MAX_DEPTH = 60
"""Sources do not lie deeper; folders that tested code made may."""


class Places:
    """Where the tests of one copy live. Looks at the disk once for each kind of name that occurs."""

    def __init__(self, workspace: Path, cwd: str = ".") -> None:
        self._root = workspace.resolve()
        self._start = self._root / cwd
        self._files: list[str] | None = None
        self._go: dict[str, str] = {}
        self._go_seen: set[str] = set()
        self._crates: dict[str, str] | None = None

    def identify(self, test: ReportedTest) -> str:
        """The test's id; without a file that exists here it begins with the suite."""
        file = self.file_of(test)
        suite = "" if test.suite in {file, test.file, test.name} else test.suite
        name = "" if test.name in {file, test.file} else test.name
        return "::".join(part for part in (file, suite, name) if part) or test.name

    def file_of(self, test: ReportedTest) -> str:
        """The file from the root of the copy; '' when it cannot be told."""
        found = self._existing(test.file)
        if not found and test.file.endswith(".rs") and test.suite:
            found = self._existing(os.path.join(self._crate_folder(test.suite), test.file))  # noqa: PTH118
        if not found and "." in test.suite and "/" not in test.suite:
            found = self._class_file(test.suite)
        return found or self._go_file(test.suite, test.name)

    def _existing(self, name: str) -> str:
        if not name:
            return ""
        path = Path(os.path.normpath(self._start / name.removeprefix("file://")))
        try:
            found = path.is_relative_to(self._root) and path.is_file()
        except OSError:  # a name too long for any file
            return ""
        return path.relative_to(self._root).as_posix() if found else ""

    def _class_file(self, name: str) -> str:
        """The source of a JVM class: `com.x.CalcTest$Inner` lies in `…/com/x/CalcTest.java`."""
        stem = name.partition("$")[0].replace(".", "/")
        endings = tuple(f"/{stem}{suffix}" for suffix in (".java", ".kt", ".groovy", ".scala"))
        return next((path for path in self._all() if f"/{path}".endswith(endings)), "")

    def _go_file(self, package: str, test: str) -> str:
        """The file that defines a Go test; the folder of its package when none does."""
        if package not in self._go_seen:
            self._go_seen.add(package)
            folder = self._go_folder(package)
            if folder is None:
                return ""
            self._go[package] = folder or "."
            for path in sorted((self._root / folder).glob("*_test.go")):
                relative = path.relative_to(self._root).as_posix()
                for match in _GO_TEST.finditer(_read(path)):
                    self._go.setdefault(f"{package}\n{match[1]}", relative)
        return self._go.get(f"{package}\n{test.partition('/')[0]}", "")

    def _go_folder(self, package: str) -> str | None:
        match = _GO_MODULE.search(_read(self._start / "go.mod"))
        if match is None or not (package == match[1] or package.startswith(f"{match[1]}/")):
            return None
        folder = os.path.normpath(self._start / package[len(match[1]) :].lstrip("/"))
        return PurePosixPath(folder).relative_to(self._root).as_posix() if folder.startswith(str(self._root)) else None

    def _crate_folder(self, crate: str) -> str:
        if self._crates is None:
            self._crates = {}
            for path in self._all():
                if PurePosixPath(path).name == "Cargo.toml":
                    match = _CRATE_NAME.search(_read(self._root / path))
                    if match:
                        self._crates.setdefault(match[1].replace("-", "_"), str(PurePosixPath(path).parent))
        return self._crates.get(crate.replace("-", "_"), "")

    def _all(self) -> list[str]:
        if self._files is None:
            found: list[str] = []
            for folder, below, names in os.walk(self._root):
                deep = len(Path(folder).parts) - len(self._root.parts) >= _MAX_DEPTH
                below[:] = sorted(name for name in below if name not in _SKIPPED) if not deep else []
                found += [Path(folder, name).relative_to(self._root).as_posix() for name in sorted(names)]
            self._files = found
        return self._files


def _read(path: Path) -> str:
    """The beginning of a regular file of the copy; '' for anything else. A link may lead out of it."""
    try:
        if path.is_symlink() or not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(_READ_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
