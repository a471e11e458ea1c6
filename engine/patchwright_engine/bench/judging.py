"""What the hidden tests say of one issue's candidates: of what was offered, and of what was passed over."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from patchwright_engine.bench.died import died_at, places_of
from patchwright_engine.bench.hidden import HiddenTests
from patchwright_engine.bench.outcomes import Cell, Outcome
from patchwright_engine.bench.truth import Truth

REJECTED = "rejected"
"""The level of what verification did not accept."""


@dataclass(slots=True)
class Judging:
    """Judges the candidates of one instance, each patch once. Not for several threads."""

    instance_id: str
    tree: Path
    """The base commit."""
    hidden: HiddenTests
    truth: Truth
    wanted: frozenset[str]
    """Places of the developer's fix that tell a right place."""
    judge_all: bool
    """Also what was not offered."""
    say: Callable[[str], None]
    known: dict[str, bool] = field(default_factory=dict)

    def is_right(self, patch_id: str, diff: str) -> bool:
        """Raises: as `HiddenTests.run`."""
        if patch_id not in self.known:
            self.say(f"judging patch {patch_id} by the hidden tests")
            self.known[patch_id] = self.hidden.is_right(diff, self.truth)
        return self.known[patch_id]

    def outcome(
        self, key: tuple[Cell, int], offered: str | None, diffs: Mapping[str, str], places: Iterable[str]
    ) -> Outcome:
        """Of a search that offered one of the candidates `diffs` (by patch id) and tried to repair `places`."""
        right = {one: self.is_right(one, diff) for one, diff in diffs.items() if self.judge_all or one == offered}
        resolved = offered is not None and right[offered]
        tried = {*places, *(place for diff in diffs.values() for place in places_of(diff, self.tree))}
        found = any(right.values())
        where = "" if resolved else died_at(self.wanted, tried, found_right=found, all_judged=self.judge_all)
        return Outcome(
            self.instance_id,
            *key,
            resolved=resolved,
            patch=diffs[offered] if offered is not None else "",
            died_at=where,
            found_right=found if self.judge_all or found else None,
            right=tuple(patch_id for patch_id, good in right.items() if good),
        )

    def count_right(self, patch_ids: Iterable[str | None]) -> int | None:
        """How many of these are right, each as often as it is there; None where not all are judged."""
        return sum(one is not None and self.known[one] for one in patch_ids) if self.judge_all else None

    def levels(self, evidence: Mapping[str, str | None]) -> dict[str, tuple[int, int]]:
        """How many candidates have each level, and how many of those are right; nothing where not all are judged."""
        counted: dict[str, tuple[int, int]] = {}
        for patch_id, level in evidence.items() if self.judge_all else ():
            count, right = counted.get(level or REJECTED, (0, 0))
            counted[level or REJECTED] = count + 1, right + self.known[patch_id]
        return counted
