"""Reading the head of a GGUF file, and refusing what is none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from patchwright_engine.errors import ModelUnavailable
from patchwright_engine.model.gguf import ModelShape, read_gguf, why_not_gguf


def test_the_head_tells_name_shape_and_size(make_gguf: Callable[..., Path]) -> None:
    path = make_gguf(layers=3, vocabulary=11)
    info = read_gguf(path)
    assert (info.name, info.architecture, info.context, info.size) == ("tiny", "llama", 512, path.stat().st_size)
    assert info.shape == ModelShape(layers=3, embedding=64, heads=4, kv_heads=2, head_dim=16, vocabulary=11)


@pytest.mark.parametrize("missing", [1, 4096, 16_500], ids=["last byte", "tensor data", "into the head"])
def test_a_cut_file_is_refused_with_the_cure(make_gguf: Callable[..., Path], missing: int) -> None:
    path = make_gguf()
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(ModelUnavailable, match="ends early") as caught:
        read_gguf(path)
    assert "models pull" in caught.value.cure


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"<!DOCTYPE html><html><body>Log in", "HTML page"),
        (b"\n  <html lang='en'>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b'{"error":"Invalid credentials"}', "JSON error message"),
        (b"PK\x03\x04....", "zip archive"),
        (b"", "empty"),
        (b"\x7fELF\x02\x01\x01", "something else"),
    ],
)
def test_what_lies_in_place_of_a_model_is_named(tmp_path: Path, head: bytes, what: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(head)
    with pytest.raises(ModelUnavailable, match=what):
        read_gguf(path)
    assert why_not_gguf(b"GGUF\x03\0\0\0") is None


def test_a_missing_file_and_a_future_version_are_refused(tmp_path: Path, make_gguf: Callable[..., Path]) -> None:
    with pytest.raises(ModelUnavailable, match="No such file"):
        read_gguf(tmp_path / "none.gguf")
    path = make_gguf()
    path.write_bytes(b"GGUF\x09" + path.read_bytes()[5:])
    with pytest.raises(ModelUnavailable, match="version 9"):
        read_gguf(path)
