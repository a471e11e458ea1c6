"""List the files of a workspace that count: what git tracks or would track, else what no ignore rule hides.

Invariant: every path returned is a regular file (or a link to one) inside the root, and the order is fixed.
"""

import os
import re
import stat
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pathspec

from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.repository import is_git, run_git

BUILT_IN_IGNORES = (
    ".git/",
    ".hg/",
    ".svn/",
    "node_modules/",
    "__pycache__/",
    "*.py[co]",
    ".venv/",
    "venv/",
    ".env/",
    ".tox/",
    ".nox/",
    ".eggs/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    ".idea/",
    ".vscode/",
    "build/",
    "dist/",
    "*.egg-info/",
)
"""Used where there is no git to ask; git users have rules of their own."""

_COMPILED = (".so", ".pyd", ".dylib", ".dll")
_GENERATED = (".py", *_COMPILED)
MAX_GENERATED = 1_000
MAX_GENERATED_BYTES = 1 << 30
"""All generated files of a workspace together."""
MAX_TEXT_BYTES = 1 << 20
"""One generated file that is not compiled."""


@dataclass(frozen=True, slots=True)
class Generated:
    """Ignored files that belong into a copy all the same."""

    files: tuple[RepoPath, ...] = ()
    left_out: tuple[RepoPath, ...] = ()
    """Those too large or too many: what imports them fails."""


def scan(root: Path) -> tuple[RepoPath, ...]:
    """All files of the workspace that are not ignored, sorted. Links that leave `root` are left out."""
    real_root = root.resolve()
    return tuple(path for path in list_entries(root) if _is_inner_file(real_root, f"{root}/{path}"))


def directory_links(root: Path, files: Container[RepoPath] = ()) -> tuple[RepoPath, ...]:
    """Non-ignored symbolic links to folders inside `root`, sorted. Their content is not scanned twice.

    `files` are known to be none and not looked at: nearly all of a workspace, after a scan.
    """
    real_root = root.resolve()
    return tuple(
        path
        for path in list_entries(root)
        if path not in files
        and (root / path).is_symlink()
        and (root / path).is_dir()
        and is_inside(real_root, root / path)
    )


def generated_files(root: Path) -> Generated:
    """Ignored files that imports may still need: a written `_version.py`, an extension built in place.

    Every module of a package whose `__init__.py` git would track. Beside other Python files, in the root and in `src`:
    compiled ones, and of the rest those that a file of the project imports by name: a scratch file stays out. The
    metadata of an editable installation (`*.egg-info`) too. Ignored folders as a whole (virtual environments, caches,
    builds) are not entered.
    """
    if not is_git(root):
        return Generated()
    try:
        output = run_git(root, "ls-files", "-o", "-i", "--exclude-standard", "--directory", "-z")
    except OSError:
        return Generated()
    candidates = _importable(root, [name for name in _split(output) if name.endswith((".egg-info/", *_GENERATED))])
    taken: list[RepoPath] = []
    left_out: list[RepoPath] = []
    total = 0
    for name in candidates:
        size = _regular_size(f"{root}/{name}")
        if size is None:
            continue
        fits = size <= MAX_TEXT_BYTES or name.endswith(_COMPILED)
        if not fits or len(taken) >= MAX_GENERATED or total + size > MAX_GENERATED_BYTES:
            left_out.append(RepoPath(name))
        else:
            taken.append(RepoPath(name))
            total += size
    return Generated(tuple(taken), tuple(left_out))


def _importable(root: Path, names: list[str]) -> list[str]:
    """Those of the ignored entries that an import could reach, sorted; those of metadata one by one."""
    if not names:
        return []
    sources = [path for path in list_entries(root) if path.endswith(".py")]
    folders = {"", "src", *(path.rpartition("/")[0] for path in sources)}
    packages = {path.rpartition("/")[0] for path in sources if PurePosixPath(path).name == "__init__.py"}
    found: list[str] = []
    loose: list[str] = []
    for name in names:
        folder = name.rpartition("/")[0]
        if name.endswith("/"):
            try:
                found += [f"{name}{entry.name}" for entry in os.scandir(root / name)]
            except OSError:
                continue
        elif folder in packages or (folder in folders and name.endswith(_COMPILED)):
            found.append(name)
        elif folder in folders:
            loose.append(name)
    imported = _imported(root, {PurePosixPath(name).stem for name in loose})
    return sorted([*found, *(name for name in loose if PurePosixPath(name).stem in imported)])


