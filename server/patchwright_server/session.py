"""Everything the server knows: folders, open documents, settings, jobs and their fixes, health.

Invariant: touched on the event loop only, and nothing here computes; text work happens in the engine host.
Knows no LSP: whoever wants to tell the client something listens to `on_job` and `on_status`.
"""

import asyncio
import contextlib
import logging
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from patchwright_engine.host.messages import (
    ApplyCheck,
    CancelJob,
    Event,
    FixFound,
    JobDone,
    JobFailed,
    JobProgress,
    StartFix,
    StartIndex,
    StartLocate,
)
from patchwright_engine.host.placement import placement_from_json
from patchwright_server.documents import Document, Documents
from patchwright_server.engine_client import EngineClient, EngineDownError
from patchwright_server.jobs import (
    CLOSED,
    INTERRUPTED,
    Folder,
    IssueRequest,
    Job,
    JobFix,
    NotPossibleError,
    Placed,
    end_words,
)
from patchwright_server.kept_jobs import KeptJobs
from patchwright_server.settings import ServerSettings

KEPT_JOBS = 50
CANCEL_SECONDS = 0.4
"""After this a cancelled job is shown as cancelled, whatever the engine is still tidying up."""
CONFIGURATION_SECONDS = 5.0
"""A client that has not told its configuration by then gets the defaults."""

log = logging.getLogger(__name__)


