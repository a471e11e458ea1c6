"""A hundred thousand files in one folder: all of them, in bounded memory, with progress and an end at a cancel."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from index_process import SEARCHED
from patchwright_engine.control import CancelToken, Progress
from patchwright_engine.errors import Cancelled
from patchwright_engine.index import open_index
from patchwright_engine.workspace.snapshot import take_snapshot

FILES = 100_000
CONTENTS = 50
MEGABYTES = 300


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Few contents under many names, as links of the file system: what costs is how many files there are."""
    place = tmp_path_factory.mktemp("large")
    folder = place / "root" / "folder"
    folder.mkdir(parents=True)
    for number in range(CONTENTS):
        (folder / f"m{number}.py").write_text(f"def first{number}():\n    return second{number}()\n")
    for number in range(CONTENTS, FILES):
        os.link(folder / f"m{number % CONTENTS}.py", folder / f"m{number}.py")
    yield place
    subprocess.run(["rm", "-rf", place], check=True)


def test_every_file_is_counted_and_memory_stays_small(place: Path) -> None:
    command = [sys.executable, "-P", "-m", "patchwright_engine", "index", str(place / "root"), "--json"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, SEARCHED)),
        "PATCHWRIGHT_HOME": str(place / "home"),
    }
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    report = json.loads(process.stdout.read())
    process.stdout.close()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert (report["files"], report["symbols"], report["skipped"]) == (FILES, FILES, 0)
    unit = 1 if sys.platform == "darwin" else 1 << 10
    assert used.ru_maxrss * unit < MEGABYTES << 20


class Stopper(CancelToken):
    """Cancels itself at the first progress, and keeps what was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Progress] = []

    def __call__(self, progress: Progress, /) -> None:
        self.told.append(progress)
        self.cancel()


def test_a_cancel_ends_reading_and_indexing_early(place: Path) -> None:
    stopper = Stopper()
    with pytest.raises(Cancelled):
        take_snapshot(place / "root", cancel=stopper, progress=stopper)
    assert 0 < len(stopper.told) < FILES / 1_000
    snapshot = take_snapshot(place / "root")
    stopper = Stopper()
    with open_index(place / "root", place / "cache") as index:
        with pytest.raises(Cancelled):
            index.refresh(snapshot, stopper, stopper)
        assert len(stopper.told) == 1
        assert index.files() == ()
