"""Attacks on the machine's resources: time, processes, memory, disk and output are bounded, and nobody survives.

What could harm this machine is not tried unconfined; there the same script under a wider bound shows that it works.
"""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from attacks import living, python, shell, unconfined_python
from patchwright_engine.sandbox import disk
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.select import select_sandbox

MIB = 1 << 20


# --- time ---

STUBBORN = {
    "ignores signals": "trap '' TERM INT HUP QUIT; while :; do sleep 1; done",
    "stops itself": "kill -STOP $$",
    "stops its group": "kill -STOP 0",
    "stops its parent": "kill -STOP $PPID; sleep 60",
    "closes its output": "exec >&- 2>&-; sleep 60",
    "burns time": "while :; do :; done",
}


@pytest.mark.parametrize("how", STUBBORN)
def test_a_run_that_does_not_end_is_ended(sandbox: Sandbox, workspace: Path, how: str) -> None:
    report = shell(sandbox, workspace, f"echo begun; {STUBBORN[how]}", timeout_seconds=1.0)
    assert (report.outcome, report.exit_code) == ("timeout", None)
    assert report.output.startswith("begun")


DETACHED = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.execvp("sleep", ["sleep", "{marker}"])
    os._exit(0)
os.wait()
time.sleep(0.3)
{ending}
"""


def outlives(run: Callable[[str], object], ending: str) -> bool:
    """Whether a process that detached itself lives on after the run."""
    marker = f"3{time.time_ns() % 10**8}"
    run(DETACHED.format(marker=marker, ending=ending))
    deadline = time.monotonic() + 2  # the kernel ends a namespace's processes a moment after its first one
    while living(marker) and time.monotonic() < deadline:
        time.sleep(0.02)
    left = living(marker)
    for pid in left:
        os.kill(pid, 9)
    return bool(left)


@pytest.mark.parametrize("ending", ["pass", "os._exit(3)", "os.kill(os.getpid(), 9)", "time.sleep(60)"])
def test_no_sleeping_grandchild_survives(sandbox: Sandbox, workspace: Path, ending: str) -> None:
    assert not outlives(lambda script: python(sandbox, workspace, script, timeout_seconds=1.5), ending)


def test_a_grandchild_would_survive_without_a_sandbox(workspace: Path) -> None:
    assert outlives(lambda script: unconfined_python(workspace, script), "pass")


# --- processes ---


FORK_BOMB = """
import os, time
first = os.getpid()
count = os.open("count", os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND)
for _ in range(7):
    try:
        os.fork()
    except OSError:
        pass
os.write(count, b"x")
time.sleep(1.5)
if os.getpid() == first:
    print("processes:", os.stat("count").st_size)
