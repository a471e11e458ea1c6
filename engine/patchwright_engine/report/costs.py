"""What each stage of a search took: model tokens as they were paid, and the clock, shared out among the stages.

Each step is written when its work is done, so the time since the step before belongs to the stage of this one; the
shares add up to the whole. What a resumed search had from its recording costs nothing.
"""

from patchwright_engine.report.fields import Step, maybe_number, maybe_whole, number, rows, text, truth, whole
from patchwright_engine.report.values import StageCost
from patchwright_engine.types import Cost

STAGES = ("index", "model", "understand", "locate", "baseline", "reproduce", "repair", "verify", "rank")

_STAGE_OF = {
    "start": "index",
    "index": "index",
    "model": "model",
    "file_sets": "understand",
    "locations": "locate",
    "execution": "locate",
    "environment": "baseline",
    "baseline": "baseline",
    "nearby_tests": "reproduce",
    "reproduction": "reproduce",
    "narrowed": "locate",
    "widened": "locate",
    "plan": "repair",
    "walks": "locate",
    "drawn": "rank",
    "belief": "verify",
    "stop": "rank",
    "candidate": "verify",
    "round": "verify",
    "contradicted": "rank",
    "behaviour": "rank",
    "test": "rank",
    "end": "rank",
}


class Costs:
    """Gathers the steps of one search in order."""

    def __init__(self) -> None:
        self._by_stage = {stage: StageCost(stage) for stage in STAGES}
        self._at = 0.0
        self._rollouts = 0
        self._current = STAGES[0]

    def add(self, step: Step) -> float:
        """Count one step; returns the seconds since the one before. Raises DamagedError."""
        stage = self._by_stage[self._stage(step)]
        at = number(step, "at")
        passed = max(0.0, at - self._at)
        self._at = max(self._at, at)
        stage.seconds += passed
        if step["kind"] == "complete":
            stage.samples += len(rows(step, "answers"))
            if not truth(step, "replayed"):
                stage.prompt += whole(step, "prompt_tokens")
                stage.cached += whole(step, "cached_tokens")
                stage.generated += whole(step, "generated_tokens")
        elif step["kind"] == "judge":
            stage.verdicts += 1
            if not truth(step, "replayed"):
                stage.judged += max(
                    0, (maybe_whole(step, "prompt_tokens") or 0) - (maybe_whole(step, "cached_tokens") or 0)
                )
        elif step["kind"] == "candidate":
            stage.samples += "diff" in step
            self._rollouts = max(self._rollouts, whole(step, "rollout"))
        return passed

    def stages(self) -> tuple[StageCost, ...]:
        """Those that took anything."""
        return tuple(stage for stage in self._by_stage.values() if stage.used)

    def total(self) -> Cost:
        """The sum, for a trace that has no end to tell it."""
        stages = self._by_stage.values()
        return Cost(
            self._rollouts,
            sum(stage.prompt for stage in stages),
            sum(stage.cached for stage in stages),
            sum(stage.generated for stage in stages),
            sum(stage.judged for stage in stages),
            round(self._at, 2),
        )

    def _stage(self, step: Step) -> str:
        """Notes, and what this version does not know, belong to whatever was under way."""
        kind = str(step["kind"])
        named = text(step, "stage") if kind in ("complete", "judge", "dropped") else _STAGE_OF.get(kind, self._current)
        self._current = named if named in self._by_stage else self._current
        return self._current


def cost_of(result: Step) -> Cost:
    """The cost that a search told at its end. Raises DamagedError."""
    cost = result.get("cost")
    told: Step = cost if isinstance(cost, dict) else {}
    return Cost(
        whole(told, "rollouts"),
        whole(told, "prompt_tokens"),
        whole(told, "cached_tokens"),
        whole(told, "generated_tokens"),
        maybe_whole(told, "judge_tokens") or 0,
        maybe_number(told, "seconds") or 0.0,
    )
