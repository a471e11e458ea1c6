"""Which files were changed together, when and why: commits before the one checked out, from git's log.

Invariant: nothing is fetched and nothing later than HEAD is seen; a workspace without git has no history.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.repository import run_git

BATCH = 400
"""Commits read by one git command: enough that starting it costs nothing, few enough for a command line."""
MAX_MESSAGE = 4_000
MAX_PATHS = 50
"""A commit of more files is a merge, a rename of a package or a reformatting: it says little about each."""
_FORMAT = "%x01%H%x02%ct%x02%B%x03"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit without its content."""

    id: str
    seconds: int
    """When it was made, Unix time."""
    message: str
    paths: tuple[RepoPath, ...]
    """Files it changed; none when there were more than `MAX_PATHS`."""


def recent_commits(root: Path, count: int) -> tuple[str, ...]:
    """Ids of the last `count` commits that led to HEAD, merges left out, newest first; none without git."""
    try:
        listed = run_git(root, "rev-list", "--no-merges", f"--max-count={count}", "HEAD", "--")
    except OSError:
        return ()
    return tuple(listed.decode("ascii", "replace").split())


def read_commits(root: Path, ids: Sequence[str]) -> tuple[Commit, ...]:
    """The commits of some ids, in any order; those that git cannot tell about are left out."""
    commits: list[Commit] = []
    for start in range(0, len(ids), BATCH):
        try:
            told = run_git(
                root, "-c", "core.quotePath=false", "log", "--no-walk=unsorted", "--no-renames", "--name-only",
                "--no-color", "--no-show-signature", f"--format={_FORMAT}", *ids[start : start + BATCH], "--",
            )  # fmt: skip
        except OSError:
            continue
        commits += [commit for text in told.split(b"\1")[1:] if (commit := _commit(text)) is not None]
    return tuple(commits)


def _commit(text: bytes) -> Commit | None:
    head, _, names = text.decode("utf-8", "replace").partition("\3")
    parts = head.split("\2", 2)
    if len(parts) != 3 or not parts[1].isdecimal():
        return None  # A message that holds our own separators.
    # A name in quotes holds a line feed or the like, and is no source file of anybody's.
    paths = [name for name in names.split("\n") if name and not name.startswith('"')]
    kept = tuple(map(RepoPath, paths)) if len(paths) <= MAX_PATHS else ()
    return Commit(parts[0], int(parts[1]), parts[2].strip()[:MAX_MESSAGE], kept)
