"""Reads the head of a GGUF file: what the model is, how it is shaped, and whether the file is whole.

Invariant: a file that is no GGUF, or ends before its last tensor, is refused here with a cure, so that neither the
downloader nor llama.cpp ever meets it. Only the head is read (a few MB), never the weights.

Format: ggml's docs/gguf.md, versions 2 and 3, little endian; block sizes as in gguf-py's GGML_QUANT_SIZES.
"""

import dataclasses
import math
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from patchwright_engine.errors import ModelUnavailable

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_DEFAULT_ALIGNMENT = 32
_SHORT = 1024

_Parsed = TypeVar("_Parsed")

# Tensor type -> (values in a block, bytes of a block).
_BLOCKS = {
    **{0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36)},
    **{10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292)},
    **{16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82)},
    **{23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2)},
    **{34: (256, 54), 35: (256, 66), 39: (32, 17)},
}


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The numbers that decide how much memory a model's context takes."""

    layers: int
    embedding: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    input_bytes: int = 0
    """The input embeddings, which stay on the CPU; 0: not known."""
    output_bytes: int = 0
    """The output layer, usually larger than the others; 0: not known."""
    tied: bool = False
    """The output layer is the input embeddings: one tensor in the file, two where they are on different devices."""


@dataclass(frozen=True, slots=True)
class GgufInfo:
    """What the head of one file says. `size` is the file's length in bytes."""

    path: Path
    name: str
    architecture: str
    shape: ModelShape
    context: int
    size: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """One line of a file's table of tensors: `shape` as ggml counts (fastest first), `kind` its type's number."""

    name: str
    shape: tuple[int, ...]
    kind: int


Value = int | float | bool | str


@dataclass(frozen=True, slots=True)
class GgufHead:
    """Everything the head says."""

    values: dict[str, Value]
    """Of an array only the length is kept."""
    integers: dict[str, tuple[int, ...]]
    """The arrays of 32-bit integers that are at most `_SHORT` long."""
    kinds: dict[str, int]
    """Type number of each value, as in ggml's docs/gguf.md."""
    tensors: tuple[Tensor, ...]


class _Reader:
    """A cursor over the mapped file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def scalar(self, form: str) -> int | float | bool:
        end = self.at + struct.calcsize(form)
        if end > len(self.data):
            raise EOFError
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at = end
        return value  # type: ignore[no-any-return]  # struct cannot know its own format

    def integer(self, form: str = "<Q") -> int:
        return int(self.scalar(form))

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            raise EOFError

    def string(self) -> str:
        length = self.integer()
        start = self.at
        self.skip(length)
        return self.data[start : self.at].decode("utf-8", "replace")

    def array(self) -> tuple[int, int]:
        """Type and number of the elements that follow."""
        return self.integer("<I"), self.integer()

    def integers(self) -> tuple[int, ...] | None:
        """The array here when it is a short one of 32-bit integers; the cursor stays."""
        start = self.at
        inner, length = self.array()
        short = inner in (4, 5) and length <= _SHORT
        values = tuple(self.integer(_SCALARS[inner]) for _ in range(length)) if short else None
        self.at = start
        return values

    def value(self, kind: int) -> int | float | bool | str:
        """One metadata value; of an array only the length is kept."""
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.scalar(_SCALARS[kind])
        inner, length = self.array()
        if inner in _SCALARS:
            self.skip(struct.calcsize(_SCALARS[inner]) * length)
        else:
            for _ in range(length):
                if inner == _STRING:
                    self.skip(self.integer())
                else:
                    self.value(inner)
        return length


def why_not_gguf(head: bytes) -> str | None:
    """What a file that begins with `head` (512 bytes are enough) is instead of a GGUF model; None when it is one."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"GGUF"):
        return None
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")):
        return "an HTML page (a log-in, proxy or error page was saved in place of the model)"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (the repository was cloned without its large files)"
    if start.startswith((b'{"error', b'{"message', b'{"detail')):
        return "a JSON error message of a server"
    if head.startswith(b"PK\x03\x04"):
        return "a zip archive or wheel"
    return "empty" if not head else f"something else (it begins with {head[:8]!r})"


def read_gguf(path: Path) -> GgufInfo:
    """Read the head of the model in `path`.

    Raises:
        ModelUnavailable: no such file, not a GGUF, a version or layout we cannot read, or a file that ends early.
    """
    return _read(path, lambda reader, size: _describe(_parse(reader, path, size), path, size))