"""


def test_a_fork_bomb_is_bounded(sandbox: Sandbox, workspace: Path) -> None:
    assert "processes: 128" in python(sandbox, workspace, FORK_BOMB, max_processes=1000).output
    report = python(sandbox, workspace, FORK_BOMB, max_processes=40)
    assert "processes: 128" not in report.output
    assert report.outcome == "signalled" or "processes: " in report.output


def test_a_process_that_keeps_moving_is_caught(sandbox: Sandbox, workspace: Path) -> None:
    """Each generation starts the next and ends, so that there is never a parent to find it by."""
    marker = f"moving{time.time_ns()}"
    program = (
        "import os, sys, time\n"
        "for _ in range(4000):\n"
        "    if os.fork(): os._exit(0)\n"
        "    time.sleep(0.001)\n"
        "time.sleep(60)"
    )
    script = f"import subprocess; subprocess.Popen(['{{}}', '-c', {program!r}, '{marker}']); {{}}"
    for ending in ("", "import time; time.sleep(60)"):
        python(sandbox, workspace, script.format("/usr/bin/python3", ending), timeout_seconds=1.0)
        time.sleep(0.1)
        assert living(marker) == []


# --- memory ---


def test_memory_of_one_process_is_bounded(sandbox: Sandbox, workspace: Path) -> None:
    script = f"x = b'x' * ({300 * MIB}); print(len(x))"
    assert python(sandbox, workspace, script, memory_bytes=600 * MIB).output == f"{300 * MIB}\n"
    report = python(sandbox, workspace, script, memory_bytes=150 * MIB)
    assert report.exit_code != 0
    assert str(300 * MIB) not in report.output


def test_memory_of_many_processes_is_bounded_together(sandbox: Sandbox, workspace: Path) -> None:
    script = "import os, time\nfor _ in range(3): os.fork()\nx = bytearray(60 << 20)\ntime.sleep(20)"
    report = python(sandbox, workspace, script, memory_bytes=200 * MIB)
    assert report.outcome == "signalled"
    assert "memory" in report.output


HIDDEN_MEMORY = {
    "anonymous files": "kept.append(os.memfd_create('m')); os.write(kept[-1], bytes(1 << 20))",
    "detached segments": "libc.shmat.restype = ctypes.c_void_p\n"
    "    segment = libc.shmget(0, ctypes.c_size_t(1 << 20), 0o1600)\n"
    "    assert segment >= 0\n"
    "    place = libc.shmat(segment, None, 0)\n"
    "    ctypes.memset(ctypes.c_void_p(place), 1, 1 << 20)\n"
    "    libc.shmdt(ctypes.c_void_p(place))\n"
    "    if number < 3: libc.shmctl(segment, 0, None)",  # unconfined, it is removed again
    "the folder of devices": "open(f'/dev/filling{number}', 'wb').write(bytes(1 << 20))\n"
    "    if number < 3: os.unlink(f'/dev/filling{number}')",
}


@pytest.mark.parametrize("where", HIDDEN_MEMORY)
def test_memory_that_belongs_to_no_process_is_bounded_or_refused(sandbox: Sandbox, workspace: Path, where: str) -> None:
    start = "import ctypes, os\nlibc = ctypes.CDLL(None)\nkept = []\nfor number in range(COUNT):\n    "
    script = f"{start}{HIDDEN_MEMORY[where]}\nprint('taken')"
    if "taken" not in unconfined_python(workspace, script.replace("COUNT", "3")):
        pytest.skip("this user cannot take it anyway")
    report = python(sandbox, workspace, script.replace("COUNT", "400"), memory_bytes=200 * MIB)
    assert "taken" not in report.output


# --- disk ---

FILLING = "i=0; while [ $i -lt {count} ]; do {step} > {folder}/f$i; i=$((i+1)); done; sleep {rest}"


@pytest.mark.parametrize("step", ["head -c 4194304 /dev/zero", "head -c 4194304 /dev/zero; touch -d 2001-01-01 f$i"])
def test_many_files_cannot_fill_the_disk(sandbox: Sandbox, workspace: Path, step: str) -> None:
    step = f"{{ {step}; }}"
    allowed = shell(sandbox, workspace, FILLING.format(count=20, step=step, folder=".", rest=1))
    assert allowed.exit_code == 0
    for file in workspace.glob("f*"):
        file.unlink()
    report = shell(sandbox, workspace, FILLING.format(count=20, step=step, folder=".", rest=60), disk_bytes=32 * MIB)
    assert report.outcome == "signalled"
    assert "[stopped: more than 32 MiB of disk]" in report.output


def test_many_empty_files_cannot_fill_the_disk(sandbox: Sandbox, workspace: Path) -> None:
    script = "import time\nfor i in range(3000): open('f' + str(i), 'w').close()\ntime.sleep({})"
    assert python(sandbox, workspace, script.format(0)).exit_code == 0
    for file in workspace.glob("f*"):
        file.unlink()
    report = python(sandbox, workspace, script.format(60), disk_bytes=8 * MIB)
    assert "[stopped: more than 8 MiB of disk]" in report.output


def test_folders_nested_beyond_any_path_end_the_run(sandbox: Sandbox, workspace: Path) -> None:
    """What lies in them could neither be counted nor deleted by its name."""
    script = (
        "import os, time\n"
        "for number in range(1500):\n"
        "    os.mkdir('d' * 100); os.chdir('d' * 100)\n"
        "    for name in range(5): open(str(name), 'w').close()\n"
        "time.sleep(60)"
    )
    try:
        report = python(sandbox, workspace, script, disk_bytes=64 * MIB)
    finally:
        subprocess.run(["rm", "-rf", workspace / ("d" * 100)], check=True)
    assert "nested" in report.output


def test_files_that_were_there_before_do_not_count(sandbox: Sandbox, workspace: Path) -> None:
    (workspace / "data").write_bytes(bytes(40 * MIB))
    time.sleep(0.05)  # the clock of the file system is a coarse one
    script = "head -c 20000000 /dev/zero > new; sleep 1; cat data | wc -c"
    report = shell(sandbox, workspace, script, disk_bytes=32 * MIB)
    assert report.output.strip() == str(40 * MIB)


def test_the_temporary_folder_cannot_hold_endlessly_many_files(
    sandbox: Sandbox, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "SCRATCH_FILES", 2000)
    script = (
        "import os, time\nfor i in range(3500): open(f'{os.environ[\"TMPDIR\"]}/f{i}', 'w').close()\ntime.sleep(60)"
    )
    report = python(sandbox, workspace, script, disk_bytes=8 * MIB)
    assert report.outcome == "signalled"
    assert "files" in report.output or "disk" in report.output


def test_the_temporary_folder_is_bounded(sandbox: Sandbox, workspace: Path) -> None:
    script = 'for i in 1 2 3; do head -c 500000000 /dev/zero > "$TMPDIR/f$i" || exit 9; done; sleep 60'
    report = shell(sandbox, workspace, script, disk_bytes=1024 * MIB, timeout_seconds=60.0)
    assert report.exit_code == 9 or "of disk" in report.output


def test_one_file_cannot_fill_the_disk(sandbox: Sandbox, workspace: Path) -> None:
    report = shell(sandbox, workspace, "truncate -s 1G small && truncate -s 2G big; ls")
    assert (workspace / "small").stat().st_size == 1 << 30
    assert not (workspace / "big").exists() or (workspace / "big").stat().st_size <= 1 << 30, report.output


# --- output ---


def test_ten_gigabytes_of_output_neither_block_nor_fill_memory(workspace: Path) -> None:
    sandbox = select_sandbox()
    before = psutil.Process().memory_info().rss
    script = "echo first; head -c 10000000000 /dev/zero; echo last"
    report = shell(sandbox, workspace, script, output_bytes=10_000, timeout_seconds=200.0)
    assert report.exit_code == 0
    assert report.truncated
    assert report.output.startswith("first")
    assert report.output.endswith("last\n")
    assert "99999" in report.output  # how many bytes were left out
    assert psutil.Process().memory_info().rss - before < 50 * MIB


def test_endless_output_ends_with_the_time(sandbox: Sandbox, workspace: Path) -> None:
    report = shell(sandbox, workspace, "yes", output_bytes=10_000, timeout_seconds=1.0)
    assert report.outcome == "timeout"
    assert len(report.output) < 11_000


def test_a_flood_of_lines_without_a_reader_leaves_nobody(sandbox: Sandbox, workspace: Path) -> None:
    marker = f"5{time.time_ns() % 10**8}"
    shell(sandbox, workspace, f"yes & sleep {marker} & exit 0", output_bytes=1_000, timeout_seconds=5.0)
    time.sleep(0.1)
    assert living(marker) == []
