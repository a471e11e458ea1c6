"""Which files a patch may touch at all.

Invariant: nothing that decides whether a patch is good may be changed by it (DESIGN §3), and no path leaves
the workspace.
"""

from collections.abc import Set
from pathlib import PurePosixPath

from patchwright_engine.types import RepoPath

_CONFIGURATION = frozenset(
    {
        "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg",
        "pyproject.toml", "noxfile.py", ".coveragerc", "sitecustomize.py", "usercustomize.py",
    }
)  # fmt: skip


def is_judging_file(path: str) -> str | None:
    """Why a file takes part in judging patches, in words; None if it does not."""
    parts = PurePosixPath(path.lower()).parts
    name = parts[-1] if parts else ""
    if name in _CONFIGURATION or name.endswith(".pth"):
        return f"{path} configures how tests run"
    if "tests" in parts[:-1] or parts[:1] == ("test",):
        return f"{path} lies in a test folder"
    if name == "tests.py" or (name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))):
        return f"{path} is a test file"
    return None


def forbidden(path: str, allowed: Set[RepoPath] | None) -> str | None:
    """Why a patch may not touch `path`, in words; None if it may."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith(("/", "~")) or ".." in parts or "\\" in path or ":" in parts[0]:
        return f"{path} is not a path inside the repository"
    if ".git" in (part.lower() for part in parts):
        return f"{path} belongs to git"
    if allowed is not None and path not in allowed:
        return f"{path} is not among the files of this task"
    return is_judging_file(path)
