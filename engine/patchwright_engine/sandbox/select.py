"""Choose the strongest isolation that really works here.

Invariant: a level is offered only after it ran a program; with none left this raises, it never returns "no sandbox".
"""

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, SandboxUnavailable
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.bubblewrap import Bubblewrap, find_bwrap
from patchwright_engine.sandbox.landlock import Landlock
from patchwright_engine.types import Command

LEVELS = ("bubblewrap", "landlock")
PREFERENCE_VARIABLE = "PATCHWRIGHT_SANDBOX"

_CURE = (
    "Install bubblewrap: `apt install bubblewrap`, `dnf install bubblewrap` or `pacman -S bubblewrap`.\n"
    "On Ubuntu 23.10 and later use the system's /usr/bin/bwrap: AppArmor forbids user namespaces to other "
    "programs (`sysctl kernel.apparmor_restrict_unprivileged_userns` shows 1).\n"
    "Without root, a kernel from 6.2 on with Landlock serves instead (`cat /sys/kernel/security/lsm`)."
)


def select_sandbox(prefer: str | None = None) -> Sandbox:
    """The strongest working level, or exactly `prefer` (else the variable PATCHWRIGHT_SANDBOX) when given.

    `prefer` is 'bubblewrap', 'landlock' or 'none' ('none': behave as if nothing worked). It is the user's
    word; never pass anything read from a repository. Each level is probed once per process.

    Raises:
        SandboxUnavailable: nothing works; the message says what was tried and why it failed.
        BadInput: an unknown level.
    """
    prefer = prefer or os.environ.get(PREFERENCE_VARIABLE) or None
    if prefer not in (None, "none", *LEVELS):
        raise BadInput(f"unknown sandbox '{prefer}'", f"Known levels: {', '.join(LEVELS)}, none.")
    if prefer == "none":
        raise SandboxUnavailable("no sandbox: switched off by the user", f"Unset {PREFERENCE_VARIABLE}.")
    failures: list[str] = []
    for level in LEVELS if prefer is None else (prefer,):
        sandbox, failure = _probed(level)
        if sandbox is not None:
            return sandbox
        failures.append(f"{level}: {failure}")
    raise SandboxUnavailable("no sandbox works here, so nothing can be run (" + "; ".join(failures) + ")", _CURE)


@cache
def _probed(level: str) -> tuple[Sandbox | None, str]:
    """(the sandbox, '') or (None, why not)."""
    makers: dict[str, Callable[[], Sandbox | None]] = {"bubblewrap": _bubblewrap, "landlock": Landlock}
    sandbox = makers[level]()
    if sandbox is None:
        return None, "not installed"
    try:
        with tempfile.TemporaryDirectory(prefix="patchwright-probe-") as folder:
            report = sandbox.run(Command(("true",), timeout_seconds=20.0), Path(folder), CancelToken())
    except SandboxUnavailable as error:
        return None, error.message
    except OSError as error:
        return None, f"no temporary folder for it: {error.strerror or error}"
    if report.exit_code == 0:
        return sandbox, ""
    return None, f"`true` did not run inside ({report.outcome}): {report.output.strip()[:300]}"


def _bubblewrap() -> Sandbox | None:
    binary = find_bwrap()
    return Bubblewrap(binary) if binary is not None else None
