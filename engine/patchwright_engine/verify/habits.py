"""What a project's pytest settings say about which of its files are tests: read, never run.

The settings may widen or narrow what counts as a test. They never choose a command: selected files are handed to our
own. Invariant: settings that cannot be read are as good as none, and `problem` tells of them.
"""

import configparser
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from patchwright_engine.errors import StaleSnapshot
from patchwright_engine.sandbox.output import visible
from patchwright_engine.types import RepoPath, Snapshot

_INI = {"pytest.ini": "pytest", ".pytest.ini": "pytest", "tox.ini": "pytest", "setup.cfg": "tool:pytest"}
_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
"""In pytest's order: the first that holds settings counts, and a pytest.ini does so even when it is empty."""
_ALWAYS = {"pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini"}
_MAX_BYTES = 1 << 20
_MAX_PATTERNS = 100
_TEST_FOLDER = re.compile(r"(?:(?:unit|integration|functional)_?)?tests?|testing|test_?suite")
_ANY_MODULE = RepoPath("some_package/inner/module.py")


@dataclass(frozen=True, slots=True)
class Habits:
    """The settings of one project; empty where they say nothing."""

    python_files: tuple[str, ...] = ()
    """Patterns of names, or of paths where they hold a slash. Not those that take in every module: they say nothing."""
    testpaths: tuple[str, ...] = ()
    norecursedirs: tuple[str, ...] = ()
    problem: str = ""
    """What could not be read, as a sentence for the user; '' when all could."""

    def names(self, path: RepoPath) -> bool:
        """Whether `python_files` call the file a test."""
        return any(_matches(pattern, path) for pattern in self.python_files)

    def looks_into(self, path: RepoPath) -> bool:
        """Whether pytest, started without arguments, would come across the file."""
        place = PurePosixPath(path)
        above = (place, *place.parents)
        if self.testpaths and not any(_lies_at(folder, at) for at in self.testpaths for folder in above):
            return False
        folders = [RepoPath(str(above)) for above in place.parents[:-1]]
        return not any(_matches(pattern, folder) for pattern in self.norecursedirs for folder in folders)

    def claims(self, path: RepoPath) -> bool:
        """Whether the settings, rather than customs, make the file a test, or put it into a folder of tests."""
        if self.names(path) and self.looks_into(path):
            return True
        place = PurePosixPath(path)
        return any(_for_tests(at) and _lies_at(above, at) for at in self.testpaths for above in place.parents)


def habits_of(snapshot: Snapshot) -> Habits:
    """The settings of the snapshot, unsaved buffers before the disk."""

    def read(name: str) -> str | None:
        path = RepoPath(name)
        if path not in snapshot.files:
            return None
        try:
            return snapshot.read_bytes(path)[: _MAX_BYTES + 1].decode("utf-8", "replace")
        except (OSError, StaleSnapshot):
            return None

    return _habits(read)


def habits_in(root: Path) -> Habits:
    """The settings in a folder; a file that is a link out of it is none."""

    def read(name: str) -> str | None:
        path = root / name
        try:
            if not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
                return None
            with path.open("rb") as file:
                return file.read(_MAX_BYTES + 1).decode("utf-8", "replace")
        except OSError:
            return None

    return _habits(read)


def _habits(read: Callable[[str], str | None]) -> Habits:
    for name in _FILES:
        text = read(name)
        if text is None:
            continue
        try:
            if len(text) > _MAX_BYTES:
                raise ValueError("it is larger than 1 MiB")
            settings = _settings(name, text)
            if settings is not None:
                return _built(settings)
        except (ValueError, RecursionError, configparser.Error) as error:
            reason = " ".join(visible(str(error)).split())[:120]
            return Habits(problem=f"The pytest settings in {name} cannot be read ({reason}); they were left out.")
    return Habits()


def _settings(name: str, text: str) -> Mapping[str, object] | None:
    """The table of pytest's settings; None when the file has none.

    Raises:
        ValueError, RecursionError, configparser.Error: the file, or its table, is malformed.
    """
    if name in _INI:
        parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="\0")
        parser.read_string(text)
        section = _INI[name]
        if section in parser:
            return parser[section]
        return {} if name in _ALWAYS else None
    document: object = tomllib.loads(text)
    for keys in (("tool", "pytest", "ini_options"), ("tool", "pytest")) if name == "pyproject.toml" else (("pytest",),):
        value = document
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, dict) and value:
            return value
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"[{'.'.join(keys)}] is no table")
    return {} if name in _ALWAYS else None


def _built(settings: Mapping[str, object]) -> Habits:
    testpaths = _words(settings, "testpaths")
    # With doctests in mind some projects collect every module: that tells nothing about which are tests.
    narrow = bool(testpaths) and all(map(_for_tests, testpaths))
    patterns = [word for word in _words(settings, "python_files") if narrow or not _matches(word, _ANY_MODULE)]
    return Habits(tuple(patterns), testpaths, _words(settings, "norecursedirs"))


def _words(settings: Mapping[str, object], key: str) -> tuple[str, ...]:
    """The value as pytest's type `args` takes it. Raises ValueError."""
    value = settings.get(key, "")
    words = shlex.split(value) if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{key} is neither text nor a list of texts")
    if len(words) > _MAX_PATTERNS:
        raise ValueError(f"{key} holds more than {_MAX_PATTERNS} patterns")
    return tuple(word for word in words if word)


def _matches(pattern: str, path: RepoPath) -> bool:
    """As pytest's `fnmatch_ex` for an absolute path: a pattern with a slash may begin at any folder."""
    if "/" not in pattern:
        return fnmatchcase(PurePosixPath(path).name, pattern)
    return fnmatchcase(f"/{path}", f"*/{pattern.removeprefix('/')}")


def _lies_at(place: PurePosixPath, pattern: str) -> bool:
    """Whether the glob pattern names the place; `**` stands for any number of folders."""
    parts, wanted = place.parts, PurePosixPath(pattern).parts
    if "**" not in wanted:
        return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
    start = wanted[: wanted.index("**")]
    end = wanted[len(wanted) - wanted[::-1].index("**") :]
    inside = len(parts) >= len(start) + len(end)
    return inside and all(map(fnmatchcase, (*parts[: len(start)], *parts[len(parts) - len(end) :]), (*start, *end)))


def _for_tests(testpath: str) -> bool:
    """Whether a test path is a folder of nothing but tests, by its name: projects name their packages there too."""
    return bool(_TEST_FOLDER.fullmatch(PurePosixPath(testpath).name))
