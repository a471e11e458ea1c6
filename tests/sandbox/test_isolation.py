"""Attacks on every sandbox level that works here: each is one property, and each must fail."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled, SandboxUnavailable
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.select import LEVELS, select_sandbox
from patchwright_engine.types import Command, RunReport

PYTHON = "/usr/bin/python3"


@pytest.fixture(params=LEVELS)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    try:
        return select_sandbox(request.param)
    except SandboxUnavailable as error:
        if request.param == "docker" and os.environ.get("PATCHWRIGHT_REQUIRE_DOCKER"):
            pytest.fail(error.message)
        pytest.skip(f"{request.param} does not work on this machine: {error.message}")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "inside.txt").write_text("before")
    return folder


def shell(sandbox: Sandbox, workspace: Path, script: str, **limits: float) -> RunReport:
    command = Command(("sh", "-c", script), **{"timeout_seconds": 20.0, **limits})  # type: ignore[arg-type]
    return sandbox.run(command, workspace, CancelToken())


def python(sandbox: Sandbox, workspace: Path, script: str, **limits: float) -> RunReport:
    if not os.access(PYTHON, os.X_OK):
        pytest.skip("no system Python")
    command = Command((PYTHON, "-c", script), **{"timeout_seconds": 20.0, **limits})  # type: ignore[arg-type]
    return sandbox.run(command, workspace, CancelToken())


def test_the_workspace_can_be_read_and_written(sandbox: Sandbox, workspace: Path) -> None:
    report = shell(sandbox, workspace, "cat inside.txt; echo after > inside.txt; pwd")
    assert report.exit_code == 0
    assert report.output == f"before{workspace}\n"
    assert (workspace / "inside.txt").read_text() == "after\n"
    assert report.sandbox == sandbox.level


def test_a_temporary_folder_is_there_and_leaves_nothing(sandbox: Sandbox, workspace: Path) -> None:
    report = shell(sandbox, workspace, 'echo x > "$TMPDIR/t" && echo y > "$HOME/h" && echo "$TMPDIR"')
    assert report.exit_code == 0, report.output
    assert not Path(report.output.strip(), "t").exists()


def test_files_of_the_user_cannot_be_read(sandbox: Sandbox, workspace: Path, tmp_path: Path) -> None:
    secret = tmp_path / "id_ed25519"
    secret.write_text("PRIVATE KEY")
    (workspace / "link").symlink_to(secret)
    report = shell(sandbox, workspace, f"cat {secret}; cat link; cat ../id_ed25519; cat /proc/1/root{secret}")
    assert "PRIVATE" not in report.output
    assert report.exit_code != 0


def test_the_home_folder_and_system_secrets_cannot_be_read(sandbox: Sandbox, workspace: Path) -> None:
    home = Path.home()
    report = shell(sandbox, workspace, f"ls {home}/* {home}/.[a-z]* && exit 0; cat /etc/shadow && exit 0; exit 7")
    assert report.exit_code == 7, report.output


def test_secrets_of_the_environment_do_not_enter(
    sandbox: Sandbox, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    report = shell(sandbox, workspace, "env; cat /proc/*/environ | tr '\\0' '\\n'")
    assert "hunter2" not in report.output
    assert "LANG=C.UTF-8" in report.output


def test_other_processes_stay_hidden_and_unharmed(sandbox: Sandbox, workspace: Path) -> None:
    own = os.getpid()
    report = shell(sandbox, workspace, f"cat /proc/{own}/cmdline; cat /proc/{own}/maps; kill -0 {own} && echo reached")
    assert "pytest" not in report.output
    assert "reached" not in report.output


@pytest.mark.parametrize(
    "attack",
    [
        "echo x > {outside}",
        "echo x > /etc/passwd",
        "echo x >> /usr/bin/env",
        "ln -s {outside} way && echo x > way",
        "ln {outside} hard && echo x > hard",
        "mv inside.txt {outside}",
        "rm -f {outside}",
        "truncate -s 0 {outside}",
        "echo x > /proc/1/root{outside}",
        "mkdir {outside}.d",
    ],
)
def test_nothing_outside_can_be_changed(sandbox: Sandbox, workspace: Path, tmp_path: Path, attack: str) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("precious")
    shell(sandbox, workspace, attack.format(outside=outside))
    assert outside.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "outside.txt"]


def test_modes_and_times_outside_cannot_be_changed(sandbox: Sandbox, workspace: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("precious")
    before = outside.stat()
    shell(sandbox, workspace, f"chmod 777 {outside}; touch -d 2001-01-01 {outside}; chown 1:1 {outside}")
    after = outside.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_uid) == (before.st_mode, before.st_mtime_ns, before.st_uid)


@pytest.fixture
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """A TCP service on this machine's loopback; yields its port and what reached it."""
    reached: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    reached.append(b"connected")

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(server.getsockname()[1]), reached
        done.set()
        thread.join()


