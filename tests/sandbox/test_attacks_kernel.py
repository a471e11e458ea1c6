"""Attacks through the kernel: other processes, privileges, keys, devices, and calls no test needs.

Where it does no harm, an attack is first made unconfined; where this user or kernel refuses it anyway, it is skipped.
"""

import ctypes
import os
import re
import resource
import shutil
import stat
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from attacks import (
    MACHINE,
    PYTHON,
    python,
    shell,
    skip_without_signal_scope,
    unconfined_python,
    unconfined_shell,
    victim,
)
from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox import seccomp
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Command

# --- other processes ---

HARM = {
    "kill it": "os.kill({pid}, 9)",
    "kill its group": "os.killpg({pid}, 9)",
    "stop it": "os.kill({pid}, 19)",
    "signal a thread of it": "ctypes.CDLL(None).syscall({tgkill}, {pid}, {pid}, 9)",
    "signal it by a descriptor": "signal.pidfd_send_signal(os.pidfd_open({pid}), 9)",
    "lower its limits": "resource.prlimit({pid}, resource.RLIMIT_NOFILE, (0, 0))",
    "lower its priority": "os.setpriority(os.PRIO_PROCESS, {pid}, 19)",
    "lower the priority of its group": "os.setpriority(os.PRIO_PGRP, {pid}, 19)",
    "change its scheduling": "os.sched_setscheduler({pid}, os.SCHED_BATCH, os.sched_param(0))",
    "bind it to a processor": "os.sched_setaffinity({pid}, {{0}})",
    "trace it": "print('traced') if ctypes.CDLL(None).ptrace(0x4206, {pid}, 0, 0) == 0 else None",
}


def state(pid: int) -> tuple[object, ...]:
    """What of a process others could change."""
    process = psutil.Process(pid)
    if process.status() not in (psutil.STATUS_SLEEPING, psutil.STATUS_RUNNING):
        return ("stopped or dead",)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    return process.nice(), limits, os.sched_getscheduler(pid), sorted(os.sched_getaffinity(pid))


def changed(pid: int, before: tuple[object, ...]) -> bool:
    """Whether its state is another one, now or in a moment: a signal needs some time."""
    deadline = time.monotonic() + 1.0
    while state(pid) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    return state(pid) != before


@pytest.mark.parametrize("how", HARM)
def test_other_processes_cannot_be_harmed(sandbox: Sandbox, workspace: Path, tmp_path: Path, how: str) -> None:
    if "signal" in HARM[how] or "kill" in HARM[how]:
        skip_without_signal_scope(sandbox)
    script = "import ctypes, os, resource, signal\n" + HARM[how]
    tgkill = {0: 234, 1: 131}.get(MACHINE, 0)
    with victim(tmp_path) as pid:
        before = state(pid)
        report = python(sandbox, workspace, script.format(pid=pid, tgkill=tgkill))
        assert state(pid) == before
        assert "traced" not in report.output
        said = unconfined_python(workspace, script.format(pid=pid, tgkill=tgkill))
        if os.cpu_count() != 1:
            assert "traced" in said or changed(pid, before), said


def test_a_signal_to_everybody_reaches_nobody_outside(sandbox: Sandbox, workspace: Path, tmp_path: Path) -> None:
    """SIGURG, which nobody minds who does not ask for it."""
    skip_without_signal_scope(sandbox)
    mark = tmp_path / "mark"
    script = f"trap 'echo hit > {mark}; exit' URG; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as listening:
        assert listening.stdout is not None
        listening.stdout.readline()
        report = python(sandbox, workspace, "import os\ntry: os.kill(-1, 23)\nfinally: print('sent')")
        assert "sent" in report.output
        time.sleep(0.2)
        assert not mark.exists()
        unconfined_python(workspace, f"import os; os.kill({listening.pid}, 23)")
        listening.wait(10)
    assert mark.exists()


@pytest.mark.parametrize("target", ["os.getppid()", "OURS"])
@pytest.mark.parametrize("number", [9, 15, 19])
def test_a_signal_to_the_parent_changes_nothing(sandbox: Sandbox, workspace: Path, target: str, number: int) -> None:
    skip_without_signal_scope(sandbox)
    target = target.replace("OURS", str(os.getpid()))
    script = (
        f"import os, time\ntry: os.kill({target}, {number})\nexcept OSError: pass\ntime.sleep(0.2); print('went on')"
    )
    report = python(sandbox, workspace, script)
    assert (report.exit_code, report.output) == (0, "went on\n")


