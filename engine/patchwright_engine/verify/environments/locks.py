"""The versions that lock files pin: uv.lock, poetry.lock, pdm.lock, pylock.toml and Pipfile.lock.

Only versions from a package index count; one from a repository, a path or an address is nobody's pin here.
"""

import json
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from patchwright_engine.verify.environments.prefix import normalized
from patchwright_engine.verify.environments.reading import Reader, table_of

_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")


def locked_versions(reader: Reader) -> tuple[str, ...]:
    """Versions from the lock files. A name with several (one per platform) is not pinned."""
    versions: dict[str, set[str]] = {}
    for file in _LOCKS:
        lock = reader.toml(file)
        packages = lock.get("package") or lock.get("packages")
        for package in packages if isinstance(packages, list) else []:
            if isinstance(package, dict) and _from_index(package):
                _pin(versions, package.get("name"), package.get("version"))
    try:
        locked = json.loads(reader.text("Pipfile.lock") or "{}")
    except (ValueError, RecursionError):
        locked = {}
    for section in ("default", "develop"):
        for name, package in table_of(locked, section).items():
            if isinstance(package, dict):
                _pin(versions, name, str(package.get("version", "")).removeprefix("=="))
    return tuple(f"{name}=={next(iter(found))}" for name, found in sorted(versions.items()) if len(found) == 1)


def _pin(versions: dict[str, set[str]], name: object, version: object) -> None:
    try:
        found = str(Version(str(version)))
        Requirement(f"{name}=={found}")
    except (InvalidVersion, InvalidRequirement):
        return
    versions.setdefault(normalized(str(name)), set()).add(found)


def _from_index(package: dict[str, Any]) -> bool:
    """Whether a locked package comes from a package index, not from a repository, a path or an address."""
    source = package.get("source")
    if isinstance(source, dict):
        return "registry" in source or source.get("type") == "legacy"
    return not any(key in package for key in ("git", "path", "url", "editable", "vcs", "directory"))
