"""Small real GGUF files, model hosts, and a Patchwright home of its own for every test of this folder."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_hosts import PARAMETERS, Open, hosts
from patchwright_engine.model.client import HostedModel

GgufMaker = Callable[..., Path]


def gguf_bytes(*, values: int = 4096, seed: int = 0, layers: int = 2, vocabulary: int = 8) -> bytes:
    """A whole GGUF file of one f32 tensor with `values` numbers that depend on `seed`."""

    def text(word: str) -> bytes:
        raw = word.encode()
        return struct.pack("<Q", len(raw)) + raw

    def number(key: str, value: int) -> bytes:
        return text(key) + struct.pack("<II", 4, value)

    pairs = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("general.name") + struct.pack("<I", 8) + text("tiny"),
        number("llama.block_count", layers),
        number("llama.embedding_length", 64),
        number("llama.attention.head_count", 4),
        number("llama.attention.head_count_kv", 2),
        number("llama.context_length", 512),
        text("tokenizer.ggml.tokens")
        + struct.pack("<IIQ", 9, 8, vocabulary)
        + b"".join(text(f"token{n}") for n in range(vocabulary)),
    ]
    tensor = text("weight") + struct.pack("<IQIQ", 1, values, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(pairs) + tensor
    data = b"".join(struct.pack("<f", (n * 31 + seed) % 997) for n in range(values))
    return head + b"\0" * (-len(head) % 32) + data


@pytest.fixture
def make_gguf(tmp_path: Path) -> GgufMaker:
    """Writes a small GGUF file below the test's folder: `make_gguf('a.gguf', values=4096, seed=0)`."""

    def make(name: str = "tiny.gguf", **shape: int) -> Path:
        path = tmp_path / name
        path.write_bytes(gguf_bytes(**shape))
        return path

    return make


@pytest.fixture(autouse=True)
def patchwright_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps the user's own models, settings and caches out of the tests."""
    home = tmp_path / "home"
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(home))
    return home


@pytest.fixture
def open_hosted(small_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens clients of a host in a home of its own; whatever host is left is killed."""
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path))
    opened: list[HostedModel] = []

    def open_one(path: Path = small_model_path, *, idle_seconds: float = 60.0) -> HostedModel:
        opened.append(HostedModel(path, "small", PARAMETERS, idle_seconds=idle_seconds))
        return opened[-1]

    yield open_one
    for model in opened:
        model.close()
    for process in hosts():
        process.kill()
        process.wait(5)