# --- privileges ---


def test_a_setuid_program_gains_nothing(sandbox: Sandbox, workspace: Path, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make a program of another user's")
    program = tmp_path / "tools" / "id"
    program.parent.mkdir()
    tmp_path.chmod(0o755)
    shutil.copy("/usr/bin/id", program)
    os.chown(program, 12345, 12345)
    program.chmod(0o6755)
    assert "euid=12345" in unconfined_shell(workspace, str(program))
    report = sandbox.run(Command((str(program),)), workspace, CancelToken(), (program.parent,))
    assert report.exit_code == 0, report.output
    assert "12345" not in report.output


def test_there_are_no_privileges_to_use_or_gain(sandbox: Sandbox, workspace: Path) -> None:
    status = python(sandbox, workspace, "print(open('/proc/self/status').read())").output
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert re.search(rf"^{name}:\s+0+$", status, re.MULTILINE), name
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)


def test_limits_cannot_be_raised_again(sandbox: Sandbox, workspace: Path) -> None:
    script = (
        "import resource as r\n"
        "for kind in (r.RLIMIT_FSIZE, r.RLIMIT_DATA, r.RLIMIT_CPU):\n"
        "    try: r.setrlimit(kind, (r.RLIM_INFINITY, r.RLIM_INFINITY)); print('raised', kind)\n"
        "    except (ValueError, OSError): pass\n"
        "print('tried')"
    )
    assert python(sandbox, workspace, script).output == "tried\n"


@pytest.mark.parametrize("options", ["--user --map-root-user --mount", "--user --map-root-user --net", "--mount"])
def test_no_namespace_and_no_mount_can_be_made(sandbox: Sandbox, workspace: Path, options: str) -> None:
    script = f"unshare {options} sh -c 'mount -t tmpfs none . 2>/dev/null || ip link >/dev/null; echo entered'"
    if "entered" not in unconfined_shell(workspace, script):
        pytest.skip("this user cannot make namespaces")
    assert "entered" not in shell(sandbox, workspace, script).output


# --- keys ---

KEYCTL, ADD_KEY = seccomp.FORBIDDEN["keyctl"], seccomp.FORBIDDEN["add_key"]


def test_the_users_keyring_is_out_of_reach(sandbox: Sandbox, workspace: Path) -> None:
    if MACHINE is None:
        pytest.skip("no system call numbers for this machine")
    libc = ctypes.CDLL(None, use_errno=True)
    session = -3
    name = f"patchwright-test-{os.getpid()}".encode()
    key = libc.syscall(ADD_KEY[MACHINE], b"user", name, b"hunter2", 7, session)
    if key < 0:
        pytest.skip(f"no keyring here: {os.strerror(ctypes.get_errno())}")
    read = (
        "import ctypes; room = ctypes.create_string_buffer(99); "
        f"ctypes.CDLL(None).syscall({KEYCTL[MACHINE]}, 11, {key}, room, 99); print(room.value)\n"
        "print(open('/proc/keys').read())"
    )
    try:
        said = unconfined_python(workspace, read)
        report = python(sandbox, workspace, read)
    finally:
        libc.syscall(KEYCTL[MACHINE], 9, key, session)  # KEYCTL_UNLINK
    assert "hunter2" in said
    assert name.decode() in said
    assert "hunter2" not in report.output
    assert name.decode() not in report.output


# --- calls ---

HARMLESS_UNCONFINED = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd", "process_mrelease"),
    *("move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "setns"),
    *("keyctl", "add_key", "request_key", "bpf", "perf_event_open", "name_to_handle_at", "open_by_handle_at"),
    *("syslog", "fanotify_init", "userfaultfd", "quotactl"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "clone3", "memfd_secret"),
)
REFUSED = {"-1 1", "-1 38"}
"""What the filter answers: EPERM or ENOSYS."""


@pytest.mark.parametrize("name", HARMLESS_UNCONFINED)
def test_a_call_no_test_needs_is_refused(sandbox: Sandbox, workspace: Path, name: str) -> None:
    """With senseless arguments: the kernel complains about those, the filter refuses before it looks."""
    if MACHINE is None:
        pytest.skip("no system call numbers for this machine")
    number = {**seccomp.FORBIDDEN, **seccomp.ABSENT}[name][MACHINE]
    script = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
        f"print(libc.syscall({number}, -1, -1, -1, -1, -1, -1), ctypes.get_errno())"
    )
    if unconfined_python(workspace, script).strip() in REFUSED:
        pytest.skip("this kernel or user is refused it anyway")
    assert python(sandbox, workspace, script).output.strip() in REFUSED


