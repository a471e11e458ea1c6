"""The values that flow between stages: frozen, slotted, and free of behaviour beyond what derives from them.

Paths inside a snapshot are `RepoPath` (POSIX, relative, no '..'); absolute `Path` appears at I/O edges only.
Lines are 1-based and inclusive wherever a person could read them (symbols, locations).
"""

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NewType

from patchwright_engine.errors import StaleSnapshot

RepoPath = NewType("RepoPath", str)


class Evidence(StrEnum):
    """How strongly a fix is proven, strongest first (DESIGN §3). Shown to users in `words`."""

    FAILING_TEST = "failing_test"
    REPRODUCED = "reproduced"
    REGRESSION_ONLY = "regression_only"
    PARSES = "parses"

    @property
    def strength(self) -> int:
        """3 for the strongest level down to 0."""
        return 3 - list(Evidence).index(self)

    @property
    def verified(self) -> bool:
        """Whether the fix may be called verified: the fault was seen before and is gone after."""
        return self.strength >= Evidence.REPRODUCED.strength

    @property
    def words(self) -> str:
        """The level as a person reads it."""
        return {
            Evidence.FAILING_TEST: "a test that failed before now passes, and no other test newly fails",
            Evidence.REPRODUCED: "a reproduction test fails before and passes after; no test newly fails",
            Evidence.REGRESSION_ONLY: "no test newly fails; nothing shows that the issue is gone",
            Evidence.PARSES: "it parses; nothing that was run shows more",
        }[self]


@dataclass(frozen=True, slots=True)
class Issue:
    """What the user wants fixed. `text` is untrusted: it never chooses a command, endpoint or policy."""

    text: str
    origin: str = "text"
    """'text', 'diagnostic', 'traceback', 'test' or 'selection'."""
    path: RepoPath | None = None
    line: int | None = None
    test_command: str | None = None
    """The user's own `--test` command line, run through the shell of the sandbox."""

    @property
    def title(self) -> str:
        """The first non-empty line, for lists and logs."""
        return next((line.strip()[:120] for line in self.text.splitlines() if line.strip()), "")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left out, or a folder (its path ends with '/') that was not entered, and why."""

    path: RepoPath
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One immutable view of a workspace: disk plus unsaved buffers.

    `files` maps every non-ignored file to the sha256 of its content; `overlays` holds the unsaved texts.
    """

    root: Path
    revision: str
    files: Mapping[RepoPath, str]
    overlays: Mapping[RepoPath, bytes] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    """What no ignore rule hides and is missing all the same."""

    def read_bytes(self, path: RepoPath) -> bytes:
        """Content of one file, the unsaved buffer before the disk.

        Raises:
            OSError: as the disk does.
            StaleSnapshot: the file is not what it was when the snapshot was taken.
        """
        overlay = self.overlays.get(path)
        if overlay is not None:
            return overlay
        content = (self.root / path).read_bytes()
        if path in self.files and self.files[path] != hashlib.sha256(content).hexdigest():
            raise StaleSnapshot(f"{path} changed while the job was running", "Start the job again.")
        return content

    def read_text(self, path: RepoPath) -> str:
        """As `read_bytes`, decoded as UTF-8 with undecodable bytes kept as surrogates; line ends untouched."""
        return self.read_bytes(path).decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Symbol:
    """A named definition. `name` is qualified within its file, e.g. 'Parser.parse'."""

    path: RepoPath
    name: str
    kind: str
    """'function', 'method', 'class' or 'variable'."""
    start_line: int
    end_line: int
    signature: str = ""


