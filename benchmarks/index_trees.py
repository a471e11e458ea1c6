"""Trees for `benchmarks/index.py`: a copy with a branch to switch to, trees of any size, and issues about their code.

Invariant: equal input gives equal trees and issues.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from patchwright_engine.syntax.languages import language_of
from patchwright_engine.syntax.parse import parse_symbols
from patchwright_engine.types import RepoPath, Snapshot

BRANCH = "touched"
TOUCHED = 200
ISSUES = 21
SHOWN_LINES = 25
_AUTHOR = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost", "-c", "commit.gpgsign=false")


def copy_sources(snapshot: Snapshot, target: Path) -> list[RepoPath]:
    """The source files of a snapshot in a new git repository, with a branch that changes `TOUCHED` of them."""
    sources = [path for path in snapshot.files if language_of(path) is not None]
    for path in sources:
        _write(target / path, snapshot.read_bytes(path))
    _git(target, "init", "-q", "-b", "start")
    _commit(target)
    _git(target, "switch", "-q", "-c", BRANCH)
    for number, path in enumerate(_spread(sources, TOUCHED)):
        with (target / path).open("ab") as file:
            file.write(b"\n# touched %d\n" % number)
    _commit(target)
    _git(target, "switch", "-q", "start")
    return sources


def grow(snapshot: Snapshot, target: Path, size: int) -> list[RepoPath]:
    """A tree of `size` files: the snapshot's source files over and over, no two with the same content."""
    sources = [path for path in snapshot.files if language_of(path) is not None]
    grown: list[RepoPath] = []
    while len(grown) < size:
        copy = len(grown) // len(sources)
        for path in _spread(sources, min(len(sources), size - len(grown))):
            place = RepoPath(f"part{copy}/{path}")
            comment = b"#" if path.endswith((".py", ".rb")) else b"//"
            _write(target / place, snapshot.read_bytes(path) + b"\n%s copy %d of a file\n" % (comment, copy))
            grown.append(place)
    _git(target, "init", "-q")
    return grown


def make_issues(tree: Path, sources: Sequence[RepoPath]) -> list[str]:
    """Texts like those of issues, about definitions all over the tree: names, code and words that stand there."""
    issues: list[str] = []
    for path in _spread(sources, 10 * ISSUES):
        content = (tree / path).read_bytes()
        functions = [symbol for symbol in parse_symbols(path, content).symbols if symbol.kind in ("function", "method")]
        if not functions or len(issues) == ISSUES:
            continue
        symbol = functions[len(functions) // 2]
        lines = content.decode("utf-8", "replace").splitlines()
        code = "\n".join(lines[symbol.start_line - 1 : symbol.end_line][:SHOWN_LINES])
        start = "\n".join(lines[:SHOWN_LINES])
        issues.append(
            f"{symbol.name} fails with an unexpected TypeError\n\nWhen I call `{symbol.name}` it raises and gives no"
            f" result.\n\n```\n{code}\n```\n\nThe module begins so:\n\n{start}\n"
        )
    return issues


def _spread(paths: Sequence[RepoPath], count: int) -> list[RepoPath]:
    """`count` of the paths, or all, evenly over their order."""
    count = min(count, len(paths))
    return [paths[number * len(paths) // count] for number in range(count)]


def _write(place: Path, content: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def _commit(target: Path) -> None:
    _git(target, "add", "-A", "-f")
    _git(target, *_AUTHOR, "commit", "-q", "-m", "sources")


def _git(target: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", target, *arguments], check=True, capture_output=True)
