"""Opens the model the user chose: a GGUF file in the model host, or a server behind a URL.

Invariant: the choice was made by `catalog.resolve_model`, from the user's flags and settings alone.
"""

import contextlib
import dataclasses
import sys

from patchwright_engine.config import load_settings
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import ModelHostLost, ModelUnavailable
from patchwright_engine.model.backend import LanguageModel
from patchwright_engine.model.catalog import ResolvedModel, resolve_model
from patchwright_engine.model.parameters import LoadParameters

DRAFT_CONTEXT_BYTES = 512 << 20
"""Set aside for a draft model's own KV cache and buffers: what a 0.5B takes for 16,384 tokens."""


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

        server = OpenAIModel(resolved.url or "", None)
        if cancel is not None:
            # A resumed job may need no answer at all; if it does, the first request tells what is wrong.
            with contextlib.suppress(ModelUnavailable, ModelHostLost):
                server.connect(cancel)
        return server
    if sys.platform == "win32":
        raise ModelUnavailable(
            "the model host needs Unix sockets, which Python lacks on Windows",
            "Run Patchwright inside WSL, or give the URL of a llama-server as the model.",
        )
    from patchwright_engine.model.client import HostedModel

    if resolved.path is None:
        raise ModelUnavailable(f"the model {resolved.name} has no file", "Run `patchwright models list`.")
    # Answers of a model with other adapters are other answers: a trace tells them apart by the name.
    name = " + ".join([resolved.name, *(f"{file.role} adapter" for file in resolved.adapters)])
    model = HostedModel(resolved.path, name, load_parameters(resolved), idle_seconds=idle_seconds)
    if cancel is not None:
        model.connect(cancel)
    return model


def load_parameters(resolved: ResolvedModel) -> LoadParameters:
    """How to load a GGUF on this machine now: exactly what the memory plan says."""
    from patchwright_engine.model.gguf import read_gguf
    from patchwright_engine.model.plan import plan_memory
    from patchwright_engine.model.probe import usable_hardware

    if resolved.path is None:
        return LoadParameters()
    settings, hardware = load_settings(), usable_hardware()
    draft = resolve_model(settings.draft_model, settings).path if settings.draft_model else None
    if draft is not None:
        hardware = hardware.without(read_gguf(draft).size + DRAFT_CONTEXT_BYTES)
    hardware = hardware.without(sum(file.path.stat().st_size for file in resolved.adapters if file.path.is_file()))
    planned = plan_memory(read_gguf(resolved.path), hardware).parameters
    return dataclasses.replace(
        planned,
        adapters=resolved.adapters,
        disk_cache_bytes=settings.disk_cache_bytes,
        draft_model=str(draft or ""),
        thinks=resolved.entry is not None and resolved.entry.thinks,
    )
