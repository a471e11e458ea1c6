"""The ladder: what is given up, in which order, when a model has too little memory.

Invariant: one order for plans made before and for hosts that run out of memory after all. Never below 4,096 tokens of
context, and every rung says in words what it gives up.
"""

import dataclasses

from patchwright_engine.model.gguf import ModelShape
from patchwright_engine.model.parameters import LoadParameters

MIN_CONTEXT = 4096
"""Tokens below which the stages' prompts are no use."""
ROOMY_CONTEXT = 32_768
# Bytes a value; quantized ones come in blocks of 32 values, q8_0 in 34 bytes.
KV_BYTES = {
    **{"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32},
    **{"q5_1": 24 / 32, "q5_0": 22 / 32, "q4_1": 20 / 32, "q4_0": 18 / 32},
}
_BLOCK = 32
_LEAST_BATCH = 128
_LEAST_SEQUENCES = 4
_SMALL_CACHE = 64 << 20


def less_memory(parameters: LoadParameters, *, quantizable: bool = True) -> tuple[LoadParameters, str] | None:
    """The next rung down for a model that found no memory, and what is given up; None at the bottom.

    Precision of the context goes first, as q8_0 costs almost no quality, where the model's heads are `quantizable`
    (q4_0 is no rung: Qwen2.5-Coder 0.5B answers with quotes of its prompt then); then its length, never below
    `MIN_CONTEXT`; then sequences and batch; then layers on the GPU.
    """
    if quantizable and KV_BYTES.get(parameters.kv_type, 0) > KV_BYTES["q8_0"]:
        words = f"context kept in q8_0 instead of {parameters.kv_type}"
        return dataclasses.replace(parameters, kv_type="q8_0"), words
    if parameters.n_ctx > MIN_CONTEXT:
        n_ctx = max(MIN_CONTEXT, min(parameters.n_ctx // 2, ROOMY_CONTEXT))
        own = min(parameters.context_tokens, own_share(n_ctx))
        words = f"context {n_ctx:,} tokens instead of {parameters.n_ctx:,}"
        return dataclasses.replace(parameters, n_ctx=n_ctx, context_tokens=own), words
    n_seq, n_batch = min(parameters.n_seq, _LEAST_SEQUENCES), min(parameters.n_batch, _LEAST_BATCH)
    if (n_seq, n_batch) != (parameters.n_seq, parameters.n_batch):
        words = f"{n_seq} candidates at a time instead of {parameters.n_seq}, batches of {n_batch} tokens"
        return dataclasses.replace(parameters, n_seq=n_seq, n_batch=n_batch), words
    return fewer_layers(parameters)


def fewer_layers(parameters: LoadParameters) -> tuple[LoadParameters, str] | None:
    """Three quarters of the layers on the GPU, in words too; None when none is there."""
    if not parameters.n_gpu_layers:
        return None
    layers = max(0, parameters.n_gpu_layers * 3 // 4)
    return dataclasses.replace(parameters, n_gpu_layers=layers), f"only {layers} layers on the GPU"


def least_memory(parameters: LoadParameters) -> tuple[LoadParameters, str] | None:
    """What takes least and still answers the prompts written for `parameters`; None when that is what they are.

    For the host that follows one which died of memory in the middle of its work.
    """
    n_ctx = min(parameters.n_ctx, max(MIN_CONTEXT, parameters.context_tokens))
    least = dataclasses.replace(
        parameters,
        n_ctx=n_ctx,
        kv_type="q8_0" if parameters.kv_type in ("f32", "f16") else parameters.kv_type,
        n_seq=min(parameters.n_seq, _LEAST_SEQUENCES),
        n_batch=min(parameters.n_batch, _LEAST_BATCH),
        n_gpu_layers=parameters.n_gpu_layers * 7 // 8 if parameters.n_gpu_layers > 0 else parameters.n_gpu_layers,
        cache_bytes=min(parameters.cache_bytes, _SMALL_CACHE),
    )
    words = f"{least.n_seq} candidates at a time, a context of {n_ctx:,} tokens kept in {least.kv_type}"
    return None if least == parameters else (least, words)


def can_quantize(shape: ModelShape) -> bool:
    """Whether the KV cache can be kept in blocks: llama.cpp refuses heads that are no multiple of one."""
    return shape.head_dim % _BLOCK == 0


def own_share(n_ctx: int) -> int:
    """Two thirds for one sequence leave room for the answers decoded beside it."""
    return min(n_ctx, max(MIN_CONTEXT, n_ctx * 2 // 3))
