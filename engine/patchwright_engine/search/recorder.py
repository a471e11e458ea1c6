"""A model that writes every exchange to the trace and answers again from an earlier trace for free.

This is how a search is resumed and deepened: the search is deterministic for a seed, so running it again over
the recorded exchanges walks the same tree without paying for it, and only what is new reaches the model.
A changed repository changes the prompts, and the recording simply stops matching; another model is refused.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from patchwright_engine.control import CancelToken
from patchwright_engine.model.backend import (
    Completion,
    CompletionBatch,
    CompletionRequest,
    DecodeProgress,
    JudgeRequest,
    LanguageModel,
    Verdict,
)
from patchwright_engine.search.recording import Recording, another_model, identity_of, seal
from patchwright_engine.search.trace import Trace
from patchwright_engine.types import Cost


class RecordedModel:
    """Wraps the job's model: counts cost, writes the trace, replays a recording. One job, one thread."""

    def __init__(self, model: LanguageModel, trace: Trace, recording: Recording | None = None) -> None:
        self._model = model
        self._trace = trace
        self._recording = recording or Recording()
        self._identity = identity_of(model) or self._recording.identity
        trace.step("model", name=model.name, identity=self._identity)
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._generated_tokens = 0
        self._judge_tokens = 0
        self._thought_tokens = 0

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def context_tokens(self) -> int:
        return self._model.context_tokens

    @property
    def cpu_threads(self) -> int:
        return self._model.cpu_threads

    def count_tokens(self, text: str) -> int:
        return self._model.count_tokens(text)

    def cost(self, rollouts: int, seconds: float) -> Cost:
        """What was really paid; replayed exchanges cost nothing."""
        return Cost(
            rollouts,
            self._prompt_tokens,
            self._cached_tokens,
            self._generated_tokens,
            self._judge_tokens,
            seconds,
            self._thought_tokens,
        )

    def complete(
        self,
        request: CompletionRequest,
        cancel: CancelToken,
        *,
        stage: str,
        difficulty: int = 0,
        on_progress: Callable[[DecodeProgress], None] | None = None,
        on_completion: Callable[[int, Completion], None] | None = None,
    ) -> CompletionBatch:
        """As `LanguageModel.complete`, recorded under `stage` and the level of difficulty that it was asked at.

        Recorded answers come in order.
        """
        key = _key(asdict(request))
        batch = self._recording.completions.get(key)
        replayed = batch is not None
        if batch is None:
            batch = self._model.complete(request, cancel, on_progress=on_progress, on_completion=on_completion)
            self._check_identity()
            self._prompt_tokens += batch.prompt_tokens
            self._cached_tokens += batch.cached_tokens
            self._generated_tokens += batch.generated_tokens
            self._thought_tokens += batch.thought_tokens
        elif on_completion:
            for index, completion in enumerate(batch.completions):
                on_completion(index, completion)
        answers = [asdict(completion) for completion in batch.completions]
        self._trace.step(
            "complete",
            stage=stage,
            key=key,
            seal=seal(key, answers),
            replayed=replayed,
            messages=[asdict(message) for message in request.messages],
            answers=answers,
            prompt_tokens=batch.prompt_tokens,
            cached_tokens=batch.cached_tokens,
            generated_tokens=batch.generated_tokens,
            thought_tokens=batch.thought_tokens,
            think_cap=request.max_think_tokens,
            difficulty=difficulty,
            seconds=round(batch.seconds, 3),
        )
        return batch

    def judge(self, requests: Sequence[JudgeRequest], cancel: CancelToken, *, stage: str) -> tuple[Verdict, ...]:
        """As `LanguageModel.judge`, recorded under `stage`."""
        keys = [_key(asdict(request)) for request in requests]
        missing = [i for i, key in enumerate(keys) if key not in self._recording.verdicts]
        started = time.monotonic()
        paid: dict[int, Verdict] = {}
        if missing:
            paid = dict(zip(missing, self._model.judge([requests[i] for i in missing], cancel), strict=True))
            self._check_identity()
        seconds = (time.monotonic() - started) / max(1, len(missing))
        verdicts = tuple(paid[i] if i in paid else self._recording.verdicts[key] for i, key in enumerate(keys))
        for i, (key, request, verdict) in enumerate(zip(keys, requests, verdicts, strict=True)):
            if i in paid:
                self._judge_tokens += verdict.prompt_tokens - verdict.cached_tokens
            self._trace.step(
                "judge",
                stage=stage,
                key=key,
                seal=seal(key, verdict.probability, list(verdict.weights)),
                replayed=i not in paid,
                messages=[asdict(message) for message in request.messages],
                probability=verdict.probability,
                prompt_tokens=verdict.prompt_tokens,
                cached_tokens=verdict.cached_tokens,
                seconds=round(seconds, 3) if i in paid else 0.0,
                **({"weights": list(verdict.weights)} if request.answers else {}),
            )
        return verdicts

    def _check_identity(self) -> None:
        """A server that could not be asked who it is has answered now: it must be the one that answered before."""
        identity = identity_of(self._model)
        if not identity or identity == self._identity:
            return
        if self._recording.identity:
            raise another_model(self._recording, self._model.name)
        self._identity = identity
        self._trace.step("model", name=self._model.name, identity=identity)


def _key(request: dict[str, Any]) -> str:
    """The model is not part of it: a recording holds what one model answered (see `Recorded.of`)."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:24]
