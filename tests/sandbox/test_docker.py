"""The Docker level: what only containers have, against a real daemon; what needs none is tested without."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled, SandboxUnavailable
from patchwright_engine.sandbox import docker_seccomp, seccomp
from patchwright_engine.sandbox.docker import Docker, _Frames, connect_docker
from patchwright_engine.sandbox.docker_daemon import LABEL, client_of, daemon_address, remove_orphans
from patchwright_engine.sandbox.docker_view import hand_over
from patchwright_engine.sandbox.output import BoundedOutput
from patchwright_engine.sandbox.select import probe
from patchwright_engine.types import Command, RunReport

ENGINE = str(Path(docker_seccomp.__file__).parents[2])


@pytest.fixture
def docker() -> Docker:
    level = probe("docker")
    if level.sandbox is None:
        message = f"Docker does not work on this machine: {level.failure}"
        if os.environ.get("PATCHWRIGHT_REQUIRE_DOCKER"):
            pytest.fail(message)
        pytest.skip(message)
    assert isinstance(level.sandbox, Docker)
    return level.sandbox


@pytest.fixture
def client(docker: Docker) -> Iterator[Any]:
    with client_of(docker.daemon.address) as client:
        yield client


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    return folder


def shell(sandbox: Docker, workspace: Path, script: str, **limits: float) -> RunReport:
    command = Command(("sh", "-c", script), **{"timeout_seconds": 30.0, **limits})  # type: ignore[arg-type]
    return sandbox.run(command, workspace, CancelToken())


def ours(client: Any, pid: int) -> list[Any]:
    """Containers, running or not, that process `pid` started."""
    found = client.containers(all=True, filters={"label": LABEL})
    return [container for container in found if container["Labels"][LABEL].split("/")[3] == str(pid)]


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


# --- without a daemon


@pytest.mark.parametrize(
    "host", ["tcp://10.0.0.5:2375", "tcp://example.org:2375", "ssh://me@build", "npipe:////./pipe"]
)
def test_a_daemon_on_another_machine_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(SandboxUnavailable, match="not on this machine") as refused:
        daemon_address()
    assert "unix://" in refused.value.cure


@pytest.mark.parametrize(
    "host", ["unix:///run/user/7/podman.sock", "tcp://127.0.0.1:2375", "tcp://[::1]:1", "tcp://localhost:2"]
)
def test_the_users_word_names_the_daemon_of_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    assert daemon_address() == host


def test_a_daemon_that_does_not_run_is_said_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(SandboxUnavailable, match="no Docker daemon answers") as failed:
        connect_docker()
    assert "systemctl start docker" in failed.value.cure


@pytest.mark.parametrize("size", [1, 3, 8, 9, 1000])
def test_frames_are_taken_apart_wherever_they_were_cut(size: int) -> None:
    parts = [b"first\n", b"", b"x" * 300, b"last\n"]
    wire = b"".join(bytes([1 + i % 2, 0, 0, 0]) + len(part).to_bytes(4, "big") + part for i, part in enumerate(parts))
    output = BoundedOutput(10_000)
    frames = _Frames(output)
    for start in range(0, len(wire), size):
        frames.add(wire[start : start + size])
    assert output.text() == b"".join(parts).decode()


def test_no_call_that_other_levels_forbid_is_allowed() -> None:
    text = docker_seccomp.profile()
    if text is None:
        pytest.skip("this machine's system calls are not in the table")
    profile = json.loads(text)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert not allowed & {*seccomp.FORBIDDEN, *seccomp.ABSENT}
    unconditional = {name for rule in profile["syscalls"] if not rule.get("args") for name in rule["names"]}
    assert not unconditional & {"clone", "socket", "personality", "ioctl"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands a copy over")
def test_only_the_copys_own_files_change_their_owner(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    copy = tmp_path / "copy"
    (copy / "folder").mkdir(parents=True)
    (copy / "folder" / "file").write_text("x")
    (copy / "hard").hardlink_to(outside)
    (copy / "soft").symlink_to(outside)
    hand_over(copy, 65534, 65534)
    assert outside.stat().st_uid == 0
    assert {(copy / name).lstat().st_uid for name in (".", "folder", "folder/file", "soft")} == {65534}


# --- with one


def test_the_command_runs_without_any_power(docker: Docker, workspace: Path) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in shell(docker, workspace, "cat /proc/self/status").output.splitlines()
        if ":\t" in line
    )
    assert {status[kind].strip("0") for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {""}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    if not docker.daemon.rootless:
        assert "0" not in status["Uid"].split()
        assert "0" not in status["Gid"].split()


def test_the_root_and_the_system_cannot_be_written(docker: Docker, workspace: Path) -> None:
    report = shell(
        docker,
        workspace,
        "for d in / /usr /etc /var /root /home /run /sys /proc/sys; do touch $d/x; done; ls -d /*/x /x",
    )
    assert "No such file" in report.output.splitlines()[-1]
    mounted = shell(docker, workspace, "cat /proc/self/mounts").output
    (root,) = [line.split() for line in mounted.splitlines() if line.split()[1] == "/"]
    assert "ro" in root[3].split(",")


def test_no_socket_of_a_daemon_is_inside(docker: Docker, workspace: Path) -> None:
    script = "find / -path /proc -prune -o -path /usr -prune -o -type s -print 2>/dev/null; ls -A /run; echo end"
    assert shell(docker, workspace, script).output == "end\n"


def test_loopback_inside_works_and_is_all_there_is(docker: Docker, workspace: Path) -> None:
    if not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("no system Python")
    script = (
        "import asyncio, socket\n"
        "async def main():\n"
        "  async def answer(reader, writer): writer.write(b'talks'); writer.close()\n"
        "  server = await asyncio.start_server(answer, 'localhost', 0)\n"
        "  reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])\n"
        "  print((await reader.read()).decode()); writer.close()\n"
        "asyncio.run(main())\n"
        "print([name for _, name in socket.if_nameindex()])\n"
    )
    report = docker.run(Command(("/usr/bin/python3", "-c", script), timeout_seconds=30.0), workspace, CancelToken())
    assert report.output.splitlines() == ["talks", "['lo']"]


def test_what_programs_usually_do_is_allowed(docker: Docker, workspace: Path) -> None:
    """The list of calls is ours, so ordinary work has to be shown to pass it."""
    if not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("no system Python")
    script = (
        "import concurrent.futures, mmap, multiprocessing, os, pathlib, selectors, signal, sqlite3, subprocess\n"
        "import tempfile, threading\n"
        "multiprocessing.set_start_method('fork')\n"
        "with multiprocessing.Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]\n"
        "with concurrent.futures.ThreadPoolExecutor(4) as pool: assert list(pool.map(abs, [-3])) == [3]\n"
        "from multiprocessing import shared_memory\n"
        "memory = shared_memory.SharedMemory(create=True, size=100); memory.close(); memory.unlink()\n"
        "assert subprocess.run(['true'], check=True, timeout=9).returncode == 0\n"
        "signal.signal(signal.SIGALRM, lambda *a: None); signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()\n"
        "sqlite3.connect('db').execute('create table t (x)')\n"
        "master, slave = os.openpty(); os.write(slave, b'x')\n"
        "os.mkfifo('fifo'); os.chmod('fifo', 0o600); os.utime('fifo'); os.symlink('fifo', 'link')\n"
        "os.sched_setaffinity(0, os.sched_getaffinity(0)); os.nice(1)\n"
        "with tempfile.TemporaryFile() as f: f.truncate(4096); mmap.mmap(f.fileno(), 4096)[0] = 1\n"
        "selectors.EpollSelector().close(); os.eventfd(0)\n"
        "print(os.getcwd(), pathlib.Path.home(), os.cpu_count() > 0)\n"
    )
    report = docker.run(Command(("/usr/bin/python3", "-c", script), timeout_seconds=60.0), workspace, CancelToken())
    assert report.output == f"{workspace} /tmp/home True\n"


@pytest.mark.parametrize("family", ["AF_ALG", "AF_VSOCK", "AF_PACKET"])
def test_the_kernels_other_sockets_are_refused(docker: Docker, workspace: Path, family: str) -> None:
    if not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("no system Python")
    script = f"import socket; socket.socket(socket.{family}, socket.SOCK_STREAM if '{family}' == 'AF_VSOCK' else 5)"
    report = docker.run(Command(("/usr/bin/python3", "-c", script), timeout_seconds=30.0), workspace, CancelToken())
    assert "PermissionError" in report.output


def test_a_prepared_copy_is_not_touched_by_the_run(docker: Docker, workspace: Path) -> None:
    """The change time betrays a test that rewrites itself, so handing the copy over must not look like that."""
    (workspace / "test_it.py").write_text("x")
    docker.prepare(workspace)
    before = (workspace / "test_it.py").lstat()
    assert shell(docker, workspace, "cat test_it.py && echo >> new").exit_code == 0
    after = (workspace / "test_it.py").lstat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def test_zombies_are_reaped(docker: Docker, workspace: Path) -> None:
    script = "sh -c '(sleep 0.1 &)'; sleep 0.6; cat /proc/[0-9]*/status | grep -c '^State:.Z'"
    assert shell(docker, workspace, script).output == "0\n"


def test_memory_that_is_no_processes_own_is_bounded_too(docker: Docker, workspace: Path) -> None:
    report = shell(docker, workspace, "head -c 300M /dev/zero > /tmp/big; echo done", memory_bytes=100 << 20)
    assert "done" not in report.output or report.outcome == "signalled"
    assert (report.outcome, report.exit_code) == ("signalled", None)
    assert "100 MiB of memory" in report.output


@pytest.mark.parametrize("ending", ["exit 3", "sleep 60", "kill -KILL -1"])
def test_no_container_stays(docker: Docker, client: Any, workspace: Path, ending: str) -> None:
    shell(docker, workspace, ending, timeout_seconds=1.0)
    assert ours(client, os.getpid()) == []


def test_no_container_stays_after_a_cancel(docker: Docker, client: Any, workspace: Path) -> None:
    cancel = CancelToken()
    threading.Timer(1.0, cancel.cancel).start()
    with pytest.raises(Cancelled):
        docker.run(Command(("sleep", "60")), workspace, cancel)
    assert ours(client, os.getpid()) == []


def test_a_cancelled_job_starts_nothing(docker: Docker, client: Any, workspace: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        docker.run(Command(("touch", "here")), workspace, cancel)
    assert not (workspace / "here").exists()


def test_a_container_ends_with_the_patchwright_that_started_it(docker: Docker, client: Any, workspace: Path) -> None:
    """Killed, it can clean nothing up: the container notices, and the next start removes what is left of it."""
    script = (
        "from pathlib import Path\n"
        "from patchwright_engine.control import CancelToken\n"
        "from patchwright_engine.sandbox.docker import connect_docker\n"
        "from patchwright_engine.types import Command\n"
        f"connect_docker().run(Command(('sleep', '300')), Path({str(workspace)!r}), CancelToken())\n"
    )
    environment = {**os.environ, "PYTHONPATH": ENGINE}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as engine:
        try:
            wait_until(lambda: any(container["State"] == "running" for container in ours(client, engine.pid)))
            assert remove_orphans(client) == 0, "its owner lives"
        finally:
            engine.send_signal(signal.SIGKILL)
    wait_until(lambda: all(container["State"] != "running" for container in ours(client, engine.pid)))
    connect_docker()
    assert ours(client, engine.pid) == []


def test_our_image_may_be_pruned_between_two_runs(docker: Docker, client: Any, workspace: Path) -> None:
    client.remove_image(docker.image.reference, force=True)
    assert shell(docker, workspace, "echo again").output == "again\n"


def test_proxies_of_the_users_docker_do_not_enter(
    docker: Docker, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"proxies": {"default": {"httpProxy": "http://ann:hunter2@proxy:1"}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert "hunter2" not in shell(docker, workspace, "env").output


def test_an_image_that_is_not_there_is_not_pulled(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHWRIGHT_DOCKER_IMAGE", "patchwright-no-such-image:1")
    with pytest.raises(SandboxUnavailable, match="is not on this machine") as missing:
        connect_docker()
    assert "docker pull patchwright-no-such-image:1" in missing.value.cure


@pytest.fixture
def small_image(client: Any, tmp_path: Path) -> Iterator[str]:
    """An image made of this machine's shell and a few programs, with a PATH, a volume and an entry point."""
    name = "localhost/patchwright-test-image:latest"  # Podman 4 gives this tag whatever is asked for.
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        files = {
            str(Path(str(shutil.which(program))).resolve()): f"/tools/{program}"
            for program in ("cat", "mkdir", "touch", "ls")
        }
        files[str(Path("/bin/sh").resolve())] = "/bin/sh"
        for program in list(files):
            listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
            files.update({found: found for found in re.findall(r"(/\S+) \(0x", listed)})
        for source, target in files.items():
            archive.add(Path(source).resolve(), target)
        note = tarfile.TarInfo("etc/whose")
        note.size = len(b"the image's\n")
        archive.addfile(note, io.BytesIO(b"the image's\n"))
    client.import_image_from_data(
        buffer.getvalue(),
        repository=name.split(":", maxsplit=1)[0],
        tag="latest",
        changes=["ENV PATH=/tools:/bin", "VOLUME /kept", 'ENTRYPOINT ["/bin/false"]', "USER 0"],
    )
    yield name
    client.remove_image(name, force=True)


def test_an_image_of_the_users_own_brings_its_system_and_no_privileges(
    docker: Docker, small_image: str, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHWRIGHT_DOCKER_IMAGE", small_image)
    sandbox = connect_docker()
    assert small_image in sandbox.promises
    tools = tmp_path / "venv"
    tools.mkdir()
    (tools / "module").write_text("from the host\n")
    script = (
        f"cat /etc/whose {tools}/module; touch made /kept/x && ls /kept; touch {tools}/x /tools/x; ls /usr/bin; "
        "while read -r line; do case $line in Uid:*) echo $line;; esac; done </proc/self/status"
    )
    readable = (tools, Path("/usr/bin"))
    report = sandbox.run(Command(("sh", "-c", script), timeout_seconds=30.0), workspace, CancelToken(), readable)
    assert report.output.startswith("the image's\nfrom the host\nx\n"), report.output
    assert report.output.count("Read-only file system") == 2
    assert "/usr/bin" in report.output, "the host's did not take the place of the image's, which has none"
    assert "Uid: 0" not in report.output or sandbox.daemon.rootless
    assert (workspace / "made").exists()
