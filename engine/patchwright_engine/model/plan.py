"""The memory plan: which part of a model goes where, and how much context is left over.

Invariants: never below 4,096 tokens of context; a plan that `fits` leaves the reserve free; everything given up is
named, because context that is cut silently costs more than four-bit weights do. What is planned is what is loaded.

Arithmetic of llama.cpp (checked by benchmarks/memory.py): weights = file size, and a tied output head once more where
it goes to a GPU; the input embeddings stay on the CPU. KV = 2 * layers * kv_heads * head_dim * bytes a value * context
(padded to 256). Compute = the logits of one micro-batch and two of its hidden states, 4 * batch * (vocabulary + 2 *
embedding). Output = the rows of logits a batch may ask for (reading a reference asks for all of them), in main memory.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from patchwright_engine.errors import BadInput
from patchwright_engine.model.gguf import ModelShape
from patchwright_engine.model.ladder import (
    KV_BYTES,
    MIN_CONTEXT,
    ROOMY_CONTEXT,
    can_quantize,
    less_memory,
    own_share,
)
from patchwright_engine.model.parameters import LoadParameters
from patchwright_engine.model.probe import Hardware

CPU_CONTEXT = 12_288
"""Without a GPU: one prompt with its answer (8,192) and room for the other answers."""
GPU_CONTEXT = 16_384
_GPU_BATCH = 512
_CPU_BATCH = 256
_PADDING = 256
_GIB = 1 << 30
_MIB = 1 << 20

# What the driver, the display and the CUDA context keep of a card; what the editor and test runs need of memory.
_GPU_RESERVE = 640 * _MIB
_RAM_RESERVE = 1 * _GIB
# Prompts kept beside the KV cache: as much as the cache itself holds where there is room, half the room where not.
_LEAST_CACHE = 512 * _MIB


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
    context_tokens: int
    """Tokens one sequence may hold; the rest of the pool is for the answers decoded beside it."""
    n_batch: int
    kv_type: str
    """'f16' or 'q8_0' (for which llama.cpp turns flash attention on)."""
    n_seq: int
    threads: int
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    cache_bytes: int
    """Main memory for prompts seen earlier."""
    gpu_bytes: int
    """What of all this is on the GPU."""
    fits: bool
    gave_up: tuple[str, ...]
    """What the machine had no room for, in words; empty for the full plan."""

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.cache_bytes

    @property
    def parameters(self) -> LoadParameters:
        """What the model host is told."""
        return LoadParameters(
            n_ctx=self.n_ctx,
            context_tokens=self.context_tokens,
            n_seq=self.n_seq,
            n_batch=self.n_batch,
            n_gpu_layers=self.n_gpu_layers,
            kv_type=self.kv_type,
            threads=self.threads,
            cache_bytes=self.cache_bytes,
        )


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What llama.cpp allocates for one model and one set of load parameters, in bytes, and how much of it on a GPU."""

    weights: int
    kv: int
    compute: int
    """Work buffers and output rows."""
    on_gpu: int
    in_memory: int


def plan_memory(model: Weighted, hardware: Hardware, *, sequences: int = 8, context: int | None = None) -> MemoryPlan:
    """Fit `model` to `hardware`, giving up as little as possible.

    Args:
        model: its size in bytes and its shape.
        hardware: from `probe_hardware`, or a made-up machine.
        sequences: candidates decoded together.
        context: tokens wanted in the shared pool; None: `GPU_CONTEXT` with a GPU, twice that where it fits as
            well, and `CPU_CONTEXT` without.

    Raises:
        BadInput: the model's size or shape is unknown (a catalog entry without them; see `catalog.weighted`).
    """
    shape = _shape(model)
    if hardware.gpus:
        wish = _wish(context or GPU_CONTEXT, sequences, _GPU_BATCH, shape.layers + 1)
        roomy = [] if context else [_wish(ROOMY_CONTEXT, sequences, _GPU_BATCH, shape.layers + 1)]
        ladder = [wish, *_rungs(wish, shape)]
        for step in roomy + ladder:
            whole = _plan(model, hardware, step, wish)
            if whole.fits:
                return whole
        # Layers on the CPU cost far more than context kept in q8_0, so the split starts from that.
        for step in ladder[1:]:
            split = _with_layers_that_fit(model, hardware, step)
            part = _plan(model, hardware, split, wish)
            if split.n_gpu_layers and part.fits:
                return part
    wish = _wish(context or CPU_CONTEXT, sequences, _CPU_BATCH, 0)
    plan = None
    for step in [wish, *_rungs(wish, shape)]:
        plan = _plan(model, hardware.without_gpus(), step, wish)
        if plan.fits:
            break
    assert plan is not None
    if hardware.gpus and plan.fits:
        return dataclasses.replace(plan, gave_up=(*plan.gave_up, "the GPU, which has no room for any layer"))
    return plan