def test_the_machines_loopback_cannot_be_reached(
    sandbox: Sandbox, workspace: Path, listener: tuple[str, list[bytes]]
) -> None:
    port, reached = listener
    report = python(
        sandbox,
        workspace,
        f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=3); print('through')",
    )
    assert report.exit_code == 1, report.output
    assert "through" not in report.output
    assert reached == []


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
def test_datagrams_cannot_leave(sandbox: Sandbox, workspace: Path, family: str) -> None:
    address = "192.0.2.1" if family == "AF_INET" else "2001:db8::1"
    report = python(
        sandbox,
        workspace,
        f"import socket; s = socket.socket(socket.{family}, socket.SOCK_DGRAM); s.sendto(b'x', ('{address}', 53))",
    )
    assert report.exit_code == 1
    assert "OSError" in report.output or "PermissionError" in report.output


@pytest.mark.parametrize("abstract", [False, True])
def test_unix_sockets_outside_cannot_be_reached(
    sandbox: Sandbox, workspace: Path, tmp_path: Path, abstract: bool
) -> None:
    name = f"\0patchwright-test-{os.getpid()}" if abstract else str(tmp_path / "docker.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        report = python(
            sandbox, workspace, f"import socket; socket.socket(socket.AF_UNIX).connect({name!r}); print('through')"
        )
    assert report.exit_code == 1
    assert "through" not in report.output


def test_loopback_inside_works_in_namespaces(workspace: Path) -> None:
    try:
        sandbox = select_sandbox("bubblewrap")
    except SandboxUnavailable as error:
        pytest.skip(error.message)
    script = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "c = socket.create_connection(s.getsockname()); print('talks')"
    )
    assert python(sandbox, workspace, script).output == "talks\n"


def test_a_run_that_hangs_is_stopped_with_what_it_printed(sandbox: Sandbox, workspace: Path) -> None:
    report = shell(sandbox, workspace, "echo started; sleep 60", timeout_seconds=1.0)
    assert (report.outcome, report.exit_code) == ("timeout", None)
    assert report.output.startswith("started")
    assert report.seconds < 5


def test_a_run_that_ignores_signals_is_stopped(sandbox: Sandbox, workspace: Path) -> None:
    report = shell(sandbox, workspace, "trap '' TERM INT HUP; while :; do sleep 1; done", timeout_seconds=1.0)
    assert report.outcome == "timeout"
    assert report.seconds < 5


def test_a_stopped_run_is_ended(sandbox: Sandbox, workspace: Path) -> None:
    report = shell(sandbox, workspace, "kill -STOP $$", timeout_seconds=1.0)
    assert report.outcome == "timeout"


