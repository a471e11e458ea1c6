"""The index job: bring a folder's index to what is on disk, so that the first fix need not wait for it."""

from pathlib import Path

from patchwright_engine.control import CancelToken, ProgressSink
from patchwright_engine.index import open_index
from patchwright_engine.workspace.repository import find_repository
from patchwright_engine.workspace.snapshot import take_snapshot


def run_index(root: Path, *, cancel: CancelToken, progress: ProgressSink) -> str:
    """Build or refresh the index and say in one sentence what it holds.

    Raises:
        BadInput: the folder is no workspace.
        Cancelled: the token was cancelled.
    """
    repository = find_repository(root)
    with open_index(repository) as index:
        report = index.refresh(take_snapshot(repository, cancel=cancel, progress=progress), cancel, progress)
    left_out = f"; {report.skipped} left out, `patchwright index` says why" if report.skipped else ""
    return f"{report.files} files and {report.symbols} symbols indexed in {report.seconds:.1f} s{left_out}."
