"""A model that writes every exchange to the trace and answers again from an earlier trace for free.

This is how a search is resumed and deepened: the search is deterministic for a seed, so running it again over
the recorded exchanges walks the same tree without paying for it, and only what is new reaches the model.
A changed repository changes the prompts, and the recording simply stops matching.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
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
from patchwright_engine.search.trace import Trace
from patchwright_engine.types import Cost


@dataclass(frozen=True, slots=True)
class Recording:
    """Exchanges of an earlier trace by request key."""

    completions: dict[str, CompletionBatch]
    verdicts: dict[str, Verdict]
    model: str | None = None
    """Which model answered; None in a trace that ended before one was opened."""

    def answers_for(self, model: str) -> bool:
        """Whether these may stand for `model`'s own answers. A server goes by its address, which may move."""
        names = {self.model, model} - {None}
        return len(names) == 1 or any("://" in name for name in names if name)


def load_recording(steps: Iterable[dict[str, Any]]) -> Recording:
    """Collect the 'model', 'complete' and 'judge' steps of a trace; damaged ones are paid for again."""
    completions: dict[str, CompletionBatch] = {}
    verdicts: dict[str, Verdict] = {}
    model: str | None = None
    for step in steps:
        with contextlib.suppress(KeyError, TypeError):
            if step["kind"] == "complete":
                completions[step["key"]] = CompletionBatch(
                    tuple(Completion(**answer) for answer in step["answers"]),
                    step["prompt_tokens"],
                    step["cached_tokens"],
                    step["generated_tokens"],
                    step["seconds"],
                )
            elif step["kind"] == "judge":
                verdicts[step["key"]] = Verdict(step["probability"], weights=tuple(step.get("weights", ())))
            elif step["kind"] == "model":
                model = str(step["name"])
    return Recording(completions, verdicts, model)


class RecordedModel:
    """Wraps the job's model: counts cost, writes the trace, replays a recording. One job, one thread."""

    def __init__(self, model: LanguageModel, trace: Trace, recording: Recording | None = None) -> None:
        self._model = model
        self._trace = trace
        self._recording = recording or Recording({}, {})
        trace.step("model", name=model.name)
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
    ) -> CompletionBatch:
        """As `LanguageModel.complete`, recorded under `stage` and the level of difficulty that it was asked at."""
        key = _key(asdict(request))
        batch = self._recording.completions.get(key)
        replayed = batch is not None
        if batch is None:
            batch = self._model.complete(request, cancel, on_progress=on_progress)
            self._prompt_tokens += batch.prompt_tokens
            self._cached_tokens += batch.cached_tokens
            self._generated_tokens += batch.generated_tokens
            self._thought_tokens += batch.thought_tokens
        self._trace.step(
            "complete",
            stage=stage,
            key=key,
            replayed=replayed,
            messages=[asdict(message) for message in request.messages],
            answers=[asdict(completion) for completion in batch.completions],
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
        paid = dict(
            zip(missing, self._model.judge([requests[i] for i in missing], cancel) if missing else (), strict=True)
        )
        verdicts = tuple(paid[i] if i in paid else self._recording.verdicts[key] for i, key in enumerate(keys))
        for i, (key, request, verdict) in enumerate(zip(keys, requests, verdicts, strict=True)):
            if i in paid:
                self._judge_tokens += verdict.prompt_tokens - verdict.cached_tokens
            self._trace.step(
                "judge",
                stage=stage,
                key=key,
                replayed=i not in paid,
                messages=[asdict(message) for message in request.messages],
                probability=verdict.probability,
                **({"weights": list(verdict.weights)} if request.answers else {}),
            )
        return verdicts


def _key(request: dict[str, Any]) -> str:
    """The model is not part of it: a server's name may change between two searches (see `answers_for`)."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:24]
