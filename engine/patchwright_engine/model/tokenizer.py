"""A model's own tokenizer, for exact counts: of a loaded model, or alone, without its weights.

Invariant: importing this module loads nothing.
"""

import ctypes
from pathlib import Path
from types import ModuleType
from typing import Any

from patchwright_engine.errors import ModelUnavailable
from patchwright_engine.model.gguf import read_gguf
from patchwright_engine.model.library import error_log, library


def tokenize(lib: ModuleType, vocabulary: Any, text: str, *, special: bool = False, start: bool = False) -> list[int]:
    """Tokens of `text`. `special` recognises control tokens in it; `start` adds what opens a sequence."""
    data = text.encode("utf-8", "surrogateescape")
    size = len(data) + 8
    while True:
        buffer = (ctypes.c_int32 * size)()
        count = int(lib.llama_tokenize(vocabulary, data, len(data), buffer, size, start, special))
        if count >= 0:
            return list(buffer[:count])
        size = -count


class Tokenizer:
    """The tokenizer of a GGUF file: its counts are those of the model itself, and no weights are read.

    Use as a context manager or call `close`.
    """

    def __init__(self, path: Path) -> None:
        """Raises:
        ModelUnavailable: the file is missing or no model that llama.cpp knows.
        """
        self._lib = library()
        errors = error_log()
        self._lib.llama_backend_init()
        read_gguf(path)
        params = self._lib.llama_model_default_params()
        params.vocab_only = True
        self._model = self._lib.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise ModelUnavailable(
                f"{path} cannot be read as a model: {'; '.join(errors) or 'llama.cpp says nothing'}",
                "Pull it again with `patchwright models pull`.",
            )
        self._vocabulary = self._lib.llama_model_get_vocab(self._model)

    def count(self, text: str) -> int:
        """Tokens of plain text, exactly as `LanguageModel.count_tokens` of the same file."""
        return len(tokenize(self._lib, self._vocabulary, text))

    def close(self) -> None:
        """Free the vocabulary."""
        if self._model:
            self._lib.llama_model_free(self._model)
            self._model = None

    def __enter__(self) -> "Tokenizer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
