"""What lies in the models folder, and how far it can be trusted.

Each model has a receipt beside it (`FILE.json`): the sha256 that was computed, with the size and time stamp the file
had then. A receipt only saves hashing again; a file that changed since is hashed anew, and what decides is always the
catalog's sha256 (DESIGN §6: a cache is never trusted).
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import ModelUnavailable
from patchwright_engine.model.catalog import Entry
from patchwright_engine.model.gguf import read_gguf

_CHUNK = 4 << 20
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was known about a file when it was hashed last."""

    sha256: str
    size: int
    mtime_ns: int
    source: str
    """'hub', 'parts', 'file' or 'found' (it lay there already)."""
    hub_sha256: str = ""
    """The hub's own word at pull time, for entries whose sha256 the catalog does not know."""

    def describes(self, model: Path) -> bool:
        """Whether the file is still the one that was hashed, by size and time stamp. Raises OSError."""
        stat = model.stat()
        return (self.size, self.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Verification:
    """The state of one installed model. `problem` is '' when all is well, otherwise what is wrong and its cure."""

    name: str
    path: Path
    sha256: str
    problem: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem


def receipt_path(model: Path) -> Path:
    """Where the receipt of a model file lies."""
    return model.with_name(model.name + ".json")


def read_receipt(model: Path) -> Receipt | None:
    """The receipt of `model`, which may have changed since (`describes` tells); None when there is none to read."""
    try:
        values = json.loads(receipt_path(model).read_text(encoding="utf-8"))
        return Receipt(**values) if values.pop("schema") == _SCHEMA else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_receipt(model: Path, sha256: str, source: str, hub_sha256: str = "") -> None:
    """Record that `model`, as it is now, has this sha256."""
    stat = model.stat()
    receipt = Receipt(sha256, stat.st_size, stat.st_mtime_ns, source, hub_sha256)
    partial = receipt_path(model).with_suffix(".json.tmp")
    partial.write_text(json.dumps({"schema": _SCHEMA, **asdict(receipt)}, indent=1) + "\n", encoding="utf-8")
    partial.replace(receipt_path(model))


def hash_file(path: Path, cancel: CancelToken, on_bytes: Callable[[int], None] = lambda _count: None) -> str:
    """The file's sha256 in hexadecimal. `on_bytes` gets the size of each piece read. Raises OSError, Cancelled."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            cancel.check()
            digest.update(chunk)
            on_bytes(len(chunk))
    return digest.hexdigest()


def verify(entry: Entry, cancel: CancelToken, *, rehash: bool) -> Verification:
    """Check the installed file of `entry`.

    `rehash` reads every byte; otherwise a receipt that still describes the file is believed. Raises Cancelled.
    """
    path = entry.installed_path
    cure = f"Run `patchwright models pull {entry.name}`."
    if not path.exists():
        return Verification(entry.name, path, "", f"not installed. {cure}")
    try:
        read_gguf(path)
        receipt = read_receipt(path)
        expected = entry.sha256 or (receipt.hub_sha256 or receipt.sha256 if receipt else "")
        known = receipt.sha256 if receipt and receipt.describes(path) else ""
        actual = known if known and not rehash else hash_file(path, cancel)
    except ModelUnavailable as error:
        return Verification(entry.name, path, "", f"{error.message} {cure}")
    except OSError as error:
        return Verification(entry.name, path, "", f"cannot be read: {error.strerror or error}.")
    if expected and actual != expected:
        return Verification(entry.name, path, actual, f"sha256 is {actual}, not {expected}. {cure}")
    if not known:
        _try_receipt(path, actual)
    return Verification(entry.name, path, actual)


def _try_receipt(path: Path, sha256: str) -> None:
    earlier = read_receipt(path)
    try:
        write_receipt(path, sha256, "found", earlier.hub_sha256 if earlier else "")
    except OSError:
        return  # A read-only models folder: the next check hashes again.
