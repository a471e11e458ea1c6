"""The model host among strangers, hoarders, killers, full disks and files that change under it."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from demo_project import ISSUE
from front_door import Ended, make_repository, patchwright
from model_hosts import LONG, TALK, TINY, WORK, Open, at_work, hosts, hosts_of, kill_during, wait_until
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled, ModelHostLost, ModelUnavailable
from patchwright_engine.model import child, wire
from patchwright_engine.model.backend import CompletionRequest, DecodeProgress, JudgeRequest, Message

needs_model = pytest.mark.model
GgufMaker = Callable[..., Path]
LONG_PROMPT = CompletionRequest((Message("user", "Reverse a list, then sort it. " * 180),), max_answer_tokens=8)


def knock(model: Path) -> socket.socket:
    """A raw connection to the host of `model`."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(wire.endpoint(model).socket))
    return connection


def read_to_the_end(channel: wire.Channel) -> None:
    while True:
        channel.receive(20)


def log_of(home: Path) -> str:
    return (home / "state" / "log" / child.LOG_NAME).read_text()


# Strangers


@needs_model
def test_nonsense_from_strangers_harms_nobody(open_hosted: Open, small_model_path: Path, tmp_path: Path) -> None:
    model = open_hosted()
    model.connect(CancelToken())
    silent = [knock(small_model_path) for _ in range(30)]
    half = knock(small_model_path)
    half.sendall(struct.pack(">I", 100) + b'{"type":"He')
    deep = b"[" * 4000
    for frame in (
        wire.encode(wire.Hello("guess")),
        wire.encode(wire.Hello("nöt \udcff ascii")),
        wire.encode(wire.Count("no hello before")),
        os.urandom(300),
        struct.pack(">I", wire.MAX_HELLO + 1),
        struct.pack(">I", 0),
        struct.pack(">I", len(deep)) + deep,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        with knock(small_model_path) as stranger:
            stranger.sendall(frame)
            assert stranger.recv(100) == b""  # hung up on
    pid = model.host_pid
    assert len(model.complete(TINY, CancelToken()).completions) == 1
    newcomer = open_hosted()
    assert newcomer.count_tokens("x") == 1
    assert newcomer.host_pid == pid
    assert "Traceback" not in log_of(tmp_path)
    for connection in (*silent, half):
        connection.close()


@needs_model
def test_a_request_before_the_last_one_was_answered_ends_the_connection(open_hosted: Open) -> None:
    model = open_hosted()
    channel = model._borrow(CancelToken())
    channel.send(wire.Complete(LONG))
    channel.send(wire.Complete(LONG))
    with pytest.raises(EOFError):
        read_to_the_end(channel)
    channel.close()
    started = time.monotonic()
    model.complete(TINY, CancelToken())  # neither of the two is still computed
    assert time.monotonic() - started < 5


@needs_model
@pytest.mark.skipif(sys.platform != "linux", reason="limits another process, which Linux alone can")
def test_a_host_that_ran_out_of_file_descriptors_serves_again_when_there_are_some(
    open_hosted: Open, small_model_path: Path
) -> None:
    model = open_hosted()
    model.connect(CancelToken())
    (host,) = hosts()
    host.rlimit(psutil.RLIMIT_NOFILE, (host.num_fds() + 4, 4096))
    silent = [knock(small_model_path) for _ in range(12)]
    time.sleep(0.3)
    assert model.count_tokens("x") == 1
    for connection in silent:
        connection.close()
    newcomer = open_hosted()
    assert newcomer.count_tokens("x") == 1
    assert newcomer.host_pid == host.pid


# Sharing

CLIENT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from model_hosts import PARAMETERS
from patchwright_engine.model.client import HostedModel
model = HostedModel(Path({path!r}), "small", PARAMETERS)
model.count_tokens("x")
print(model.host_pid, flush=True)
sys.stdin.read()
"""


@needs_model
def test_processes_that_start_at_the_same_moment_share_one_host(small_model_path: Path, tmp_path: Path) -> None:
    code = CLIENT.format(tests=str(Path(__file__).parents[1]), path=str(small_model_path))
    environment = {**os.environ, "PATCHWRIGHT_HOME": str(tmp_path)}
    clients = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        for _ in range(3)
    ]
    try:
        pids = {int(client.stdout.readline()) for client in clients if client.stdout}
        assert len(pids) == 1
        wait_until(lambda: {host.pid for host in hosts_of(tmp_path)} == pids)
    finally:
        for client in clients:
            client.communicate(timeout=20)
        for host in hosts_of(tmp_path):
            host.kill()


@needs_model
def test_a_client_with_many_requests_does_not_starve_another(open_hosted: Open) -> None:
    hoarder, other = open_hosted(), open_hosted()
    other.connect(CancelToken())
    began = threading.Event()
    done: list[str] = []
    work = CompletionRequest(TALK, n=1, max_answer_tokens=12)

    def hoard() -> None:
        hoarder.complete(work, CancelToken(), on_progress=lambda _p: began.set())
        done.append("hoarder")

    threads = [threading.Thread(target=hoard) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert began.wait(20)
    time.sleep(0.2)  # until all have sent theirs
    other.judge([JudgeRequest(TALK)], CancelToken())
    done.append("other")
    for thread in threads:
        thread.join()
    assert done.index("other") <= 2  # behind the request under way, and perhaps one that was drawn before it came


@needs_model
def test_a_cancel_while_waiting_for_others_is_confirmed_at_once(open_hosted: Open) -> None:
    busy, waiting = open_hosted(), open_hosted()
    waiting.connect(CancelToken())
    cancel = CancelToken()
    with at_work(busy):
        threading.Timer(0.2, cancel.cancel).start()
        with pytest.raises(Cancelled):
            waiting.complete(WORK, cancel)
        assert len(waiting._free) == 1  # the host answered, so the connection was kept


# Nobody there


@needs_model
@pytest.mark.parametrize("starter", ["died at once", "died while the weights were loading"])
def test_a_host_for_which_nobody_comes_ends_itself(
    small_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starter: str
) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path))
    code = (
        "import sys; from patchwright_engine.model import host; host.FIRST_USE_SECONDS = 0.5;"
        " sys.exit(host.main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", code, "--model", str(small_model_path), "--idle-seconds", "300", "--n-ctx", "512"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as host:
        if starter == "died while the weights were loading":
            place = wire.endpoint(small_model_path)
            wait_until(place.socket.exists)
            with knock(small_model_path) as connection:
                connection.sendall(wire.encode(wire.Hello(place.token.read_text())))
        _, log = host.communicate(timeout=60)
    assert host.returncode == 0
    assert b"nobody came" in log
    assert [path.suffix for path in (tmp_path / "run").iterdir()] == [".lock"]


LOADS_FOR_EVER = """
import sys, time
from patchwright_engine.model import host
host.ABANDONED_SECONDS = 0.5
host.LocalModel = lambda *_, **__: time.sleep(600)
sys.exit(host.main(sys.argv[1:]))
"""


@needs_model
@pytest.mark.parametrize("others", [0, 1])
def test_a_cancel_while_the_weights_are_loading_ends_the_host_that_nobody_waits_for_any_more(
    open_hosted: Open, small_model_path: Path, others: int
) -> None:
    argv = [sys.executable, "-c", LOADS_FOR_EVER, "--model", str(small_model_path)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as slow:
        place = wire.endpoint(small_model_path)
        wait_until(place.token.exists)
        waiting = [knock(small_model_path) for _ in range(others)]
        for connection in waiting:
            connection.sendall(wire.encode(wire.Hello(place.token.read_text())))
        model, cancel = open_hosted(), CancelToken()
        threading.Timer(0.3, cancel.cancel).start()
        with pytest.raises(Cancelled):
            model.connect(cancel)
        if others:
            with pytest.raises(subprocess.TimeoutExpired):
                slow.wait(2)  # somebody else still waits for it
        for connection in waiting:
            connection.close()
        _, log = slow.communicate(timeout=60)
        assert slow.returncode == 0
        assert b"for the weights that were loading" in log
    assert model.complete(TINY, CancelToken()).completions
    assert model.host_pid != slow.pid


@needs_model
def test_a_host_whose_home_is_removed_exits_and_no_zombie_stays(open_hosted: Open, tmp_path: Path) -> None:
    model = open_hosted()
    model.complete(CompletionRequest((Message("user", "Sort a list. " * 90),), max_answer_tokens=1), CancelToken())
    shutil.rmtree(tmp_path)
    wait_until(lambda: not hosts())
    assert not tmp_path.exists()
    wait_until(lambda: psutil.STATUS_ZOMBIE not in [one.status() for one in psutil.Process().children()])


# Death


@needs_model
def test_deaths_on_a_request_of_another_are_not_counted_against_one_that_waits(open_hosted: Open) -> None:
    killer, waiting = open_hosted(), open_hosted()
    waiting.connect(CancelToken())
    sent = threading.Event()
    answers: list[object] = []

    def wait() -> None:
        sent.wait(20)
        answers.append(waiting.complete(TINY, CancelToken()).completions)

    def kill(progress: DecodeProgress) -> None:
        if progress.waiting:
            return
        sent.set()
        time.sleep(0.3)  # until the other one waits for its turn
        assert killer.host_pid
        os.kill(killer.host_pid, signal.SIGKILL)

    thread = threading.Thread(target=wait)
    thread.start()
    with pytest.raises(ModelHostLost, match="3 times"):
        killer.complete(LONG, CancelToken(), on_progress=kill)
    thread.join(60)
    assert len(answers) == 1


@needs_model
def test_a_host_killed_whenever_it_loads_says_that_memory_is_short(open_hosted: Open) -> None:
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.01):
            for host in hosts():
                host.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with pytest.raises(ModelUnavailable, match="memory") as error:
            open_hosted().connect(CancelToken())
        assert "models plan" in error.value.cure
    finally:
        over.set()
        thread.join()


@needs_model
def test_a_stopped_host_is_named_with_its_cure_and_goes_on_when_let(
    open_hosted: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "STOPPED_SECONDS", 0.5)
    model, newcomer = open_hosted(), open_hosted()
    model.connect(CancelToken())
    pid = model.host_pid
    assert pid
    try:
        with pytest.raises(ModelHostLost, match="is stopped") as error:
            model.complete(LONG, CancelToken(), on_progress=kill_during(model, signal.SIGSTOP))
        assert f"kill -CONT {pid}" in error.value.cure
        with pytest.raises(ModelHostLost, match=f"process {pid}"):
            newcomer.connect(CancelToken())
    finally:
        os.kill(pid, signal.SIGCONT)
    newcomer.complete(TINY, CancelToken())
    assert newcomer.host_pid == pid


@needs_model
def test_a_cancel_of_the_job_ends_a_count_that_a_stopped_host_does_not_answer(open_hosted: Open) -> None:
    model, cancel = open_hosted(), CancelToken()
    model.connect(cancel)
    assert model.host_pid
    os.kill(model.host_pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(model.host_pid).status() == psutil.STATUS_STOPPED)
    cancelled_at: list[float] = []
    threading.Timer(0.2, lambda: (cancelled_at.append(time.monotonic()), cancel.cancel())).start()
    try:
        with pytest.raises(Cancelled):
            model.count_tokens("x")
        assert time.monotonic() - cancelled_at[0] < 0.5
    finally:
        os.kill(model.host_pid, signal.SIGCONT)


# Cancels


@needs_model
def test_a_cancel_during_the_prefill_of_a_long_prompt_frees_the_compute_within_half_a_second(
    open_hosted: Open,
) -> None:
    model = open_hosted()
    channel = model._borrow(CancelToken())
    channel.send(wire.Complete(LONG_PROMPT))
    while not isinstance(progress := channel.receive(20), wire.Progressed):
        pass
    assert progress.progress.prompt_done < progress.progress.prompt_tokens
    assert progress.progress.prompt_tokens > 1000
    time.sleep(0.1)  # into the middle of a step
    started = time.monotonic()
    channel.send(wire.Cancel())
    while not isinstance(reply := channel.receive(20), wire.Failed):
        pass
    # The reply is sent by the thread that computed, after it stopped.
    assert time.monotonic() - started < 0.5
    assert reply.kind == "cancelled"
    channel.close()


@needs_model
def test_two_hundred_cancels_leave_the_host_as_it_was(open_hosted: Open) -> None:
    model = open_hosted()
    wanted = model.complete(WORK, CancelToken()).completions

    def cancel_some(count: int) -> None:
        for number in range(count):
            cancel = CancelToken()
            timer = threading.Timer(0.004 * (number % 10), cancel.cancel)
            timer.start()
            with pytest.raises(Cancelled):
                model.complete(LONG, cancel)
            timer.join()

    cancel_some(20)
    (host,) = hosts()
    me = psutil.Process()
    before = host.memory_info().rss, host.num_fds(), host.num_threads(), me.num_fds()
    cancel_some(200)
    assert model.complete(WORK, CancelToken()).completions == wanted
    assert model.host_pid == host.pid
    wait_until(lambda: (host.num_fds(), host.num_threads(), me.num_fds()) == before[1:])
    assert host.memory_info().rss - before[0] < 16 << 20


# Files


def broken(path: Path, real: Path, how: str) -> Path:
    """A model file with a fault."""
    with real.open("rb") as file:
        head = file.read(24 << 20)
    match how:
        case "cut":
            data = head
        case "cut in the header":
            data = head[:100_000]
        case "garbage behind the header":
            data = head[:2000] + b"\xff" * 100_000
        case "another magic":
            data = b"GGML" + head[4:]
        case "empty":
            data = b""
        case _:
            raise ValueError(how)
    path.write_bytes(data)
    return path


@needs_model
@pytest.mark.parametrize("how", ["cut", "cut in the header", "garbage behind the header", "another magic", "empty"])
def test_a_broken_model_file_is_refused_with_the_cure(
    open_hosted: Open, small_model_path: Path, tmp_path: Path, how: str
) -> None:
    with pytest.raises(ModelUnavailable, match=r"m\.gguf") as error:
        open_hosted(broken(tmp_path / "m.gguf", small_model_path, how)).connect(CancelToken())
    assert "models pull" in error.value.cure or "pull it again" in error.value.cure
    wait_until(lambda: not hosts())


@needs_model
def test_a_file_replaced_under_a_running_host_is_never_served_from_the_old_weights(
    open_hosted: Open, small_model_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    path.symlink_to(small_model_path)
    early = open_hosted(path)
    assert early.count_tokens("x") == 1
    broken(tmp_path / "new", small_model_path, "cut").replace(path)
    with pytest.raises(ModelUnavailable):
        open_hosted(path).connect(CancelToken())
    wait_until(lambda: not hosts(), 5)  # one copy of the weights at most, and none that nobody can ask for
    with pytest.raises(ModelUnavailable):
        early.complete(TINY, CancelToken())


@needs_model
def test_a_deleted_file_stays_for_who_works_with_it_and_no_longer(
    open_hosted: Open, small_model_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    path.symlink_to(small_model_path)
    model = open_hosted(path)
    model.complete(TINY, CancelToken())
    path.unlink()
    time.sleep(1.2)
    assert len(model.complete(TINY, CancelToken()).completions) == 1
    model.close()
    wait_until(lambda: not hosts(), 5)


# Disks


@pytest.fixture
def near() -> Iterator[Path]:
    """A folder with a short path, so that sockets lie in a home below it and not where those of long ones do."""
    with tempfile.TemporaryDirectory(prefix="pw-") as folder:
        yield Path(folder)


@pytest.fixture(params=["full", "read-only"])
def bad_disk(request: pytest.FixtureRequest, near: Path) -> Iterator[Path]:
    """A home on a disk of 64 KiB that takes no more; needs a machine where tests may mount."""
    home = near / "disk"
    home.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(home)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (home / "run").mkdir(mode=0o700)
        if request.param == "full":
            with pytest.raises(OSError, match="No space"):
                (home / "filler").write_bytes(bytes(1 << 20))
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True, capture_output=True)
        yield home
    finally:
        subprocess.run(["umount", str(home)], check=True, capture_output=True)


def fix_with(path: Path, tmp_path: Path, home: Path) -> Ended:
    """`patchwright fix` with the model at `path`; only the host is left to find fault with `home`."""
    root = make_repository(tmp_path / "project")
    arguments = ("fix", ISSUE, "--repo", root, "--model", path, "--trace", tmp_path / "trace.jsonl")
    return patchwright(*arguments, home=tmp_path, PATCHWRIGHT_HOME=str(home))


def check_refused(ended: Ended, problem: str, cure: str) -> None:
    assert (ended.code, ended.out) == (3, ""), ended.err
    assert "Traceback" not in ended.err
    assert re.search(f"patchwright: .*{problem}", ended.err), ended.err
    assert cure in ended.err


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount")
def test_a_disk_that_takes_no_socket_is_said(bad_disk: Path, tmp_path: Path, make_gguf: GgufMaker) -> None:
    check_refused(fix_with(make_gguf(), tmp_path, bad_disk), "(No space left|Read-only)", "set PATCHWRIGHT_HOME")


def test_a_file_in_the_place_of_the_socket_folder_is_said(near: Path, tmp_path: Path, make_gguf: GgufMaker) -> None:
    home = near / "taken"
    home.mkdir()
    (home / "run").write_text("in the way")
    check_refused(fix_with(make_gguf(), tmp_path, home), "cannot be made", "Set PATCHWRIGHT_HOME")


def test_a_model_that_llama_cpp_refuses_is_said(tmp_path: Path, make_gguf: GgufMaker) -> None:
    check_refused(fix_with(make_gguf(), tmp_path, tmp_path / "home"), r"cannot load .*tiny\.gguf", "pull it again")


@needs_model
def test_a_host_whose_log_cannot_be_written_serves_without(open_hosted: Open, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    assert open_hosted().count_tokens("x") == 1
