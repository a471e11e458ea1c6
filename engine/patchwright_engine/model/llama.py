"""One llama.cpp model with one context, on the low-level API: tokens in, logits out, sequences forked and dropped.

Invariant: nobody else touches the context; every call but `abort` and the tokenizer comes from one thread.
An abort is a byte that llama.cpp itself reads before every node of its graph, so it bites within milliseconds
on CPU, without the interpreter lock; on a GPU it bites between two prefill steps.
"""

import ctypes
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from patchwright_engine.errors import ModelUnavailable
from patchwright_engine.model.adapters import Adapter, check_adapters
from patchwright_engine.model.gguf import read_gguf
from patchwright_engine.model.ladder import can_quantize, fewer_layers, less_memory
from patchwright_engine.model.library import error_log, library
from patchwright_engine.model.parameters import LoadParameters, default_threads
from patchwright_engine.model.sampler import Sampler
from patchwright_engine.model.tokenizer import tokenize

_NO_MEMORY = -2
_SHORT_OF_MEMORY = re.compile(r"alloc|memory", re.IGNORECASE)
KV_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8}
QUANTIZED = frozenset(KV_TYPES) - {"f32", "f16"}


class Aborted(Exception):
    """The decode under way was stopped by `abort`; sequences touched by it must be dropped or cut."""


class DecodeFailed(Exception):
    """llama.cpp refused a batch; `code` is what `llama_decode` returned (1: no room in the KV cache)."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"llama_decode returned {code}{': ' + detail if detail else ''}")
        self.code = code


def lacked_memory(error: BaseException) -> bool:
    """Whether `error`, of a decode, says that memory ran out."""
    return isinstance(error, MemoryError) or (isinstance(error, DecodeFailed) and error.code == _NO_MEMORY)


@dataclass(frozen=True, slots=True)
class Row:
    """One token to decode: into which sequences, where, and whether its logits are wanted."""

    token: int
    position: int
    sequence: int
    logits: bool = False
    also: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SequenceState:
    """A saved sequence: `size` bytes in memory of llama.cpp's own layout."""

    buffer: Any
    size: int


def quiet_environment() -> dict[str, str]:
    """What must stand in the environment before the library loads: threads that spin for microseconds, then sleep.

    Threads meet some 500 times a step. Two that spin until they meet fall to a tenth of their speed on two contended
    cores; two that sleep at once take twice the time for a step of one row on quiet ones. This many turns cost 5 % on
    quiet cores and keep half the speed beside a busy process (benchmarks/LOG.md). And a ggml that aborts does so at
    once, instead of calling a debugger on itself.
    """
    return {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "500", "GGML_NO_BACKTRACE": "1"}


