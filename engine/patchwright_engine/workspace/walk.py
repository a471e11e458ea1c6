"""List a folder that git does not know: every entry that neither a `.gitignore` nor a usual habit hides.

Invariant: links are listed and never followed, so that no circle of them is walked.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pathspec

from patchwright_engine.control import CancelToken
from patchwright_engine.types import RepoPath, Skipped

BUILT_IN_IGNORES = (
    ".git",
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


LOOKS = 1_000
"""Entries between two looks at the cancel token."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Files or entries of a workspace, sorted, and what is missing though no rule hides it."""

    files: tuple[RepoPath, ...]
    skipped: tuple[Skipped, ...] = ()


def walk(root: Path, cancel: CancelToken | None = None) -> Listing:
    """Every entry that is no folder; each `.gitignore` adds rules for its own folder.

    Raises:
        Cancelled: the token was cancelled.
    """
    files: list[RepoPath] = []
    skipped: list[Skipped] = []
    waiting = [("", [pathspec.GitIgnoreSpec.from_lines(BUILT_IN_IGNORES)])]
    cancel = cancel or CancelToken()
    while waiting:
        prefix, specs = waiting.pop()
        specs = [*specs, *_own_rules(root, prefix)]
        try:
            entries = list(os.scandir(f"{root}/{prefix}"))
        except OSError as error:
            skipped.append(Skipped(RepoPath(prefix or "./"), f"cannot be read: {error.strerror}"))
            continue
        for number, entry in enumerate(entries):
            if number % LOOKS == 0:
                cancel.check()
            path = prefix + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if _ignored(f"{path}/" if is_folder else path, specs):
                continue
            if is_folder:
                waiting.append((f"{path}/", specs))
            else:
                files.append(RepoPath(path))
    return Listing(tuple(sorted(files)), tuple(skipped))


def _own_rules(root: Path, prefix: str) -> list[pathspec.GitIgnoreSpec]:
    try:
        with open(f"{root}/{prefix}.gitignore", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - deep
            lines = file.read().splitlines()
    except OSError:
        return []
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
