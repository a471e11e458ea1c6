"""The system calls that a container may make, as the seccomp profile that the Docker daemon takes.

Docker's own default profile lets programs trace each other, so it cannot simply be kept; a profile replaces it
whole. This one is an allow-list like Docker's, minus what `seccomp.FORBIDDEN` refuses at every other level.
Source: seccomp(2), https://docs.docker.com/engine/security/seccomp/. Invariant: on a machine whose calls are not
known the answer is None, and the daemon's own default stays in force; a container never runs without a filter.
"""

import errno
import json
import platform
from collections.abc import Iterator
from typing import Any

from patchwright_engine.sandbox import seccomp

_MACHINES = ("x86_64", "aarch64")

ALLOWED = frozenset(
    """
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock
    fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr getxattrat
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch lchown lgetxattr link linkat listxattr
    listxattrat llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open openat
    openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr
    removexattrat rename renameat renameat2 rmdir sendfile setxattr setxattrat splice stat statfs statx symlink
    symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes vmsplice write
    writev

    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap
    mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages

    arch_prctl capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getegid geteuid
    getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid
    gettid getuid ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
    pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease restart_syscall rseq sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list
    set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority setregid setresgid
    setresuid setreuid setrlimit setsid setuid sysinfo tgkill tkill uname vfork wait4 waitid getcpu getrandom

    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg
    sendmsg sendto setsockopt shutdown socketpair

    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 futex futex_requeue
    futex_wait futex_waitv futex_wake io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit pause pipe
    pipe2 poll ppoll pselect6 rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_tgsigqueueinfo select sigaltstack signalfd signalfd4

    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget
    semop semtimedop shmat shmctl shmdt

    alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time timer_create
    timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times
    """.split()  # noqa: SIM905 - a list of one name a line would be three pages
)
"""Files, memory, processes, sockets, waiting, shared objects (private to the container), time."""

_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: not the kernel's crypto, virtual machine sockets or raw packets."""

_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Plain and 32-bit Linux, each with the old version number or not, and the question which one is set."""

_NEW_NAMESPACES = 0x7E020000
_SEGMENT_BYTES = 1 << 16
"""Of one System V segment, as at the other levels: programs need some bytes, and detached ones outlive processes."""

_TYPING = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX, which type into a terminal."""


def profile() -> str | None:
    """The profile as JSON, or None where Docker's own has to serve."""
    if platform.machine() not in _MACHINES:
        return None
    refused = {*seccomp.FORBIDDEN, *seccomp.ABSENT}
    conditional = [
        *(_allow(["socket"], _equals(family)) for family in _FAMILIES),
        *(_allow(["personality"], _equals(value)) for value in _PERSONALITIES),
        *(_allow(["ioctl"], condition) for condition in _unlike(1, _TYPING)),
        _allow(["clone"], _masked(0, _NEW_NAMESPACES, 0)),
        _allow(["shmget"], {"index": 1, "value": _SEGMENT_BYTES, "op": "SCMP_CMP_LE"}),
    ]
    rules = [
        _allow(sorted(ALLOWED - refused)),
        *(rule for rule in conditional if not refused & set(rule["names"])),
        {"names": sorted(seccomp.ABSENT), "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
    ]
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno.EPERM, "syscalls": rules})


def _unlike(argument: int, values: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Conditions of which one holds for every argument but those whose low 32 bits are one of `values`.

    A profile can only join conditions by "or", and a comparison would see the high bits, which the kernel does not.
    So: some bit above the lowest four differs from the values', which are alike there, or those four are others.
    """
    high = values[0] & 0xFFFFFFF0
    assert all(value & 0xFFFFFFF0 == high for value in values)
    for bit in range(4, 32):
        yield _masked(argument, 1 << bit, ~high & (1 << bit))
    for low in range(16):
        if high | low not in values:
            yield _masked(argument, 0xF, low)


def _allow(names: list[str], *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"names": names, "action": "SCMP_ACT_ALLOW", "args": list(conditions)}


def _equals(value: int) -> dict[str, Any]:
    return {"index": 0, "value": value, "op": "SCMP_CMP_EQ"}


def _masked(argument: int, mask: int, expected: int) -> dict[str, Any]:
    return {"index": argument, "value": mask, "valueTwo": expected, "op": "SCMP_CMP_MASKED_EQ"}
