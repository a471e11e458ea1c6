"""Isolation by Landlock and seccomp, for machines that deny user namespaces. Weaker than bubblewrap, and says so.

The work is done by `landlock_launcher`, a process of its own that restricts itself before it starts the command.
"""

import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import SandboxUnavailable
from patchwright_engine.room import saying_no_room, temporary_folder
from patchwright_engine.sandbox import policy
from patchwright_engine.sandbox.landlock_launcher import BEGAN, Plan, landlock_version
from patchwright_engine.sandbox.process import Launch, run_bounded
from patchwright_engine.types import Command, RunReport

_SIGNAL_SCOPE_VERSION = 6
_LAUNCHER = (sys.executable, "-s", "-P", "-m", "patchwright_engine.sandbox.landlock_launcher")


@dataclass(frozen=True, slots=True)
class Landlock:
    """The `Sandbox` over the kernel's Landlock and seccomp."""

    @property
    def level(self) -> str:
        return "landlock"

    @property
    def promises(self) -> str:
        signals = "" if landlock_version() >= _SIGNAL_SCOPE_VERSION else ", signals to your other processes"
        return (
            "Landlock and seccomp: no sockets at all (no loopback, no shared memory), no home, no secrets from the "
            "environment, writes only in the throw-away copy, bounded in sum, changes of permissions and times are "
            "ignored; with no "
            "namespaces of its own it does not stop programs from seeing that files outside exist"
            f"{signals}, or kernel bugs."
        )

    def prepare(self, workspace: Path) -> None:
        """Nothing to do: runs have the user's own rights on the copy."""

    def run(self, command: Command, workspace: Path, cancel: CancelToken, readable: tuple[Path, ...] = ()) -> RunReport:
        """See `Sandbox.run`."""
        workspace = workspace.resolve()
        with (
            saying_no_room(what="cannot make a private temporary folder for a run"),
            tempfile.TemporaryDirectory(
                prefix="patchwright-tmp-", dir=temporary_folder(), ignore_cleanup_errors=True
            ) as temporary,
            os.fdopen(os.memfd_create("plan"), "w+b") as plan_file,
        ):
            home = Path(temporary) / "home"
            home.mkdir()
            plan = Plan(
                argv=command.argv,
                cwd=str(workspace / command.cwd),
                env=policy.environment(command, temporary, str(home)),
                readable=tuple(str(path) for path in (*policy.system_paths(), *policy.shown(readable))),
                writable=(str(workspace), temporary),
                limits=tuple(policy.limits(command).items()),
            )
            plan_file.write(plan.dump())
            plan_file.seek(0)
            status_read, status_write = os.pipe()
            try:
                descriptors = (plan_file.fileno(), status_write)
                argv = (*_LAUNCHER, *(str(descriptor) for descriptor in descriptors))
                writable = (workspace, Path(temporary))
                launch = Launch(argv, _launcher_environment(), descriptors, writable=writable)
                finished = run_bounded(launch, command, cancel)
                began = _said(status_read) == BEGAN
            except OSError as error:
                raise SandboxUnavailable(f"the Landlock launcher could not be started: {error}") from error
            finally:
                os.close(status_read)
                os.close(status_write)
        if finished.outcome == "exited" and not began:
            raise SandboxUnavailable(
                f"Landlock could not isolate the run: {finished.output.strip()[:500]}",
                "Install bubblewrap, or use a kernel from 6.2 on with Landlock enabled.",
            )
        return finished.report(command, self.level)


def _launcher_environment() -> dict[str, str]:
    """Just enough for the launcher to import what this process can, installed or not."""
    importable = [folder for folder in sys.path if os.path.isabs(folder)]  # noqa: PTH117 - zip files are on it too
    return {"PATH": policy.SYSTEM_PATH, "PYTHONPATH": os.pathsep.join(importable)}


def _said(status: int) -> bytes:
    os.set_blocking(status, False)
    with suppress(BlockingIOError):
        return os.read(status, 64)
    return b""
