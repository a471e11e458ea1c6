"""Isolation by bubblewrap: own mount, process, network, IPC and user namespaces around one command.

The view: system folders and named folders read-only, an empty private /tmp, the workspace copy writable at
its own path, and nothing else of the disk. Invariant: every limit is set before the command's first instruction.
"""

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import SandboxUnavailable
from patchwright_engine.sandbox import policy, seccomp
from patchwright_engine.sandbox.process import Launch, run_bounded
from patchwright_engine.types import Command, RunReport

SYSTEM_BWRAP = Path("/usr/bin/bwrap")
"""Preferred: Ubuntu's AppArmor profile lets only this path make user namespaces."""
_IN_MEMORY = ("/tmp", "/dev/shm")
_HIDDEN = ("/proc/keys", "/proc/key-users")
"""What of /proc no namespace makes private: the names of the keys of the user's session."""


def find_bwrap() -> Path | None:
    """The system's own bwrap, else the first on PATH."""
    if os.access(SYSTEM_BWRAP, os.X_OK):
        return SYSTEM_BWRAP
    found = shutil.which("bwrap")
    return Path(found) if found else None


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """The `Sandbox` over one bwrap binary."""

    binary: Path

    @property
    def level(self) -> str:
        return "bubblewrap"

    @property
    def promises(self) -> str:
        return (
            "Own namespaces: no network but a private loopback, no home, no other processes, no secrets from the "
            "environment, writes only in the throw-away copy, bounded in sum; it does not stop kernel bugs, or "
            "reading what every user of the machine may read of its system folders."
        )

    def prepare(self, workspace: Path) -> None:
        """Nothing to do: runs have the user's own rights on the copy."""

    def run(self, command: Command, workspace: Path, cancel: CancelToken, readable: tuple[Path, ...] = ()) -> RunReport:
        """See `Sandbox.run`."""
        workspace = workspace.resolve()
        status_read, status_write = os.pipe()
        block_read, block_write = os.pipe()
        opened = {status_read, status_write, block_read, block_write}
        child: int | None = None

        def release() -> None:
            """Set the limits on the blocked child, then let it go on."""
            nonlocal child
            for descriptor in (status_write, block_read):
                os.close(descriptor)
                opened.discard(descriptor)
            child = _child_pid(status_read)
            if child is not None:
                for kind, value in policy.limits(command).items():
                    resource.prlimit(child, kind, (value, value))
            with suppress(BrokenPipeError):
                os.write(block_write, b"x")

        def scratch() -> tuple[Path, ...]:
            return () if child is None else tuple(Path(f"/proc/{child}/root{mount}") for mount in _IN_MEMORY)

        try:
            with os.fdopen(os.memfd_create("system calls"), "w+b") as filter_file:
                program = seccomp.namespaced_filter()
                if program is not None:
                    filter_file.write(program)
                    filter_file.seek(0)
                descriptors = {"--json-status-fd": status_write, "--block-fd": block_read}
                if program is not None:
                    descriptors["--seccomp"] = filter_file.fileno()
                argv = self._arguments(command, workspace, readable, descriptors)
                launch = Launch(
                    argv,
                    policy.environment(command, policy.INNER_TEMPORARY, policy.INNER_HOME),
                    tuple(descriptors.values()),
                    release,
                    writable=(workspace,),
                    scratch=scratch,
                )
                finished = run_bounded(launch, command, cancel)
            if finished.outcome == "exited" and not _command_began(status_read):
                raise SandboxUnavailable(
                    f"bubblewrap could not set up the sandbox: {finished.output.strip()[:500]}",
                    "Run `patchwright doctor` to see what works here.",
                )
        except OSError as error:
            raise SandboxUnavailable(f"bubblewrap could not be started: {error}", "Reinstall bubblewrap.") from error
        finally:
            for descriptor in opened:
                os.close(descriptor)
        return finished.report(command, self.level)

    def _arguments(
        self,
        command: Command,
        workspace: Path,
        readable: Iterable[Path],
        descriptors: Mapping[str, int],
    ) -> tuple[str, ...]:
        sized = ["--size", str(policy.SCRATCH_BYTES)] if "--size" in _options(self.binary) else []
        arguments = [str(self.binary), "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        arguments += ["--hostname", "localhost"]
        for option, descriptor in descriptors.items():
            arguments += [option, str(descriptor)]
        for path in policy.system_paths():
            if path.is_symlink() and path.parent == Path("/"):  # merged /usr: /bin → usr/bin
                arguments += ["--symlink", str(path.readlink()), str(path)]
            else:
                arguments += ["--ro-bind", str(path), str(path)]
        arguments += ["--proc", "/proc", "--dev", "/dev", *sized, "--tmpfs", "/dev/shm"]
        for hidden in _HIDDEN:
            if Path(hidden).exists():
                arguments += ["--ro-bind", "/dev/null", hidden]
        # Where this runs as root, the kernel's knobs are files of root's, and one of them names a program to start.
        arguments += ["--remount-ro", "/proc"]
        arguments += ["--remount-ro", "/dev"]  # Its nodes stay writable; what has no bound in size does not.
        arguments += [
            *sized,
            "--tmpfs",
            policy.INNER_TEMPORARY,
            "--dir",
            policy.INNER_HOME,
            "--dir",
            "/home",
            "--dir",
            "/run",
            "--dir",
            "/root",
        ]
        arguments += ["--dir", "/var", "--symlink", "/tmp", "/var/tmp"]
        for path in policy.shown(readable):
            arguments += ["--ro-bind-try", str(path), str(path)]
        arguments += ["--bind", str(workspace), str(workspace), "--remount-ro", "/"]
        arguments += ["--chdir", str(workspace / command.cwd), "--"]
        # The shell answers a missing program with status 127; bwrap itself would look as if its set-up had failed.
        arguments += ["/bin/sh", "-c", 'exec "$@"', "sh", *command.argv]
        return tuple(arguments)


@cache
def _options(binary: Path) -> str:
    """What this bwrap says it understands; old ones lack `--size`."""
    done = subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=10, check=False)
    return done.stdout + done.stderr


def _child_pid(status: int) -> int | None:
    """The first process inside, as bwrap reports it before it starts anything; None when bwrap gave up."""
    line = b""
    while not line.endswith(b"}\n"):
        block = os.read(status, 4096)
        if not block:
            return None
        line += block
    pid = json.loads(line)["child-pid"]
    return int(pid)


def _command_began(status: int) -> bool:
    """Whether bwrap reported the exit of the command, which it does only once its own set-up was done."""
    os.set_blocking(status, False)
    rest = b""
    with suppress(BlockingIOError):
        while block := os.read(status, 4096):
            rest += block
    return b"exit-code" in rest
