"""Find the workspace root and ask git about it, without ever writing to it.

Invariant: no git command here takes optional locks, refreshes an index or runs a program that the
repository's own configuration names.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.syntax.languages import language_of
from patchwright_engine.types import RepoPath

CURE = "Give a folder with source code, e.g. --repo path/to/project."
NEVER_SOURCE = frozenset(
    {".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".nox", "build", "dist"}
)
MAX_FOLDERS_PROBED = 2_000
"""A folder without git is searched this far for a first source file; a wrong '/' must not take minutes."""


def find_repository(path: Path) -> Path:
    """The workspace root for `path`: its git top level, else the folder itself when it holds source files.

    A folder that its surrounding repository ignores (a checkout inside `build/`) counts as its own root.

    Raises:
        BadInput: `path` is missing, not a folder, or has neither git nor any source file.
    """
    try:
        folder = path.expanduser().resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise BadInput(f"there is no folder {path}", CURE) from error
    if not folder.is_dir():
        raise BadInput(f"{path} is a file, not a folder", CURE)
    top = _git_top(folder)
    if top is not None and (top == folder or not _ignores(top, folder)):
        return top
    if not _has_source(folder):
        raise BadInput(f"{path} is no repository: it has neither git nor any source file", CURE)
    return folder


def head_commit(root: Path) -> str | None:
    """The full id of the commit checked out at `root`; None without git or before the first commit."""
    try:
        return run_git(root, "rev-parse", "--verify", "--quiet", "HEAD").decode("ascii", "replace").strip() or None
    except OSError:
        return None


def is_git(root: Path) -> bool:
    """Whether `root` itself is the top of a git work tree."""
    return (root / ".git").exists()


def is_tracked(root: Path, path: RepoPath) -> bool:
    """Whether git tracks the file or link at `path`, or anything below a folder there."""
    try:
        return is_git(root) and bool(run_git(root, "ls-files", "-z", "--", path))
    except OSError:
        return False


def run_git(root: Path, *arguments: str, cancel: CancelToken | None = None) -> bytes:
    """Standard output of one read-only git command at `root`.

    Raises:
        OSError: git is missing, `root` is no work tree, or the command failed.
        Cancelled: the token was cancelled, and git was ended.
    """
    try:
        import git
    except ImportError as error:  # GitPython refuses to import where there is no git executable.
        raise FileNotFoundError("git is not installed") from error
    try:
        with git.Repo(root) as repository:
            git_dir = str(repository.git_dir)
            # Set, not inherited: a run from inside a git hook brings another repository's GIT_DIR.
            environment = {
                "GIT_OPTIONAL_LOCKS": "0",
                "GIT_DIR": git_dir,
                "GIT_WORK_TREE": str(root),
                "GIT_INDEX_FILE": os.path.join(git_dir, "index"),  # noqa: PTH118 - kept as git spells it
                "LC_ALL": "C",
            }
            # core.fsmonitor may name a program in the repository's own configuration; in a partial clone git would
            # fetch what it lacks.
            command = ["git", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never", *arguments]
            process = repository.git.execute(command, env=environment, as_process=True)
            forget = cancel.on_cancel(process.kill) if cancel is not None else None
            output, _ = process.communicate()
            status = process.returncode
    except (git.exc.GitError, ValueError) as error:
        raise OSError(f"git {arguments[0]} failed in {root}") from error
    if cancel is not None and forget is not None:
        forget()
        cancel.check()
    if status != 0:
        raise OSError(f"git {arguments[0]} failed in {root}")
    return bytes(output)


def _git_top(folder: Path) -> Path | None:
    for candidate in (folder, *folder.parents):
        if is_git(candidate):
            try:
                run_git(candidate, "rev-parse", "--git-dir")
            except OSError:
                return None
            return candidate
    return None


def _ignores(top: Path, folder: Path) -> bool:
    try:
        run_git(top, "check-ignore", "--quiet", "--", folder.relative_to(top).as_posix())
    except OSError:
        return False
    return True


def _has_source(folder: Path) -> bool:
    return any(language_of(RepoPath(name)) is not None for name in _file_names(folder))


def _file_names(folder: Path) -> Iterator[str]:
    for number, (_, folders, names) in enumerate(os.walk(folder)):
        if number >= MAX_FOLDERS_PROBED:
            return
        folders[:] = [name for name in folders if name not in NEVER_SOURCE and not name.startswith(".")]
        yield from names