def _imported(root: Path, modules: set[str]) -> set[str]:
    """Those of `modules` that a line of a Python file of the project imports by name."""
    named = sorted(name for name in modules if name.isidentifier())[:MAX_GENERATED]
    if not named:
        return set()
    line = rf"^[[:space:]]*(from|import)[[:space:]](.*[^[:alnum:]_])?({'|'.join(named)})([^[:alnum:]_]|$)"
    try:
        lines = run_git(root, "grep", "--untracked", "-h", "-I", "-E", "-e", line, "--", "*.py")
    except OSError:  # That there are no such lines is a failure to git.
        return set()
    return set(named) & set(re.findall(r"\w+", lines.decode("utf-8", "replace")))


def _regular_size(path: str) -> int | None:
    """Bytes of a regular file; None for anything else, links included."""
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_size if stat.S_ISREG(info.st_mode) else None


def list_entries(root: Path) -> tuple[RepoPath, ...]:
    """Every non-ignored entry, links and vanished files included, sorted."""
    if is_git(root):
        try:
            output = run_git(root, "ls-files", "-c", "-o", "--exclude-standard", "-z")
            return tuple(sorted({RepoPath(name) for name in _split(output)}))
        except OSError:
            pass  # A repository git refuses (broken, foreign owner) is still a folder of files.
    return tuple(sorted(_walk(root, PurePosixPath(), [pathspec.GitIgnoreSpec.from_lines(BUILT_IN_IGNORES)])))


def is_inside(real_root: Path, entry: Path) -> bool:
    """Whether `entry`, links followed, stays inside `real_root` (itself resolved)."""
    try:
        return entry.resolve(strict=True).is_relative_to(real_root)
    except (OSError, RuntimeError):
        return False


def _split(output: bytes) -> Iterable[str]:
    return (os.fsdecode(name) for name in output.split(b"\0") if name)


def _is_inner_file(real_root: Path, entry: str) -> bool:
    try:
        mode = os.lstat(entry).st_mode
    except OSError:
        return False
    if stat.S_ISREG(mode):
        return True
    return stat.S_ISLNK(mode) and Path(entry).is_file() and is_inside(real_root, Path(entry))


def _walk(root: Path, folder: PurePosixPath, specs: list[pathspec.GitIgnoreSpec]) -> Iterator[RepoPath]:
    """Depth-first; each `.gitignore` adds a spec whose patterns are anchored at its own folder."""
    specs = [*specs, *_own_rules(root, folder)]
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = folder / entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if _ignored(f"{path}/" if is_folder else str(path), specs):
            continue
        if is_folder:
            yield from _walk(root, path, specs)
        else:
            yield RepoPath(str(path))


def _own_rules(root: Path, folder: PurePosixPath) -> list[pathspec.GitIgnoreSpec]:
    try:
        lines = (root / folder / ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    prefix = "" if folder == PurePosixPath() else f"{folder}/"
    rules = [_anchored(line, prefix) for line in lines if line.strip() and not line.startswith("#")]
    try:
        return [pathspec.GitIgnoreSpec.from_lines(rules)]
    except ValueError:  # One malformed pattern; git would skip that line, we skip the file.
        return []


def _anchored(line: str, prefix: str) -> str:
    """A rule of a nested `.gitignore` as the root's `.gitignore` would say it."""
    if not prefix:
        return line
    negated, body = ("!", line[1:]) if line.startswith("!") else ("", line)
    anchored = "/" in body.rstrip().rstrip("/")
    return f"{negated}/{prefix}{body.lstrip('/')}" if anchored else f"{negated}/{prefix}**/{body}"


def _ignored(path: str, specs: list[pathspec.GitIgnoreSpec]) -> bool:
    """The deepest spec with an opinion decides, as git does."""
    for spec in reversed(specs):
        verdict = spec.check_file(path).include
        if verdict is not None:
            return verdict
    return False
