"""Isolation by a Docker container: one for each run, without network, capabilities or a writable root.

The view is that of bubblewrap: this machine's system folders and the named folders read-only, an empty private
/tmp, the workspace copy writable at its own path. With an image of the user's own (PATCHWRIGHT_DOCKER_IMAGE) the
system folders come from it. Invariants: the daemon's socket is never mounted; when `run` returns or raises, the
container is gone; should this process die, the container's first process sees its input end and ends the rest.
"""

import os
import resource
import selectors
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import SandboxUnavailable
from patchwright_engine.sandbox import docker_seccomp, policy
from patchwright_engine.sandbox.disk import DiskWatch
from patchwright_engine.sandbox.docker_daemon import (
    IMAGE_VARIABLE,
    LABEL,
    Daemon,
    Image,
    client_of,
    daemon_address,
    find_image,
    host_view,
    inspect_daemon,
    owner,
    remove_orphans,
)
from patchwright_engine.sandbox.docker_view import hand_over, mounts, temporary_folders, user_for
from patchwright_engine.sandbox.output import BoundedOutput
from patchwright_engine.sandbox.process import BLOCK, TICK_SECONDS, WATCH_SECONDS, Finished
from patchwright_engine.types import Command, RunReport

_FIRST_PROCESS = f"""\
exec 3<&0 </dev/null 2>&1
mkdir -p {policy.INNER_HOME}
{{ read -r _ <&3; kill -KILL -1; }} >/dev/null 2>&1 &
exec 3<&-
"$@"
exit $?
"""
"""Runs the command and reaps what it leaves. Docker's own `init` would need a file inside the mounted /usr.

A missing program is its status 127. The one in the background ends everything when Patchwright hangs up.
"""

_OWN_PROCESSES = 2
_CPU_SHARES = 512
"""Half the default weight: the user's own work goes first."""

_PODMAN_PROCESSES = 1 << 15
"""Of one user in all; what bounds a run is `pids_limit`. Not asked for, Podman gives 1,048,576, where it may."""
_ULIMITS = {
    resource.RLIMIT_CORE: "core",
    resource.RLIMIT_CPU: "cpu",
    resource.RLIMIT_DATA: "data",
    resource.RLIMIT_FSIZE: "fsize",
}
"""Not the number of processes: that one counts a user's on the whole machine; the container's group is bounded."""

_FEW_OPEN_FILES = 1024
_OPEN_FILES = 1 << 16
"""Soft and hard limit. Daemons often run with a billion, and programs that close them all one by one never start."""


