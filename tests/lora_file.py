"""Writes GGUF files by hand: LoRA adapters of random numbers, and models that are only a head (for tests)."""

import random
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from patchwright_engine.model.gguf import read_head

F32, STRING, UINT32 = 0, 8, 4
Value = str | int | float | Sequence[int] | Sequence[str]


def write_gguf(path: Path, values: Mapping[str, Value], tensors: Mapping[str, tuple[Sequence[int], bytes]]) -> Path:
    """A GGUF file of version 3; each tensor is its shape (fastest first) and its 32-bit floats."""
    table, data = b"", b""
    for name, (shape, numbers) in tensors.items():
        table += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", F32, len(data))
        data += numbers + b"\0" * (-len(numbers) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    head += b"".join(_text(key) + _value(value) for key, value in values.items()) + table
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)
    return path


def write_lora(
    path: Path,
    shapes: Mapping[str, tuple[int, int]],
    *,
    seed: int = 1,
    rank: int = 4,
    size: float = 0.04,
    invocation: Sequence[int] = (),
    more: Mapping[str, Value] | None = None,
) -> Path:
    """A LoRA adapter for tensors of these shapes (inputs, outputs); `more` adds to or replaces its metadata."""
    values: dict[str, Value] = {
        "general.architecture": "qwen2",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(rank),
    }
    if invocation:
        values["adapter.alora.invocation_tokens"] = list(invocation)
    tensors: dict[str, tuple[Sequence[int], bytes]] = {}
    draw = random.Random(seed)
    for name, (inputs, outputs) in shapes.items():
        tensors[f"{name}.lora_a"] = ((inputs, rank), _numbers(draw, inputs * rank, size))
        tensors[f"{name}.lora_b"] = ((rank, outputs), _numbers(draw, rank * outputs, size))
    return write_gguf(path, values | dict(more or {}), tensors)


def attention_shapes(model: Path) -> dict[str, tuple[int, int]]:
    """The query and output weights of every layer of a model."""
    return {
        tensor.name: (tensor.shape[0], tensor.shape[1])
        for tensor in read_head(model).tensors
        if tensor.name.endswith(("attn_q.weight", "attn_output.weight"))
    }


def _numbers(draw: random.Random, count: int, size: float) -> bytes:
    return struct.pack(f"<{count}f", *(draw.gauss(0, size) for _ in range(count)))


def _text(word: str) -> bytes:
    raw = word.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _text(value)
    if isinstance(value, int):
        return struct.pack("<II", UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    kind = STRING if value and isinstance(value[0], str) else UINT32
    items = b"".join(_text(item) if isinstance(item, str) else struct.pack("<I", item) for item in value)
    return struct.pack("<IIQ", 9, kind, len(value)) + items