class Session:
    """The server's state and what can be done with it."""

    def __init__(self, engine_command: Callable[[Path], Sequence[str]]) -> None:
        self.documents = Documents()
        self.folders: dict[str, Folder] = {}
        self.settings = ServerSettings()
        self.options = ServerSettings()
        """From initializationOptions; the configuration is read on top of it."""
        self.configured = asyncio.Event()
        """Set once the client's configuration is known, or known not to come; jobs wait for it."""
        self.jobs: dict[str, Job] = {}
        self.kept = KeptJobs()
        self.on_job: list[Callable[[Job], None]] = [self.kept.follow]
        self.on_status: list[Callable[[], None]] = []
        self.trouble: str | None = None
        """The last failure of an engine host, until one works again."""
        self.temporary: tempfile.TemporaryDirectory[str] | None = None
        """Holds diffs shown as documents; removed at the end."""
        self.disk_revision = 0
        """Goes up when the client tells of files that changed on disk."""
        self._engine_command = engine_command
        self._engines: dict[str, EngineClient] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    # Folders

    def add_folder(self, uri: str, path: str) -> None:
        """Take a workspace folder in. Nothing is started for it yet."""
        self.folders[uri] = Folder(uri, Path(path).resolve())

    def remove_folder(self, uri: str) -> None:
        """Forget a folder; its jobs are cancelled and its engine host leaves."""
        folder = self.folders.pop(uri, None)
        engine = self._engines.pop(uri, None)
        for job in self.jobs.values():
            if folder is not None and job.folder == folder and not job.ended:
                self._end(job, "cancelled", "its folder was closed", CLOSED)
        if folder is not None:
            self.kept.let_go(folder)
        if engine is not None:
            self.spawn(engine.close())

    def folder_of(self, path: str) -> Folder | None:
        """The innermost folder that holds a file, or that `path` is itself."""
        folders = self.folders.values()
        found = [folder for folder in folders if str(folder.path) == path or folder.relative(path) is not None]
        return max(found, key=lambda folder: len(str(folder.path)), default=None)

    def only_folder(self) -> Folder:
        """The folder to work on when nothing names a file.

        Raises:
            NotPossibleError: there is none, or more than one.
        """
        if not self.folders:
            raise NotPossibleError("No folder is open. Open the project's folder in the editor, then try again.")
        if len(self.folders) > 1:
            raise NotPossibleError("Several folders are open. Start the fix from a file of the folder it is meant for.")
        return next(iter(self.folders.values()))

    # Jobs

    def start_fix(self, request: IssueRequest, job_id: str | None = None) -> Job:
        """Begin a fix job on what the user sees now, and return at once; `job_id` is that of one which goes on."""
        overlays = self._open_files()
        job = Job(job_id or secrets.token_hex(4), "fix", request.folder, request, message="Starting")
        job.versions = {path: document.version for path, document in overlays.items()}
        pieces = {path: document.pieces() for path, document in overlays.items()}

        def build(number: int) -> StartFix:
            settings = self.settings
            job.budget_name = request.budget or settings.budget
            return StartFix(
                id=number,
                job=job.id,
                text=request.text,
                origin=request.origin,
                path=request.path,
                line=request.line,
                test_command=request.test_command or settings.test_command,
                budget=job.budget_name,
                overlays=pieces,
                model=settings.model,
                python=settings.python,
                test_timeout=settings.test_timeout,
                resume=request.resume,
            )

        self._begin(job, build)
        return job

    def start_locate(self, request: IssueRequest, top: int) -> Job:
        """Begin to rank the places an issue may come from, on what the user sees now, and return at once."""
        job = Job(secrets.token_hex(4), "locate", request.folder, request, message="Starting")
        pieces = {path: document.pieces() for path, document in self._open_files().items()}

        def build(number: int) -> StartLocate:
            issue = (request.text, request.origin, request.path, request.line, pieces)
            test = (request.test_command, request.test_here, self.settings.python)
            return StartLocate(number, job.id, *issue, top, *test)

        self._begin(job, build)
        return job

    def show_left(self, job: Job) -> None:
        """Take in a job that a server before this one left unfinished."""
        self.jobs[job.id] = job
        self._changed(job)

    def discard(self, job: Job) -> None:
        """Give up an unfinished job for good."""
        self.kept.discard(job)
        self._end(job, "cancelled", "Discarded", "cancelled")

    async def end_of(self, job: Job) -> None:
        """Wait until a job has ended; cancelled, it takes the job along."""
        ended = asyncio.Event()

        def listen(changed: Job) -> None:
            if changed is job and job.ended:
                ended.set()

        self.on_job.append(listen)
        try:
            if not job.ended:
                await ended.wait()
        except asyncio.CancelledError:
            self.cancel(job)
            raise
        finally:
            self.on_job.remove(listen)

    def start_index(self, folder: Folder, *, quiet: bool = False) -> Job:
        """Begin to build or refresh a folder's index and return at once."""
        job = Job(secrets.token_hex(4), "index", folder, stage="index", message="Indexing", quiet=quiet)
        self._begin(job, lambda number: StartIndex(number, job.id))
        return job

    def _begin(self, job: Job, build: Callable[[int], StartFix | StartIndex | StartLocate]) -> None:
        self.jobs[job.id] = job
        for old in [j.id for j in self.jobs.values() if j.ended][: max(0, len(self.jobs) - KEPT_JOBS)]:
            del self.jobs[old]
        self._changed(job)

        async def send() -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.configured.wait(), CONFIGURATION_SECONDS)
            try:
                answer = await self.engine(job.folder).request(build)
            except EngineDownError as error:
                if not job.ended:
                    self._end(job, "failed", str(error))
                return
            self.trouble = None
            job.trace = answer.get("trace")
            if job.state == "starting":
                job.state = "running"
            if job.ended:  # cancelled while the engine was starting
                await self._cancel_in_engine(job)
            else:
                self._changed(job)

        self.spawn(send())

    def job(self, job_id: object) -> Job:
        """A job by id. Raises NotPossibleError when there is none."""
        job = self.jobs.get(job_id) if isinstance(job_id, str) else None
        if job is None:
            raise NotPossibleError(f"There is no job {job_id!r}. `patchwright/jobs` lists them.")
        return job

    def fix(self, key: object) -> JobFix:
        """A fix by its key. Raises NotPossibleError when there is none."""
        for job in self.jobs.values():
            for fix in job.fixes:
                if fix.key == key:
                    return fix
        raise NotPossibleError(f"There is no fix {key!r} any more. Start the fix again.")

    def cancel(self, job: Job) -> None:
        """Ask a job to stop; it is shown as cancelled within `CANCEL_SECONDS`."""
        if job.ended:
            return
        job.message, job.cancelling = "Cancelling", True
        self._changed(job)

        async def stop() -> None:
            self.spawn(self._cancel_in_engine(job))
            await asyncio.sleep(CANCEL_SECONDS)
            if not job.ended:
                log.warning("job %s is slow to stop; it goes on leaving in the background", job.id)
                self._end(job, "cancelled", "Cancelled")

        self.spawn(stop())

    async def _cancel_in_engine(self, job: Job) -> None:
        engine = self._engines.get(job.folder.uri)
        if engine is None or engine.pid is None:
            return
        try:
            await engine.request(lambda number: CancelJob(number, job.id))
        except EngineDownError as error:
            log.warning("job %s could not be cancelled: %s", job.id, error)

    async def place(self, fix: JobFix, *, fresh: bool = False, with_test: bool = False) -> Placed:
        """Where a fix lands in today's texts; asked again whenever one of them moved.

        Args:
            fix: the fix.
            fresh: ask in any case, since files on disk may have changed unseen.
            with_test: its regression test included; what hinders the test alone does not withdraw the fix.

        Raises:
            EngineDownError: the engine cannot tell now.
        """
        current = {path: doc for path, doc in self._open_files().items() if path in fix.found.paths}
        versions = {path: (document.uri, document.version) for path, document in current.items()}
        disk = self.disk_revision
        last = fix.placed
        edits = fix.found.edits_with_test if with_test else None
        if last is not None and (last.open, last.disk_revision) == (versions, disk) and not fresh and edits is None:
            return last
        pieces = {path: document.pieces() for path, document in current.items()}
        packed = edits or fix.found.edits
        answer = await self.engine(fix.folder).request(lambda number: ApplyCheck(number, packed, pieces))
        placement = placement_from_json(answer)
        placed = Placed(placement, versions, disk)
        if edits is not None:
            return placed
        fix.placed = placed
        if fix.withdrawn != placement.conflict and not fix.applied:
            fix.withdrawn = placement.conflict
            self.tell_fix(fix)
        return placed

    def tell_fix(self, fix: JobFix) -> None:
        """Tell the listeners that something about a fix changed."""
        job = self.jobs.get(fix.key.partition(".")[0])
        if job is not None:
            self._changed(job)

    def _open_files(self) -> dict[str, Document]:
        return {document.path: document for document in self.documents if document.path}

    # The engine hosts

    def engine(self, folder: Folder) -> EngineClient:
        """The engine host client of a folder; the process itself starts with the first request."""
        engine = self._engines.get(folder.uri)
        if engine is None:
            engine = EngineClient(
                self._engine_command(folder.path), self._on_event, lambda how: self._on_lost(folder, how)
            )
            self._engines[folder.uri] = engine
        return engine

    def _on_event(self, event: Event) -> None:
        job = self.jobs.get(event.job)
        if job is None or job.ended:
            return
        match event:
            case JobProgress():
                job.state = "running"
                job.stage, job.rollouts, job.budget = event.stage, event.rollouts, event.budget
                if not job.cancelling:
                    job.message = event.message
                job.best_evidence = event.best_evidence or job.best_evidence
                self._changed(job)
            case FixFound():
                job.fixes = [fix for fix in job.fixes if fix.found.id != event.fix.id]
                job.fixes.append(JobFix(f"{job.id}.{event.fix.id}", job.folder, event.fix))
                job.fixes.sort(key=lambda fix: fix.found.rank)
                self._changed(job)
            case JobDone():
                job.take(event.fixes)
                job.stopped, job.notes = event.stopped, tuple(event.notes)
                job.located = event.located
                job.trace = event.trace or job.trace
                job.rollouts = event.cost.get("rollouts", job.rollouts)
                if job.fixes:
                    job.best_evidence = job.fixes[0].found.evidence
                cancelled = event.stopped == "cancelled"
                self._end(job, "cancelled" if cancelled else "done", end_words(job, event))
            case JobFailed():
                if event.kind == "Cancelled":
                    self._end(job, "cancelled", "Cancelled")
                else:
                    job.cure = event.cure
                    self._end(job, "failed", event.message)

    def _on_lost(self, folder: Folder, how: str) -> None:
        self.trouble = f"The engine of {folder.path.name} stopped unexpectedly ({how}); it starts again on need."
        for job in list(self.jobs.values()):
            if job.folder == folder and not job.ended:
                job.cure = "Continue it, or start the fix again; the engine restarts by itself."
                self._end(job, "failed", f"The engine stopped unexpectedly ({how}), and this job with it.", INTERRUPTED)
        self._status()

    def _end(self, job: Job, state: str, message: str, stopped: str | None = None) -> None:
        job.state, job.stage, job.message, job.stopped = state, "done", message, stopped or job.stopped
        self._changed(job)

    def _changed(self, job: Job) -> None:
        for listener in self.on_job:
            listener(job)
        self._status()

    def _status(self) -> None:
        for listener in self.on_status:
            listener()

    # Life

    def spawn(self, work: Any) -> None:
        """Run a coroutine beside the handlers; its failure is logged."""

        async def guarded() -> None:
            try:
                await work
            except Exception:
                log.exception("a background task failed")

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End every job and every engine host. Safe to call twice."""
        if self._closing:
            return
        self._closing = True
        for job in list(self.jobs.values()):
            if not job.ended:
                self._end(job, "cancelled", "The server is shutting down", CLOSED)
        await self.kept.close()
        await asyncio.gather(*(engine.close() for engine in self._engines.values()), return_exceptions=True)
        for task in list(self._tasks):
            task.cancel()
        if self.temporary is not None:
            await asyncio.to_thread(self.temporary.cleanup)
