"""Find the interpreter and runner the project's own developers would use, without running anything.

An interpreter found inside the repository is never executed here: whether it has pytest is read from its
site-packages on disk. Invariant: the order is fixed and the reason is told, so that a user can overrule it.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.errors import BadInput
from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.repository import is_tracked

_BASE_PARTS = ("bin", "lib", "lib64", "include", "ssl")
"""What a base interpreter needs of its prefix. Not the whole: a prefix may be ~/.local, which holds key rings."""


@dataclass(frozen=True, slots=True)
class TestEnvironment:
    """How to run the project's tests."""

    __test__ = False

    python: Path
    """Absolute. Inside a virtual environment it is the environment's own link, unresolved."""
    runner: str
    """'pytest' or 'unittest'."""
    reason: str
    """Why this interpreter, as a sentence for the user."""
    readable: tuple[Path, ...]
    """Folders the sandbox must show for the interpreter and its packages to work."""
    notes: tuple[str, ...] = ()
    own: bool = False
    """Patchwright's own interpreter: the pytest plugins installed there are not the project's choice."""

    def variables(self, workspace: Path) -> dict[str, str]:
        """Environment variables of a test run over the copy at `workspace`: the copy's code comes first."""
        paths = [str(workspace / "src")] if (workspace / "src").is_dir() else []
        variables = {
            "PYTHONPATH": os.pathsep.join([*paths, str(workspace)]),
            "PATH": f"{self.python.parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        }
        if (self.python.parent.parent / "pyvenv.cfg").exists():
            variables["VIRTUAL_ENV"] = str(self.python.parent.parent)
        return variables


def discover_environment(root: Path, override: Path | None = None) -> TestEnvironment:
    """Choose the interpreter: the user's word, an active environment, one in the tree, else Patchwright's own.

    An environment in the tree counts only when git does not track it: what a repository brings along must not
    choose which folders the sandbox may read.

    Raises:
        BadInput: `override` is not an interpreter that can be used.
    """
    if override is not None:
        return _environment(_checked_override(override), "chosen by the user", ())
    notes: list[str] = []
    for prefix, reason in _candidates(root):
        python = prefix / "bin" / "python"
        if prefix.parent == root.absolute() and is_tracked(root, RepoPath(prefix.name)):
            notes.append(f"{prefix} was passed over: it belongs to the repository. Name it with `python` to use it.")
            continue
        if not os.access(python, os.X_OK):
            notes.append(f"{prefix} was passed over: it has no working bin/python.")
            continue
        return _environment(python, reason, tuple(notes))
    notes.append(
        "No environment of the project was found; packages it depends on may be missing. Name its interpreter with "
        "the setting `python`, or activate its environment."
    )
    python = Path(sys.executable)
    reason = "no environment of the project was found, so Patchwright's own interpreter runs the tests"
    return _environment(python, reason, tuple(notes))


def interpreter_folders(python: Path) -> tuple[Path, ...]:
    """Every folder that `python` needs to start and import: its environment, and the base it was made from."""
    folders: dict[Path, None] = {}
    for hop in _links(python):
        prefix = hop.parent.parent
        if (prefix / "pyvenv.cfg").exists():
            folders[prefix] = None
            home = _venv_settings(prefix).get("home")
            if home:
                _add_base(Path(home).parent, folders)
        elif not hop.is_symlink():
            _add_base(prefix, folders)
    return tuple(folder for folder in folders if not _is_system(folder))


def _environment(python: Path, reason: str, notes: tuple[str, ...]) -> TestEnvironment:
    own = python.absolute() == Path(sys.executable).absolute()
    has_pytest = importlib.util.find_spec("pytest") is not None if own else _has_package(python, "pytest")
    if not has_pytest:
        notes = (*notes, f"pytest is not installed for {python}; tests are run by unittest.")
    return TestEnvironment(
        python=python,
        runner="pytest" if has_pytest else "unittest",
        reason=reason,
        readable=interpreter_folders(python),
        notes=notes,
        own=own,
    )


def _candidates(root: Path) -> Iterator[tuple[Path, str]]:
    own = Path(sys.prefix).resolve()
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        value = os.environ.get(variable)
        if value and Path(value).resolve() != own:
            yield Path(value).absolute(), f"the environment active in your shell ({variable})"
    for name in (".venv", "venv", "env"):
        prefix = root.absolute() / name
        if (prefix / "pyvenv.cfg").exists() and prefix.resolve() != own:
            yield prefix, f"the environment {name} inside the project"


def _checked_override(override: Path) -> Path:
    python = override.expanduser().absolute()
    if python.is_dir():
        python = python / "bin" / "python"
    cure = "Name an interpreter, e.g. /path/to/.venv/bin/python, or the folder of a virtual environment."
    if not python.is_file() or not os.access(python, os.X_OK):
        raise BadInput(f"{override} is not a Python interpreter", cure)
    if python.parent.name == "shims":
        raise BadInput(
            f"{override} is a pyenv shim, which needs your home folder", "Give what `pyenv which python` prints."
        )
    in_environment = (python.parent.parent / "pyvenv.cfg").exists()
    return python if in_environment else python.resolve()


def _links(python: Path) -> Iterator[Path]:
    """`python` and every further name on its chain of links, ending with the real file."""
    seen: set[Path] = set()
    hop = python.absolute()
    while hop not in seen:
        seen.add(hop)
        yield hop
        hop = Path(os.path.normpath(hop.parent / hop.readlink())) if hop.is_symlink() else hop.resolve()


def _add_base(prefix: Path, folders: dict[Path, None]) -> None:
    for base in (prefix, prefix.resolve()):
        for part in _BASE_PARTS:
            if (base / part).is_dir():
                folders[base / part] = None


def _is_system(folder: Path) -> bool:
    return folder.is_relative_to("/usr") or folder.parts[:2] in {("/", "bin"), ("/", "lib"), ("/", "lib64")}


def _venv_settings(prefix: Path) -> dict[str, str]:
    """The keys of `pyvenv.cfg`, in lower case."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _has_package(python: Path, name: str) -> bool:
    prefixes = [python.parent.parent]
    settings = _venv_settings(prefixes[0])
    if not settings or settings.get("include-system-site-packages", "").lower() == "true":
        prefixes.append(python.resolve().parent.parent)
    patterns = ("lib/python3*/site-packages", "lib64/python3*/site-packages", "lib/python3*/dist-packages")
    folders = [folder for prefix in prefixes for pattern in patterns for folder in prefix.glob(pattern)]
    # A project that is the package itself is installed in place: its metadata is here, its code is in the tree.
    in_place = (f"{name}-[0-9]*.dist-info", f"{name}.egg-link", f"__editable__.{name}-*.pth")
    return any(
        (folder / name / "__init__.py").exists() or any(any(folder.glob(pattern)) for pattern in in_place)
        for folder in folders
    )
