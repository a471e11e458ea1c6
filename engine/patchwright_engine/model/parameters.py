"""How one model is to be loaded: the values that travel from the memory plan to the host's command line.

Invariant: importing this module loads no model library.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

EXIT_TAKEN = 75
"""Exit status of a model host that finds another one serving its model."""
EXIT_NO_MEMORY = 71
"""Exit status of a model host that ran out of memory in the middle of its work, and lived to say so."""


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """A LoRA adapter and the role it plays. As text: ROLE=PATH."""

    role: str
    path: Path

    def __str__(self) -> str:
        return f"{self.role}={self.path}"

    @classmethod
    def parse(cls, text: str) -> "AdapterFile":
        """What `str` gave. Raises ValueError."""
        role, equals, path = text.partition("=")
        if not equals:
            raise ValueError(f"'{text}' is not ROLE=PATH")
        return cls(role, Path(path))


def default_threads() -> int:
    """Physical cores this process may run on; hyper-threads slow matrix products down."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


@dataclass(frozen=True, slots=True)
class LoadParameters:
    """What llama.cpp is told at load time. Token counts are tokens, not bytes."""

    n_ctx: int = 12288
    """Cells of the KV cache, shared by the prompt (once) and every answer under way."""
    context_tokens: int = 8192
    """Tokens one sequence may hold, prompt and answer together; at most `n_ctx`."""
    n_seq: int = 8
    """Answers decoded side by side."""
    n_batch: int = 256
    """Tokens of one prefill step; a cancel on a GPU waits for at most one step."""
    n_gpu_layers: int = 0
    """Layers on the GPU; -1 for all."""
    kv_type: str = "f16"
    """'f16', 'q8_0' or 'q4_0'."""
    threads: int = 0
    """Threads for decoding and prefill; 0 for `default_threads`."""
    speculate: bool = True
    """Guess tokens that the prompt has (see `speculate.py`): greedy answers are the same, others but for rounding."""
    draft_model: str = ""
    """GGUF file of a small model that guesses where the prompt has nothing alike; empty for none."""
    cache_bytes: int = 512 << 20
    """Memory for prompts seen earlier, outside the KV cache."""
    disk_cache_bytes: int = 1 << 30
    """Disk for prompts that a later model host may go on from; 0 keeps none and deletes what is there."""
    thinks: bool = False
    """The user says that the model thinks in a `<think>` block; else its chat template says it or not."""
    adapters: tuple[AdapterFile, ...] = ()
    """LoRA adapters loaded beside the base, at most one for each role."""
