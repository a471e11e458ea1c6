"""Every place where a project's environment may lie, in the order in which they count.

The names and folders are derived as uv, poetry, pdm, pipenv, hatch, conda, tox, nox and pyenv derive them, from disk
alone. Invariant: what a repository brings along never names a folder outside the places where the user's own tools
keep environments; an environment that git tracks is never used.
"""

import base64
import hashlib
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchwright_engine.verify.environments.asked import Asked
from patchwright_engine.verify.environments.prefix import normalized, venv_settings

_IN_TREE = (".venv", "venv", "env")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One place that may hold the environment."""

    prefix: Path
    """The folder with bin/python."""
    manager: str
    reason: str
    """Why it is thought to be the project's, as the end of a sentence."""
    told: bool = True
    """Whether the user is told when it does not serve; False where nothing says that there should be one."""
    needs_runner: bool = False
    """A bare interpreter, or one of several: it counts only when a test runner is installed in it."""


def candidates(root: Path, asked: Asked) -> Iterator[Candidate]:
    """From the most to the least telling. `root` is absolute."""
    project = _toml(root / "pyproject.toml")
    yield from _active()
    yield from _uv(root)
    for name in _IN_TREE:
        if (root / name / "pyvenv.cfg").exists() or (root / name / "conda-meta").is_dir():
            yield Candidate(root / name, "venv", f"the environment {name} inside the project")
    yield from _pdm(root)
    yield from _poetry(root, project, asked.name)
    yield from _pipenv(root)
    yield from _hatch(root, project, asked.name)
    yield from _conda(root)
    yield from _tox_and_nox(root)
    yield from _pyenv(root)
    yield from _conda_base()


def _active() -> Iterator[Candidate]:
    own = Path(sys.prefix).resolve()
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        value = os.environ.get(variable)
        if not value or Path(value).resolve() == own or (variable == "CONDA_PREFIX" and _is_base()):
            continue
        yield Candidate(Path(value).absolute(), "active", f"the environment active in your shell ({variable})")


def _conda_base() -> Iterator[Candidate]:
    """Conda's base is active in every shell of many users: it says nothing about the project."""
    value = os.environ.get("CONDA_PREFIX")
    if value and _is_base() and Path(value).resolve() != Path(sys.prefix).resolve():
        yield Candidate(Path(value).absolute(), "conda", "conda's base, active in your shell", needs_runner=True)


def _is_base() -> bool:
    return os.environ.get("CONDA_DEFAULT_ENV") == "base"


def _uv(root: Path) -> Iterator[Candidate]:
    value = os.environ.get("UV_PROJECT_ENVIRONMENT")
    if value and ((root / "uv.lock").is_file() or (root / "pyproject.toml").is_file()):
        yield Candidate(Path(os.path.normpath(root / value)), "uv", "uv's environment (UV_PROJECT_ENVIRONMENT)")


def _pdm(root: Path) -> Iterator[Candidate]:
    """`.pdm-python` holds the path of the interpreter that `pdm use` chose."""
    file = root / ".pdm-python"
    if file.is_symlink() or not file.is_file():
        return
    python = Path(_text(file)[:4096].partition("\n")[0].strip())
    if python.is_absolute() and python.parent.name == "bin" and "\0" not in str(python):
        yield Candidate(python.parent.parent, "pdm", "the interpreter that pdm uses (.pdm-python)")


def _poetry(root: Path, project: dict[str, Any], name: str) -> Iterator[Candidate]:
    if not ((root / "poetry.lock").is_file() or "poetry" in _table(project, "tool")):
        return
    folder = _poetry_folder()
    bases = poetry_names(name, os.path.realpath(root))
    activated = _toml(folder / "envs.toml")
    found = False
    for base in bases:
        minor = _table(activated, base).get("minor")
        chosen = folder / f"{base}-py{minor}"
        if isinstance(minor, str) and chosen.is_dir():
            found = True
            yield Candidate(chosen, "poetry", "poetry's environment of this folder (`poetry env use`)")
        others = (path for path in folder.glob(f"{base}-py3*") if path != chosen)
        for path in sorted(others, key=_modified, reverse=True):
            found = True
            yield Candidate(path, "poetry", "poetry's environment of this folder")
    if not found and (root / "poetry.lock").is_file():
        yield Candidate(folder / f"{bases[0]}-py3", "poetry", "poetry's environment of this folder")


def poetry_names(name: str, folder: str) -> list[str]:
    """What poetry's environments of a folder may be called, without `-py3.11`: poetry's EnvManager.generate_env_name.

    `folder` is the real path of the project; a project without a name is 'non-package-mode'.
    """
    suffix = _short_hash(os.path.normcase(folder))
    spellings = dict.fromkeys([normalized(name), name.lower()] if name else ["non-package-mode"])
    return [re.sub(r'[ $`!*@"\\\r\n\t]', "_", spelling)[:42] + f"-{suffix}" for spelling in spellings]


def pipenv_name(pipfile: str) -> str:
    """What pipenv's environment is called for the Pipfile at this path: pipenv's Project.virtualenv_name."""
    name = Path(pipfile).parent.name
    clean = re.sub(r'[ &$`!*@"()\[\]\\\r\n\t]', "_", name)[:42]
    return f"{clean}-{_short_hash(pipfile)}"


