"""The llama.cpp library itself: loaded on first use, and heard when it reports errors.

Invariant: importing this module loads nothing.
"""

import ctypes
import functools
from collections import deque
from types import ModuleType

from patchwright_engine.errors import ModelUnavailable

LOG_ERROR = 4


@functools.cache
def error_log() -> deque[str]:
    """The last errors llama.cpp logged; everything else it says is dropped.

    Its log hook is one for the process, so the callback must outlive every context: it is never freed.
    """
    lib = library()
    errors: deque[str] = deque(maxlen=8)

    def hear(level: int, text: bytes | None, _data: object) -> None:
        if level == LOG_ERROR and text:
            errors.append(text.decode("utf-8", "replace").strip())

    callback = lib.llama_log_callback(hear)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(callback))
    lib.llama_log_set(callback, ctypes.c_void_p(0))
    return errors


def library() -> ModuleType:
    """llama-cpp-python's low-level module. Raises ModelUnavailable."""
    try:
        import llama_cpp.llama_cpp
    except ImportError as error:
        raise ModelUnavailable(
            f"llama-cpp-python cannot be loaded: {error}",
            "Install it with `pip install '.[llama]'` in a clone of Patchwright, or set a model URL.",
        ) from error
    module: ModuleType = llama_cpp.llama_cpp
    return module
