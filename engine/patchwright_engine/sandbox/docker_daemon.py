"""The Docker daemon: where it listens, what it can do, the image we use, and what a killed Patchwright left in it.

Invariants: only a daemon on this machine is talked to, because the workspace is mounted from this disk; nothing is
ever pulled; only containers whose owner is provably dead are removed.
"""

import hashlib
import io
import ipaddress
import os
import platform
import re
import socket
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from patchwright_engine.errors import SandboxUnavailable
from patchwright_engine.sandbox import policy

HOST_VARIABLE = "DOCKER_HOST"
IMAGE_VARIABLE = "PATCHWRIGHT_DOCKER_IMAGE"
LABEL = "patchwright.sandbox"
REPOSITORY = "localhost/patchwright-host-view"
"""Named with a registry that is none, so that no daemon looks for it on a real one."""
REQUEST_SECONDS = 60
"""How long one answer of the daemon may take. Loaded machines need seconds to start a container."""

_RECURSIVE_READ_ONLY = (1, 44)
"""From this version of the interface on (Docker 25), a read-only mount covers what is mounted below it too."""

_START = "Start it (`systemctl start docker`), or set DOCKER_HOST to the socket of one that runs."


@dataclass(frozen=True, slots=True)
class Daemon:
    """One reachable daemon, as far as runs depend on it."""

    address: str
    api_version: str
    podman: bool
    """It is Podman behind Docker's interface."""
    rootless: bool
    """Its root is the user who started it, so the user's files belong to root inside."""
    remapped: bool
    """It shifts user ids unless told otherwise (`userns-remap`)."""
    selinux: bool
    cpus: int
    """0 when it cannot limit them."""

    @property
    def recursive_read_only(self) -> bool:
        return tuple(int(part) for part in self.api_version.split(".")) >= _RECURSIVE_READ_ONLY


@dataclass(frozen=True, slots=True)
class Image:
    """What a container's root is made of."""

    reference: str
    named: str | None
    """The user's name for it; None for the empty one that shows this machine's own system folders."""
    path: str | None = None
    """Its own PATH, if it sets one."""
    volumes: tuple[str, ...] = ()
    """Folders it would keep on disk, each in a volume of its own."""


def daemon_address() -> str:
    """`DOCKER_HOST`, else the first usual socket that exists.

    Raises:
        SandboxUnavailable: there is none, or it is on another machine, whose disk is not this one's.
    """
    given = os.environ.get(HOST_VARIABLE)
    if given:
        parts = urlsplit(given)
        if parts.scheme == "unix" or (parts.scheme == "tcp" and _is_loopback(parts.hostname or "")):
            return given
        raise SandboxUnavailable(
            f"{HOST_VARIABLE} is {given}, which is not on this machine, so it cannot mount the copy to run",
            f"Set {HOST_VARIABLE} to a unix:// socket, or unset it.",
        )
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    sockets = [Path("/var/run/docker.sock"), Path.home() / ".docker/run/docker.sock"]
    if runtime:  # A rootless daemon can do less harm, so it comes first.
        sockets.insert(0, Path(runtime, "docker.sock"))
    for path in sockets:
        if path.exists():
            return f"unix://{path}"
    raise SandboxUnavailable(f"no Docker daemon listens here ({', '.join(map(str, sockets))})", _START)


@contextmanager
def client_of(address: str, api_version: str = "auto") -> Iterator[Any]:
    """docker-py's low-level client; every failure of the daemon or the way to it becomes `SandboxUnavailable`."""
    try:
        import requests
        from docker import APIClient
        from docker.errors import DockerException
    except ImportError as error:
        raise SandboxUnavailable(
            "docker-py is not installed", "Install it: `pip install 'patchwright[docker]'`."
        ) from error
    client = None
    try:
        _knock(address)
        client = APIClient(base_url=address, version=api_version, timeout=REQUEST_SECONDS)
        client.trust_env = False  # no proxy between us and a daemon on this machine
        yield client
    except (DockerException, requests.RequestException, OSError) as error:
        raise _unavailable(address, error) from error
    finally:
        if client is not None:
            client.close()


def inspect_daemon(client: Any, address: str) -> Daemon:
    """What this daemon can do.

    Raises:
        SandboxUnavailable: it cannot enforce what this level promises.
    """
    facts = client.info()
    options = {option.removeprefix("name=").split(",")[0] for option in facts.get("SecurityOptions") or ()}
    missing = [
        what
        for what, there in {
            "Linux containers": facts.get("OSType", "linux") == "linux",
            "seccomp": "seccomp" in options,
            "a memory limit": bool(facts.get("MemoryLimit")),
            "a limit of processes": bool(facts.get("PidsLimit")),
        }.items()
        if not there
    ]
    if missing:
        raise SandboxUnavailable(
            f"the Docker daemon at {address} lacks {', '.join(missing)}",
            "Rootless daemons need cgroup v2 with delegated controllers: "
            "https://docs.docker.com/engine/security/rootless/.",
        )
    return Daemon(
        address=address,
        api_version=client.api_version,
        podman=any("Podman" in part.get("Name", "") for part in client.version().get("Components") or ()),
        rootless="rootless" in options,
        remapped="userns" in options,
        selinux="selinux" in options,
        cpus=int(facts.get("NCPU") or 0) if facts.get("CpuCfsQuota") else 0,
    )


