"""Find the interpreter and runner the project's own developers would use, without running anything.

An interpreter found inside the repository is never executed here: whether it has pytest is read from its
site-packages on disk. Invariant: the order is fixed and the reason is told, so that a user can overrule it.
"""

import importlib.util
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.errors import BadInput
from patchwright_engine.sandbox.policy import objection_to_showing
from patchwright_engine.types import RepoPath
from patchwright_engine.verify.build_environment import find_built
from patchwright_engine.verify.environments.asked import Asked, what_is_asked
from patchwright_engine.verify.environments.managers import Candidate, candidates
from patchwright_engine.verify.environments.prefix import (
    has_package,
    installed,
    is_environment,
    python_of,
    read_interpreter,
    version_of,
)
from patchwright_engine.verify.environments.python_runner import choose_runner, declared_commands
from patchwright_engine.workspace.repository import is_tracked

_CURE = (
    "No environment of the project was found; packages it depends on may be missing. Activate its environment, name "
    "its interpreter with the setting `python`, or let `patchwright env build` make one."
)
_NAMED_MISSING = 6
_SEVERAL = ("poetry", "hatch", "tox", "nox", "pyenv")
"""Managers that keep environments for several versions of Python side by side: another one may suit better."""


@dataclass(frozen=True, slots=True)
class TestEnvironment:
    """How to run the project's tests."""

    __test__ = False

    python: Path | None
    """Absolute; inside a virtual environment it is the environment's own link, unresolved. None: another language."""
    runner: str
    """A name in the table of `verify.invocation`: 'pytest', 'unittest', 'django', 'node', 'go', ..."""
    reason: str
    """Why this interpreter or tool, as a sentence for the user."""
    readable: tuple[Path, ...]
    """Folders the sandbox must show for the interpreter and its packages to work."""
    notes: tuple[str, ...] = ()
    """What the user should know with every fix."""
    own: bool = False
    """Patchwright's own interpreter: the pytest plugins installed there are not the project's choice."""
    language: str = "python"
    entry: str = ""
    """For Django: manage.py or tests/runtests.py, relative to the root."""
    considered: tuple[str, ...] = ()
    """What else was looked at, and why it was passed over; for `doctor` and `env show`."""
    program: Path | None = None
    """The tool of another language, absolute."""
    packages: Path | None = None
    """The folder of installed packages that the tool is pointed to."""
    links: tuple[tuple[str, Path], ...] = ()
    """(folder in the copy, folder outside): installed packages that must lie beside the code."""
    extra: tuple[tuple[str, str], ...] = ()
    """Further environment variables of the tool."""

    @property
    def executable(self) -> Path:
        """The interpreter or tool that runs the tests."""
        chosen = self.python or self.program
        assert chosen is not None
        return chosen

    def variables(self, workspace: Path) -> dict[str, str]:
        """Environment variables of a test run over the copy at `workspace`: the copy's code comes first."""
        folders = [str(self.executable.parent)]
        if self.python is None:
            folders.append(str(self.executable.resolve().parent))
        system = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        variables = {"PATH": ":".join([*dict.fromkeys(folders), system]), **dict(self.extra)}
        if self.python is None:
            return variables
        paths = [str(workspace / "src")] if (workspace / "src").is_dir() else []
        variables["PYTHONPATH"] = os.pathsep.join([*paths, str(workspace)])
        if (self.python.parent.parent / "pyvenv.cfg").exists():
            variables["VIRTUAL_ENV"] = str(self.python.parent.parent)
        return variables