@dataclass(frozen=True, slots=True)
class Docker:
    """The `Sandbox` over one daemon and one image."""

    daemon: Daemon
    image: Image

    @property
    def level(self) -> str:
        return "docker"

    @property
    def promises(self) -> str:
        root = f"the image {self.image.named}" if self.image.named else "this machine's own system folders, read-only"
        power = "with your own rights" if self.daemon.rootless else "as root, so a hole in it is a hole in everything"
        return (
            f"A container over {root}: no network but a private loopback, no home, no other processes, no secrets "
            "from the environment, no capabilities, writes only in the throw-away copy, bounded in sum; it does not "
            f"stop kernel bugs, bugs of the Docker daemon (which runs {power}), or reading what every user of the "
            "machine may read of its system folders."
        )

    def prepare(self, workspace: Path) -> None:
        """See `Sandbox.prepare`. Only root's copies change their owner: no run is root's."""
        user = user_for(workspace, self.daemon)
        if os.geteuid() == 0 and user[0] != 0:
            hand_over(workspace, *user)

    def run(self, command: Command, workspace: Path, cancel: CancelToken, readable: tuple[Path, ...] = ()) -> RunReport:
        """See `Sandbox.run`. A cancel while the daemon starts the container, 0.4 s or so, is felt right after that."""
        cancel.check()
        workspace = workspace.resolve()
        self.prepare(workspace)
        user = user_for(workspace, self.daemon)
        binds = mounts(workspace, readable, self.image, self.daemon)
        with client_of(self.daemon.address, self.daemon.api_version) as client, _calls(self.daemon) as calls:
            container = client.create_container(
                # Ours may have been pruned since: it is cheap to look, and to make again.
                image=self.image.reference if self.image.named else host_view(client),
                entrypoint=["/bin/sh", "-c", _FIRST_PROCESS, "sh"],
                command=list(command.argv),
                user=f"{user[0]}:{user[1]}",
                working_dir=str(workspace / command.cwd),
                environment=self._environment(command),
                hostname="localhost",
                stdin_open=True,
                labels={LABEL: owner()},
                healthcheck={"test": ["NONE"]},
                host_config=self._host_config(client, command, user, binds=binds, security=calls),
                use_config_proxy=False,  # its address may hold a password
            )["Id"]
            try:
                finished = _attend(client, container, command, workspace, cancel)
            finally:
                _remove(client, container)
        cancel.check()
        return finished.report(command, self.level)

    def _environment(self, command: Command) -> dict[str, str]:
        environment = policy.environment(command, policy.INNER_TEMPORARY, policy.INNER_HOME)
        if self.image.path is not None and "PATH" not in command.env:
            environment["PATH"] = self.image.path
        return environment

    def _host_config(
        self, client: Any, command: Command, user: tuple[int, int], *, binds: list[dict[str, Any]], security: list[str]
    ) -> Any:
        """Everything that isolates."""
        from docker.types import LogConfig, Ulimit

        security = ["no-new-privileges:true", *security]
        if self.daemon.selinux:  # It would refuse every file that was not labelled for containers.
            security.append("label=disable")
        ulimits = [
            Ulimit(name=_ULIMITS[kind], soft=value, hard=value)
            for kind, value in policy.limits(command).items()
            if kind in _ULIMITS
        ]
        files = min(_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        ulimits.append(Ulimit(name="nofile", soft=min(_FEW_OPEN_FILES, files), hard=files))
        if self.daemon.podman:  # In a container it may not raise the limit to the one it gives unasked.
            most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
            processes = _PODMAN_PROCESSES if most == resource.RLIM_INFINITY else min(_PODMAN_PROCESSES, most)
            ulimits.append(Ulimit(name="nproc", soft=processes, hard=processes))
        cpus = min(_own_cpus(), self.daemon.cpus)
        return client.create_host_config(
            network_mode="none",
            ipc_mode="private",
            userns_mode="host" if self.daemon.remapped else None,
            read_only=True,
            privileged=False,
            init=False,
            cap_drop=["ALL"],
            security_opt=security,
            pids_limit=command.max_processes + _OWN_PROCESSES,
            mem_limit=command.memory_bytes,
            memswap_limit=command.memory_bytes,
            cpu_shares=_CPU_SHARES,
            nano_cpus=cpus * 1_000_000_000 or None,
            oom_score_adj=500,
            ulimits=ulimits,
            mounts=binds,
            tmpfs=temporary_folders(self.image, user, self.daemon),
            shm_size=policy.SCRATCH_BYTES,
            log_config=LogConfig(type="none"),
        )


@contextmanager
def _calls(daemon: Daemon) -> Iterator[list[str]]:
    """The option that bounds the system calls: Docker takes the profile itself, Podman the name of a file."""
    profile = docker_seccomp.profile()
    if profile is None:
        yield []
    elif not daemon.podman:
        yield [f"seccomp={profile}"]
    else:
        with tempfile.NamedTemporaryFile("w", prefix="patchwright-calls-", suffix=".json", encoding="ascii") as file:
            file.write(profile)
            file.flush()
            yield [f"seccomp={file.name}"]


def _own_cpus() -> int:
    """Processors this process itself may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def connect_docker() -> Docker:
    """The level over the daemon and image that the user's environment names.

    Raises:
        SandboxUnavailable: no daemon, no docker-py, no such image, or a daemon that cannot enforce the limits.
    """
    address = daemon_address()
    with client_of(address) as client:
        daemon = inspect_daemon(client, address)
        if os.uname().sysname != "Linux" and not os.environ.get(IMAGE_VARIABLE):
            raise SandboxUnavailable(
                "programs of this system do not run in Docker's Linux",
                f"Set {IMAGE_VARIABLE} to an image that holds the project's interpreter and packages.",
            )
        remove_orphans(client)
        return Docker(daemon, find_image(client))


def _attend(client: Any, container: str, command: Command, workspace: Path, cancel: CancelToken) -> Finished:
    """Start the container, read what it prints, and stop it when it is over a limit."""
    output = BoundedOutput(command.output_bytes)
    # Attached before the start: nothing can be missed, and nothing lies in the buffers of the HTTP library.
    stream = client.attach_socket(container, params={"stream": 1, "stdin": 1, "stdout": 1, "stderr": 1})
    code = None
    try:
        cancel.check()
        client.start(container)
        begin = time.monotonic()
        root = Path(f"/proc/{client.inspect_container(container)['State']['Pid']}/root")
        scratch = tuple(root / folder for folder in ("tmp", "dev/shm"))
        with DiskWatch((workspace,), command.disk_bytes, lambda: scratch) as disk:
            stop = _follow(
                client, container, stream.fileno(), command, output=output, begin=begin, disk=disk, cancel=cancel
            )
        if stop is None:
            code = int(client.wait(container)["StatusCode"])
            if client.inspect_container(container)["State"]["OOMKilled"]:
                stop = _out_of_memory(command)
        seconds = time.monotonic() - begin
    finally:
        # Before the container is killed: the daemon waits until all that was printed has been taken.
        connection = stream._sock
        stream._response.close()
        connection.close()  # docker-py took it out of the library that would have closed it
    if stop is not None:
        outcome, reason = stop
        return Finished(None, f"{output.text()}\n[stopped: {reason}]\n", seconds, outcome, output.truncated)
    return Finished(code, output.text(), seconds, "exited", output.truncated)


def _follow(
    client: Any,
    container: str,
    stream: int,
    command: Command,
    *,
    output: BoundedOutput,
    begin: float,
    disk: DiskWatch,
    cancel: CancelToken,
) -> tuple[str, str] | None:
    """Read until the container ends. Returns (outcome, reason) when it has to be stopped."""
    frames = _Frames(output)
    next_watch = begin + WATCH_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if selector.select(TICK_SECONDS):
                with suppress(BlockingIOError):
                    block = os.read(stream, BLOCK)
                    if not block:
                        return None
                    frames.add(block)
            if cancel.cancelled:
                return "cancelled", "cancelled"
            now = time.monotonic()
            if now - begin > command.timeout_seconds:
                return "timeout", f"still running after {command.timeout_seconds:g} s"
            if disk.exceeded is not None:
                return "signalled", disk.exceeded
            if now >= next_watch:
                if client.inspect_container(container)["State"]["OOMKilled"]:
                    return _out_of_memory(command)
                next_watch = time.monotonic() + WATCH_SECONDS


class _Frames:
    """Takes the daemon's frames apart: 8 bytes of head, the last four of them the length, then that many bytes."""

    def __init__(self, output: BoundedOutput) -> None:
        self._output = output
        self._head = b""
        self._left = 0

    def add(self, block: bytes) -> None:
        """The next bytes of the stream, cut anywhere."""
        while block:
            if self._left:
                self._output.add(block[: self._left])
                block, self._left = block[self._left :], max(0, self._left - len(block))
                continue
            missing = 8 - len(self._head)
            self._head, block = self._head + block[:missing], block[missing:]
            if len(self._head) == 8:
                self._left = int.from_bytes(self._head[4:], "big")
                self._head = b""


def _out_of_memory(command: Command) -> tuple[str, str]:
    return "signalled", f"more than {command.memory_bytes >> 20} MiB of memory"


def _remove(client: Any, container: str) -> None:
    """Kill it if it lives, and remove it. Raises what the daemon says when it cannot."""
    from docker.errors import NotFound

    with suppress(NotFound):
        client.remove_container(container, force=True, v=True)
