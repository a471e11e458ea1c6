"""What comes out of a check of the verifier: one report an instance, and its way to JSON lines and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from patchwright_engine.types import Evidence


@dataclass(frozen=True, slots=True)
class GoldOptions:
    """How hard to try. Results of other options are not taken for these."""

    wrong: int = 5
    """Wrong patches an instance."""
    seed: int = 0
    test_files: int = 8
    """Regression test files, the nearest to the fix first."""
    timeout_seconds: float = 120.0
    """For each run of tests."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the verifier said of one patch."""

    truth: str
    """'gold', 'empty' or 'wrong'."""
    change: str
    evidence: str | None
    """None: rejected."""
    feedback: str
    seconds: float

    @property
    def accepted(self) -> bool:
        """Whether the verifier stands by the patch: what merely parses it never calls verified."""
        return self.evidence is not None and Evidence(self.evidence).strength >= Evidence.REGRESSION_ONLY.strength


@dataclass(frozen=True, slots=True)
class SettingReport:
    """One instance in one setting."""

    setting: str
    command: str | None
    tests: tuple[str, ...]
    """The regression test files."""
    baseline: str
    notes: tuple[str, ...]
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class InstanceReport:
    """One instance, however far it came."""

    instance_id: str
    status: str
    """'judged'; 'waiting': its test runner is not supported; 'setup_failed'; 'unsound': its own tests do not tell right
    from wrong on this machine; 'failed': the verifier gave up."""
    reason: str = ""
    runner: str = ""
    sandbox: str = ""
    fail_to_pass: int = 0
    pass_to_pass: int = 0
    equivalent: tuple[str, ...] = ()
    """Mutants that every hidden test passes: not known to be wrong, hence not judged."""
    settings: tuple[SettingReport, ...] = ()
    seconds: float = 0.0


def report_from_json(row: Mapping[str, Any]) -> InstanceReport:
    """The report that `dataclasses.asdict` made a row of. Raises KeyError or TypeError for anything else."""
    settings = tuple(map(setting_from_json, row["settings"]))
    return InstanceReport(**{**row, "equivalent": tuple(row["equivalent"]), "settings": settings})


def setting_from_json(row: Mapping[str, Any]) -> SettingReport:
    """As `report_from_json`, for one setting."""
    judged = tuple(Judged(**one) for one in row["judged"])
    return SettingReport(**{**row, "tests": tuple(row["tests"]), "notes": tuple(row["notes"]), "judged": judged})
