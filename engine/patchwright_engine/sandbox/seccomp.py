"""A seccomp filter as BPF bytes: the system calls no test needs and an attacker would like.

Source: seccomp(2), kernel Documentation/userspace-api/seccomp_filter. Invariant: a machine whose system call
numbers are not in the table gets no filter (None), never a wrong one.
"""

import errno
import platform
import struct
from dataclasses import dataclass

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_ABOVE = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA: the value says how far
_RETURN = 0x06
_X32_BIT = 0x40000000
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWUSER, NEWNS, NEWPID, NEWNET, NEWIPC, NEWUTS and NEWCGROUP."""

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_mrelease": (448, 448),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "chroot": (161, 51),
    "setns": (308, 268),
    "unshare": (272, 97),
    # the kernel's own
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "iopl": (172, None),
    "ioperm": (173, None),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
}
"""Answered with EPERM. Values are the numbers on x86-64 and arm64."""

ABSENT: dict[str, tuple[int | None, int | None]] = {
    # Their arguments lie in memory that a filter cannot see; callers fall back to the older calls.
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # Memory that belongs to no process is in nobody's sum; callers fall back to a temporary file.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}
"""Answered with ENOSYS."""

METADATA: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "utimensat": (280, 88),
    "futimesat": (261, None),
}
"""Landlock does not bind these to folders, so at that level they succeed without doing anything."""

ATTRIBUTES: dict[str, tuple[int | None, int | None]] = {
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
}
"""As METADATA, answered with ENOTSUP, which callers expect."""

SOCKETS: dict[str, tuple[int | None, int | None]] = {"socket": (41, 198)}
"""Every socket of every family; connected pairs (`socketpair`) stay."""

SHARED: dict[str, tuple[int | None, int | None]] = {
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
}
"""System-wide shared objects, which only a namespace could make private."""

PRIORITIES: dict[str, tuple[int | None, int | None]] = {"ioprio_set": (251, 30)}
"""Takes the processes of a whole user at once."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A call that is judged by one of its arguments, of which a filter sees the low 32 bits, as the kernel does."""

    numbers: tuple[int, int]
    argument: int
    values: tuple[int, ...]
    allowed: bool
    """Whether the values are the only ones allowed, or the only ones refused."""
    answer: int


_TERMINAL = Checked((16, 29), 1, (0x5412, 0x541C), allowed=False, answer=errno.EPERM)
"""ioctl with TIOCSTI or TIOCLINUX: typing into the user's terminal."""
_FAMILIES = Checked(
    (41, 198),
    0,
    (0, 1, 2, 10, 16),
    allowed=True,
    answer=errno.EAFNOSUPPORT,
)
"""socket: UNIX, IPv4, IPv6 and netlink, which a network namespace confines; AF_VSOCK would reach a machine's host."""
_OWN_PROCESS = (
    Checked((302, 261), 0, (0,), allowed=True, answer=errno.EPERM),  # prlimit64
    Checked((141, 140), 0, (0,), allowed=True, answer=errno.EPERM),  # setpriority: of a process, not of a user
    Checked((141, 140), 1, (0,), allowed=True, answer=errno.EPERM),  # setpriority
    Checked((142, 118), 0, (0,), allowed=True, answer=errno.EPERM),  # sched_setparam
    Checked((144, 119), 0, (0,), allowed=True, answer=errno.EPERM),  # sched_setscheduler
    Checked((203, 122), 0, (0,), allowed=True, answer=errno.EPERM),  # sched_setaffinity
    Checked((314, 274), 0, (0,), allowed=True, answer=errno.EPERM),  # sched_setattr
)
"""Where other processes of the user are in reach: limits and priorities of the caller alone."""

_SHMGET = (29, 194)
_SEGMENT_BYTES = 1 << 16
"""The largest System V segment: real users (PostgreSQL) need some bytes, and detached ones are in nobody's sum."""
_CLONE = (56, 220)


def namespaced_filter() -> bytes | None:
    """For a process that already has namespaces of its own; None on an unknown machine."""
    return _program({"FORBIDDEN": (FORBIDDEN, errno.EPERM), "ABSENT": (ABSENT, errno.ENOSYS)}, (_TERMINAL, _FAMILIES))


def shared_host_filter() -> bytes | None:
    """For a process that shares the machine with the user's own; None on an unknown machine."""
    return _program(
        {
            "FORBIDDEN": (FORBIDDEN, errno.EPERM),
            "ABSENT": (ABSENT, errno.ENOSYS),
            "SOCKETS": (SOCKETS, errno.EACCES),
            "SHARED": (SHARED, errno.EPERM),
            "PRIORITIES": (PRIORITIES, errno.EPERM),
            "METADATA": (METADATA, 0),
            "ATTRIBUTES": (ATTRIBUTES, errno.ENOTSUP),
        },
        (_TERMINAL, *_OWN_PROCESS),
    )


def _program(
    rules: dict[str, tuple[dict[str, tuple[int | None, int | None]], int]], checked: tuple[Checked, ...]
) -> bytes | None:
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return None
    audit, column = known
    steps = [
        _step(_LOAD, 4),  # seccomp_data.arch
        _step(_EQUAL, audit, 1, 0),
        _step(_RETURN, _ERRNO | errno.EPERM),  # a 32-bit call into a 64-bit kernel has other numbers
        _step(_LOAD, 0),  # seccomp_data.nr
        _step(_AT_LEAST, _X32_BIT, 0, 1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for numbers, answer in rules.values():
        for per_machine in numbers.values():
            number = per_machine[column]
            if number is not None:
                steps += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ERRNO | answer)]
    for check in checked:
        steps += _checking(check, column)
    steps += _bounded_segments(column)
    steps += [
        _step(_EQUAL, _CLONE[column], 0, 3),
        _step(_LOAD, 16),  # low half of the first argument: the flags
        _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        _step(_RETURN, _ERRNO | errno.EPERM),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(steps)


def _checking(check: Checked, column: int) -> list[bytes]:
    """Refuse by an argument, else go on with the next rule: several may look at one call."""
    refusal = _step(_RETURN, _ERRNO | check.answer)
    steps = [_step(_LOAD, 16 + 8 * check.argument)]
    # A value not listed comes to the first step behind the comparisons, a listed one to the second.
    for left, value in zip(range(len(check.values), 0, -1), check.values, strict=True):
        steps.append(_step(_EQUAL, value, left, 0))
    steps += [refusal] if check.allowed else [_step(_JUMP, 1), refusal]
    steps.append(_step(_LOAD, 0))
    return [_step(_EQUAL, check.numbers[column], 0, len(steps)), *steps]


def _bounded_segments(column: int) -> list[bytes]:
    return [
        _step(_EQUAL, _SHMGET[column], 0, 6),
        _step(_LOAD, 28),  # high half of the second argument: the size
        _step(_EQUAL, 0, 0, 3),
        _step(_LOAD, 24),
        _step(_ABOVE, _SEGMENT_BYTES, 1, 0),
        _step(_RETURN, _ALLOW),
        _step(_RETURN, _ERRNO | errno.ENOMEM),
    ]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One `struct sock_filter`."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
