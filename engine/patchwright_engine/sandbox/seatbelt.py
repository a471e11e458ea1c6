"""Isolation by macOS's `sandbox-exec`. UNTESTED: its profile has never been loaded by a Mac, and it says so itself.

Apple calls the tool deprecated, and has kept it for ten years because its own programs need it. Sources: sandbox(7),
the profiles in /System/Library/Sandbox/Profiles, and what other sandboxes for development tools report to need.
Invariants: everything is denied that no rule allows; of two rules that match, the later one decides, so denials
stand after what they narrow, and the copy's own rules last. A rule that this macOS does not know makes the profile
fail to load, and then nothing runs.
"""

import os
import resource
import sys
import tempfile
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import SandboxUnavailable
from patchwright_engine.room import saying_no_room, temporary_folder
from patchwright_engine.sandbox import policy
from patchwright_engine.sandbox.process import Launch, run_bounded
from patchwright_engine.types import Command, RunReport

BINARY = Path("/usr/bin/sandbox-exec")
RUN_VARIABLE = "PATCHWRIGHT_RUN"

SYSTEM_FOLDERS = (
    *("/bin", "/sbin", "/usr/bin", "/usr/lib", "/usr/libexec", "/usr/sbin", "/usr/share", "/usr/local"),
    *("/System/Library", "/System/Volumes/Preboot/Cryptexes", "/Library/Apple", "/Library/Developer/CommandLineTools"),
    *("/Library/Frameworks", "/Applications/Xcode.app/Contents/Developer", "/opt/homebrew", "/opt/local", "/nix/store"),
    *("/private/var/db/dyld", "/private/var/db/timezone", "/private/var/select", "/private/etc/ssl"),
)
"""Programs, their libraries, and Homebrew's, MacPorts' and Nix's. Not /Library as a whole: it holds key chains."""

SYSTEM_FILES = (
    *("/", "/etc", "/tmp", "/var", "/private/etc/hosts", "/private/etc/localtime", "/private/etc/passwd"),
    *("/private/etc/group", "/private/etc/protocols", "/private/etc/services", "/private/etc/shells"),
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/fd", "/private/var/db/xcode_select_link"),
)
"""The dynamic linker lists /; /etc, /tmp and /var are links that paths of programs go through."""

HIDDEN = ("/usr/local/var", "/opt/homebrew/var", "/opt/local/var")
"""Databases and logs of services, below folders of programs."""

_SYSTEM_FACTS = (
    *("kern.argmax", "kern.boottime", "kern.clockrate", "kern.hostname", "kern.maxfilesperproc", "kern.maxproc"),
    *("kern.ngroups", "kern.osproductversion", "kern.osrelease", "kern.ostype", "kern.osvariant_status"),
    *("kern.osversion", "kern.secure_kernel", "kern.usrstack64", "kern.version", "sysctl.proc_cputype", "vm.loadavg"),
)
"""Not `kern.proc*`: those list the user's other processes with their arguments and environment."""

_SERVICES = (
    "com.apple.system.notification_center",
    "com.apple.system.opendirectoryd.libinfo",
    "com.apple.system.opendirectoryd.membership",
)
"""The C library asks these for users, groups and the time zone. No clipboard, key chain or Launch Services."""

_FIRST_STEPS = """\
cd "$1" || exit 126
ulimit -c 0
ulimit -f "$2"
ulimit -t "$3"
ulimit -u "$4" 2>/dev/null || ulimit -p "$4" 2>/dev/null
: >"$5" || exit 126
shift 5
exec "$@"
"""
"""Limits, then a mark that the sandbox stands, then the command. A missing program is the shell's status 127."""


@dataclass(frozen=True, slots=True)
class Seatbelt:
    """The `Sandbox` over macOS's own, which has no namespaces: what is not forbidden is the machine's."""

    binary: Path = BINARY

    @property
    def level(self) -> str:
        return "seatbelt"

    @property
    def promises(self) -> str:
        return (
            "UNTESTED on a real Mac. macOS's sandbox-exec: no network but this machine's loopback, no home, no secrets "
            "from the environment, writes only in the throw-away copy, bounded in sum; it does not stop programs from "
            "reaching services on your own loopback, a program that detaches itself from outliving its run, or kernel "
            "bugs; tests that need a terminal fail."
        )

    def prepare(self, workspace: Path) -> None:
        """Nothing to do: runs have the user's own rights on the copy."""

    def run(self, command: Command, workspace: Path, cancel: CancelToken, readable: tuple[Path, ...] = ()) -> RunReport:
        """See `Sandbox.run`."""
        workspace = workspace.resolve()
        token = uuid.uuid4().hex
        with (
            saying_no_room(what="cannot make a private temporary folder for a run"),
            tempfile.TemporaryDirectory(
                prefix="patchwright-tmp-", dir=temporary_folder(), ignore_cleanup_errors=True
            ) as name,
        ):
            temporary = Path(name).resolve()
            (temporary / "home").mkdir()
            mark = temporary / ".began"
            environment = policy.environment(command, str(temporary), str(temporary / "home"))
            argv = (
                *(str(self.binary), "-p", profile((workspace, temporary), policy.shown(readable))),
                *("/bin/sh", "-c", _FIRST_STEPS, "sh", str(workspace / command.cwd), *_limits(command), str(mark)),
                *command.argv,
            )
            launch = Launch(argv, {**environment, RUN_VARIABLE: token}, writable=(workspace, temporary))
            try:
                finished = run_bounded(launch, command, cancel)
            except OSError as error:
                raise SandboxUnavailable(
                    f"sandbox-exec could not be started: {error}", "It belongs to macOS: check /usr/bin/sandbox-exec."
                ) from error
            finally:
                end_survivors(token, (workspace, temporary))
            began = mark.exists()
        if finished.outcome == "exited" and not began:
            raise SandboxUnavailable(
                f"sandbox-exec could not set up the sandbox: {finished.output.strip()[:500]}",
                "Report it with your version of macOS; until then Docker can serve (PATCHWRIGHT_SANDBOX=docker).",
            )
        return finished.report(command, self.level)


