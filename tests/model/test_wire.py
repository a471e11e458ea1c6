"""What host and clients say to each other."""

import socket
import threading
from pathlib import Path

import pytest

from patchwright_engine.model import wire
from patchwright_engine.model.backend import (
    Completion,
    CompletionBatch,
    CompletionRequest,
    JudgeRequest,
    Message,
    Verdict,
)
from patchwright_engine.model.wire import Channel, WireError, decode, encode, endpoint

TALK = (Message("user", "naïve \udc80 bytes\n\0"),)
MESSAGES: list[wire.Message] = [
    wire.Hello("secret"),
    wire.Complete(CompletionRequest(TALK, n=3, temperature=0, stop=("a", "b"))),
    wire.Judge((JudgeRequest(TALK), JudgeRequest(TALK, "A", "B"), JudgeRequest(TALK, answers=("a.py", "b")))),
    wire.Judged((Verdict(0.5, 3, 1), Verdict(None, weights=(-1.5, -20.0)))),
    wire.Cancel(),
    wire.Completed(CompletionBatch((Completion("x"), Completion("y", mean_logprob=-1.5)), 1, 2, 3, 0.5)),
    wire.Failed("bad_input", "too long", "cut it"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_survive_the_wire(message: wire.Message) -> None:
    assert decode(encode(message)[4:]) == message


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"type":"Nothing"}', b'{"kind":"Hello"}', b'{"kind":"Hello","token":5}',
     b'{"type":"Count","text":"x","more":1}', b'{"kind":"Complete","request":{"messages":"x"}}', b"\xff"],
)  # fmt: skip
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)


def test_a_channel_carries_messages_larger_than_its_buffers() -> None:
    left, right = socket.socketpair()
    big = wire.Count("x" * 5_000_000)
    sender = Channel(left)
    thread = threading.Thread(target=sender.send, args=(big,))
    thread.start()
    receiver = Channel(right)
    assert receiver.receive(10) == big
    thread.join()
    sender.close()
    with pytest.raises(EOFError):
        receiver.receive(1)
    receiver.close()


def test_a_frame_beyond_the_limit_ends_the_talk() -> None:
    left, right = socket.socketpair()
    left.sendall(b"\xff\xff\xff\xff")
    channel = Channel(right)
    with pytest.raises(WireError):
        channel.receive(1)
    left.close()
    channel.close()


def test_a_reader_that_never_reads_is_given_up() -> None:
    left, right = socket.socketpair()
    channel = Channel(left)
    with pytest.raises(EOFError):
        channel.send(wire.Count("x" * 5_000_000), seconds=0.2)
    channel.close()
    right.close()


def test_the_meeting_point_is_private_and_follows_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    model = tmp_path / "a.gguf"
    model.write_bytes(b"GGUF1")
    first = endpoint(model)
    assert endpoint(model) == first
    assert first.socket.parent.stat().st_mode & 0o777 == 0o700
    model.write_bytes(b"GGUF other")
    assert endpoint(model) != first


def test_a_home_too_deep_for_a_socket_address_still_has_a_meeting_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / ("deep" * 30)))
    model = tmp_path / "a.gguf"
    model.write_bytes(b"GGUF1")
    place = endpoint(model)
    assert len(str(place.socket)) <= wire.MAX_ADDRESS
    assert place.socket.parent.stat().st_mode & 0o777 == 0o700
