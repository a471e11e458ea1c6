"""The model host as a process: started, shared, killed, stopped, retired."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from model_hosts import LONG, PARAMETERS, TALK, TINY, WORK, Open, at_work, hosts, kill_during, wait_until
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled, ModelHostLost, ModelUnavailable
from patchwright_engine.model import wire
from patchwright_engine.model.backend import CompletionRequest, DecodeProgress, JudgeRequest
from patchwright_engine.model.client import HostedModel
from patchwright_engine.model.parameters import default_threads


@pytest.mark.model
def test_a_host_is_started_answers_and_judges(open_hosted: Open) -> None:
    model = open_hosted()
    assert model.context_tokens == 2048
    assert model.cpu_threads == default_threads()
    assert model.count_tokens("hello world") == 2
    ended: list[int] = []
    progress: list[object] = []
    batch = model.complete(
        WORK, CancelToken(), on_completion=lambda i, _c: ended.append(i), on_progress=progress.append
    )
    assert sorted(ended) == [0, 1, 2]
    assert len(batch.completions) == 3
    assert progress
    (verdict,) = model.judge([JudgeRequest(TALK)], CancelToken())
    assert verdict.probability is not None
    with pytest.raises(BadInput):
        model.complete(CompletionRequest(TALK, max_answer_tokens=5000), CancelToken())


@pytest.mark.model
def test_two_clients_share_one_host_and_take_turns(open_hosted: Open) -> None:
    one, two = open_hosted(), open_hosted()
    answers: dict[str, object] = {}

    def ask(name: str, model: HostedModel) -> None:
        answers[name] = model.complete(WORK, CancelToken()).completions

    threads = [threading.Thread(target=ask, args=item) for item in (("one", one), ("two", two))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers["one"] == answers["two"]
    assert one.host_pid == two.host_pid
    wait_until(lambda: len(hosts()) == 1)


@pytest.mark.model
def test_a_request_that_waits_for_another_says_so(open_hosted: Open) -> None:
    one, two = open_hosted(), open_hosted()
    two.connect(CancelToken())
    told: list[DecodeProgress] = []
    with at_work(one) as stop:

        def hear(progress: DecodeProgress) -> None:
            told.append(progress)
            stop.cancel()

        two.complete(replace(TINY, max_answer_tokens=16), CancelToken(), on_progress=hear)
    assert told[0].waiting
    assert not any(progress.waiting for progress in told[1:])


@pytest.mark.model
@pytest.mark.parametrize("moment", ["between requests", "during prefill", "during decode"])
def test_a_host_killed_is_replaced_and_the_answer_is_the_same(open_hosted: Open, moment: str) -> None:
    model = open_hosted()
    wanted = model.complete(WORK, CancelToken()).completions
    before = model.host_pid
    assert before
    if moment == "between requests":
        os.kill(before, signal.SIGKILL)
    elif moment == "during prefill":  # a new host has all of it to do
        os.kill(before, signal.SIGKILL)
        model.connect(CancelToken())
        before = model.host_pid
    seen: list[int] = []
    killed: list[DecodeProgress] = []

    def kill(progress: DecodeProgress) -> None:
        if not killed and (progress.prompt_done < progress.prompt_tokens) == (moment == "during prefill"):
            killed.append(progress)
            assert model.host_pid
            os.kill(model.host_pid, signal.SIGKILL)

    batch = model.complete(
        WORK,
        CancelToken(),
        on_progress=None if moment == "between requests" else kill,
        on_completion=lambda i, _c: seen.append(i),
    )
    assert batch.completions == wanted
    assert model.host_pid != before
    assert sorted(seen) == [0, 1, 2]
    assert len(killed) == (moment != "between requests")


@pytest.mark.model
def test_a_host_that_dies_every_time_is_given_up(open_hosted: Open) -> None:
    model = open_hosted()

    def kill(_progress: object) -> None:
        assert model.host_pid
        os.kill(model.host_pid, signal.SIGKILL)

    with pytest.raises(ModelHostLost, match="3 times"):
        model.complete(WORK, CancelToken(), on_progress=kill)


@pytest.mark.model
def test_an_illegal_instruction_names_the_cure(open_hosted: Open) -> None:
    model = open_hosted()
    with pytest.raises(ModelUnavailable, match="another processor") as error:
        model.complete(LONG, CancelToken(), on_progress=kill_during(model, signal.SIGILL))
    assert "doctor" in error.value.cure


@pytest.mark.model
def test_waiting_for_the_weights_can_be_cancelled(open_hosted: Open) -> None:
    cancel = CancelToken()
    threading.Timer(0.1, cancel.cancel).start()  # starting Python alone takes longer
    started = time.monotonic()
    with pytest.raises(Cancelled):
        open_hosted().connect(cancel)
    assert time.monotonic() - started < 0.6


@pytest.mark.model
def test_a_connected_model_has_its_weights(open_hosted: Open) -> None:
    model = open_hosted()
    model.connect(CancelToken())
    assert model.host_pid in {host.pid for host in hosts()}


@pytest.mark.model
@pytest.mark.parametrize("stopped", [False, True], ids=["host at work", "host stopped"])
def test_a_cancel_returns_within_half_a_second(open_hosted: Open, stopped: bool) -> None:
    model = open_hosted()
    model.complete(CompletionRequest(TALK, max_answer_tokens=1), CancelToken())
    pid = model.host_pid
    assert pid
    cancel = CancelToken()
    cancelled_at: list[float] = []

    def cancel_now() -> None:
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        cancelled_at.append(time.monotonic())
        cancel.cancel()

    threading.Timer(0.4, cancel_now).start()
    try:
        with pytest.raises(Cancelled):
            model.complete(LONG, cancel)
        assert time.monotonic() - cancelled_at[0] < 0.5
    finally:
        os.kill(pid, signal.SIGCONT)
    # The compute is free again: a small request does not wait behind the cancelled one.
    started = time.monotonic()
    model.complete(TINY, CancelToken())
    assert time.monotonic() - started < 5
    assert model.host_pid == pid


@pytest.mark.model
def test_a_client_that_hangs_up_frees_the_host(open_hosted: Open) -> None:
    model = open_hosted()
    model.complete(CompletionRequest(TALK, max_answer_tokens=1), CancelToken())
    channel = model._borrow(CancelToken())
    channel.send(wire.Complete(LONG))
    assert isinstance(channel.receive(20), wire.Started)
    assert isinstance(channel.receive(20), wire.Progressed)
    channel.close()
    started = time.monotonic()
    model.complete(TINY, CancelToken())
    assert time.monotonic() - started < 5


@pytest.mark.model
def test_an_idle_host_exits_and_leaves_nothing_behind(open_hosted: Open, tmp_path: Path) -> None:
    model = open_hosted(idle_seconds=0.5)
    model.count_tokens("x")
    wait_until(lambda: not hosts())
    assert [path.suffix for path in (tmp_path / "run").iterdir()] == [".lock"]
    assert model.count_tokens("x") == 1


@pytest.mark.model
def test_a_host_whose_socket_is_removed_exits(open_hosted: Open, small_model_path: Path) -> None:
    model = open_hosted()
    model.count_tokens("x")
    wire.endpoint(small_model_path).socket.unlink()
    wait_until(lambda: not hosts())


@pytest.mark.model
def test_a_host_retires_only_when_nobody_else_needs_it(open_hosted: Open) -> None:
    one, two = open_hosted(), open_hosted()
    one.count_tokens("x")
    two.count_tokens("x")
    assert not one.retire()
    two.close()
    wait_until(one.retire)
    wait_until(lambda: not hosts())


@pytest.mark.model
def test_a_host_with_too_short_a_context_is_replaced_at_once_when_nobody_else_uses_it(
    open_hosted: Open, small_model_path: Path
) -> None:
    short = HostedModel(small_model_path, "short", replace(PARAMETERS, n_ctx=1024, context_tokens=1024))
    assert short.context_tokens == 1024
    shared = open_hosted()
    assert shared.context_tokens == 1024
    shared.close()
    pid = short.host_pid
    short.close()
    time.sleep(0.3)  # until the host knows
    model = open_hosted()
    assert model.context_tokens == 2048
    assert model.host_pid != pid
    model.complete(TINY, CancelToken())
    assert [host.pid for host in hosts()] == [model.host_pid]


@pytest.mark.model
def test_a_second_host_of_the_same_model_does_not_start(open_hosted: Open, small_model_path: Path) -> None:
    model = open_hosted()
    model.count_tokens("x")
    second = subprocess.run(
        [sys.executable, "-m", "patchwright_engine.model.host", "--model", str(small_model_path)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 75
    assert model.count_tokens("x") == 1


@pytest.mark.model
def test_a_stranger_without_the_token_is_sent_away(open_hosted: Open, small_model_path: Path) -> None:
    model = open_hosted()
    model.count_tokens("x")
    place = wire.endpoint(small_model_path)
    assert place.socket.stat().st_mode & 0o777 == 0o600
    assert place.token.stat().st_mode & 0o777 == 0o600
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(place.socket))
    channel = wire.Channel(connection)
    channel.send(wire.Hello("guess"))
    with pytest.raises(EOFError):
        channel.receive(10)
    channel.close()


def test_a_broken_model_is_refused_by_the_host_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path))
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF\3\0\0\0" + b"\x07" * 5000)
    model = HostedModel(path, "broken", PARAMETERS)
    with pytest.raises(ModelUnavailable, match=r"broken\.gguf") as error:
        model.count_tokens("x")
    assert "pull" in error.value.cure
    log = (tmp_path / "state" / "log" / "model-host.log").read_text()
    assert "broken.gguf" in log
    wait_until(lambda: not hosts())


def test_a_missing_model_is_refused_without_starting_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path))
    with pytest.raises(ModelUnavailable):
        HostedModel(tmp_path / "none.gguf", "none").count_tokens("x")
    assert not hosts()
