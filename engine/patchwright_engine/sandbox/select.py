"""Choose the strongest isolation that really works here.

The order: bubblewrap, which needs no daemon and starts in milliseconds; Docker, which isolates as much but starts
more slowly and through a daemon that mostly runs as root, so it is only there for those who installed docker-py for
it; Landlock, which has no network of its own, so that tests over loopback fail; macOS's sandbox-exec, alone there.
Invariant: a level is offered only after it ran a program; with none left this raises, it never returns "no sandbox".
"""

import os
import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, SandboxUnavailable
from patchwright_engine.room import no_room, saying_no_room, temporary_folder
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.bubblewrap import Bubblewrap, find_bwrap
from patchwright_engine.sandbox.docker import connect_docker
from patchwright_engine.sandbox.landlock import Landlock
from patchwright_engine.sandbox.seatbelt import find_seatbelt
from patchwright_engine.types import Command

LEVELS = ("bubblewrap", "docker", "landlock", "seatbelt")
PREFERENCE_VARIABLE = "PATCHWRIGHT_SANDBOX"

_PROBE_SECONDS = 20.0
_SYSTEMS = {"bubblewrap": "linux", "landlock": "linux", "seatbelt": "darwin"}
"""Where a level can exist at all; Docker is not listed because it may be anywhere."""

_UNTRIED = "cannot try whether a sandbox works"
_CURES = {
    "bubblewrap": (
        "Install bubblewrap: `apt install bubblewrap`, `dnf install bubblewrap` or `pacman -S bubblewrap`.\n"
        "On Ubuntu 23.10 and later use the system's /usr/bin/bwrap: AppArmor forbids user namespaces to other "
        "programs (`sysctl kernel.apparmor_restrict_unprivileged_userns` shows 1)."
    ),
    "docker": "`docker info` shows whether the daemon runs; `pip install 'patchwright[docker]'` adds what talks to it.",
    "landlock": "It needs a kernel from 6.2 on with Landlock enabled (`cat /sys/kernel/security/lsm`).",
    "seatbelt": "It comes with macOS.",
}


@dataclass(frozen=True, slots=True)
class Level:
    """One level, tried: the working sandbox, or why there is none and what helps."""

    name: str
    sandbox: Sandbox | None
    failure: str = ""
    cure: str = ""


def select_sandbox(prefer: str | None = None) -> Sandbox:
    """The strongest working level, or exactly `prefer` (else the variable PATCHWRIGHT_SANDBOX) when given.

    `prefer` is one of `LEVELS` or 'none' ('none': behave as if nothing worked). It is the user's word; never pass
    anything read from a repository. Each level is probed once per process.

    Raises:
        SandboxUnavailable: nothing works; the message says what was tried and why it failed.
        EnvironmentProblem: there is no room to try any.
        BadInput: an unknown level.
    """
    prefer = prefer or os.environ.get(PREFERENCE_VARIABLE) or None
    if prefer not in (None, "none", *LEVELS):
        raise BadInput(f"unknown sandbox '{prefer}'", f"Known levels: {', '.join(LEVELS)}, none.")
    if prefer == "none":
        raise SandboxUnavailable("no sandbox: switched off by the user", f"Unset {PREFERENCE_VARIABLE}.")
    if prefer is not None:
        level = probe(prefer)
        if level.sandbox is None:
            raise SandboxUnavailable(f"the sandbox {prefer} does not work here: {level.failure}", level.cure)
        return level.sandbox
    tried: list[Level] = []
    for name in levels_here():
        level = probe(name)
        if level.sandbox is not None:
            return level.sandbox
        tried.append(level)
    failures = "; ".join(f"{level.name}: {level.failure}" for level in tried)
    raise SandboxUnavailable(
        f"no sandbox works here, so nothing can be run ({failures})", "\n".join(level.cure for level in tried)
    )


def levels_here() -> tuple[str, ...]:
    """The levels that can exist on this system, strongest first."""
    return tuple(name for name in LEVELS if _SYSTEMS.get(name, sys.platform) == sys.platform)


@cache
def probe(name: str) -> Level:
    """Try one of `LEVELS` for real: it has to show a file of a fresh workspace.

    Raises:
        EnvironmentProblem: nowhere is room to try it, which says nothing about the level.
    """
    if name not in levels_here():
        return Level(name, None, f"not on {sys.platform}", _CURES[name])
    makers: dict[str, Callable[[], Sandbox | None]] = {
        "bubblewrap": _bubblewrap,
        "docker": connect_docker,
        "landlock": Landlock,
        "seatbelt": find_seatbelt,
    }
    word = uuid.uuid4().hex
    try:
        place = temporary_folder()
    except FileNotFoundError as error:
        raise no_room(error, what=_UNTRIED) from error
    try:
        sandbox = makers[name]()
        if sandbox is None:
            return Level(name, None, "not installed", _CURES[name])
        with (
            saying_no_room(place, _UNTRIED),
            tempfile.TemporaryDirectory(prefix="patchwright-probe-", dir=place) as folder,
        ):
            Path(folder, "word").write_text(word, encoding="ascii")
            command = Command(("cat", "word"), timeout_seconds=_PROBE_SECONDS)
            report = sandbox.run(command, Path(folder), CancelToken())
    except SandboxUnavailable as error:
        return Level(name, None, error.message, error.cure or _CURES[name])
    except OSError as error:
        return Level(name, None, f"no temporary folder for it: {error.strerror or error}", _CURES[name])
    if report.exit_code == 0 and report.output == word:
        return Level(name, sandbox)
    failure = f"a program did not run inside as it should ({report.outcome}): {report.output.strip()[:300]}"
    return Level(name, None, failure, _CURES[name])


def _bubblewrap() -> Sandbox | None:
    binary = find_bwrap()
    return Bubblewrap(binary) if binary is not None else None
