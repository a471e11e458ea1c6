"""The interpreter an environment is made from, and the commands that make it, by uv where it may be used, else pip.

Invariant: only the user's own pip settings say where packages come from.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from patchwright_engine.errors import BadInput, EnvironmentProblem
from patchwright_engine.verify.environments.asked import Asked
from patchwright_engine.verify.environments.prefix import version_of

_PIP_KEYS = re.compile(r"^\s*(index-url|extra-index-url|find-links|no-index|proxy|cert|trusted-host)\s*=", re.MULTILINE)


def install_commands(
    base: Path, folder: Path, uv: str | None, *, allow_building: bool, pinned: bool, own_pip: bool
) -> tuple[tuple[str, ...], ...]:
    """What makes an environment in `folder` and installs its requirements.txt there."""
    prefix, python = folder / "venv", folder / "venv" / "bin" / "python"
    what = ("-r", str(folder / "requirements.txt"), *(("-c", str(folder / "constraints.txt")) if pinned else ()))
    if uv is not None:
        wheels = () if allow_building else ("--only-binary", ":all:")
        return (
            (uv, "venv", "--quiet", "--no-project", "--python", str(base), str(prefix)),
            (uv, "pip", "install", "--python", str(python), *wheels, *what),
        )
    binary: tuple[str, ...] = () if allow_building else ("--only-binary=:all:",)
    options = ("install", "--no-input", "--disable-pip-version-check", "--progress-bar=off", *binary, *what)
    if own_pip:
        make = (str(base), "-m", "venv", "--without-pip", str(prefix))
        return (make, (sys.executable, "-P", "-m", "pip", "--python", str(python), *options))
    return ((str(base), "-m", "venv", str(prefix)), (str(python), "-m", "pip", *options))


def own_pip_serves(version: str) -> bool:
    """Whether our pip can install for this version, so that the environment needs none: it must run on it too."""
    if version.split(".")[:2] != [str(part) for part in sys.version_info[:2]]:
        return False
    try:
        return tuple(int(part) for part in metadata.version("pip").split(".")[:2]) >= (22, 3)
    except (metadata.PackageNotFoundError, ValueError):
        return False


def base_python(asked: Asked, wanted: Path | None) -> tuple[Path, str]:
    """The user's choice, else our own interpreter's base, else the newest on this machine that suits the project."""
    if wanted is not None:
        python = wanted.expanduser().absolute()
        if not os.access(python, os.X_OK) or not python.is_file():
            raise BadInput(f"{wanted} is not a Python interpreter", "Name one, e.g. /usr/bin/python3.12.")
        return python, version_of(python)
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    own_version = ".".join(map(str, sys.version_info[:3]))
    if own.is_file() and asked.allows(own_version):
        return own, own_version
    suiting = [(python, version) for python, version in _interpreters() if asked.allows(version)]
    if not suiting:
        raise EnvironmentProblem(
            f"the project asks for Python {asked.python}, and no interpreter here suits",
            "Install one (`uv python install`, pyenv, your system's packages) and name it with --python.",
        )
    return max(suiting, key=lambda found: tuple(int(part) for part in found[1].split(".")))


def _interpreters() -> Iterator[tuple[Path, str]]:
    """Interpreters of this machine with their versions, told by their names; none is started."""
    home = Path("~").expanduser()
    kept = (Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions", home / ".local/share/uv/python")
    for folder in kept:
        for python in sorted(folder.glob("*/bin/python3")):
            yield python, version_of(python)
    for name in os.environ.get("PATH", os.defpath).split(os.pathsep):
        folder = Path(name)
        if folder.is_absolute() and folder.name != "shims":
            for python in sorted(folder.glob("python3.*")):
                match = re.fullmatch(r"python(3\.\d+)", python.name)
                if match and os.access(python, os.X_OK) and not (folder.parent / "pyvenv.cfg").exists():
                    yield python, match[1]


def usable_uv() -> str | None:
    """uv, unless the user's pip settings say where packages come from: uv does not read them."""
    uv = shutil.which("uv")
    if uv is None or any(
        re.match(r"PIP_(INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX|PROXY|CERT)$", k) for k in os.environ
    ):
        return None
    home = Path("~").expanduser()
    configured = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", configured / "pip/pip.conf", Path("/etc/xdg/pip/pip.conf")]
    files += [Path(os.environ["PIP_CONFIG_FILE"])] if os.environ.get("PIP_CONFIG_FILE") else []
    for file in files:
        try:
            if _PIP_KEYS.search(file.read_text(encoding="utf-8", errors="replace")):
                return None
        except OSError:
            continue
    return uv