DANGEROUS = ("mount", "umount2", "pivot_root", "chroot", "unshare", "kexec_load", "init_module", "reboot", "swapon")


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_dangerous_call_is_refused_by_the_filter(sandbox: Sandbox, workspace: Path, name: str) -> None:
    number = seccomp.FORBIDDEN[name][MACHINE or 0]
    script = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
        f"print(libc.syscall({number}, -1, -1, -1, -1, -1), ctypes.get_errno())"
    )
    assert python(sandbox, workspace, script).output.strip() == "-1 1"


def test_a_call_by_the_numbers_of_another_machine_is_refused(sandbox: Sandbox, workspace: Path) -> None:
    """The x32 numbers of x86-64 would go past a filter that knows only the usual ones."""
    if MACHINE != 0:
        pytest.skip("only x86-64 has them")
    script = (
        "import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.syscall(0x40000000 | 39), ctypes.get_errno())"
    )
    assert python(sandbox, workspace, script).output in ("-1 38\n", "Bad system call\n")


# --- what the kernel writes, and devices ---


def test_a_crash_leaves_no_core(sandbox: Sandbox, workspace: Path) -> None:
    if "x" not in unconfined_shell(workspace, "ulimit -c unlimited && sh -c 'kill -SEGV $$'; test -s core* && echo x"):
        pytest.skip("this machine writes no core files into the working folder")
    for file in workspace.glob("core*"):
        file.unlink()
    report = shell(sandbox, workspace, "ulimit -c unlimited; sh -c 'kill -SEGV $$'; ls; ulimit -Hc")
    assert not list(workspace.glob("core*")), report.output


def test_a_crash_starts_no_handler_outside(sandbox: Sandbox, workspace: Path) -> None:
    """A core pattern that is a pipe starts its program as root for a limit of 0, and for 1 it does not (core(5))."""
    report = python(sandbox, workspace, "import resource as r; print(r.getrlimit(r.RLIMIT_CORE))")
    assert report.output in ("(1, 1)\n", "(0, 0)\n")
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != 0:
        assert report.output == "(1, 1)\n"


KNOBS = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/proc/self/oom_score_adj",
    "/sys/devices/system/cpu/online",
)


@pytest.mark.parametrize("path", KNOBS)
def test_the_kernels_knobs_cannot_be_turned(sandbox: Sandbox, workspace: Path, path: str) -> None:
    script = f"import os; os.open('{path}', os.O_WRONLY); print('opened')"
    if path.endswith("oom_score_adj"):  # its own, which the kernel lets anyone raise but not lower
        script = f"import os; os.write(os.open('{path}', os.O_WRONLY), b'-1000'); print('opened')"
    if "opened" not in unconfined_python(workspace, script):
        pytest.skip("this user cannot turn it anyway")
    assert "opened" not in python(sandbox, workspace, script).output


def test_devices_of_the_machine_are_out_of_reach(sandbox: Sandbox, workspace: Path) -> None:
    blocks = [str(path) for path in Path("/dev").iterdir() if stat.S_ISBLK(path.stat().st_mode)]
    paths = ["/dev/kmsg", "/dev/mem", "/dev/fuse", "/dev/net/tun", "/dev/loop-control", *blocks[:3]]
    script = (
        "import os\n"
        f"for path in {paths}:\n"
        "    try: os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK)); print('opened', path)\n"
        "    except OSError: pass\n"
        "print('tried')"
    )
    assert "opened" in unconfined_python(workspace, script) or os.getuid() != 0
    assert python(sandbox, workspace, script).output == "tried\n"


def test_only_harmless_devices_can_be_opened(sandbox: Sandbox, workspace: Path) -> None:
    script = (
        "import os, stat\n"
        "for name in ('null', 'zero', 'full', 'random', 'urandom'):\n"
        "    print(name, stat.S_ISCHR(os.fstat(os.open('/dev/' + name, os.O_RDONLY)).st_mode))\n"
    )
    report = python(sandbox, workspace, script)
    assert report.output == "null True\nzero True\nfull True\nrandom True\nurandom True\n"


def test_no_open_file_of_ours_is_handed_in(sandbox: Sandbox, workspace: Path) -> None:
    """Descriptors 0 to 2, and the one that lists them."""
    report = sandbox.run(
        Command((PYTHON, "-c", "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))")),
        workspace,
        CancelToken(),
    )
    assert report.output == "[0, 1, 2, 3]\n"
