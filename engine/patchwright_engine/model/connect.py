"""Opens the model the user chose: a GGUF file in the model host, or a server behind a URL.

Invariant: the choice was made by `catalog.resolve_model`, from the user's flags and settings alone.
"""

import dataclasses
import sys

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import ModelUnavailable
from patchwright_engine.model.backend import LanguageModel
from patchwright_engine.model.catalog import ResolvedModel
from patchwright_engine.model.parameters import LoadParameters

CPU_POOL_TOKENS = 12288
"""One prompt with its answer (8,192) and room for the other answers."""
MIN_CONTEXT_TOKENS = 4096


def open_model(
    resolved: ResolvedModel, *, cancel: CancelToken | None = None, idle_seconds: float = 300.0
) -> LanguageModel:
    """The chosen model. With `cancel` its weights are loaded before this returns; else by the first use.

    Raises:
        Cancelled: while the weights were loading.
        ModelUnavailable: the file cannot be loaded here.
        BadInput: the URL is none.
    """
    if resolved.kind == "url":
        from patchwright_engine.model.openai import OpenAIModel

        return OpenAIModel(resolved.url or "", None)
    if sys.platform == "win32":
        raise ModelUnavailable(
            "the model host needs Unix sockets, which Python lacks on Windows",
            "Run Patchwright inside WSL, or give the URL of a llama-server as the model.",
        )
    from patchwright_engine.model.client import HostedModel

    if resolved.path is None:
        raise ModelUnavailable(f"the model {resolved.name} has no file", "Run `patchwright models list`.")
    model = HostedModel(resolved.path, resolved.name, load_parameters(resolved), idle_seconds=idle_seconds)
    if cancel is not None:
        model.connect(cancel)
    return model


def load_parameters(resolved: ResolvedModel) -> LoadParameters:
    """How to load a GGUF on this machine now: what the memory plan says."""
    from patchwright_engine.model.gguf import read_gguf
    from patchwright_engine.model.plan import plan_memory
    from patchwright_engine.model.probe import probe_hardware

    if resolved.path is None:
        return LoadParameters()
    hardware = probe_hardware()
    info = read_gguf(resolved.path)
    plan = plan_memory(info, hardware, context=None if hardware.gpus else CPU_POOL_TOKENS)
    return dataclasses.replace(
        LoadParameters(),
        n_ctx=plan.n_ctx,
        # Two thirds for one sequence leave room for the answers decoded beside it.
        context_tokens=min(plan.n_ctx, max(MIN_CONTEXT_TOKENS, plan.n_ctx * 2 // 3)),
        n_seq=plan.n_seq,
        n_batch=plan.n_batch if plan.n_gpu_layers else min(plan.n_batch, LoadParameters().n_batch),
        n_gpu_layers=plan.n_gpu_layers,
        kv_type=plan.kv_type,
        threads=plan.threads,
    )