def find_seatbelt() -> Seatbelt | None:
    """The level, where it exists."""
    return Seatbelt() if sys.platform == "darwin" and os.access(BINARY, os.X_OK) else None


def profile(writable: tuple[Path, ...], readable: Iterable[Path]) -> str:
    """The sandbox's rules. Paths of `writable` must be free of links: rules are compared with real paths.

    Raises:
        SandboxUnavailable: a path cannot be written into a rule.
    """
    readable = tuple(readable)
    for path in readable:
        quote(str(path))  # before it is looked up, which some names do not survive
    named = tuple(dict.fromkeys(real for path in readable for real in (path, path.resolve())))
    above = dict.fromkeys(parent for path in (*named, *writable) for parent in path.parents)
    rules = [
        "(version 1)",
        "(deny default)",
        "; its own processes",
        "(allow process-fork)",
        "(allow process-info* (target same-sandbox))",
        "(allow signal (target same-sandbox))",
        "(allow ipc-posix-sem)",
        '(allow ipc-posix-shm* (ipc-posix-name-prefix "/psm_"))',
        _rule("allow sysctl-read", "sysctl-name", _SYSTEM_FACTS),
        _rule("allow sysctl-read", "sysctl-name-prefix", ("hw.", "machdep.cpu.")),
        _rule("allow mach-lookup", "global-name", _SERVICES),
        "; what may be read",
        _rule("allow file-read*", "literal", SYSTEM_FILES),
        _rule("allow file-write-data", "literal", ("/dev/null", "/dev/zero")),
        _rule("allow file-read-metadata", "literal", above),
        _rule("allow file-read* file-map-executable process-exec*", "subpath", SYSTEM_FOLDERS),
        _rule("deny file-read* file-map-executable process-exec*", "subpath", HIDDEN),
        _rule("allow file-read* file-map-executable process-exec*", "subpath", named),
        "; the copy and a private temporary folder",
        _rule("allow file-read* file-write* file-map-executable process-exec*", "subpath", writable),
        "(deny file-link)",
        "(deny file-write-setugid)",
        "; loopback, and sockets of its own",
        "(deny network*)",
        '(allow network-bind network-inbound (local ip "localhost:*"))',
        '(allow network-outbound (remote ip "localhost:*"))',
        "(allow system-socket (socket-domain AF_UNIX))",
        _rule("allow network-bind", "local unix-socket", writable, "subpath"),
        _rule("allow network-outbound", "remote unix-socket", writable, "subpath"),
    ]
    return "\n".join(rule for rule in rules if rule) + "\n"


def quote(text: str) -> str:
    """`text` as a string of the profile language.

    Raises:
        SandboxUnavailable: it holds a control character, which no rule can name safely.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise SandboxUnavailable(
            f"the path {text!r} holds a control character, which a sandbox profile cannot name", "Rename the folder."
        )
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def end_survivors(token: str, folders: tuple[Path, ...]) -> int:
    """Kill processes that left the run's tree; returns how many.

    They are known by the run's variable in their environment, which macOS hides for its own programs, or by working
    in the run's folders. A program that wipes both on purpose is not found.
    """
    killed = 0
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with suppress(psutil.Error, OSError):
            if process.environ().get(RUN_VARIABLE) == token or _works_in(process, folders):
                process.kill()
                killed += 1
    return killed


def _works_in(process: psutil.Process, folders: tuple[Path, ...]) -> bool:
    here = Path(process.cwd())
    return any(here.is_relative_to(folder) for folder in folders)


def _limits(command: Command) -> tuple[str, str, str]:
    """File size in blocks of 512 bytes, seconds of processor time, and processes. Memory is watched, not limited."""
    bounds = policy.limits(command)
    processes = bounds.get(resource.RLIMIT_NPROC, command.max_processes)
    return str(bounds[resource.RLIMIT_FSIZE] // 512), str(bounds[resource.RLIMIT_CPU]), str(processes)


def _rule(action: str, kind: str, values: Iterable[Path | str], inner: str = "") -> str:
    """One rule over `values`; nothing at all for none of them, since a rule without a filter is about everything."""
    filters = [quote(str(value)) for value in values]
    if not filters:
        return ""
    if inner:
        filters = [f"({inner} {text})" for text in filters]
    return f"({action}" + "".join(f"\n  ({kind} {text})" for text in filters) + ")"
