"""The memory plan: which part of a model goes where, and how much context is left over.

Invariants: never below 4,096 tokens of context; a plan that `fits` leaves the reserve free; everything given up is
named, because context that is cut silently costs more than four-bit weights do.

Arithmetic (llama.cpp): weights = file size, spread evenly over the layers; KV = 2 * layers * kv_heads * head_dim *
bytes a value * context; compute = one micro-batch of logits and two of hidden states, 4 * batch * (vocabulary + 2 *
embedding), which is what llama.cpp reports (0.5B at batch 512: 300.25 MiB), and a row of logits a sequence.
"""

from dataclasses import dataclass
from typing import Protocol

from patchwright_engine.errors import BadInput
from patchwright_engine.model.gguf import ModelShape
from patchwright_engine.model.probe import Hardware

MIN_CONTEXT = 4096
_ROOMY_CONTEXT = 32_768
_GIB = 1 << 30
_MIB = 1 << 20

# Bytes a value: f16 has two; a q8_0 block holds 32 values in 34 bytes.
_KV_BYTES = {"f16": 2.0, "q8_0": 34 / 32}
# What the driver, the display and the CUDA context keep of a card; what the editor and test runs need of memory.
_GPU_RESERVE = 640 * _MIB
_RAM_RESERVE = 1 * _GIB


class Weighted(Protocol):
    """A model with a known size and shape: a catalog `Entry` or a `GgufInfo`."""

    @property
    def size(self) -> int: ...
    @property
    def shape(self) -> ModelShape | None: ...


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How to load one model. `n_ctx` is the pool that all sequences share (`kv_unified`); sizes are bytes."""

    n_gpu_layers: int
    """Layers on the GPU, the output layer included: `layers + 1` is everything, 0 is nothing."""
    n_ctx: int
    n_batch: int
    kv_type: str
    """'f16' or 'q8_0' (which needs flash attention)."""
    n_seq: int
    threads: int
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    fits: bool
    gave_up: tuple[str, ...]
    """What the machine had no room for, in words; empty for the full plan."""

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


@dataclass(frozen=True, slots=True)
class _Step:
    """One rung of the ladder: what is asked of the machine."""

    n_ctx: int
    kv_type: str
    n_batch: int
    n_seq: int


def plan_memory(model: Weighted, hardware: Hardware, *, sequences: int = 8, context: int | None = None) -> MemoryPlan:
    """Fit `model` to `hardware`, giving up as little as possible.

    Args:
        model: its size in bytes and its shape.
        hardware: from `probe_hardware`, or a made-up machine.
        sequences: candidates decoded together.
        context: tokens wanted in the shared pool; None: 16,384 with a GPU, twice that where it fits as
            well, and 8,192 without.

    Raises:
        BadInput: the model's size or shape is unknown (a catalog entry without them; see `catalog.weighted`).
    """
    shape = model.shape
    if shape is None or not model.size:
        raise BadInput(
            "the model's size or shape is unknown, so its memory cannot be planned.", "Give the GGUF file's path."
        )
    wanted = max(MIN_CONTEXT, context or (16_384 if hardware.gpus else 8_192))
    ladder = _ladder(wanted, sequences)
    if hardware.gpus:
        roomy = [] if context else [_Step(_ROOMY_CONTEXT, "f16", 512, sequences)]
        for step in roomy + ladder:
            whole = _plan(model.size, shape, hardware, step, wish=ladder[0], gpu_layers=shape.layers + 1)
            if whole.fits:
                return whole
        # Layers on the CPU cost far more than context kept in q8_0, so the split starts from that.
        for step in ladder[1:]:
            layers = _layers_that_fit(model.size, shape, hardware, step)
            part = _plan(model.size, shape, hardware, step, wish=ladder[0], gpu_layers=layers)
            if part.fits:
                return part
    plans = [_plan(model.size, shape, hardware.without_gpus(), step, wish=ladder[0], gpu_layers=0) for step in ladder]
    return next((plan for plan in plans if plan.fits), plans[-1])


def _ladder(context: int, sequences: int) -> list[_Step]:
    """From the full wish to the least that works. KV precision goes first: q8_0 costs almost no quality."""
    steps = [_Step(context, "f16", 512, sequences), _Step(context, "q8_0", 512, sequences)]
    smaller = context // 2
    while smaller > MIN_CONTEXT:
        steps.append(_Step(smaller, "q8_0", 512, sequences))
        smaller //= 2
    steps.append(_Step(MIN_CONTEXT, "q8_0", 256, min(sequences, 4)))
    return steps


def _plan(size: int, shape: ModelShape, hardware: Hardware, step: _Step, *, wish: _Step, gpu_layers: int) -> MemoryPlan:
    kv = _kv_bytes(shape, step)
    compute = _compute_bytes(shape, step)
    gave_up = []
    if step.n_ctx < wish.n_ctx:
        gave_up.append(f"context {step.n_ctx:,} tokens instead of {wish.n_ctx:,}")
    if step.kv_type != wish.kv_type:
        gave_up.append(f"context kept in {step.kv_type} instead of {wish.kv_type}")
    if step.n_seq < wish.n_seq:
        gave_up.append(f"{step.n_seq} candidates at a time instead of {wish.n_seq}")
    if hardware.gpus and gpu_layers <= shape.layers:
        gave_up.append(f"{gpu_layers} of {shape.layers + 1} layers on the GPU, the rest on the CPU")
    share = gpu_layers / (shape.layers + 1)
    on_gpu = int((size + kv) * share) + (compute if gpu_layers else 0)
    in_memory = size + kv + compute - on_gpu
    fits = on_gpu <= _gpu_room(hardware) and in_memory <= _memory_room(hardware)
    if hardware.unified:
        fits = fits and size + kv + compute <= _memory_room(hardware)
    return MemoryPlan(
        n_gpu_layers=gpu_layers,
        n_ctx=step.n_ctx,
        n_batch=step.n_batch,
        kv_type=step.kv_type,
        n_seq=step.n_seq,
        threads=hardware.threads,
        weights_bytes=size,
        kv_bytes=kv,
        compute_bytes=compute,
        fits=fits,
        gave_up=tuple(gave_up),
    )


def _kv_bytes(shape: ModelShape, step: _Step) -> int:
    values = 2 * shape.layers * shape.kv_heads * shape.head_dim * step.n_ctx
    return int(values * _KV_BYTES[step.kv_type])


def _compute_bytes(shape: ModelShape, step: _Step) -> int:
    micro_batch = 4 * step.n_batch * (shape.vocabulary + 2 * shape.embedding)
    output = 4 * step.n_seq * shape.vocabulary
    return micro_batch + output


def _layers_that_fit(size: int, shape: ModelShape, hardware: Hardware, step: _Step) -> int:
    per_layer = (size + _kv_bytes(shape, step)) / (shape.layers + 1)
    room = _gpu_room(hardware) - _compute_bytes(shape, step)
    return max(0, min(shape.layers, int(room / per_layer)))


def _gpu_room(hardware: Hardware) -> int:
    reserve = 0 if hardware.unified else _GPU_RESERVE
    return sum(max(0, gpu.memory_free - reserve) for gpu in hardware.gpus)


def _memory_room(hardware: Hardware) -> int:
    return max(0, hardware.memory_available - _RAM_RESERVE)