@dataclass(frozen=True, slots=True)
class RankedFile:
    """A file with its localization score and what each signal contributed (unweighted, 0-1)."""

    path: RepoPath
    score: float
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RankedSymbol:
    """A symbol with its localization score and the signals it came from (unweighted, 0-1)."""

    symbol: Symbol
    score: float
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Localization's answer, best first."""

    files: tuple[RankedFile, ...]
    symbols: tuple[RankedSymbol, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class FileSet:
    """Repository understanding's output: files believed relevant, best first."""

    paths: tuple[RepoPath, ...]
    votes: int = 1


@dataclass(frozen=True, slots=True)
class Location:
    """Fault localization's output: the symbols to change, best first."""

    symbols: tuple[Symbol, ...]
    votes: int = 1


@dataclass(frozen=True, slots=True)
class FileEdit:
    """The whole text of one file before and after. Line ends are the file's own."""

    path: RepoPath
    before: str
    after: str
    created: bool = False
    """The file does not exist yet; `before` is then empty."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Edits to one or more files that apply together or not at all."""

    edits: tuple[FileEdit, ...]

    @property
    def paths(self) -> tuple[RepoPath, ...]:
        return tuple(edit.path for edit in self.edits)

    @property
    def diff(self) -> str:
        """A unified diff with a/ and b/ prefixes, as `git apply` takes it."""
        return "".join(_file_diff(edit) for edit in self.edits)

    @property
    def id(self) -> str:
        """Stable short id of the change: equal patches have equal ids."""
        return hashlib.sha256(self.diff.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _file_diff(edit: FileEdit) -> str:
    old = "/dev/null" if edit.created else f"a/{edit.path}"
    lines = difflib.unified_diff(_lines(edit.before), _lines(edit.after), old, f"b/{edit.path}")
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Lines with their ends, split at line feeds only, as git and every diff tool do."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


@dataclass(frozen=True, slots=True)
class Command:
    """One process to run inside a sandbox. `argv[0]` is absolute or found on the sandbox's own PATH."""

    argv: tuple[str, ...]
    cwd: str = "."
    """Relative to the workspace copy."""
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 120.0
    memory_bytes: int = 4 << 30
    output_bytes: int = 1 << 20
    """Output beyond this is dropped from the middle; the run goes on."""
    max_processes: int = 256
    disk_bytes: int = 4 << 30
    """What the run may add to the folders it can write; never more than half of what is free."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one sandboxed run did. `exit_code` is None when it did not exit by itself."""

    argv: tuple[str, ...]
    exit_code: int | None
    output: str
    seconds: float
    outcome: str = "exited"
    """'exited', 'timeout', 'signalled' or 'cancelled'."""
    truncated: bool = False
    sandbox: str = ""
    """Which sandbox isolated it: 'bubblewrap', 'landlock', ..."""


@dataclass(frozen=True, slots=True)
class FixRun:
    """One line of proof: the same command before and after the patch, from our own run records."""

    kind: str
    """'reproduction', 'regression' or 'user_test'."""
    command: str
    exit: int | None
    """Exit status after the patch; None when the run was cut short."""
    before: str
    """What it showed before, e.g. '1 failed' or '42 passed'."""
    after: str
    seconds: float
    output: str = ""
    """What it printed after the patch, the part that tells, for people; shortened."""


@dataclass(frozen=True, slots=True)
class Fix:
    """A candidate the user may accept, with its proof."""

    id: str
    rank: int
    evidence: Evidence
    score: float
    patch: Patch
    explanation: str
    runs: tuple[FixRun, ...] = ()
    differences: tuple[str, ...] = ()
    """Inputs on which it behaves unlike other fixes of the job, with what each does there, from our own runs."""
    test: FileEdit | None = None
    """A regression test to go with it: failed at its place before the fix and passed after. Never part of `patch`."""
    flags: tuple[str, ...] = ()
    """What in it deserves a second look, each going on from "the patch": often a cheat, sometimes right."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job spent."""

    rollouts: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    judge_tokens: int = 0
    seconds: float = 0.0
    thought_tokens: int = 0
    """Part of `generated_tokens` that models thought before they answered."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One walk understand → locate → repair → verify, as the trace tells it."""

    number: int
    files: tuple[RepoPath, ...]
    location: tuple[str, ...]
    patch_id: str | None
    evidence: Evidence | None
    died_at: str | None
    """The stage at which the walk ended without a fix, or None."""


@dataclass(frozen=True, slots=True)
class FixResult:
    """A finished job: what `fix --json` prints (DESIGN §3)."""

    issue: Issue
    fixes: tuple[Fix, ...]
    cost: Cost
    stopped: str
    """'verified', 'budget', 'cancelled' or 'no_candidates'."""
    trace: Path
    notes: tuple[str, ...] = ()
    """What the user should know: what did not fit, what could not run, and why."""
