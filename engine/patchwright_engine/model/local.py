"""The llama.cpp model as a `LanguageModel` inside one process: what the model host serves, and nothing but it runs.

Invariant: one request at a time; a cancelled request leaves the context ready for the next.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import ModelUnavailable
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
from patchwright_engine.model.draft_model import DraftModel
from patchwright_engine.model.llama import LlamaContext
from patchwright_engine.model.parameters import LoadParameters
from patchwright_engine.model.prefix import PromptCache
from patchwright_engine.model.prefix_store import PrefixStore, identities_of


class LocalModel:
    """Weights and context in this process. Implements `backend.LanguageModel`."""

    def __init__(
        self, path: Path, parameters: LoadParameters, name: str | None = None, *, prefixes: Path | None = None
    ) -> None:
        """Load the model. `prefixes` is the folder for computed prompts; None: none is read or left on disk.

        Raises:
            ModelUnavailable: the model cannot be loaded.
        """
        self._context = LlamaContext(path, parameters)
        chat = ChatFormat(self._context.chat_template, self._context.apply_template, told=parameters.thinks)
        store = _store(path, self._context, prefixes) if prefixes else None
        cache = PromptCache(self._context, parameters.cache_bytes, store)
        try:
            self._draft = DraftModel(Path(parameters.draft_model), self._context) if parameters.draft_model else None
        except ModelUnavailable:
            self._context.close()
            raise
        self._session = decode.Session(self._context, cache, chat, self._draft)
        self._turn = threading.Lock()
        self._saved = False
        self._name = name or path.stem

    @property
    def name(self) -> str:
        return self._name

    @property
    def context_tokens(self) -> int:
        return self._context.context_tokens

    @property
    def cpu_threads(self) -> int:
        return self._context.cpu_threads

    @property
    def gave_up(self) -> tuple[str, ...]:
        """What there was no memory for when the model was loaded, in words."""
        return tuple(self._context.gave_up)

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
        """As `save_prompts`, and free the weights and the context."""
        with self._turn:
            self.save_prompts()
            if self._draft:
                self._draft.close()
            self._context.close()

    def save_prompts(self) -> None:
        """Leave computed prompts on disk for the next process, if there is a folder for them; only the first call does.

        Not while another thread computes.
        """
        if not self._saved:
            self._saved = True
            self._session.cache.save()


def _store(path: Path, context: LlamaContext, folder: Path) -> PrefixStore | None:
    parameters = context.parameters
    adapters = [(file.role, file.path) for file in parameters.adapters]
    try:
        identities = identities_of(path, parameters, adapters, "; ".join(context.gave_up))
    except OSError:
        return None
    return PrefixStore(folder, parameters.disk_cache_bytes, identities)


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
