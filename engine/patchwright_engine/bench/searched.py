"""One finished search, read back from its trace: what it wrote, what it offered, what that took.

Everything is counted as if nothing had been known before: answers taken over from earlier searches cost what they cost
then. Invariant: a trace without its end is no finished search.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchwright_engine.errors import BadInput
from patchwright_engine.search.dev_search import BELIEVED, NOT_WORTH_IT
from patchwright_engine.search.rollouts import Drawn, drawn_from_json
from patchwright_engine.search.trace import read_trace


@dataclass(frozen=True, slots=True)
class Searched:
    """What a trace tells."""

    stopped: str
    rollouts: int
    offered: str | None
    """Id of the patch ranked first."""
    evidence: Mapping[str, str | None]
    """Patch id → level at the end; None: rejected. In the order in which they were written."""
    diffs: Mapping[str, str]
    """Patch id → diff."""
    places: frozenset[str]
    """What was to be repaired, as 'path::name', as far as the trace tells."""
    tokens: int
    thought_tokens: int
    seconds: float
    model_seconds: float
    """Part of `seconds` in which answers were written."""
    drawn: Drawn | None
    """Of a fixed strategy."""

    same_for_more: bool
    """Whether a larger budget surely ends alike: the search ended by itself, or found nowhere to begin."""


def read_searched(path: Path) -> Searched | None:
    """The last search of a trace file; None when it has no end, or was cancelled.

    Raises:
        BadInput: the file is no trace.
    """
    steps = last_search(list(read_trace(path)))
    if not steps or steps[-1]["kind"] != "end":
        return None
    try:
        return _searched(steps)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} is damaged: {error!r}", "Delete it, and the search is made again.") from error


def last_search(steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """From the last 'start' on: a search that was interrupted goes on in the same file, from its beginning."""
    starts = [number for number, step in enumerate(steps) if step["kind"] == "start"]
    return list(steps[starts[-1] :]) if starts else []


def _searched(steps: Sequence[dict[str, Any]]) -> Searched | None:
    result = steps[-1]["result"]
    if result["stopped"] == "cancelled":
        return None
    written = [step for step in steps if step["kind"] == "complete"]
    candidates = [step for step in steps if step["kind"] == "candidate"]
    judged = [step for step in candidates if "diff" in step]
    evidence = {step["patch"]: step.get("evidence") for step in judged}
    diffs = {step["patch"]: step["diff"] for step in judged}
    for fix in result["fixes"]:
        evidence[fix["id"]] = fix["evidence"]
        diffs[fix["id"]] = fix["diff"]
    drawn = next((drawn_from_json(step) for step in reversed(steps) if step["kind"] == "drawn"), None)
    places = {place for step in candidates for place in step.get("location", ())}
    places |= {place for rollout in (drawn.rollouts if drawn else ()) for place in rollout.location}
    again = sum(step["seconds"] for step in written if step["replayed"])
    return Searched(
        stopped=result["stopped"],
        rollouts=result["cost"]["rollouts"],
        offered=result["fixes"][0]["id"] if result["fixes"] else None,
        evidence=evidence,
        diffs=diffs,
        places=frozenset(places),
        tokens=sum(step["generated_tokens"] for step in written),
        thought_tokens=sum(_thoughts(answer) for step in written for answer in step["answers"]),
        seconds=round(result["cost"]["seconds"] + again, 2),
        model_seconds=round(sum(step["seconds"] for step in written), 2),
        drawn=drawn,
        same_for_more=_ended_by_itself(steps) or (result["stopped"] == "no_candidates" and not candidates),
    )


def _ended_by_itself(steps: Sequence[dict[str, Any]]) -> bool:
    """No decision of Dev-Search depends on the budget that is left, so it would have ended there with more, too.

    A reason that is not known here is none: then the larger budget is searched, over the same recording.
    """
    return any(step["kind"] == "stop" and step["reason"] in (BELIEVED, NOT_WORTH_IT) for step in steps)


def _thoughts(answer: Mapping[str, Any]) -> int:
    """Tokens of an answer's thoughts: as counted, else by their share of its characters."""
    if "think_tokens" in answer:
        return int(answer["think_tokens"])
    thought, said = len(answer["think"]), len(answer["answer"])
    return round(answer["tokens"] * thought / (thought + said)) if thought else 0
