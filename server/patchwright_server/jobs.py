"""What the server remembers of folders, jobs and the fixes they found.

`Job` and `JobFix` change while a job runs, on the event loop only; `Session` changes them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patchwright_engine.host.messages import FoundFix, JobDone
from patchwright_engine.host.placement import Placement

CLOSED = "closed"
"""`Job.stopped` of a job that was cut off because its folder or the whole server was closed."""
INTERRUPTED = "interrupted"
"""`Job.stopped` of a job whose process died, the engine's or the server's: it can go on from its trace."""


class NotPossibleError(Exception):
    """What the user asked for cannot be done; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A workspace folder of the client."""

    uri: str
    path: Path
    """Links resolved."""

    def relative(self, path: str) -> str | None:
        """The POSIX path of a file below this folder, or None. `path` has its links resolved."""
        prefix = str(self.path).rstrip(os.sep) + os.sep
        return path[len(prefix) :].replace(os.sep, "/") if path.startswith(prefix) else None


@dataclass(frozen=True, slots=True)
class IssueRequest:
    """What to fix, as the editor said it."""

    folder: Folder
    text: str
    origin: str = "text"
    path: str | None = None
    """Absolute, links resolved."""
    line: int | None = None
    """1-based."""
    test_command: str | None = None
    test_here: bool = False
    """The test at `path` and `line` is meant."""
    budget: str | None = None
    resume: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a fix landed, and in which texts."""

    placement: Placement
    open: Mapping[str, tuple[str, int]]
    """URI and version of the open documents it was placed in, by path."""
    disk_revision: int


@dataclass(slots=True)
class JobFix:
    """A fix a job found. `key` is its id towards the client."""

    key: str
    folder: Folder
    found: FoundFix
    withdrawn: str | None = None
    applied: bool = False
    placed: "Placed | None" = None
    """The last answer of `Session.place`."""


@dataclass(slots=True)
class Job:
    """One job as the client sees it. States: starting, running, done, cancelled, failed."""

    id: str
    kind: str
    folder: Folder
    request: IssueRequest | None = None
    budget_name: str = "standard"
    state: str = "starting"
    stage: str = "start"
    message: str = ""
    rollouts: int = 0
    budget: int = 0
    best_evidence: str | None = None
    fixes: list[JobFix] = field(default_factory=list)
    stopped: str | None = None
    trace: str | None = None
    notes: tuple[str, ...] = ()
    located: Mapping[str, Any] | None = None
    """What a locate job found: `host.locating`."""
    versions: Mapping[str, int] = field(default_factory=dict)
    """Versions of the open documents the job works on, by path."""
    cure: str = ""
    quiet: bool = False
    """Started by the server itself; its failure is status, not a popup."""
    told: bool = False
    """The client has been told of its end."""
    cancelling: bool = False
    """The user does not want it any more."""

    @property
    def ended(self) -> bool:
        return self.state in ("done", "cancelled", "failed")

    @property
    def title(self) -> str:
        """What to call the job."""
        if self.request is None:
            return f"Index {self.folder.path.name}"
        return next((line.strip()[:80] for line in self.request.text.splitlines() if line.strip()), "Fix")

    @property
    def interrupted(self) -> bool:
        """It can go on where its trace ends."""
        return self.ended and self.stopped == INTERRUPTED

    def take(self, ranked: Sequence[FoundFix]) -> None:
        """The fixes at the job's end; what was known of one stays known."""
        known = {fix.found.id: fix for fix in self.fixes}
        self.fixes = [known.get(found.id) or JobFix(f"{self.id}.{found.id}", self.folder, found) for found in ranked]
        for fix, found in zip(self.fixes, ranked, strict=True):
            fix.found = found


def end_words(job: Job, event: JobDone) -> str:
    """A job's end in a sentence, before the event has changed the job's state."""
    if job.kind == "index":
        return " ".join(event.notes)
    if event.stopped == "cancelled":
        return "Cancelled"
    if event.located is not None:
        return f"{len(event.located['symbols'])} suspected places"
    if not job.fixes:
        return "No fix was found. " + " ".join(event.notes)
    best = job.fixes[0].found
    count = "1 fix" if len(job.fixes) == 1 else f"{len(job.fixes)} fixes"
    return f"{count}; the best: {best.words}."
