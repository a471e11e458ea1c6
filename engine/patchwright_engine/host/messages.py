"""What the language server and an engine host say to each other: one JSON object a line, both ways.

Every message is a frozen dataclass whose fields are plain JSON values; `encode` and `decode` add and read the
"type". The peer is our own process, so a malformed line is a broken promise (`ValueError`), never repaired.
Files of the workspace are named by absolute path, links resolved: both sides may know the root by other names.
Source text travels in pieces (lists of strings), so that a writer with an event loop can encode it in turns, and
the edits of a fix travel packed, so that the server hands them on without ever parsing them.
"""

import base64
import dataclasses
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patchwright_engine.search.budget import TEST_SECONDS
from patchwright_engine.text.rebase import changed_lines
from patchwright_engine.types import FileEdit, Fix, RepoPath


@dataclass(frozen=True, slots=True)
class _OnIssue:
    """What every job about an issue is told: what the user means, and what their buffers hold now."""

    id: int
    job: str
    text: str
    origin: str = "text"
    path: str | None = None
    line: int | None = None
    overlays: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Open buffers: path to the pieces of its text, in order."""


@dataclass(frozen=True, slots=True)
class StartFix(_OnIssue):
    """Start a fix job. Answered at once with {"trace": path}; events follow."""

    test_command: str | None = None
    budget: str = "standard"
    seed: int = 0
    model: str | None = None
    python: str | None = None
    test_timeout: float = TEST_SECONDS
    resume: str | None = None
    """Trace of an earlier search to deepen."""


@dataclass(frozen=True, slots=True)
class StartLocate(_OnIssue):
    """Rank the places an issue may come from, as a job, without a model. Answered at once; the end event has them."""

    top: int = 10
    test_command: str | None = None
    """A failing test to follow: its id, or a command that names it, as seen from the folder that the host serves."""
    test_here: bool = False
    """Follow the test at `path` and `line`."""
    python: str | None = None


@dataclass(frozen=True, slots=True)
class StartIndex:
    """Build or refresh the index as a job."""

    id: int
    job: str


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Cancel a job. Answered with {"known": bool}; the job's own end event follows."""

    id: int
    job: str


@dataclass(frozen=True, slots=True)
class ListJobs:
    """Answered with {"jobs": [id, ...]}, the ones still running."""

    id: int