def memory_need(model: Weighted, parameters: LoadParameters) -> MemoryNeed:
    """What loading `model` with `parameters` takes. Raises BadInput as `plan_memory`."""
    shape = _shape(model)
    whole = shape.layers + 1
    on_gpu = whole if parameters.n_gpu_layers < 0 else min(parameters.n_gpu_layers, whole)
    padded = -(-parameters.n_ctx // _PADDING) * _PADDING
    kv = int(2 * shape.layers * shape.kv_heads * shape.head_dim * padded * KV_BYTES[parameters.kv_type])
    batch = min(parameters.n_batch, padded)
    work = 4 * batch * (shape.vocabulary + 2 * shape.embedding)
    output = 4 * max(batch, parameters.n_seq + 1) * shape.vocabulary
    weights = model.size + (shape.output_bytes if shape.tied and on_gpu else 0)
    gpu = 0
    if on_gpu:
        # llama.cpp takes the output layer first, then the last layers.
        repeated = (on_gpu - 1) / shape.layers
        gpu = int(_head_bytes(model) + repeated * (_layers_bytes(model) + kv)) + work
    compute = work + output + (work if 0 < on_gpu < whole else 0)
    return MemoryNeed(weights, kv, compute, gpu, weights + kv + compute - gpu)


def _wish(context: int, sequences: int, batch: int, gpu_layers: int) -> LoadParameters:
    n_ctx = max(MIN_CONTEXT, context)
    return LoadParameters(
        n_ctx=n_ctx,
        context_tokens=own_share(n_ctx),
        n_seq=sequences,
        n_batch=batch,
        n_gpu_layers=gpu_layers,
    )


def _rungs(wish: LoadParameters, shape: ModelShape) -> Iterator[LoadParameters]:
    """What `less_memory` does to `wish`, as long as its layers stay where they are."""
    step: LoadParameters = wish
    while (lower := less_memory(step, quantizable=can_quantize(shape))) and lower[0].n_gpu_layers == wish.n_gpu_layers:
        step = lower[0]
        yield step


def _plan(model: Weighted, hardware: Hardware, step: LoadParameters, wish: LoadParameters) -> MemoryPlan:
    shape = _shape(model)
    gave_up = []
    if step.n_ctx < wish.n_ctx:
        gave_up.append(f"context {step.n_ctx:,} tokens instead of {wish.n_ctx:,}")
    if step.kv_type != wish.kv_type:
        gave_up.append(f"context kept in {step.kv_type} instead of {wish.kv_type}")
    if step.n_seq < wish.n_seq:
        gave_up.append(f"{step.n_seq} candidates at a time instead of {wish.n_seq}")
    if hardware.gpus and step.n_gpu_layers <= shape.layers:
        gave_up.append(f"{step.n_gpu_layers} of {shape.layers + 1} layers on the GPU, the rest on the CPU")
    need = memory_need(model, step)
    in_memory = need.in_memory + (need.on_gpu if hardware.unified else 0)
    left = _memory_room(hardware) - in_memory
    cache = min(max(_LEAST_CACHE, need.kv), max(0, left // 2))
    return MemoryPlan(
        n_gpu_layers=step.n_gpu_layers,
        n_ctx=step.n_ctx,
        context_tokens=step.context_tokens,
        n_batch=step.n_batch,
        kv_type=step.kv_type,
        n_seq=step.n_seq,
        threads=hardware.threads,
        weights_bytes=need.weights,
        kv_bytes=need.kv,
        compute_bytes=need.compute,
        cache_bytes=cache,
        gpu_bytes=need.on_gpu,
        fits=need.on_gpu <= _gpu_room(hardware) and left >= 0,
        gave_up=tuple(gave_up),
    )


def _with_layers_that_fit(model: Weighted, hardware: Hardware, step: LoadParameters) -> LoadParameters:
    shape = _shape(model)
    least = memory_need(model, dataclasses.replace(step, n_gpu_layers=1))
    per_layer = (_layers_bytes(model) + least.kv) / shape.layers
    layers = 1 + int((_gpu_room(hardware) - least.on_gpu) / per_layer)
    # The output layer alone is not worth the way to the card.
    return dataclasses.replace(step, n_gpu_layers=min(shape.layers, layers) if layers > 1 else 0)


def _shape(model: Weighted) -> ModelShape:
    if model.shape is None or not model.size:
        raise BadInput(
            "the model's size or shape is unknown, so its memory cannot be planned.", "Give the GGUF file's path."
        )
    return model.shape


def _head_bytes(model: Weighted) -> int:
    """The output layer; as large as any other where the shape does not tell."""
    shape = _shape(model)
    return shape.output_bytes or model.size // (shape.layers + 1)


def _layers_bytes(model: Weighted) -> int:
    """All repeated layers together."""
    shape = _shape(model)
    return model.size - shape.input_bytes - (0 if shape.tied else _head_bytes(model))


def _gpu_room(hardware: Hardware) -> int:
    reserve = 0 if hardware.unified else _GPU_RESERVE
    return sum(max(0, gpu.memory_free - reserve) for gpu in hardware.gpus)


def _memory_room(hardware: Hardware) -> int:
    return max(0, hardware.memory_available - _RAM_RESERVE)