def find_image(client: Any) -> Image:
    """The image the user named, which must be there already, else the empty one of our own, made when missing."""
    from docker.errors import ImageNotFound

    named = os.environ.get(IMAGE_VARIABLE) or None
    if named is None:
        return Image(host_view(client), None)
    try:
        facts = client.inspect_image(named)
    except ImageNotFound as error:
        raise SandboxUnavailable(
            f"the image {named} ({IMAGE_VARIABLE}) is not on this machine",
            f"Nothing is downloaded unasked: `docker pull {named}`, or unset {IMAGE_VARIABLE}.",
        ) from error
    config = facts.get("Config") or {}
    paths = [entry.removeprefix("PATH=") for entry in config.get("Env") or () if entry.startswith("PATH=")]
    return Image(facts["Id"], named, paths[-1] if paths else None, tuple(config.get("Volumes") or ()))


def host_view(client: Any) -> str:
    """The name of an image of nothing but empty folders and root's links, made if it is not there (any more)."""
    from docker.errors import ImageNotFound

    content = _skeleton()
    tag = hashlib.sha256(content).hexdigest()[:12]
    name = f"{REPOSITORY}:{tag}"
    try:
        client.inspect_image(name)
    except ImageNotFound:
        answer = client.import_image_from_data(content, repository=REPOSITORY, tag=tag)
        for made in re.findall(r"sha256:[0-9a-f]{64}", answer)[-1:]:
            client.tag(made, REPOSITORY, tag)  # Podman forgets the name it was given
    return name


def owner() -> str:
    """Who starts containers here: boot, process namespace, user, process, and when it started."""
    boot, namespace = _place()
    process = psutil.Process()
    return f"{boot}/{namespace}/{os.getuid()}/{process.pid}/{process.create_time():.2f}"


def remove_orphans(client: Any) -> int:
    """Remove containers whose Patchwright is dead; returns how many. Whose owner cannot be judged here stays."""
    from docker.errors import APIError

    removed = 0
    for container in client.containers(all=True, filters={"label": LABEL}):
        if _is_orphan(container["Labels"].get(LABEL, "")):
            with suppress(APIError):  # another Patchwright may be removing it too
                client.remove_container(container["Id"], force=True, v=True)
                removed += 1
    return removed


def _is_orphan(label: str) -> bool:
    boot, namespace = _place()
    try:
        its_boot, its_namespace, user, pid, started = label.split("/")
        if its_boot != boot:
            return True
        if its_namespace != namespace or int(user) != os.getuid():
            return False  # its process cannot be seen from here
        return abs(psutil.Process(int(pid)).create_time() - float(started)) > 1.0
    except psutil.NoSuchProcess:
        return True
    except (ValueError, psutil.Error):
        return False


def _place() -> tuple[str, str]:
    """This boot of this machine, and the process ids' namespace. Both without a slash."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return boot, Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return f"{platform.node().replace('/', '-')}@{psutil.boot_time():.0f}", "-"


def _skeleton() -> bytes:
    """A tar that depends only on the machine's links in / (merged /usr: /bin → usr/bin)."""
    folders = ["dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var"]
    links = {"var/tmp": "/tmp"}
    for path in policy.system_paths():
        if path.is_symlink() and path.parent == Path("/"):
            links[path.name] = str(path.readlink())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in folders:
            entry = tarfile.TarInfo(name)
            # What is mounted on a folder takes over its mode.
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            archive.addfile(entry)
    return buffer.getvalue()


def _knock(address: str) -> None:
    """Connect once and hang up. docker-py leaves its socket open when nobody answers."""
    parts = urlsplit(address)
    if parts.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as tried:
            tried.connect(parts.path)
    else:
        socket.create_connection((parts.hostname or "", parts.port or 2375), timeout=REQUEST_SECONDS).close()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unavailable(address: str, error: Exception) -> SandboxUnavailable:
    text = str(getattr(error, "explanation", None) or error)
    if "Permission denied" in text or "PermissionError" in text:
        return SandboxUnavailable(
            f"you may not talk to the Docker daemon at {address}",
            "Use rootless Docker (https://docs.docker.com/engine/security/rootless/), or join the group `docker`, "
            "which makes your account as powerful as root.",
        )
    if "Connection refused" in text or "FileNotFoundError" in text or "No such file" in text:
        return SandboxUnavailable(f"no Docker daemon answers at {address}", _START)
    return SandboxUnavailable(
        f"the Docker daemon at {address} failed: {text[:500]}",
        "`docker info` and the daemon's log (`journalctl -u docker`) tell more.",
    )
