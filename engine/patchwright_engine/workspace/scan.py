"""List the files of a workspace that count: what git tracks or would track, else what no ignore rule hides.

The files of checked-out submodules count too: what the project runs and tests may need them. A repository that merely
lies inside is one of its own. Invariant: every file returned is a regular file (or a link to one) inside the root, and
the order is fixed; what is left out without an ignore rule is named with its reason.
"""

import errno
import os
import re
import stat
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from patchwright_engine.control import CancelToken
from patchwright_engine.types import RepoPath, Skipped
from patchwright_engine.workspace.repository import is_git, run_git
from patchwright_engine.workspace.walk import LOOKS, Listing, walk

_COMPILED = (".so", ".pyd", ".dylib", ".dll")
_GENERATED = (".py", *_COMPILED)
MAX_GENERATED = 1_000
MAX_GENERATED_BYTES = 1 << 30
"""All generated files of a workspace together."""
MAX_TEXT_BYTES = 1 << 20
"""One generated file that is not compiled."""
_TRACKED = re.compile(r"(\d{6}) [0-9a-f]{40,64} [0-3]")
_SUBMODULE = "160000"
"""What git's index says a submodule is."""


@dataclass(frozen=True, slots=True)
class Generated:
    """Ignored files that belong into a copy all the same."""

    files: tuple[RepoPath, ...] = ()
    left_out: tuple[RepoPath, ...] = ()
    """Those too large or too many: what imports them fails."""


def scan(root: Path, cancel: CancelToken | None = None) -> Listing:
    """All files of the workspace that are not ignored. Links that leave `root` are left out.

    Raises:
        Cancelled: the token was cancelled.
    """
    cancel = cancel or CancelToken()
    real_root = root.resolve()
    entries = _list_entries(root, cancel)
    files: list[RepoPath] = []
    skipped = list(entries.skipped)
    for number, path in enumerate(entries.files):
        if number % LOOKS == 0:
            cancel.check()
        found = _look_at(real_root, f"{root}/{path}", path)
        if found is path:
            files.append(path)
        elif isinstance(found, Skipped):
            skipped.append(found)
    return Listing(tuple(files), tuple(sorted(skipped, key=lambda one: one.path)))


def directory_links(root: Path, files: Container[RepoPath] = ()) -> tuple[RepoPath, ...]:
    """Non-ignored symbolic links to folders inside `root`, sorted. Their content is not scanned twice.

    `files` are known to be none and not looked at: nearly all of a workspace, after a scan.
    """
    real_root = root.resolve()
    return tuple(
        path
        for path in _list_entries(root).files
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
    names: list[str] = []
    try:
        for folder in _ask_git(root, None)[1] if (root / ".gitmodules").exists() else [PurePosixPath()]:
            output = run_git(root / folder, "ls-files", "-o", "-i", "--exclude-standard", "--directory", "-z")
            names += (str(folder / name) + "/" * name.endswith("/") for name in _split(output))
    except OSError:
        return Generated()
    candidates = _importable(root, [name for name in names if name.endswith((".egg-info/", *_GENERATED))])
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
    sources = [path for path in _list_entries(root).files if path.endswith(".py")]
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


def _list_entries(root: Path, cancel: CancelToken | None = None) -> Listing:
    """Every non-ignored entry, links and vanished files included."""
    if is_git(root):
        try:
            return _ask_git(root, cancel)[0]
        except OSError:
            pass  # A repository git refuses (broken, foreign owner) is still a folder of files.
    return walk(root, cancel)


def _ask_git(root: Path, cancel: CancelToken | None) -> tuple[Listing, list[PurePosixPath]]:
    """What git tracks or would track, in the repository and its submodules, and the folders of these repositories.

    Raises:
        OSError: git refuses to tell.
    """
    asked: list[PurePosixPath] = []
    files: set[RepoPath] = set()
    skipped: list[Skipped] = []
    waiting = [PurePosixPath()]
    while waiting:
        folder = waiting.pop()
        try:
            output = run_git(root / folder, "ls-files", "-c", "-o", "-s", "--exclude-standard", "-z", cancel=cancel)
        except OSError:
            if folder == PurePosixPath():
                raise
            skipped.append(Skipped(RepoPath(f"{folder}/"), "a submodule that git cannot read"))
            continue
        asked.append(folder)
        prefix = "" if folder == PurePosixPath() else f"{folder}/"
        for name in _split(output):
            info, _, tracked = name.partition("\t")
            mode = _TRACKED.fullmatch(info)
            path = RepoPath(prefix + (tracked if mode else name))
            if mode and mode[1] == _SUBMODULE:
                if _is_checked_out(root / path):
                    waiting.append(PurePosixPath(path))
                else:
                    reason = "a submodule that is not checked out: git submodule update --init gets it"
                    skipped.append(Skipped(RepoPath(f"{path}/"), reason))
            elif path.endswith("/"):
                reason = "a git repository of its own, no submodule: open it as a workspace"
                skipped.append(Skipped(path, reason))
            else:
                files.add(path)
    return Listing(tuple(sorted(files)), tuple(skipped)), asked


def _is_checked_out(submodule: Path) -> bool:
    return not submodule.is_symlink() and submodule.is_dir() and is_git(submodule)


def is_inside(real_root: Path, entry: Path) -> bool:
    """Whether `entry`, links followed, stays inside `real_root` (itself resolved)."""
    try:
        return entry.resolve(strict=True).is_relative_to(real_root)
    except (OSError, RuntimeError):
        return False


def _split(output: bytes) -> Iterable[str]:
    return (os.fsdecode(name) for name in output.split(b"\0") if name)


def _look_at(real_root: Path, entry: str, path: RepoPath) -> RepoPath | Skipped | None:
    """`path` itself for a file that counts; None for what is gone, or listed elsewhere."""
    try:
        mode = os.lstat(entry).st_mode
    except OSError:
        return None
    if stat.S_ISREG(mode):
        return path
    if stat.S_ISLNK(mode):
        return _look_through(real_root, entry, path)
    return None if stat.S_ISDIR(mode) else Skipped(path, "neither a file nor a folder")


def _look_through(real_root: Path, link: str, path: RepoPath) -> RepoPath | Skipped | None:
    try:
        target = Path(link).resolve(strict=True)
        mode = target.stat().st_mode
    except FileNotFoundError:
        return Skipped(path, "a link that leads nowhere")
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        circle = isinstance(error, RuntimeError) or error.errno == errno.ELOOP
        reason = getattr(error, "strerror", None) or str(error)
        return Skipped(path, "a link that leads in a circle" if circle else f"cannot be read: {reason}")
    is_folder = stat.S_ISDIR(mode)
    if not target.is_relative_to(real_root):
        return Skipped(RepoPath(f"{path}/") if is_folder else path, "a link out of the workspace")
    if is_folder:
        return None  # Its files are listed where they are.
    return path if stat.S_ISREG(mode) else Skipped(path, "neither a file nor a folder")