def read_head(path: Path) -> GgufHead:
    """All of the head of the GGUF in `path`, be it a model or an adapter. Raises as `read_gguf`."""
    return _read(path, lambda reader, size: _parse(reader, path, size))


def _read(path: Path, parse: Callable[[_Reader, int], _Parsed]) -> _Parsed:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            problem = why_not_gguf(file.read(512))
            if problem:
                raise ModelUnavailable(
                    f"{path} is not a GGUF model: it is {problem}.",
                    "Give the path of a .gguf file, or run `patchwright models pull` to get one.",
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return parse(_Reader(data), size)
    except (EOFError, ValueError) as error:
        raise _truncated(path, size) from error
    except OSError as error:
        raise ModelUnavailable(
            f"cannot read the model {path}: {error.strerror or error}",
            "Check the path, or run `patchwright models list` to see what is installed.",
        ) from error
    except (KeyError, ZeroDivisionError, struct.error) as error:
        raise ModelUnavailable(
            f"{path} has a GGUF layout that is not understood: {error!r}",
            "Convert the model with a current llama.cpp, or use one from `patchwright models list`.",
        ) from error


def _parse(reader: _Reader, path: Path, size: int) -> GgufHead:
    reader.skip(4)
    version = reader.integer("<I")
    if version not in (2, 3):
        raise ModelUnavailable(
            f"{path} is GGUF version {version}; versions 2 and 3 can be read.",
            "Convert the model with a current llama.cpp.",
        )
    tensors, pairs = reader.integer(), reader.integer()
    head = GgufHead({}, {}, {}, ())
    for _ in range(pairs):
        key = reader.string()
        kind = head.kinds[key] = reader.integer("<I")
        if kind == _ARRAY and (integers := reader.integers()) is not None:
            head.integers[key] = integers
        head.values[key] = reader.value(kind)
    table, ends = [], []
    for _ in range(tensors):
        tensor, end = _tensor(reader)
        table.append(tensor)
        ends.append(end)
    alignment = int(head.values.get("general.alignment", _DEFAULT_ALIGNMENT))
    start = -(-reader.at // alignment) * alignment
    if size < start + max(ends, default=0):
        raise EOFError
    return dataclasses.replace(head, tensors=tuple(table))


def _describe(head: GgufHead, path: Path, size: int) -> GgufInfo:
    meta = head.values
    architecture = str(meta["general.architecture"])

    def number(key: str, default: int = 0) -> int:
        return int(meta.get(f"{architecture}.{key}", default))

    sizes = {tensor.name: _bytes(tensor) for tensor in head.tensors}
    heads = number("attention.head_count", 1)
    embedding = number("embedding_length")
    shape = ModelShape(
        layers=number("block_count"),
        embedding=embedding,
        heads=heads,
        kv_heads=number("attention.head_count_kv", heads),
        head_dim=number("attention.key_length", embedding // max(heads, 1)),
        vocabulary=number("vocab_size") or int(meta.get("tokenizer.ggml.tokens", 0)),
        input_bytes=sizes.get("token_embd.weight", 0),
        output_bytes=sizes.get("output.weight", 0) or sizes.get("token_embd.weight", 0),
        tied="token_embd.weight" in sizes and "output.weight" not in sizes,
    )
    name = str(meta.get("general.name") or path.stem)
    return GgufInfo(path, name, architecture, shape, number("context_length"), size)


def _tensor(reader: _Reader) -> tuple[Tensor, int]:
    """A tensor, and where it ends in bytes from the start of the data; a lower bound for types we do not know."""
    name = reader.string()
    shape = tuple(reader.integer() for _ in range(reader.integer("<I")))
    kind = reader.integer("<I")
    tensor = Tensor(name, shape, kind)
    return tensor, reader.integer() + _bytes(tensor)


def _bytes(tensor: Tensor) -> int:
    per_block, block_bytes = _BLOCKS.get(tensor.kind, (256, 1))
    return math.prod(tensor.shape) // per_block * block_bytes


def _truncated(path: Path, size: int) -> ModelUnavailable:
    return ModelUnavailable(
        f"{path} ends early: {size:,} bytes are there, fewer than its own table of contents needs.",
        "The download was cut. Delete the file and run `patchwright models pull` again.",
    )
