"""What a model answered in an earlier search, read from its trace so that the same need not be asked again.

Invariants: an answer is taken only whole, as it was written, and only for the model that gave it: a damaged one is
asked anew, and those of another model are refused. A cache is never trusted, and this is one.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patchwright_engine.errors import BadInput
from patchwright_engine.model.backend import Completion, CompletionBatch, LanguageModel, Verdict
from patchwright_engine.search.trace import read_lines

OTHERS = "Choose that model again (--model, or the setting `model`), or start anew without the earlier search."


@dataclass(frozen=True, slots=True)
class Recording:
    """Exchanges with one model, by request key."""

    completions: dict[str, CompletionBatch] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    model: str | None = None
    """The name of which model answered; None in a trace that ended before one was opened."""
    identity: str = ""
    """What told that model from others of its name (`identity_of`); '' where nothing did."""

    def answers_for(self, name: str, identity: str) -> bool:
        """Whether these may stand for that model's own answers.

        A server that cannot be asked now goes by its address, which may move: it stands for what a server answered.
        """
        if self.identity and identity:
            return self.identity == identity
        if "://" in name:
            return self.model is None or "://" in self.model or self.identity.startswith("served:")
        return self.model in (None, name)


@dataclass(frozen=True, slots=True)
class Recorded:
    """All that a trace holds, the exchanges with each model apart."""

    parts: tuple[Recording, ...]
    damaged: int = 0
    """Lines and exchanges that cannot be believed."""

    def of(self, model: LanguageModel) -> Recording:
        """What `model` need not be asked again.

        Raises:
            BadInput: only other models answered.
        """
        name, identity = model.name, identity_of(model)
        told = [part for part in self.parts if part.completions or part.verdicts]
        mine = [part for part in told if part.answers_for(name, identity)]
        if told and not mine:
            raise another_model(told[-1], name)
        last = mine[-1] if mine else Recording()
        merged = Recording({}, {}, last.model, last.identity)
        for part in mine:
            merged.completions.update(part.completions)
            merged.verdicts.update(part.verdicts)
        return merged


def identity_of(model: LanguageModel) -> str:
    """What tells a model from another of the same name: weights and adapters, or what a server calls it; '' unknown."""
    return str(getattr(model, "identity", ""))


def another_model(recording: Recording, name: str) -> BadInput:
    """The error for a search that another model than `name` began."""
    if recording.model == name:
        return BadInput(
            f"the earlier search was made by {name} with other weights or adapters than it has now",
            f"Put them back, or {OTHERS.partition(', or ')[2]}",
        )
    return BadInput(f"the earlier search was made by {recording.model}, and this one asks {name}", OTHERS)


def read_recording(path: Path) -> Recorded:
    """The exchanges in the trace at `path`, and in those that it went on from, as far as they are still there.

    A search that was killed soon after it was resumed has not walked over all that was paid for before.

    Raises:
        BadInput: it cannot be read, or is no trace.
    """
    recorded, before = _read(path)
    parts, seen = recorded.parts, {path}
    while before is not None and before not in seen and before.is_file():
        seen.add(before)
        try:
            earlier, before = _read(before)
        except BadInput:
            break
        parts = earlier.parts + parts
    return Recorded(parts, recorded.damaged)


def _read(path: Path) -> tuple[Recorded, Path | None]:
    """What one trace holds, and the one that it went on from."""
    before: list[Path] = []

    def noting() -> Iterator[dict[str, Any] | None]:
        for step in read_lines(path):
            if step is not None and step["kind"] == "start" and isinstance(step.get("resumed"), str):
                before.append(Path(step["resumed"]))
            yield step

    recorded = load_recording(noting())
    return recorded, before[-1] if before else None


def load_recording(steps: Iterable[Mapping[str, Any] | None]) -> Recorded:
    """Collect the 'model', 'complete' and 'judge' steps of a trace; None is a line that could not be read."""
    parts = [Recording()]
    damaged = 0
    for step in steps:
        try:
            if step is None:
                raise ValueError
            if step["kind"] == "complete":
                parts[-1].completions[_text(step["key"])] = _batch(step)
            elif step["kind"] == "judge":
                parts[-1].verdicts[_text(step["key"])] = _verdict(step)
            elif step["kind"] == "model":
                parts.append(Recording({}, {}, _text(step["name"]), _text(step.get("identity", ""))))
        except (KeyError, TypeError, ValueError, OverflowError):
            damaged += 1
    return Recorded(tuple(parts), damaged)


def seal(key: str, *answered: object) -> str:
    """A digest of one exchange as JSON writes it: a bit that changed on the disk is found by it."""
    return hashlib.sha256(json.dumps([key, *answered]).encode()).hexdigest()[:24]


def _batch(step: Mapping[str, Any]) -> CompletionBatch:
    answers = step["answers"]
    if "seal" in step and step["seal"] != seal(step["key"], answers):
        raise ValueError
    completions = tuple(_completion(answer) for answer in answers)
    if not completions:
        raise ValueError
    prompt, cached, generated = (int(step[name]) for name in ("prompt_tokens", "cached_tokens", "generated_tokens"))
    return CompletionBatch(completions, prompt, cached, generated, float(step["seconds"]))


def _completion(values: Mapping[str, Any]) -> Completion:
    logprob = values.get("mean_logprob")
    return Completion(
        _text(values["answer"]),
        _text(values.get("think", "")),
        int(values.get("tokens", 0)),
        _text(values.get("finish", "stop")),
        None if logprob is None else float(logprob),
        int(values.get("think_tokens", 0)),
        _text(values.get("think_end", "")),
    )


def _verdict(step: Mapping[str, Any]) -> Verdict:
    probability, weights = step["probability"], step.get("weights", [])
    if "seal" in step and step["seal"] != seal(step["key"], probability, weights):
        raise ValueError
    if probability is not None and not 0 <= probability <= 1:
        raise ValueError
    return Verdict(probability, weights=tuple(float(weight) for weight in weights))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
