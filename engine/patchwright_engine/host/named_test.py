"""Which test an editor's user means: the one at a place in a file, or one named as seen from the open folder."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from patchwright_engine.types import RepoPath, Symbol


def find_test(path: RepoPath, line: int, symbols: Sequence[Symbol]) -> tuple[str, int, int] | None:
    """The id of the test at the 1-based `line` of a file with these `symbols`, and its first and last line.

    In a class between its tests it is the class, above or below all of them the file; None in a file without tests.
    """
    tests = [symbol for symbol in symbols if _last(symbol).startswith("test") and symbol.kind in ("function", "method")]
    classes = [one for one in symbols if one.kind == "class" and any(t.name.startswith(f"{one.name}.") for t in tests)]
    for meant in (tests, classes):
        around = [symbol for symbol in meant if symbol.start_line <= line <= symbol.end_line]
        if around:
            inner = min(around, key=lambda symbol: symbol.end_line - symbol.start_line)
            return "::".join([path, *inner.name.split(".")]), inner.start_line, inner.end_line
    return (str(path), 1, max(symbol.end_line for symbol in tests)) if tests else None


def _last(symbol: Symbol) -> str:
    return symbol.name.rpartition(".")[2]


def seen_from_repository(command: str, folder: Path, root: Path) -> str:
    """A test command that names files as seen from the open `folder`, as it reads from the repository's `root`.

    Only words that begin with a Python file that is there are changed; what the shell could not read stays.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return shlex.join(_from_root(word, folder, root) for word in words)


def _from_root(word: str, folder: Path, root: Path) -> str:
    name, separator, test = word.partition("::")
    path = folder / name
    if not name.endswith(".py") or not path.is_file():
        return word
    real = path.resolve()
    return f"{real.relative_to(root).as_posix()}{separator}{test}" if real.is_relative_to(root) else word
