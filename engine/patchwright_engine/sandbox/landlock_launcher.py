"""Restrict this process with Landlock and seccomp, then run one command and outlive everything it starts.

Run as `python -m patchwright_engine.sandbox.landlock_launcher PLAN_FD STATUS_FD`. The plan is JSON; the status
pipe gets "began" right before the command starts, so that a failed set-up is never taken for a failed test.
Invariant: the command's first instruction already runs under every restriction; no descendant survives this process.
Sources: landlock(7), kernel Documentation/userspace-api/landlock.rst, prctl(2), seccomp(2).
"""

import ctypes
import json
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from patchwright_engine.sandbox import seccomp
from patchwright_engine.sandbox.process import kill_below

BEGAN = b"began"
MINIMUM_VERSION = 3
"""Before version 3 (kernel 6.2) Landlock does not stop truncating a file that may only be read."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
_PR_CAPBSET_DROP = 24
_CAPABILITY_VERSION = 0x20080522
_SECCOMP_MODE_FILTER = 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK, _TRUNCATE, _IOCTL_DEV = 1 << 6, 1 << 11, 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_IOCTL_VERSION, _NETWORK_VERSION, _SCOPE_VERSION = 5, 4, 6

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_PROC_FILES = (
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys",
    "/proc/uptime",
    "/proc/version",
    "/proc/self",
)
"""Not /proc itself: it shows the command lines of the user's other processes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run and what it may touch. Paths are absolute."""

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    readable: tuple[str, ...]
    writable: tuple[str, ...]
    limits: tuple[tuple[int, int], ...]
    """(RLIMIT_* constant, value) pairs."""

    def dump(self) -> bytes:
        """The plan as the launcher reads it."""
        return json.dumps(asdict(self)).encode()


def landlock_version() -> int:
    """The kernel's Landlock ABI version; 0 when it has none or it is switched off."""
    version = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    return max(0, int(version))


def main(arguments: list[str]) -> int:
    """Returns the command's exit status, 128 + N when signal N ended it."""
    plan_fd, status_fd = int(arguments[0]), int(arguments[1])
    with os.fdopen(plan_fd, "rb") as file:
        plan: dict[str, Any] = json.load(file)
    os.set_inheritable(status_fd, False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, _end_now)
    child = os.fork()
    if child == 0:
        _become(plan, status_fd)
    os.close(status_fd)
    status = _wait_for(child)
    _end_rest()
    return status


def _become(plan: dict[str, Any], status_fd: int) -> None:
    """The child's side: restrict, report, exec. Never returns."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir(plan["cwd"])
        for kind, value in plan["limits"]:
            resource.setrlimit(kind, (value, value))
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _drop_capabilities()
        _restrict_files(plan["readable"], plan["writable"])
        _restrict_calls()
        os.write(status_fd, BEGAN)
    except BaseException as error:  # noqa: BLE001 - the process ends here, whatever happened
        os.write(2, f"{error}\n".encode())
        os._exit(126)
    try:
        os.execvpe(plan["argv"][0], plan["argv"], plan["env"])
    except OSError as error:
        os.write(2, f"{plan['argv'][0]}: {error.strerror}\n".encode())
    os._exit(127)


def _drop_capabilities() -> None:
    """Root without its powers: else it could lift its own limits, and set those of other processes."""
    libc = _libc()
    for capability in range(64):
        if libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            break  # There are no more, or none that this process may drop.
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _checked("capset", libc.capset(header, bytes(24)))


def _restrict_files(readable: list[str], writable: list[str]) -> None:
    version = landlock_version()
    if version < MINIMUM_VERSION:
        raise OSError(f"Landlock version {version}; version {MINIMUM_VERSION} (kernel 6.2) is needed")
    handled = (_IOCTL_DEV << 1) - 1 if version >= _IOCTL_VERSION else _IOCTL_DEV - 1
    attributes = struct.pack("=Q", handled)
    if version >= _NETWORK_VERSION:
        attributes += struct.pack("=Q", 0b11)  # bind and connect of TCP
    if version >= _SCOPE_VERSION:
        attributes += struct.pack("=Q", 0b11)  # abstract UNIX sockets and signals
    ruleset = _checked(
        "landlock_create_ruleset",
        _libc().syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)),
    )
    everything = handled & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
    for path in (*readable, *_PROC_FILES):
        _allow(ruleset, path, _READ)
    for path in _DEVICES:
        _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
    for path in writable:
        _allow(ruleset, path, everything)
    _checked("landlock_restrict_self", _libc().syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)))
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(target).st_mode):
            access &= _ON_FILES
        rule = struct.pack("=Qi", access, target)
        _checked("landlock_add_rule", _libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, ctypes.c_uint32(0)))
    finally:
        os.close(target)


def _restrict_calls() -> None:
    program = seccomp.shared_host_filter()
    if program is None:
        raise OSError(f"no system call table for {os.uname().machine}")
    steps = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(steps))  # struct sock_fprog
    if _libc().prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), header, 0, 0) != 0:
        raise OSError(f"seccomp refused: {os.strerror(ctypes.get_errno())}")


def _wait_for(child: int) -> int:
    """Reap whatever ends until `child` has."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _end_rest() -> None:
    """Kill what the command left behind; orphans are this process's children, because it is their subreaper."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            kill_below(os.getpid())
            os.wait()


def _end_now(number: int, _frame: object) -> None:
    _end_rest()
    os._exit(128 + number)


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(f"prctl({option}) refused: {os.strerror(ctypes.get_errno())}")


def _checked(name: str, result: int) -> int:
    if result < 0:
        raise OSError(f"{name} refused: {os.strerror(ctypes.get_errno())}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
