"""What every sandbox level shows to generated code: the same folders, the same environment, the same bounds.

Invariant: nothing here is read from a repository; the environment is built up from nothing, never filtered down.
"""

import math
import os
import resource
from collections.abc import Mapping
from pathlib import Path

import psutil

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

FILE_BYTES = 1 << 30
SCRATCH_BYTES = 1 << 30
"""Bound of one written file, and of the private temporary folder."""

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


def _own_threads() -> int:
    """Threads this user runs now: RLIMIT_NPROC counts them all, so the bound starts above them."""
    user = os.getuid()
    count = 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        uids = process.info["uids"]
        if uids is not None and uids.real == user:
            count += process.info["num_threads"] or 0
    return count
