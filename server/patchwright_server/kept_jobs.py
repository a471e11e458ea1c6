"""Follows the session's fix jobs into the journal, and makes jobs again of what a server before this one left there.

Invariant: the journal is read and written on a thread of its own, in order; a disk that cannot be written costs the
user nothing but the offer to go on.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from patchwright_engine.config import folders
from patchwright_engine.errors import BadInput
from patchwright_engine.search.trace import read_trace
from patchwright_server.jobs import CLOSED, INTERRUPTED, Folder, IssueRequest, Job
from patchwright_server.journal import Entry, Journal

T = TypeVar("T")

log = logging.getLogger(__name__)


class KeptJobs:
    """The jobs of this server in the journal. Everything but the journal itself happens on the event loop."""

    def __init__(self) -> None:
        self._journal: Journal | None = None
        self._running: dict[str, Entry] = {}
        self._offered: dict[str, Entry] = {}
        self._thread = ThreadPoolExecutor(1, "journal")

    def follow(self, job: Job) -> None:
        """Note what became of a job; a listener of `Session.on_job`."""
        if job.kind != "fix" or job.request is None:
            return
        known = self._running.get(job.id)
        if job.ended or job.cancelling:
            if known is not None:
                del self._running[job.id]
                self._end(known, kept=job.stopped == CLOSED)
        elif known is None or known.trace != job.trace:
            entry = self._running[job.id] = _entry(job, known)
            self._offered.pop(job.id, None)
            self._submit(lambda journal: journal.write(entry))

    async def left_in(self, folder: Folder) -> list[Job]:
        """Claim the jobs that servers before this one left unfinished in a folder, as jobs that can go on."""
        nothing: list[Entry] = []
        entries = await self._ask(lambda journal: journal.take(folder.path), nothing)
        self._offered.update((entry.job, entry) for entry in entries)
        return [_job(entry, folder) for entry in entries]

    def was_dismissed(self, job: Job) -> bool:
        """Whether the user was asked about a left job before and chose nothing."""
        return job.id in self._offered and self._offered[job.id].dismissed

    def was_closed(self, job: Job) -> bool:
        """Whether a left job ended because its server was told to leave."""
        return job.id in self._offered and self._offered[job.id].closed

    def dismiss(self, job: Job) -> None:
        """Remember that the user chose nothing; the job can still go on, but is not asked about again."""
        entry = self._offered.get(job.id)
        if entry is not None:
            entry = self._offered[job.id] = replace(entry, dismissed=True)
            self._submit(lambda journal: journal.write(entry))

    def discard(self, job: Job) -> None:
        """Forget a left job for good."""
        if self._offered.pop(job.id, None) is not None:
            self._submit(lambda journal: journal.drop(job.id))

    def let_go(self, folder: Folder) -> None:
        """Leave what is offered of a folder to other windows; it was closed here."""
        for entry in [entry for entry in self._offered.values() if entry.root == str(folder.path)]:
            del self._offered[entry.job]
            self._submit(partial(Journal.leave, entry=entry))

    async def request_to_go_on(self, job: Job) -> IssueRequest | None:
        """What to ask for so that a job goes on where its trace ends; None for one that is no fix."""
        request = job.request
        if request is None:
            return None
        traces = [trace for trace in (job.trace, request.resume) if trace]
        usable = await asyncio.to_thread(lambda: next(filter(_holds_steps, traces), None))
        return replace(request, budget=job.budget_name if job.trace else request.budget, resume=usable)

    async def close(self) -> None:
        """Write what is still to be written and let go of every entry. Safe to call twice."""
        self._submit(lambda journal: journal.close())
        await asyncio.to_thread(self._thread.shutdown)

    def _end(self, entry: Entry, *, kept: bool) -> None:
        if kept:
            self._submit(lambda journal: journal.leave(replace(entry, closed=True)))
        else:
            self._submit(lambda journal: journal.drop(entry.job))

    def _submit(self, work: Callable[[Journal], None]) -> None:
        with contextlib.suppress(RuntimeError):  # closed
            self._thread.submit(self._guarded, work, None)

    async def _ask(self, work: Callable[[Journal], T], otherwise: T) -> T:
        try:
            asked = self._thread.submit(self._guarded, work, otherwise)
        except RuntimeError:  # closed
            return otherwise
        return await asyncio.wrap_future(asked)

    def _guarded(self, work: Callable[[Journal], T], otherwise: T) -> T:
        try:
            if self._journal is None:
                self._journal = Journal(folders().state / "jobs")
            return work(self._journal)
        except Exception as error:  # noqa: BLE001 - whatever it is, jobs go on without a journal
            log.warning("running jobs cannot be kept for after a crash: %s", error)
            return otherwise


def _entry(job: Job, known: Entry | None) -> Entry:
    request = job.request
    assert request is not None
    return Entry(
        job=job.id,
        root=str(job.folder.path),
        **{**_said(request), "budget": job.budget_name if job.trace else request.budget},
        trace=job.trace,
        since=known.since if known else time.time(),
        pid=os.getpid(),
    )


def _said(source: IssueRequest | Entry) -> dict[str, Any]:
    """What the user asked for: an entry holds all of a request but its folder, under the same names."""
    return {one.name: getattr(source, one.name) for one in fields(IssueRequest) if one.name != "folder"}


def _job(entry: Entry, folder: Folder) -> Job:
    """A left job as clients are shown it until somebody decides."""
    request = IssueRequest(folder, **_said(entry))
    job = Job(entry.job, "fix", folder, request, state="failed", stage="done", stopped=INTERRUPTED, trace=entry.trace)
    job.budget_name = entry.budget or job.budget_name
    job.message = "Stopped with the server before it was done."
    job.cure = "Continue it, and no answer of the model is paid for twice; or discard it."
    job.told = True  # it is offered, which says more than an error message
    return job


def _holds_steps(trace: str) -> bool:
    """Whether a search can go on from a trace: a job may be killed before it wrote the first step."""
    try:
        return any(True for _ in read_trace(Path(trace)))
    except BadInput:
        return False