def discover_environment(root: Path, override: Path | None = None, runner: str | None = None) -> TestEnvironment:
    """Choose the interpreter: the user's word, one that `patchwright env build` made, an active environment, one in
    the tree, one that a tool of the project keeps elsewhere, else Patchwright's own.

    An environment in the tree counts only when git does not track it: what a repository brings along must not
    choose which folders the sandbox may read. `runner` is the user's word too.

    Raises:
        BadInput: `override` is not an interpreter that can be used, or `runner` is unknown or not possible here.
    """
    root = root.absolute()
    if override is not None:
        return _environment(root, _checked_override(override), "chosen by the user", Asked(), runner)
    asked = what_is_asked(root)
    notes: list[str] = []
    considered: list[str] = []
    built, stale = find_built(root, asked)
    if built is not None:
        return _environment(root, built.python, built.reason, asked, runner)
    notes += [stale] if stale else []
    for candidate in _distinct(candidates(root, asked)):
        python = python_of(candidate.prefix)
        objection = _objection(root, candidate, python, asked)
        if objection is None and python is not None:
            return _environment(root, python, candidate.reason, asked, runner, notes=notes, considered=considered)
        considered.append(f"{candidate.prefix} was passed over: {objection}.")
        if candidate.told and not (candidate.needs_runner and python is not None):
            notes.append(considered[-1])
    notes.append(_CURE)
    if any((root / name).is_file() for name in (".devcontainer/devcontainer.json", ".devcontainer.json")):
        notes.append("The project has a dev container; none is started for you: run Patchwright inside it.")
    reason = "no environment of the project was found, so Patchwright's own interpreter runs the tests"
    return _environment(root, Path(sys.executable), reason, asked, runner, notes=notes, considered=considered)


def _distinct(found: Iterable[Candidate]) -> list[Candidate]:
    """Each folder once, by its first reason; Patchwright's own environment is nobody's choice."""
    own = Path(sys.prefix).resolve()
    distinct: dict[Path, Candidate] = {}
    for candidate in found:
        real = candidate.prefix.resolve()
        if real != own:
            distinct.setdefault(real, candidate)
    return list(distinct.values())


def _objection(root: Path, candidate: Candidate, python: Path | None, asked: Asked) -> str | None:
    """Why this candidate cannot serve; None when it can."""
    prefix = candidate.prefix
    if prefix.is_relative_to(root) and prefix != root:
        # By the first folder: git says nothing about a path beyond a link that it tracks.
        top = RepoPath(prefix.relative_to(root).parts[0])
        if is_tracked(root, top):
            return "it belongs to the repository. Name it with `python` to use it"
    if candidate.manager == "pdm" and is_tracked(root, RepoPath(".pdm-python")):
        return "the repository names it. Name it with `python` to use it"
    why = objection_to_showing(prefix)
    if why is not None:
        return f"tests could read all of it, and {why}"
    if python is None:
        return "it does not exist" if not os.path.isdir(prefix) else "it has no working bin/python"  # noqa: PTH112 - never raises
    if candidate.manager != "active":
        if not candidate.needs_runner and not is_environment(prefix):
            return "it is no virtual environment"
        version = version_of(python)
        if candidate.manager in _SEVERAL and not asked.allows(version):
            return f"it has Python {version}, and the project asks for {asked.python}"
        if candidate.needs_runner and not (has_package(python, "pytest") or has_package(python, "django")):
            return "no test runner is installed in it"
    return None


def _environment(
    root: Path,
    python: Path,
    reason: str,
    asked: Asked,
    wanted: str | None,
    *,
    notes: Sequence[str] = (),
    considered: Sequence[str] = (),
) -> TestEnvironment:
    own = python.absolute() == Path(sys.executable).absolute()

    def has(package: str) -> bool:
        return importlib.util.find_spec(package) is not None if own else has_package(python, package)

    choice = choose_runner(root, has, wanted)
    told = [*notes]
    if choice.runner == "unittest" and wanted is None:
        told.append(f"pytest is not installed for {python}; tests are run by unittest.")
    version = platform.python_version() if own else version_of(python)
    if not asked.allows(version):
        told.append(f"{python} has Python {version}, and the project asks for {asked.python}.")
    missing = asked.missing(installed(python), version) if not own else ()
    if missing:
        more = f" and {len(missing) - _NAMED_MISSING} more" if len(missing) > _NAMED_MISSING else ""
        told.append(f"Not installed for {python}: {', '.join(missing[:_NAMED_MISSING])}{more}; tests may need them.")
    readable, refused = read_interpreter(python)
    told += refused
    return TestEnvironment(
        python=python,
        runner=choice.runner,
        reason=reason,
        readable=readable,
        notes=tuple(told),
        own=own,
        entry=choice.entry,
        considered=(*considered, *choice.notes, *declared_commands(root, choice.runner)),
    )


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
    in_environment = (python.parent.parent / "pyvenv.cfg").is_file()
    why = objection_to_showing(python.parent.parent) if in_environment else None
    if why is not None:
        raise BadInput(
            f"{override} cannot run the tests: they could read all of its environment, and {why}",
            "Make a virtual environment in a folder of its own and name that.",
        )
    return python if in_environment else python.resolve()
