"""What the files of one environment tell: its interpreter, version, packages, and the folders it needs to start.

Nothing is executed. Invariant: a folder named for the sandbox belongs to an interpreter, never to a whole home. An
environment's links and its `pyvenv.cfg` may come from a repository: a base that they name counts only when it is a
Python installation, and only what lies in it, links followed.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from patchwright_engine.sandbox.policy import objection_to_showing

_BASE_PARTS = ("bin", "lib", "lib64", "include", "ssl")
"""What a base interpreter needs of its prefix. Not the whole: a prefix may be ~/.local, which holds key rings."""
_ENVIRONMENT_PARTS = ("bin", "lib", "lib64", "include", "pyvenv.cfg")
_ENVIRONMENT = frozenset(_ENVIRONMENT_PARTS) | {
    *("share", "etc", "src", "man", "doc", "ssl", "var", "log", "tmp", "Scripts", "conda-meta", "__pycache__"),
    *(".gitignore", ".hgignore", ".lock", ".project", ".python-version", ".tox-info.json", "CACHEDIR.TAG"),
    "pip-selfcheck.json",
}
"""What lies in environments. With anything else in it, it is a project too, or a home."""
_LANDMARKS = ("lib/python3*/os.py", "lib64/python3*/os.py", "lib/pypy3*/os.py")
_PACKAGE_FOLDERS = ("lib/python3*/site-packages", "lib64/python3*/site-packages", "lib/python3*/dist-packages")


def is_environment(prefix: Path) -> bool:
    """Whether it is a virtual or a conda environment."""
    return (prefix / "pyvenv.cfg").is_file() or (prefix / "conda-meta").is_dir()


def python_of(prefix: Path) -> Path | None:
    """Its interpreter, when one is there that can be started."""
    python = prefix / "bin" / "python"
    return python if os.access(python, os.X_OK) and python.is_file() else None


def version_of(python: Path) -> str:
    """'3.11' or '3.11.7', from pyvenv.cfg, conda's records or the folder of the library; '' when nothing tells."""
    prefix = python.parent.parent
    settings = venv_settings(prefix)
    for key in ("version_info", "version"):
        match = re.match(r"\d+\.\d+(\.\d+)?", settings.get(key, ""))
        if match:
            return match[0]
    for record in sorted((prefix / "conda-meta").glob("python-3.*.json")):
        match = re.match(r"python-(\d+\.\d+\.\d+)-", record.name)
        if match:
            return match[1]
    real = python.resolve().parent.parent
    match = re.search(r"(?:^|[-@/])(\d+\.\d+\.\d+)", real.name)
    if match:
        return match[1]
    match = re.fullmatch(r"python(3\.\d+)", python.resolve().name)
    if match:
        return match[1]
    versions = sorted(folder.name for folder in prefix.glob("lib/python3.*"))
    return versions[-1].removeprefix("python") if len(versions) == 1 else ""


def has_package(python: Path, name: str) -> bool:
    """Whether a package with this import name is installed for `python`, be it in place: its code is elsewhere then."""
    there = any((folder / name / "__init__.py").exists() for folder in _site_packages(python))
    return there or normalized(name) in installed(python)


def installed(python: Path) -> frozenset[str]:
    """Normalized names of the distributions installed for `python`."""
    names: set[str] = set()
    for folder in _site_packages(python):
        for entry in (*folder.glob("*.dist-info"), *folder.glob("*.egg-info"), *folder.glob("__editable__.*")):
            names.add(normalized(entry.name.removeprefix("__editable__.").partition("-")[0]))
        names.update(normalized(entry.stem) for entry in folder.glob("*.egg-link"))
    return frozenset(names)


def normalized(name: str) -> str:
    """A distribution's name as packaging compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def interpreter_folders(python: Path) -> tuple[Path, ...]:
    """Every folder that `python` needs to start and import: its environment, and the base it was made from."""
    return read_interpreter(python)[0]


def read_interpreter(python: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """As `interpreter_folders`, and a sentence for each place that the environment names and that is not shown."""
    needs = _Needs()
    for hop in _links(python):
        prefix = hop.parent.parent
        if (prefix / "pyvenv.cfg").is_file():
            needs.add_environment(prefix)
            home = venv_settings(prefix).get("home")
            if home:
                needs.add_base(Path(os.path.normpath(home)).parent)
        elif not hop.is_symlink():
            needs.add_base(prefix)
    return tuple(needs.folders), tuple(needs.refused)


@dataclass(slots=True)
class _Needs:
    """The folders of one interpreter, in the order in which it leads to them."""

    folders: dict[Path, None] = field(default_factory=dict)
    refused: dict[str, None] = field(default_factory=dict)

    def add(self, folder: Path) -> None:
        why = objection_to_showing(folder)
        if why is not None:
            self.refused[f"Tests cannot read {folder}, to which the environment leads: {why}."] = None
        elif not is_system(folder):
            self.folders[folder] = None

    def add_environment(self, prefix: Path) -> None:
        """All of it where it is nothing else, since packages put files anywhere in it; else what every one has."""
        try:
            foreign = {entry.name for entry in prefix.iterdir()} - _ENVIRONMENT
        except OSError:
            return
        if foreign and objection_to_showing(prefix) is None:
            self.add_parts(prefix, _ENVIRONMENT_PARTS)
        else:
            self.add(prefix)

    def add_parts(self, prefix: Path, parts: tuple[str, ...]) -> None:
        """Those of `parts` that are there, unless they are links that lead out of the prefix."""
        for folder in (prefix / part for part in parts):
            if not folder.exists():
                continue
            real = folder.resolve()
            if real.is_relative_to(prefix.resolve()) or is_system(real):
                self.add(folder)
            else:
                self.refused[f"Tests cannot read {folder}: it is a link that leads elsewhere, to {real}."] = None

    def add_base(self, prefix: Path) -> None:
        if is_system(prefix) and is_system(prefix.resolve()):
            return
        if not prefix.is_absolute() or not _is_installation(prefix):
            why = "no Python is installed there"
            self.refused[f"Tests cannot read {prefix}, which the environment names as its base: {why}."] = None
            return
        for base in (prefix, prefix.resolve()):
            self.add_parts(base, _BASE_PARTS)


def _is_installation(prefix: Path) -> bool:
    """Whether Python's own library is there, by which the interpreter itself knows its base (CPython's getpath.py)."""
    return any(next(prefix.glob(mark), None) is not None for mark in _LANDMARKS)


def is_system(folder: Path) -> bool:
    """Whether every sandbox shows it anyway."""
    return folder.is_relative_to("/usr") or folder.parts[:2] in {("/", "bin"), ("/", "lib"), ("/", "lib64")}


def venv_settings(prefix: Path) -> dict[str, str]:
    """The keys of `pyvenv.cfg`, in lower case."""
    try:
        file = prefix / "pyvenv.cfg"
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _site_packages(python: Path) -> list[Path]:
    prefixes = [python.parent.parent]
    settings = venv_settings(prefixes[0])
    if not settings or settings.get("include-system-site-packages", "").lower() == "true":
        prefixes.append(python.resolve().parent.parent)
    return [folder for prefix in prefixes for pattern in _PACKAGE_FOLDERS for folder in prefix.glob(pattern)]


def _links(python: Path) -> Iterator[Path]:
    """`python` and every further name on its chain of links, ending with the real file."""
    seen: set[Path] = set()
    hop = python.absolute()
    while hop not in seen:
        seen.add(hop)
        yield hop
        hop = Path(os.path.normpath(hop.parent / hop.readlink())) if hop.is_symlink() else hop.resolve()
