"""What every sandbox level shows to generated code: the same folders, the same environment, the same bounds.

Invariants: nothing here is read from a repository; the environment is built up from nothing, never filtered down. No
folder that a caller names, links followed, holds a home or keys: whoever chose it, a virtual environment's files say
where its interpreter lies, and a repository may have brought those files along.
"""

import math
import os
import pwd
import resource
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from patchwright_engine.errors import SandboxUnavailable
from patchwright_engine.types import Command

SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
"""Readable everywhere. No /opt, /var, /srv, /mnt: they hold people's data as often as programs."""

ETC_ENTRIES = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "debian_version",
    "fonts",
    "group",
    "gai.conf",
    "hosts",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "login.defs",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki/ca-trust",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "protocols",
    "python3",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
"""The parts of /etc that programs need. No resolv.conf: there is no network to resolve for."""

KEYS = (".ssh", ".gnupg", ".aws", ".kube", ".password-store", ".netrc", ".git-credentials")
"""Where people keep keys: a folder that holds one of these is a home, whatever it is called."""

PEOPLES = (
    "boot",
    "dev",
    "etc",
    "home",
    "media",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "Users",
    "var",
)
"""Top folders that hold more than programs; what lies in them may still be an interpreter."""

FILE_BYTES = 1 << 30
SCRATCH_BYTES = 1 << 30
"""Bound of one written file, and of the private temporary folder."""

INNER_TEMPORARY = "/tmp"
INNER_HOME = f"{INNER_TEMPORARY}/home"
"""Where a sandbox with file systems of its own has these folders; they are none of the machine's."""

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def environment(command: Command, temporary: str, home: str) -> dict[str, str]:
    """The whole environment of a run: ours, then what the command asks for."""
    return {
        "PATH": SYSTEM_PATH,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "HOME": home,
        "TMPDIR": temporary,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        **command.env,
    }


def limits(command: Command) -> Mapping[int, int]:
    """Resource limits (`resource.RLIMIT_*` → value) for each process of the run.

    Memory is bounded by RLIMIT_DATA, which counts what is really writable: bounding the address space
    breaks programs that only reserve it (Go, Java, node). The sum over all processes is watched besides.
    """
    bounds = {
        resource.RLIMIT_CORE: 1,  # Not 0: a crash handler that the core pattern pipes to would be started for 0.
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_DATA: command.memory_bytes,
        resource.RLIMIT_CPU: math.ceil(command.timeout_seconds) + 5,
    }
    if os.getuid() != 0:  # The kernel never applies this one to root.
        bounds[resource.RLIMIT_NPROC] = _own_threads() + command.max_processes
    hard = {kind: resource.getrlimit(kind)[1] for kind in bounds}
    return {
        kind: value if hard[kind] == resource.RLIM_INFINITY else min(value, hard[kind])
        for kind, value in bounds.items()
    }


def system_paths() -> tuple[Path, ...]:
    """Existing system folders and files, as they are named (links not followed)."""
    names = [*SYSTEM_FOLDERS, *(f"/etc/{entry}" for entry in ETC_ENTRIES), "/sys/devices/system/cpu"]
    return tuple(Path(name) for name in names if Path(name).exists())


def objection_to_showing(folder: Path) -> str | None:
    """Why generated code may not read `folder`, links followed, as the end of a sentence; None when it may."""
    try:
        real = folder.resolve(strict=True)
    except (OSError, RuntimeError):
        return None  # Nothing is there to be shown.
    if len(real.parts) == 1 or (len(real.parts) == 2 and real.name in PEOPLES):
        return f"{real} holds more than programs"
    for home in _homes():
        if home.is_relative_to(real):
            return f"{real} is a home folder" if home == real else f"{real} holds the home folder {home}"
    if len(real.parts) == 3 and real.parts[1] in ("home", "Users"):
        return f"{real} is a home folder"
    if not set(KEYS).isdisjoint(real.parts):
        return f"{real} lies where keys are kept"
    held = next((name for name in KEYS if os.path.lexists(real / name)), None)
    return f"{real} holds {held}" if held else None


def shown(readable: Iterable[Path]) -> tuple[Path, ...]:
    """The folders that a run may read besides the system's, each refused that shows what is nobody's business.

    Raises:
        SandboxUnavailable: one of them is, or holds, a home or keys.
    """
    folders = tuple(readable)
    for folder in folders:
        why = objection_to_showing(folder)
        if why is not None:
            raise SandboxUnavailable(
                f"nothing is run that may read {folder}: {why}",
                "Name an interpreter in a virtual environment of its own with the setting `python`.",
            )
    return folders


def _homes() -> tuple[Path, ...]:
    """This user's, by the environment and by the system's own word. A home in the root protects nothing."""
    named = [os.environ.get("HOME")]
    with suppress(KeyError):
        named.append(pwd.getpwuid(os.getuid()).pw_dir)
    return tuple(home for name in named if name and len((home := Path(name).resolve()).parts) > 1)


def _own_threads() -> int:
    """Threads this user runs now: RLIMIT_NPROC counts them all, so the bound starts above them."""
    user = os.getuid()
    count = 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        uids = process.info["uids"]
        if uids is not None and uids.real == user:
            count += process.info["num_threads"] or 0
    return count
