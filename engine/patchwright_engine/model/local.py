"""The llama.cpp model as a `LanguageModel` inside one process: what the model host serves, and nothing but it runs.

Invariant: one request at a time; a cancelled request leaves the context ready for the next.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.model import decode, verdict
from patchwright_engine.model.backend import (
    Completion,
    CompletionBatch,
    CompletionRequest,
    DecodeProgress,
    JudgeRequest,
    Verdict,
)
from patchwright_engine.model.chat import ChatFormat
from patchwright_engine.model.llama import LlamaContext
from patchwright_engine.model.parameters import LoadParameters
from patchwright_engine.model.prefix import PromptCache


class LocalModel:
    """Weights and context in this process. Implements `backend.LanguageModel`."""

    def __init__(self, path: Path, parameters: LoadParameters, name: str | None = None) -> None:
        """Load the model. Raises ModelUnavailable."""
        self._context = LlamaContext(path, parameters)
        chat = ChatFormat(self._context.chat_template, self._context.apply_template)
        self._session = decode.Session(self._context, PromptCache(self._context, parameters.cache_bytes), chat)
        self._turn = threading.Lock()
        self._name = name or path.stem

    @property
    def name(self) -> str:
        return self._name

    @property
    def context_tokens(self) -> int:
        return self._context.context_tokens

    def count_tokens(self, text: str) -> int:
        """Exact; callable from any thread, also while another one decodes."""
        return len(self._context.tokenize(text))

    def complete(
        self,
        request: CompletionRequest,
        cancel: CancelToken,
        *,
        on_progress: Callable[[DecodeProgress], None] | None = None,
        on_completion: Callable[[int, Completion], None] | None = None,
    ) -> CompletionBatch:
        """As `backend.LanguageModel.complete`; a deadline is noticed between steps, a cancel at once."""
        with self._turn, _Abortable(self._context, cancel):
            return decode.complete(self._session, request, cancel, on_progress, on_completion)

    def judge(self, requests: Sequence[JudgeRequest], cancel: CancelToken) -> tuple[Verdict, ...]:
        """As `backend.LanguageModel.judge`."""
        with self._turn, _Abortable(self._context, cancel):
            return verdict.judge(self._session, requests, cancel)

    def close(self) -> None:
        """Free the weights and the context."""
        with self._turn:
            self._context.close()


class _Abortable:
    """While inside, a cancel of `cancel` aborts the decode under way."""

    def __init__(self, context: LlamaContext, cancel: CancelToken) -> None:
        self._context = context
        self._cancel = cancel
        self._forget: Callable[[], None] = lambda: None

    def __enter__(self) -> None:
        self._cancel.check()
        self._context.clear_abort()
        self._forget = self._cancel.on_cancel(self._context.abort)

    def __exit__(self, *_: object) -> None:
        self._forget()
        self._context.clear_abort()
