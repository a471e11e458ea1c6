"""What came of searching one issue with one strategy and budget: a value, and the file that keeps all of them.

Invariant: a line is written whole or not at all, and the last line of one search counts.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from patchwright_engine.bench.died import ENVIRONMENT
from patchwright_engine.errors import BadInput, EnvironmentProblem

NAME = "outcomes.jsonl"


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One way to search: what a curve has a point for."""

    strategy: str
    sampling: str
    """How fixed strategies sampled their repairs; '' for those that have a way of their own."""
    budget: int

    @property
    def name(self) -> str:
        """For tables and file names."""
        return f"{self.strategy}-{self.sampling}-{self.budget}" if self.sampling else f"{self.strategy}-{self.budget}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One issue, one repetition, one cell."""

    instance_id: str
    cell: Cell
    repetition: int = 0
    resolved: bool = False
    """By the hidden tests."""
    evidence: str | None = None
    """Of what was offered first. None: nothing was offered."""
    patch: str = ""
    """What was offered first, as a diff."""
    rollouts: int = 0
    tokens: int = 0
    """Generated ones, thoughts included, as if nothing had been known before."""
    thought_tokens: int = 0
    seconds: float = 0.0
    """As if nothing had been known before; of what was replayed from more rollouts, its part."""
    died_at: str = ""
    stopped: str = ""
    reason: str = ""
    """Why there was no search, when there was none."""
    right_rollouts: int | None = None
    """Of a fixed strategy's rollouts, those whose patch is right. None: not all were judged."""
    found_right: bool | None = None
    """Whether some candidate is right, offered or not. None: not all were judged."""
    right: tuple[str, ...] = ()
    """Ids of the candidates that are known to be right."""
    levels: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Evidence, or 'rejected' → distinct candidates, and how many of them are right. Empty: they were not judged."""
    trace: str = ""
    """Of the search it comes from, below the folder of results."""

    @property
    def key(self) -> tuple[str, Cell, int]:
        return self.instance_id, self.cell, self.repetition

    @property
    def final(self) -> bool:
        """Whether a later run need not try again: what stood in the way of a search may have been mended."""
        return self.died_at != ENVIRONMENT


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """One line of the file, and one entry of `results.json`."""
    row = asdict(outcome)
    return {"instance_id": row.pop("instance_id"), **row.pop("cell"), **row}


def outcome_from_json(row: Mapping[str, Any]) -> Outcome:
    """The inverse; keys of later versions are passed over. Raises KeyError, TypeError or ValueError."""
    known = {one.name: row[one.name] for one in fields(Outcome) if one.name in row}
    cell = Cell(str(row["strategy"]), str(row["sampling"]), int(row["budget"]))
    levels = {str(level): (int(count), int(right)) for level, (count, right) in row.get("levels", {}).items()}
    return Outcome(**{**known, "cell": cell, "levels": levels, "right": tuple(map(str, row.get("right", ())))})


def read_outcomes(folder: Path) -> dict[tuple[str, Cell, int], Outcome]:
    """All that a folder of results holds, in the order in which it came.

    Raises:
        BadInput: the file holds something else.
    """
    path = folder / NAME
    try:
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {error}", "Name another folder with --out.") from error
    found: dict[tuple[str, Cell, int], Outcome] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            outcome = outcome_from_json(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(lines):  # Cut off when the machine went down.
                continue
            raise BadInput(f"{path}, line {number} is no outcome of a search", "Name another --out.") from error
        found[outcome.key] = outcome
    return found


def append_outcome(folder: Path, outcome: Outcome) -> None:
    """Keep one. One thread at a time. Raises EnvironmentProblem when the disk does not take it."""
    path = folder / NAME
    try:
        with path.open("a+b") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)  # What an earlier run was writing when the machine went down.
            file.write(json.dumps(outcome_to_json(outcome)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {path}: {error.strerror}", "Free disk space.") from error


def make_out(out: Path) -> None:
    """Make the folder of results. Raises EnvironmentProblem when it cannot be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write to {out}: {error.strerror}", "Name another folder with --out."
        ) from error


def write_whole(path: Path, text: str) -> None:
    """Replace a file at once, so that who reads it never sees half. Raises EnvironmentProblem."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, path)  # noqa: PTH105 - the atomic one, by its own name
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {path}: {error.strerror}", "Free disk space.") from error
