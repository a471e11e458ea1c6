"""Run one search so that a kill at any time loses nothing that was paid for.

A search writes into NAME.part. When it has ended, NAME.jsonl holds that search alone. A search that was killed goes on
from its part, and every new one may answer from the finished searches of the same issue: the key of an answer is the
whole request, so what is taken over is what the model would say again. Invariant: NAME.jsonl is there whole or not at
all.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from patchwright_engine.bench.searched import last_search
from patchwright_engine.control import CancelToken, ProgressSink
from patchwright_engine.errors import BadInput, Cancelled, EnvironmentProblem
from patchwright_engine.model.backend import LanguageModel
from patchwright_engine.pipeline import FixRequest, run_fix
from patchwright_engine.search.trace import read_trace

_PAID = ("model", "complete", "judge")


def search_once(
    request: FixRequest,
    trace: Path,
    known: Iterable[Path],
    *,
    model: LanguageModel,
    cancel: CancelToken,
    progress: ProgressSink,
) -> None:
    """Make the search of `trace`, which is not there yet; `known` are traces of finished searches.

    Raises:
        Cancelled: the part is kept, and the next call goes on from it.
        PatchwrightError: as `run_fix`; the part is kept.
    """
    part = trace.with_suffix(".part")
    try:
        trace.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        begun = _begin(part, known)
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {part}: {error.strerror}", "Free disk space.") from error
    request = replace(request, trace=part, resume=part if begun else None)
    result = run_fix(request, cancel=cancel, progress=progress, model=model)
    if result.stopped == "cancelled":
        raise Cancelled("user")
    try:
        _finish(part, trace)
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {trace}: {error.strerror}", "Free disk space.") from error


def _begin(part: Path, known: Iterable[Path]) -> bool:
    """Make the part hold whole lines only, and all that is known; whether there is anything."""
    if part.exists():
        whole = part.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]
    else:
        whole = "".join(_paid_lines(known)).encode()
    fresh = part.with_suffix(".new")
    fresh.write_bytes(whole)
    fresh.chmod(0o600)
    os.replace(fresh, part)  # noqa: PTH105 - the atomic one, by its own name
    return bool(whole)


def _paid_lines(traces: Iterable[Path]) -> list[str]:
    """The steps of some traces that hold answers of the model, each once. A trace that cannot be read holds none."""
    lines: dict[object, str] = {}
    for path in traces:
        with contextlib.suppress(BadInput):
            for step in read_trace(path):
                if step["kind"] in _PAID:
                    lines.setdefault((step["kind"], step.get("key")), json.dumps(step) + "\n")
    return list(lines.values())


def _finish(part: Path, trace: Path) -> None:
    steps = last_search(list(read_trace(part)))
    fresh = trace.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(step) + "\n" for step in steps)
        file.flush()
        os.fsync(file.fileno())
    fresh.chmod(0o600)
    os.replace(fresh, trace)  # noqa: PTH105 - the atomic one, by its own name
    part.unlink()