@dataclass(frozen=True, slots=True)
class ApplyCheck:
    """Ask where a fix lands in today's texts. Answered with a `Placement` as JSON."""

    id: int
    edits: str
    """`FoundFix.edits`, untouched."""
    current: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Open buffers in pieces; files not named here are read from disk."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request with the same id. `error` is set when it failed."""

    id: int
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FoundFix:
    """A fix as a user interface needs it; field names follow `fix --json`."""

    id: str
    rank: int
    evidence: str
    words: str
    verified: bool
    score: float
    title: str
    """The changed files with their added and removed lines."""
    explanation: str
    """The model's own words; never shown as a claim of ours."""
    files: Sequence[str]
    """Relative to the repository, as in the diff."""
    paths: Sequence[str]
    """The same files by absolute path."""
    diff: str
    runs: Sequence[Mapping[str, Any]]
    edits: str
    """The whole before and after texts, packed; only an engine host opens it."""
    differences: Sequence[str] = ()
    """Inputs on which it behaves unlike other fixes, a line each."""
    test: Mapping[str, str] | None = None
    """The regression test that may go with it: 'path' and 'source'."""
    edits_with_test: str | None = None
    """As `edits`, the test's file added."""
    flags: Sequence[str] = ()
    """What deserves a second look, each going on from "the patch"."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """`control.Progress` of one job."""

    job: str
    stage: str
    message: str
    rollouts: int = 0
    budget: int = 0
    tokens: int = 0
    tokens_per_second: float | None = None
    best_evidence: str | None = None


@dataclass(frozen=True, slots=True)
class FixFound:
    """A fix passed verification while the search goes on; its rank may still change."""

    job: str
    fix: FoundFix


@dataclass(frozen=True, slots=True)
class JobDone:
    """A job ended by itself or was stopped with what it had. `fixes` replaces what came before, ranked."""

    job: str
    stopped: str
    fixes: Sequence[FoundFix] = ()
    trace: str | None = None
    notes: Sequence[str] = ()
    cost: Mapping[str, Any] = field(default_factory=dict)
    located: Mapping[str, Any] | None = None
    """What `locating.run_locate` found, of a locate job."""


@dataclass(frozen=True, slots=True)
class JobFailed:
    """A job ended without a result. `kind` is the class name in `errors.py`, or 'Unexpected'."""

    job: str
    kind: str
    message: str
    cure: str = ""


Request = StartFix | StartIndex | StartLocate | CancelJob | ListJobs | ApplyCheck
Event = JobProgress | FixFound | JobDone | JobFailed
Message = Request | Reply | Event

_TYPES: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (
        StartFix, StartIndex, StartLocate, CancelJob, ListJobs, ApplyCheck,
        Reply, JobProgress, FixFound, JobDone, JobFailed,
    )
}  # fmt: skip


def encode(message: Message) -> bytes:
    """One message as a line of ASCII JSON, the line feed included."""
    return b"".join(encode_in_turns(message))


def encode_in_turns(message: Message) -> Iterator[bytes]:
    """As `encode`, a little at a time, for a caller that must not hold its thread for long."""
    values = {"type": type(message).__name__, **dataclasses.asdict(message)}
    encoder = json.JSONEncoder()
    for chunk in encoder.iterencode(values):
        yield chunk.encode("ascii")
    yield b"\n"


def decode(line: bytes) -> Message:
    """Read one line. Raises ValueError when it is not a message of ours."""
    try:
        values = json.loads(line)
        kind = _TYPES[values.pop("type")]
        if kind is FixFound:
            values["fix"] = FoundFix(**values["fix"])
        elif kind is JobDone:
            values["fixes"] = tuple(FoundFix(**fix) for fix in values["fixes"])
        return kind(**values)
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"not a message: {line[:80]!r} ({error!r})") from error


def found_fix(fix: Fix, root: Path) -> FoundFix:
    """What a user interface shows of a fix, its edits packed. `root` is what the fix's paths are relative to."""
    return FoundFix(
        id=fix.id,
        rank=fix.rank,
        evidence=fix.evidence.value,
        words=fix.evidence.words,
        verified=fix.evidence.verified,
        score=fix.score,
        title=_title(fix),
        explanation=fix.explanation,
        files=tuple(fix.patch.paths),
        paths=tuple(str(root / path) for path in fix.patch.paths),
        diff=fix.patch.diff,
        runs=tuple(dataclasses.asdict(run) for run in fix.runs),
        edits=pack_edits(fix.patch.edits),
        differences=fix.differences,
        test={"path": fix.test.path, "source": fix.test.after} if fix.test else None,
        edits_with_test=pack_edits((*fix.patch.edits, fix.test)) if fix.test else None,
        flags=fix.flags,
    )


def _title(fix: Fix) -> str:
    """Which files and how many lines: facts of the patch, never what the model says about it."""
    sizes = []
    for edit in fix.patch.edits:
        added, removed = changed_lines(edit.before, edit.after)
        sizes.append(f"{edit.path} +{added} -{removed}")
    return ", ".join(sizes)


def pack_edits(edits: Sequence[FileEdit]) -> str:
    """The edits as one short opaque string."""
    plain = json.dumps([[edit.path, edit.before, edit.after, edit.created] for edit in edits])
    return base64.b64encode(zlib.compress(plain.encode("ascii"), 1)).decode("ascii")


def unpack_edits(packed: str) -> tuple[FileEdit, ...]:
    """The edits of `pack_edits`. Raises ValueError when it is not one of ours."""
    try:
        rows = json.loads(zlib.decompress(base64.b64decode(packed)))
        return tuple(FileEdit(RepoPath(path), before, after, created) for path, before, after, created in rows)
    except (zlib.error, TypeError) as error:
        raise ValueError(f"not packed edits: {error}") from error
