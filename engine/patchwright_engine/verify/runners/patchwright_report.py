"""Where the runners write what they find: one sealed record a line. Python 3.7 or newer, no import of ours.

Each record is sealed with a key of its own. The first lies beside the report and is deleted before any code of the
project is imported; after each record its hash takes its place, so that code that runs later can neither change nor
forge what was written before. What the tested code writes into the report shows, because it has no seal.
It is not a wall: code in the same process could still find the key in memory, if it were written for that.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

_SEAL_BYTES = 16
_KEY_BYTES = 32


def open_report() -> Callable[..., None]:
    """The function that writes a record; without a report to write it does nothing."""
    path = os.environ.pop("PATCHWRIGHT_REPORT", None)
    if path is None:
        return _nothing
    try:
        with open(path + ".key", "rb") as file:  # noqa: PTH123
            key = file.read()
        os.unlink(path + ".key")  # noqa: PTH108
    except FileNotFoundError:  # Another process of the run has it: that one reports.
        return _nothing
    return _writer(path, key)


def _nothing(**record: Any) -> None:
    """For a process that has nothing to report."""


def _writer(path: str, key: bytes) -> Callable[..., None]:
    # Bound here, because the code under test may replace what the modules hold.
    dumps, blake2b, to_open, getpid = json.dumps, hashlib.blake2b, open, os.getpid
    owner = getpid()
    current = [key]

    def emit(**record: Any) -> None:
        if getpid() != owner:
            return  # A fork of the code under test is not the runner.
        line = dumps(record).encode("ascii")
        seal = blake2b(line, key=current[0], digest_size=_SEAL_BYTES).hexdigest()
        current[0] = blake2b(current[0], digest_size=_KEY_BYTES).digest()
        with to_open(path, "ab") as file:
            file.write(seal.encode("ascii") + b" " + line + b"\n")

    return emit


def watch(modules: tuple[str, ...]) -> Callable[[], list[str]]:
    """Remember the functions of some modules; the function returned names those that were replaced meanwhile."""
    before = _functions(modules)

    def changed() -> list[str]:
        now = _functions(modules)
        return sorted(name for name, value in before.items() if now.get(name) is not value)

    return changed


def _functions(modules: tuple[str, ...]) -> dict[str, Any]:
    """Whatever can be called in the modules, and in the classes that they define, by name."""
    found: dict[str, Any] = {}
    for name in modules:
        module = builtins if name == "builtins" else sys.modules.get(name)
        for key, value in list(vars(module).items()) if module is not None else ():
            if not callable(value):
                continue
            found[name + "." + key] = value
            if isinstance(value, type) and value.__module__ == name and name != "builtins":
                for inner, part in list(vars(value).items()):
                    if callable(part) or isinstance(part, (property, staticmethod, classmethod)):
                        found[name + "." + key + "." + inner] = part
    return found
