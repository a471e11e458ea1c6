"""What every sandbox level gives to the code in it, and how a run ends. The attacks are in `test_attacks_*.py`."""

import signal
import threading
import time
from pathlib import Path

import pytest

from attacks import living, python, shell
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled, SandboxUnavailable
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.select import select_sandbox
from patchwright_engine.types import Command


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


def test_only_named_folders_can_be_read(sandbox: Sandbox, workspace: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "program").write_text("text")
    command = Command(("sh", "-c", f"cat {tools}/program; echo x > {tools}/program"))
    report = sandbox.run(command, workspace, CancelToken(), (tools,))
    assert report.output.startswith("text")
    assert (tools / "program").read_text() == "text"
    assert "text" not in shell(sandbox, workspace, f"cat {tools}/program").output


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


def test_processes_inside_talk_to_each_other(sandbox: Sandbox, workspace: Path) -> None:
    script = (
        "import socket, subprocess, sys\n"
        "one, other = socket.socketpair()\n"
        "subprocess.Popen([sys.executable, '-c', 'import os; os.write(9, bytes(3))'], preexec_fn=lambda: "
        "__import__('os').dup2(other.fileno(), 9), close_fds=False).wait()\n"
        "print(len(one.recv(9)), subprocess.check_output(['echo', 'piped']).decode())"
    )
    assert python(sandbox, workspace, script).output == "3 piped\n\n"


def test_a_run_that_hangs_is_stopped_with_what_it_printed(sandbox: Sandbox, workspace: Path) -> None:
    report = shell(sandbox, workspace, "echo started; sleep 60", timeout_seconds=1.0)
    assert (report.outcome, report.exit_code) == ("timeout", None)
    assert report.output.startswith("started")


def test_a_program_that_does_not_exist_is_a_value(sandbox: Sandbox, workspace: Path) -> None:
    report = sandbox.run(Command(("no-such-program",)), workspace, CancelToken())
    assert report.exit_code == 127


def test_a_killed_program_is_a_value(sandbox: Sandbox, workspace: Path) -> None:
    assert shell(sandbox, workspace, "kill -KILL $$").exit_code == 128 + signal.SIGKILL


def test_a_cancel_ends_the_run_within_half_a_second(sandbox: Sandbox, workspace: Path) -> None:
    cancel = CancelToken()
    marker = f"4{time.time_ns() % 10**8}"
    cancelled: list[float] = []

    def cancel_once_it_runs() -> None:
        while not living(marker):
            time.sleep(0.02)
        cancelled.append(time.monotonic())
        cancel.cancel()

    threading.Thread(target=cancel_once_it_runs, daemon=True).start()
    with pytest.raises(Cancelled):
        sandbox.run(Command(("sleep", marker)), workspace, cancel)
    assert time.monotonic() - cancelled[0] < 0.5
    assert living(marker) == []
