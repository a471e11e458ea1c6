"""The engine host's work: read requests, run each job on a thread of its own, write replies and events.

Invariants: reading never waits for a job (a cancel is always heard); a job that fails is an event, and the host
lives on; when the other side hangs up every job is cancelled before `serve` returns.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from patchwright_engine.config import folders
from patchwright_engine.control import CancelToken, Progress, ProgressSink
from patchwright_engine.errors import PatchwrightError
from patchwright_engine.host.messages import (
    ApplyCheck,
    CancelJob,
    Event,
    FixFound,
    JobDone,
    JobFailed,
    JobProgress,
    ListJobs,
    Message,
    Reply,
    StartFix,
    StartIndex,
    StartLocate,
    decode,
    encode,
    found_fix,
    unpack_edits,
)
from patchwright_engine.host.placement import place
from patchwright_engine.types import Fix, FixResult, Issue, RepoPath
from patchwright_engine.workspace.repository import find_repository

if TYPE_CHECKING:
    from patchwright_engine.host.locating import KeptIndex
    from patchwright_engine.pipeline import FixRequest

PROGRESS_SECONDS = 0.1
"""Progress that changes nothing but numbers is sent no more often than this."""
INDEX_POLL_SECONDS = 0.05
GOODBYE_SECONDS = 2.0
"""How long cancelled jobs may take to leave after the other side hung up."""

log = logging.getLogger(__name__)


class RunFix(Protocol):
    """`pipeline.run_fix`."""

    def __call__(
        self,
        request: "FixRequest",
        *,
        cancel: CancelToken,
        progress: ProgressSink = ...,
        on_fix: Callable[[Fix], None] | None = ...,
    ) -> FixResult: ...


class RunIndex(Protocol):
    """Builds or refreshes the index of a folder and says in one sentence what it holds now."""

    def __call__(self, root: Path, *, cancel: CancelToken, progress: ProgressSink) -> str: ...


@dataclass(frozen=True, slots=True)
class _Job:
    kind: str
    thread: threading.Thread
    cancel: CancelToken


class _Host:
    """The running jobs and the one way out. Owned by `serve`."""

    def __init__(self, root: Path, writer: BinaryIO, run_fix: RunFix, run_index: RunIndex) -> None:
        self.root = root
        self.run_fix = run_fix
        self.run_index = run_index
        self._writer = writer
        self._writing = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._jobs_lock = threading.Lock()
        self._kept: KeptIndex | None = None
        # Placing a fix may take a while on a long file; it must not delay the reading of a cancel.
        self._checks = ThreadPoolExecutor(1, "apply-check")

    def send(self, message: Message) -> None:
        """Write one message; a reader that is gone is noticed by `serve` at the end of its own input."""
        line = encode(message)
        with self._writing:
            try:
                self._writer.write(line)
                self._writer.flush()
            except (BrokenPipeError, ValueError):
                log.info("nobody reads any more; a message was dropped")

    def handle(self, message: Message) -> None:
        """Answer one request at once; long work only starts here."""
        match message:
            case StartFix():
                trace = folders().traces / f"{time.strftime('%Y%m%d-%H%M%S')}-{message.job}.jsonl"
                self.send(Reply(message.id, {"trace": str(trace)}))
                self._start("fix", message.job, lambda cancel: self._fix(message, trace, cancel))
            case StartIndex():
                self.send(Reply(message.id))
                self._start("index", message.job, lambda cancel: self._index(message, cancel))
            case StartLocate():
                self.send(Reply(message.id))
                self._start("locate", message.job, lambda cancel: self._locate(message, cancel))
            case CancelJob():
                with self._jobs_lock:
                    job = self._jobs.get(message.job)
                self.send(Reply(message.id, {"known": job is not None}))
                if job is not None:
                    job.cancel.cancel("user")
            case ListJobs():
                with self._jobs_lock:
                    running = sorted(self._jobs)
                self.send(Reply(message.id, {"jobs": running}))
            case ApplyCheck():
                self._checks.submit(self._check, message)
            case _:
                raise ValueError(f"{type(message).__name__} is not a request")

    def close(self) -> None:
        """Cancel every job and give them a moment to leave."""
        with self._jobs_lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel.cancel("shutdown")
        deadline = time.monotonic() + GOODBYE_SECONDS
        for job in jobs:
            job.thread.join(max(0.0, deadline - time.monotonic()))
        self._checks.shutdown(wait=False, cancel_futures=True)
        if self._kept is not None:
            self._kept.close()

    def _start(self, kind: str, job: str, work: Callable[[CancelToken], Event]) -> None:
        cancel = CancelToken()
        thread = threading.Thread(target=self._run, args=(job, work, cancel), name=f"job-{job}", daemon=True)
        with self._jobs_lock:
            self._jobs[job] = _Job(kind, thread, cancel)
        thread.start()

    def _run(self, job: str, work: Callable[[CancelToken], Event], cancel: CancelToken) -> None:
        end: Event
        try:
            end = work(cancel)
        except PatchwrightError as error:
            end = JobFailed(job, type(error).__name__, error.message, error.cure)
        except Exception as error:
            log.exception("job %s failed unexpectedly", job)
            what = f"{type(error).__name__}: {error}"[:300]
            end = JobFailed(job, "Unexpected", f"the engine failed on this job ({what})", "The log has the details.")
        with self._jobs_lock:
            del self._jobs[job]
        self.send(end)

    def _fix(self, message: StartFix, trace: Path, cancel: CancelToken) -> JobDone:
        from patchwright_engine.pipeline import FixRequest  # heavy: on the job's thread, not before the first answer

        root = find_repository(self.root)
        self._wait_for_index(message.job, cancel)
        issue = Issue(message.text, message.origin, _inner(message.path, root), message.line, message.test_command)
        request = FixRequest(
            issue=issue,
            root=root,
            budget=message.budget,
            overlays=_texts(message.overlays, root),
            seed=message.seed,
            model=message.model,
            python=message.python,
            test_timeout=message.test_timeout,
            trace=trace,
            resume=Path(message.resume) if message.resume else None,
        )
        result = self.run_fix(
            request,
            cancel=cancel,
            progress=self._progress(message.job),
            on_fix=lambda fix: self.send(FixFound(message.job, found_fix(fix, root))),
        )
        fixes = tuple(found_fix(fix, root) for fix in result.fixes)
        return JobDone(message.job, result.stopped, fixes, str(result.trace), result.notes, asdict(result.cost))

    def _index(self, message: StartIndex, cancel: CancelToken) -> JobDone:
        words = self.run_index(self.root, cancel=cancel, progress=self._progress(message.job))
        return JobDone(message.job, "cancelled" if cancel.cancelled else "indexed", notes=(words,))

    def _locate(self, message: StartLocate, cancel: CancelToken) -> JobDone:
        from patchwright_engine.host.locating import KeptIndex, WantedTest, run_locate
        from patchwright_engine.host.named_test import seen_from_repository

        with self._jobs_lock:
            kept = self._kept = self._kept or KeptIndex()
        root = find_repository(self.root)
        self._wait_for_index(message.job, cancel)
        command, wanted = message.test_command, None
        if command is not None:
            command, wanted = seen_from_repository(command, self.root.resolve(), root), WantedTest(None, message.python)
        path = _inner(message.path, root)
        if message.test_here:
            wanted = WantedTest((path, message.line or 1), message.python)
        issue = Issue(message.text, message.origin, path, message.line, command)
        located = run_locate(
            kept,
            root,
            issue,
            _texts(message.overlays, root),
            top=message.top,
            cancel=cancel,
            progress=self._progress(message.job),
            test=wanted,
        )
        return JobDone(message.job, "located", located=located)

    def _wait_for_index(self, job: str, cancel: CancelToken) -> None:
        """A fix needs the index; building it twice at the same time would take both longer."""
        while any(other.kind == "index" for other in self._others(job)):
            self.send(JobProgress(job, "index", "waiting for the index"))
            cancel.wait(INDEX_POLL_SECONDS)
            cancel.check()

    def _others(self, job: str) -> list[_Job]:
        with self._jobs_lock:
            return [other for name, other in self._jobs.items() if name != job]

    def _progress(self, job: str) -> ProgressSink:
        """A sink that drops what a person could not read anyway."""
        last: tuple[float, object] = (0.0, None)

        def sink(progress: Progress, /) -> None:
            nonlocal last
            now = time.monotonic()
            news = (progress.stage, progress.rollouts, progress.best_evidence)
            if news == last[1] and now - last[0] < PROGRESS_SECONDS:
                return
            last = (now, news)
            self.send(JobProgress(job, **asdict(progress)))

        return sink

    def _check(self, message: ApplyCheck) -> None:
        try:
            root = find_repository(self.root)
            placement = place(unpack_edits(message.edits), _texts(message.current, root), root)
            self.send(Reply(message.id, placement.to_json()))
        except Exception as error:
            log.exception("apply-check failed")
            self.send(Reply(message.id, error=f"{type(error).__name__}: {error}"))


def serve(
    root: Path,
    reader: Iterable[bytes],
    writer: BinaryIO,
    *,
    run_fix: RunFix,
    run_index: RunIndex,
) -> None:
    """Answer requests until `reader` ends, then cancel what still runs.

    Args:
        root: the workspace folder all jobs work on.
        reader: lines of JSON, as `messages.encode` writes them.
        writer: where replies and events go; nothing else may write to it.
    """
    host = _Host(root, writer, run_fix, run_index)
    try:
        for line in reader:
            try:
                host.handle(decode(line))
            except ValueError:
                log.exception("a line was ignored")
    finally:
        host.close()


def relative(path: str, root: Path) -> RepoPath | None:
    """An absolute path as seen from the repository, or None when it lies elsewhere or in git's own folder."""
    try:
        inner = Path(path).relative_to(root)
    except ValueError:
        return None
    return None if ".git" in inner.parts else RepoPath(inner.as_posix())


def _inner(path: str | None, root: Path) -> RepoPath | None:
    return relative(path, root) if path else None


def _texts(pieces_by_path: Mapping[str, Sequence[str]], root: Path) -> dict[RepoPath, str]:
    return {
        inner: "".join(pieces) for path, pieces in pieces_by_path.items() if (inner := relative(path, root)) is not None
    }
