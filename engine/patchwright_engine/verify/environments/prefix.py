"""What the files of one environment tell: its interpreter, version, packages, and the folders it needs to start.

Nothing is executed. Invariant: a folder named for the sandbox belongs to an interpreter, never to a whole home.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

_BASE_PARTS = ("bin", "lib", "lib64", "include", "ssl")
"""What a base interpreter needs of its prefix. Not the whole: a prefix may be ~/.local, which holds key rings."""
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
    """Whether a package with this import name is installed for `python`."""
    # A project that is the package itself is installed in place: its metadata is here, its code is in the tree.
    in_place = (f"{name}-[0-9]*.dist-info", f"{name}.egg-link", f"__editable__.{name}-*.pth")
    return any(
        (folder / name / "__init__.py").exists() or any(any(folder.glob(pattern)) for pattern in in_place)
        for folder in _site_packages(python)
    )


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
    folders: dict[Path, None] = {}
    for hop in _links(python):
        prefix = hop.parent.parent
        if (prefix / "pyvenv.cfg").exists():
            folders[prefix] = None
            home = venv_settings(prefix).get("home")
            if home:
                _add_base(Path(home).parent, folders)
        elif not hop.is_symlink():
            _add_base(prefix, folders)
    return tuple(folder for folder in folders if not is_system(folder))


def is_system(folder: Path) -> bool:
    """Whether every sandbox shows it anyway."""
    return folder.is_relative_to("/usr") or folder.parts[:2] in {("/", "bin"), ("/", "lib"), ("/", "lib64")}


def venv_settings(prefix: Path) -> dict[str, str]:
    """The keys of `pyvenv.cfg`, in lower case."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
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


def _add_base(prefix: Path, folders: dict[Path, None]) -> None:
    for base in (prefix, prefix.resolve()):
        for part in _BASE_PARTS:
            if (base / part).is_dir():
                folders[base / part] = None