def hatch_folder(root: str) -> str:
    """The folder of a project's environments below hatch's `virtual/NAME`: hatch's VirtualEnvironment."""
    return _short_hash(root)


def _short_hash(text: str) -> str:
    """All three take the first eight letters of the same hash."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()[:8]


def _poetry_folder() -> Path:
    """Poetry's `virtualenvs.path`: from its variable, the user's configuration, else below its cache."""
    configured = Path(os.environ.get("POETRY_CONFIG_DIR") or _config_home() / "pypoetry")
    settings = _toml(configured / "config.toml")
    cache = os.environ.get("POETRY_CACHE_DIR") or settings.get("cache-dir") or str(_cache_home() / "pypoetry")
    path = os.environ.get("POETRY_VIRTUALENVS_PATH") or _table(settings, "virtualenvs").get("path")
    if not isinstance(path, str) or not path:
        path = "{cache-dir}/virtualenvs"
    return Path(path.replace("{cache-dir}", str(cache))).expanduser()


def _pipenv(root: Path) -> Iterator[Candidate]:
    """`NAME-HASH` of the folder's name and the Pipfile's path, below WORKON_HOME."""
    pipfile = root / "Pipfile"
    if not pipfile.is_file():
        return
    name = os.environ.get("PIPENV_CUSTOM_VENV_NAME") or pipenv_name(str(pipfile))
    folder = Path(os.environ.get("WORKON_HOME") or _data_home() / "virtualenvs").expanduser()
    suffixed = sorted(folder.glob(f"{name}-*"), key=_modified, reverse=True)
    for path in [folder / name, *suffixed]:
        yield Candidate(path, "pipenv", "pipenv's environment of this folder")


def _hatch(root: Path, project: dict[str, Any], name: str) -> Iterator[Candidate]:
    """`virtual/PROJECT/HASH/ENVIRONMENT` below hatch's data folder; the default one bears the project's name."""
    if not name or "hatch" not in _table(project, "tool"):
        return
    data = Path(os.environ.get("HATCH_DATA_DIR") or _data_home() / "hatch").expanduser()
    folder = data / "env" / "virtual" / normalized(name) / hatch_folder(str(root))
    ranks = {"hatch-test": 0, "test": 1, "tests": 1, normalized(name): 2}

    def rank(path: Path) -> tuple[int, float]:
        return ranks.get(path.name.partition(".")[0], 3), -_modified(path)

    for path in sorted(folder.glob("*"), key=rank):
        yield Candidate(path, "hatch", f"hatch's environment {path.name}", needs_runner=True)


def _conda(root: Path) -> Iterator[Candidate]:
    """The environment that environment.yml names, among those that conda has registered for this user."""
    name = ""
    for file in ("environment.yml", "environment.yaml", "environment-dev.yml", "conda/environment.yml"):
        match = re.search(
            r"^name:[ \t]*[\"']?([\w.-]{1,60})[\"']?[ \t]*(?:#.*)?$", _text(root / file)[:100_000], re.MULTILINE
        )
        if match:
            name = match[1]
            break
    if not name or name in {"base", "root"}:
        return
    registered = [Path(line.strip()) for line in _text(Path("~/.conda/environments.txt").expanduser()).splitlines()]
    found = [path for path in registered if path.name == name and path.is_dir()]
    for path in found or [Path("~/.conda/envs").expanduser() / name]:
        yield Candidate(path, "conda", f"conda's environment {name}, which the project asks for")


def _tox_and_nox(root: Path) -> Iterator[Candidate]:
    """The latest one in use first: several versions of Python lie side by side there."""
    for manager in ("tox", "nox"):
        folder = root / f".{manager}"
        for path in sorted(folder.glob("*"), key=_modified, reverse=True):
            if (path / "pyvenv.cfg").is_file() and not path.name.startswith("."):
                reason = f"{manager}'s environment {path.name}"
                yield Candidate(path, manager, reason, told=False, needs_runner=True)


def _pyenv(root: Path) -> Iterator[Candidate]:
    """The version or environment that .python-version names, of those the user installed with pyenv."""
    versions = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"
    for line in _text(root / ".python-version")[:1000].splitlines():
        name = line.strip()
        if not re.fullmatch(r"\w[\w.-]{0,60}", name):
            continue
        matching = [versions / name, *sorted(versions.glob(f"{name}.*"), key=_modified, reverse=True)]
        for path in matching:
            if path.is_dir():
                bare = not venv_settings(path.resolve())
                yield Candidate(path, "pyenv", f"pyenv's {path.name} (.python-version)", needs_runner=bare)


def _config_home() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or _home() / _mac("Library/Application Support", ".config"))


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or _home() / _mac("Library/Caches", ".cache"))


def _data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or _home() / _mac("Library/Application Support", ".local/share"))


def _home() -> Path:
    return Path("~").expanduser()


def _mac(there: str, elsewhere: str) -> str:
    return there if sys.platform == "darwin" else elsewhere


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        return ""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _table(value: object, *keys: str) -> dict[str, Any]:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