class LlamaContext:
    """Owns the weights, the KV cache and one batch. Use as a context manager or call `close`."""

    def __init__(self, path: Path, parameters: LoadParameters) -> None:
        """Load `path`.

        Raises:
            ModelUnavailable: the file is missing, broken, of an unknown kind, or does not fit the memory.
        """
        self.parameters = parameters
        self._lib = library()
        self._errors = error_log()
        self._lib.llama_backend_init()
        self._context: Any = None
        self._model: Any = None
        check_model_file(path)
        checked = check_adapters(parameters.adapters, path)
        self.adapters = {adapter.role: adapter for adapter in checked}
        self.adapter_in_use = ""
        self._loaded: dict[str, Any] = {}
        self._abort_flag = ctypes.create_string_buffer(2)
        self.gave_up: list[str] = []
        """What there was no memory for, in words; `parameters` are those that were possible."""
        self._repack = True
        quantizable = can_quantize(read_gguf(path).shape)
        if not quantizable and parameters.kv_type in QUANTIZED:
            self.parameters = replace(parameters, kv_type="f16")
        try:
            while not self._open(path):
                self._give_way(path, quantizable=quantizable)
        except ModelUnavailable:
            self.close()
            raise
        self._vocab = self._lib.llama_model_get_vocab(self._model)
        self.n_vocab = int(self._lib.llama_vocab_n_tokens(self._vocab))
        trained = int(self._lib.llama_model_n_ctx_train(self._model))
        self.context_tokens = min(self.parameters.context_tokens, self.parameters.n_ctx, trained)
        self._memory = self._lib.llama_get_memory(self._context)
        self._batch = self._lib.llama_batch_init(self.parameters.n_batch, 0, self.parameters.n_seq + 1)
        self._pieces: dict[int, bytes] = {}

    def __enter__(self) -> "LlamaContext":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free everything; repeated calls do nothing."""
        if self._context is not None:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._context)
            self._context = None
        self._free_model()

    def _free_model(self) -> None:
        if self._model is not None:
            for adapter in self._loaded.values():
                self._lib.llama_adapter_lora_free(adapter)
            self._loaded.clear()
            self._lib.llama_model_free(self._model)
            self._model = None

    # Loading

    def _open(self, path: Path) -> bool:
        """Try to have weights, adapters and context."""
        self._errors.clear()
        if self._model is None:
            self._model = self._load(path)
        if self._model is not None:
            # Before the context, which makes room for their part of the graph.
            for adapter in self.adapters.values():
                if adapter.role not in self._loaded and not self._load_adapter(adapter, path):
                    return False
            self._context = self._create_context()
        return self._context is not None

    def _give_way(self, path: Path, *, quantizable: bool) -> None:
        """After `_open` failed: take the next rung down. Raises ModelUnavailable when there is none."""
        loaded, layers = self._model is not None, self.parameters.n_gpu_layers
        if not _SHORT_OF_MEMORY.search(" ".join(self._errors)):
            raise self._unavailable(path)
        if not loaded and not layers and self._repack:
            self._repack = False
            self.gave_up.append("weights used as they are in the file, which reads prompts more slowly")
            return
        lower = less_memory(self.parameters, quantizable=quantizable) if loaded else fewer_layers(self.parameters)
        if lower is None:
            raise self._unavailable(path)
        self.parameters, words = lower
        self.gave_up.append(words)
        if self.parameters.n_gpu_layers != layers:
            self._free_model()

    def _unavailable(self, path: Path) -> ModelUnavailable:
        error = self.last_error or "no reason given"
        if self._model is None:
            return ModelUnavailable(
                f"llama.cpp cannot load {path}: {error}",
                "Check the file with `patchwright models verify` and pull it again, or choose another model.",
            )
        return ModelUnavailable(
            f"llama.cpp cannot make a context of {self.parameters.n_ctx:,} tokens with {path.name}: {error}",
            "Run `patchwright models plan` for what fits here, or close other programs.",
        )

    def _load(self, path: Path) -> Any:
        """None when llama.cpp cannot, which its errors explain."""
        params = self._lib.llama_model_default_params()
        params.n_gpu_layers = self.parameters.n_gpu_layers
        params.use_extra_bufts = params.use_extra_bufts and self._repack
        return self._lib.llama_model_load_from_file(os.fsencode(path), params) or None

    def _load_adapter(self, adapter: Adapter, base: Path) -> bool:
        """False when there is no memory for it."""
        loaded = self._lib.llama_adapter_lora_init(self._model, os.fsencode(adapter.path))
        if loaded:
            self._loaded[adapter.role] = loaded
        elif not _SHORT_OF_MEMORY.search(" ".join(self._errors)):
            raise ModelUnavailable(
                f"llama.cpp cannot load the {adapter.role} adapter {adapter.path} beside {base}: {self.last_error}",
                f"Convert it again for this model, or take '{adapter.role}' out of [adapters] in config.toml.",
            )
        return bool(loaded)

    def _create_context(self) -> Any:
        """None when llama.cpp cannot, which its errors explain."""
        wanted = self.parameters
        params = self._lib.llama_context_default_params()
        params.n_ctx = wanted.n_ctx
        params.n_batch = wanted.n_batch
        params.n_ubatch = wanted.n_batch
        params.n_seq_max = wanted.n_seq + 1
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = wanted.threads or default_threads()
        params.type_k = params.type_v = KV_TYPES[wanted.kv_type]
        params.no_perf = True
        # `strlen` of the flag is 0 until its first byte is set: a C function as the callback costs nothing
        # and needs no interpreter lock, where a Python one would take it some hundred times a token.
        libc = ctypes.CDLL(None)
        params.abort_callback = ctypes.cast(libc.strlen, self._lib.ggml_abort_callback)
        params.abort_callback_data = ctypes.cast(self._abort_flag, ctypes.c_void_p)
        return self._lib.llama_init_from_model(self._model, params) or None

    @property
    def cpu_threads(self) -> int:
        """Threads that compute; the one that feeds the card when every layer is there."""
        layers, whole = self.parameters.n_gpu_layers, int(self._lib.llama_model_n_layer(self._model)) + 1
        if self._lib.llama_supports_gpu_offload() and not 0 <= layers < whole:
            return 1
        return self.parameters.threads or default_threads()

    @property
    def last_error(self) -> str:
        """The last lines llama.cpp logged as errors."""
        return "; ".join(list(self._errors)[-2:])

    # Text

    def tokenize(self, text: str, *, special: bool = False, start: bool = False) -> list[int]:
        """Tokens of `text`. `special` recognises control tokens in it; `start` adds what opens a sequence."""
        return tokenize(self._lib, self._vocab, text, special=special, start=start)

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; empty for control tokens."""
        known = self._pieces.get(token)
        if known is not None:
            return known
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = int(self._lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, False))
            if count >= 0:
                self._pieces[token] = buffer.raw[:count]
                return self._pieces[token]
            size = -count

    def is_end(self, token: int) -> bool:
        """Whether `token` ends an answer."""
        return bool(self._lib.llama_vocab_is_eog(self._vocab, token))

    @property
    def chat_template(self) -> str | None:
        """The template stored in the model file, or None."""
        template = self._lib.llama_model_chat_template(self._model, None)
        return template.decode("utf-8", "replace") if template else None

    def apply_template(self, template: str, messages: Sequence[tuple[str, str]]) -> str | None:
        """Messages (role, content) in llama.cpp's own rendering with the assistant header; None: unknown template."""
        chat = (self._lib.llama_chat_message * len(messages))(
            *(self._lib.llama_chat_message(role.encode(), content.encode()) for role, content in messages)
        )
        size = 4096 + 2 * sum(len(content.encode()) for _, content in messages)
        buffer = ctypes.create_string_buffer(size)
        count = int(
            self._lib.llama_chat_apply_template(template.encode(), chat, len(messages), True, buffer, size),
        )
        return buffer.raw[:count].decode() if 0 <= count <= size else None

    # Decoding

    def abort(self) -> None:
        """Stop the decode under way and every later one until `clear_abort`. Callable from any thread."""
        self._abort_flag[0] = b"x"

    def clear_abort(self) -> None:
        """Allow decoding again."""
        self._abort_flag[0] = b"\0"

    @property
    def aborted(self) -> bool:
        return bool(self._abort_flag[0] != b"\0")

    def decode(self, rows: Sequence[Row]) -> None:
        """Decode up to `n_batch` rows at once (more is a ValueError).

        Raises:
            Aborted: `abort` was called before or meanwhile.
            DecodeFailed: no room in the KV cache, or a failure inside llama.cpp.
        """
        if self.aborted:
            raise Aborted
        if len(rows) > self.parameters.n_batch:
            raise ValueError(f"{len(rows)} rows in a batch of {self.parameters.n_batch}")
        batch = self._batch
        batch.n_tokens = len(rows)
        for index, row in enumerate(rows):
            batch.token[index] = row.token
            batch.pos[index] = row.position
            batch.n_seq_id[index] = 1 + len(row.also)
            for place, sequence in enumerate((row.sequence, *row.also)):
                batch.seq_id[index][place] = sequence
            batch.logits[index] = row.logits
        code = int(self._lib.llama_decode(self._context, batch))
        if code == 2 or (code != 0 and self.aborted):
            raise Aborted
        if code != 0:
            raise DecodeFailed(code, self.last_error)

    def use_adapter(self, role: str) -> None:
        """Let the adapter of `role` act on every later decode; '' or a role without one: the base alone.

        What the KV cache holds stays as it was read: the caller knows by whom.
        """
        loaded = self._loaded.get(role)
        one = (self._lib.llama_adapter_lora_p_ctypes * 1)()
        if loaded:
            one[0] = ctypes.cast(loaded, self._lib.llama_adapter_lora_p_ctypes)
        scale = (ctypes.c_float * 1)(1.0)
        self._lib.llama_set_adapters_lora(self._context, one, 1 if loaded else 0, scale)
        self.adapter_in_use = role if loaded else ""

    def logits(self, index: int) -> Any:
        """The logits of row `index` of the last decode, as a numpy array that the next decode overwrites."""
        import numpy

        pointer = self._lib.llama_get_logits_ith(self._context, index)
        return numpy.ctypeslib.as_array(pointer, shape=(self.n_vocab,))

    # Sequences

    def fork(self, source: int, target: int, end: int = -1) -> None:
        """Let `target` share what `source` holds before position `end` (-1: all); costs no computation, no cells."""
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, end)

    def drop(self, sequence: int, start: int = -1) -> bool:
        """Forget a sequence from position `start` on (-1: all of it); False when the model cannot forget a part."""
        return bool(self._lib.llama_memory_seq_rm(self._memory, sequence, start, -1))

    @property
    def forgets(self) -> bool:
        """Whether the end of a sequence can be dropped; recurrent models only forget all of it."""
        recurrent = self._lib.llama_model_is_recurrent(self._model) or self._lib.llama_model_is_hybrid(self._model)
        return not recurrent

    def drop_all(self) -> None:
        """Forget every sequence."""
        self._lib.llama_memory_clear(self._memory, False)

    def state_size(self, sequence: int) -> int:
        """Bytes `save_sequence` would give."""
        return int(self._lib.llama_state_seq_get_size(self._context, sequence))

    def save_sequence(self, sequence: int) -> "SequenceState":
        """The KV state of a sequence, bit for bit."""
        size = self.state_size(sequence)
        buffer = (ctypes.c_uint8 * size)()
        written = int(self._lib.llama_state_seq_get_data(self._context, buffer, size, sequence))
        return SequenceState(buffer, written)

    def load_sequence(self, sequence: int, state: "SequenceState") -> bool:
        """Put back what `save_sequence` gave; False when it does not fit."""
        loaded = self._lib.llama_state_seq_set_data(self._context, state.buffer, state.size, sequence)
        return int(loaded) > 0

    # Sampling

    def sampler(self, temperature: float, top_p: float, seed: int) -> Sampler:
        """A chain of its own for one answer; temperature 0 takes the likeliest token."""
        return Sampler(self._lib, self._context, temperature, top_p, seed)


def check_model_file(path: Path) -> None:
    """Refuse what is clearly no model before the library sees it.

    Raises:
        ModelUnavailable: the file is missing, unreadable or not GGUF.
    """
    cure = "Run `patchwright models list` for what is installed and `patchwright models pull NAME` to get one."
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelUnavailable(f"cannot read the model file {path}: {error.strerror}", cure) from error
    if magic != b"GGUF":
        raise ModelUnavailable(f"{path} is not a GGUF model file", cure)