def living(marker: str) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if marker in (process.info["cmdline"] or []) and process.status() != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.parametrize("ending", ["exit 0", "sleep 60"])
def test_no_grandchild_survives(sandbox: Sandbox, workspace: Path, ending: str) -> None:
    marker = f"{30000 + os.getpid() % 10000}.{len(ending)}{len(sandbox.level)}"
    script = f"(setsid sleep {marker} >/dev/null 2>&1 &) ; sleep 0.3; {ending}"
    shell(sandbox, workspace, script, timeout_seconds=1.5)
    deadline = time.monotonic() + 2  # the kernel ends a namespace's processes a moment after its first one
    while living(marker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert living(marker) == []


def test_a_gigabyte_of_output_neither_blocks_nor_fills_memory(workspace: Path) -> None:
    sandbox = select_sandbox()
    before = psutil.Process().memory_info().rss
    report = shell(
        sandbox, workspace, "echo first; yes | head -c 1000000000; echo last", output_bytes=10_000, timeout_seconds=60.0
    )
    assert report.exit_code == 0
    assert report.truncated
    assert report.output.startswith("first")
    assert report.output.endswith("last\n")
    assert len(report.output) < 11_000
    assert psutil.Process().memory_info().rss - before < 50 << 20


def test_a_fork_bomb_is_bounded(sandbox: Sandbox, workspace: Path) -> None:
    script = "import os, time\nfor _ in range(12):\n  os.fork()\ntime.sleep(30)"
    report = python(sandbox, workspace, script, max_processes=40, timeout_seconds=20.0)
    assert report.exit_code != 0
    assert report.seconds < 15


def test_memory_is_bounded(sandbox: Sandbox, workspace: Path) -> None:
    report = python(sandbox, workspace, "x = b'x' * (600 << 20); print(len(x))", memory_bytes=200 << 20)
    assert report.exit_code != 0
    assert "629145600" not in report.output


def test_memory_of_many_processes_is_bounded_together(sandbox: Sandbox, workspace: Path) -> None:
    script = "import os, time\nfor _ in range(3): os.fork()\nx = bytearray(60 << 20)\ntime.sleep(20)"
    report = python(sandbox, workspace, script, memory_bytes=200 << 20)
    assert report.outcome == "signalled"
    assert "memory" in report.output


def test_one_file_cannot_fill_the_disk(sandbox: Sandbox, workspace: Path) -> None:
    report = shell(sandbox, workspace, "truncate -s 2G big; ls -l big")
    assert not (workspace / "big").exists() or (workspace / "big").stat().st_size <= 1 << 30, report.output


@pytest.mark.parametrize(
    "attack",
    [
        "ctypes.CDLL(None, use_errno=True).ptrace(16, os.getppid(), 0, 0)",  # PTRACE_ATTACH
        "ctypes.CDLL(None, use_errno=True).mount(b'none', b'.', b'tmpfs', 0, None)",
        "ctypes.CDLL(None, use_errno=True).unshare(0x10000000)",  # CLONE_NEWUSER
        "ctypes.CDLL(None, use_errno=True).syscall(250 if os.uname().machine == 'x86_64' else 219, 0, -3, 0)",  # keyctl
    ],
)
def test_privileged_calls_are_refused(sandbox: Sandbox, workspace: Path, attack: str) -> None:
    report = python(sandbox, workspace, f"import ctypes, os; print({attack}, ctypes.get_errno())")
    assert report.output.strip() == "-1 1"


def test_a_program_that_does_not_exist_is_a_value(sandbox: Sandbox, workspace: Path) -> None:
    report = sandbox.run(Command(("no-such-program",)), workspace, CancelToken())
    assert report.exit_code == 127


def test_a_killed_program_is_a_value(sandbox: Sandbox, workspace: Path) -> None:
    assert shell(sandbox, workspace, "kill -KILL $$").exit_code == 128 + signal.SIGKILL


def test_a_cancel_ends_the_run_within_half_a_second(sandbox: Sandbox, workspace: Path) -> None:
    cancel = CancelToken()
    marker = f"4{os.getpid()}"
    threading.Timer(0.7, cancel.cancel).start()
    begin = time.monotonic()
    with pytest.raises(Cancelled):
        sandbox.run(Command(("sleep", marker)), workspace, cancel)
    assert time.monotonic() - begin < 0.7 + 0.5
    assert living(marker) == []


def test_only_named_folders_can_be_read(sandbox: Sandbox, workspace: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "program").write_text("text")
    command = Command(("sh", "-c", f"cat {tools}/program; echo x > {tools}/program"))
    report = sandbox.run(command, workspace, CancelToken(), (tools,))
    assert report.output.startswith("text")
    assert (tools / "program").read_text() == "text"


def test_escape_codes_do_not_reach_the_reader(sandbox: Sandbox, workspace: Path) -> None:
    report = shell(sandbox, workspace, r"printf '\033[31mred\033[0m \033]0;title\007plain\n'")
    assert report.output == "red plain\n"
