"""What a report tells of one search: the tree of its stages, rounds, locations and candidates, and what they cost.

Texts are as the trace holds them, that is untrusted: whoever shows them makes them harmless.
"""

from dataclasses import dataclass, field

from patchwright_engine.types import Cost, Evidence


@dataclass(frozen=True, slots=True)
class Choice:
    """A file set or a location that was considered."""

    names: tuple[str, ...]
    votes: int
    prm: float | None
    prior: float | None = None
    score: float | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Workspace:
    """What the index held and ranked first."""

    files: int
    symbols: int
    ranking: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Tests:
    """How the project's tests are run, and what they said before any patch."""

    __test__ = False

    runner: str
    python: str
    sandbox: str | None
    reason: str
    files: tuple[str, ...]
    other_files: int = 0
    before: str | None = None
    user_before: str | None = None


@dataclass(slots=True)
class Reproduction:
    """A test the model wrote for the issue."""

    source: str
    votes: int
    valid: bool
    reason: str
    failure: str
    """How it fails before any patch."""


@dataclass(frozen=True, slots=True)
class Run:
    """One command over a candidate, before and after."""

    kind: str
    command: str
    exit: int | None
    before: str
    after: str
    seconds: float | None
    output: str


@dataclass(slots=True)
class Candidate:
    """One rollout: a patch with its verdict, an answer that gave none, or the same patch once more."""

    number: int
    """Of the rollout, 1-based."""
    location: tuple[str, ...] = ()
    patch: str | None = None
    same_as: int | None = None
    """The rollout that wrote this patch first."""
    diff: str = ""
    refused: str | None = None
    hint: str = ""
    revises: int | None = None
    chance: float | None = None
    """That it is right, believed before it was judged."""
    evidence: Evidence | None = None
    agreement: float | None = None
    feedback: str = ""
    flags: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    votes: int = 1
    peers: int | None = None
    orm: float | None = None
    rank: int | None = None
    tokens: int | None = None
    seconds: float = 0.0
    """Of the clock, for its runs."""

    @property
    def verdict(self) -> str:
        """'failing_test', 'reproduced', 'regression_only', 'parses', 'rejected', 'refused' or 'repeated'."""
        if self.same_as is not None:
            return "repeated"
        if self.refused is not None:
            return "refused"
        return self.evidence.value if self.evidence else "rejected"


@dataclass(slots=True)
class Round:
    """One round: tests written for the issue, then candidates by the location they change."""

    number: int
    """1-based."""
    reproductions: list[Reproduction] = field(default_factory=list)
    narrowed: tuple[str, ...] | None = None
    """Locations left once the reproductions showed what runs."""
    candidates: list[Candidate] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    """What the search believed before it, in sentences."""
    remarks: list[str] = field(default_factory=list)
    """What else it wrote, and what it thought afterwards."""
    beliefs: dict[tuple[str, ...], float] = field(default_factory=dict)
    """By location: that the fault is there."""
    seconds: float = 0.0
    tokens: int = 0
    finished: bool = False

    @property
    def by_location(self) -> list[tuple[tuple[str, ...], list[Candidate]]]:
        """Candidates by location, in the order in which the locations came."""
        groups: dict[tuple[str, ...], list[Candidate]] = {}
        for candidate in self.candidates:
            groups.setdefault(candidate.location, []).append(candidate)
        return list(groups.items())


@dataclass(frozen=True, slots=True)
class Fix:
    """A fix as the search offered it at its end."""

    candidate: Candidate
    explanation: str
    differences: tuple[str, ...] = ()
    test: tuple[str, str] | None = None
    """Path and source of the regression test that goes with it."""


@dataclass(slots=True)
class StageCost:
    """What one stage took."""

    stage: str
    samples: int = 0
    """Answers of the model; candidates run, for 'verify'."""
    prompt: int = 0
    cached: int = 0
    generated: int = 0
    judged: int = 0
    verdicts: int = 0
    seconds: float = 0.0

    @property
    def used(self) -> bool:
        return bool(self.samples or self.verdicts or round(self.seconds, 1))


@dataclass(slots=True)
class Report:
    """One search."""

    title: str = ""
    issue: str = ""
    root: str = ""
    budget: str = ""
    rollouts_allowed: int | None = None
    seed: int | None = None
    strategy: str | None = None
    started: str | None = None
    """ISO 8601, UTC."""
    resumed: str | None = None
    model: str | None = None
    stopped: str | None = None
    """None: the trace has no end."""
    reason: str | None = None
    """Why no further rollout was made, where the search tells."""
    cost: Cost = field(default_factory=Cost)
    notes: list[str] = field(default_factory=list)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    """What did not fit the prompts, by stage."""
    workspace: Workspace | None = None
    file_sets: tuple[Choice, ...] = ()
    locations: tuple[Choice, ...] = ()
    tests: Tests | None = None
    followed: str | None = None
    """What following the user's failing test found."""
    rounds: list[Round] = field(default_factory=list)
    ranking: list[str] = field(default_factory=list)
    """How equals were told apart, in words."""
    fixes: tuple[Fix, ...] = ()
    stages: tuple[StageCost, ...] = ()
    gaps: tuple[str, ...] = ()
    """What the trace lacks, in words; empty for a whole one."""
    journal: list[tuple[float, str, tuple[str, ...]]] = field(default_factory=list)
    """Every step: seconds since the start, what, details."""

    @property
    def candidates(self) -> list[Candidate]:
        return [candidate for one in self.rounds for candidate in one.candidates]

    @property
    def best(self) -> Fix | None:
        return self.fixes[0] if self.fixes else None
