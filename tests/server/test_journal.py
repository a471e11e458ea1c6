"""The journal of running jobs: files and locks of real processes, none of which may have a job twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from patchwright_server.journal import KEPT_SECONDS, PART_SECONDS, Entry, Journal

OTHER = """
import sys
from pathlib import Path
from patchwright_server.journal import Entry, Journal
journal = Journal(Path(sys.argv[1]))
journal.write(Entry(sys.argv[2], sys.argv[3], "the sum is wrong", since=float(sys.argv[4])))
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state" / "jobs"


@pytest.fixture
def journal(place: Path) -> Iterator[Journal]:
    journal = Journal(place)
    yield journal
    journal.close()


class Other:
    """Another server's process, which works on one job."""

    def __init__(self, place: Path, job: str, root: str, since: float) -> None:
        command = [sys.executable, "-c", OTHER, str(place), job, root, str(since)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"written\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


def entry(job: str = "a1", root: str = "/project", **more: object) -> Entry:
    return replace(Entry(job, root, "the sum is wrong 😀\ud800", since=time.time()), **more)  # type: ignore[arg-type]


def test_a_job_is_free_once_its_process_was_killed_and_not_before(place: Path, journal: Journal) -> None:
    began = round(time.time(), 2)
    other = Other(place, "a1", "/project", began)
    try:
        assert journal.take(Path("/project")) == []
    finally:
        other.kill()
    assert journal.take(Path("/project")) == [Entry("a1", "/project", "the sum is wrong", since=began)]
    second = Journal(place)
    assert second.take(Path("/project")) == []
    journal.close()
    assert [one.job for one in second.take(Path("/project"))] == ["a1"]
    second.close()


def test_everything_that_was_asked_for_comes_back(place: Path, journal: Journal) -> None:
    begun = entry(path="/project/ä.py", line=3, test_command="pytest -q", test_here=True, budget="deep", resume="/r")
    journal.write(begun)
    known = replace(begun, trace="/t", pid=7)
    journal.write(known)
    journal.leave(replace(known, closed=True))
    assert journal.take(Path("/project")) == [replace(known, closed=True)]
    assert [path.name for path in place.iterdir()] == ["a1.json"]
    assert (place / "a1.json").stat().st_mode & 0o077 == 0
    assert place.stat().st_mode & 0o077 == 0


def test_a_job_that_ended_leaves_nothing(place: Path, journal: Journal) -> None:
    journal.write(entry())
    journal.write(entry(trace="/t"))
    journal.drop("a1")
    journal.drop("a1")
    assert list(place.iterdir()) == []


def test_jobs_of_other_folders_are_left_to_their_windows(place: Path, journal: Journal) -> None:
    journal.leave(entry("a1", "/project"))
    journal.leave(entry("a2", "/project/inner"))
    journal.leave(entry("a3", "/project", since=1.0 + time.time()))
    assert [one.job for one in journal.take(Path("/project"))] == ["a1", "a3"]
    other = Journal(place)
    assert [one.job for one in other.take(Path("/project/inner"))] == ["a2"]
    other.close()


def test_an_entry_replaced_or_removed_while_it_was_looked_at_is_not_taken(place: Path, journal: Journal) -> None:
    journal.write(entry())
    late = Journal(place)
    with (place / "a1.json").open("rb") as opened:
        journal.write(entry(trace="/t"))  # The lock on what `opened` shows is free now.
        from patchwright_server.journal import _is_still, _lock

        assert _lock(opened.fileno())
        assert not _is_still(place / "a1.json", opened)
    assert late.take(Path("/project")) == []
    journal.drop("a1")
    assert late.take(Path("/project")) == []


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"{}",
        b'{"schema": 1',
        b'{"schema": 2, "job": "b2"}',
        b"[" * 100_000,
        "another name",
        "a type",
    ],
)
def test_an_unreadable_entry_is_dropped_with_a_note(
    place: Path, journal: Journal, damage: bytes | str, caplog: pytest.LogCaptureFixture
) -> None:
    journal.leave(entry())
    values = json.loads((place / "a1.json").read_text())
    if damage == "another name":
        damage = json.dumps({**values, "job": "c3"}).encode()
    elif damage == "a type":
        damage = json.dumps({**values, "job": "b2", "line": "three"}).encode()
    assert isinstance(damage, bytes)
    (place / "b2.json").write_bytes(damage)
    assert [one.job for one in journal.take(Path("/project"))] == ["a1"]
    assert not (place / "b2.json").exists()
    assert "b2.json was dropped: it cannot be read" in caplog.text


def test_old_jobs_and_half_written_files_do_not_pile_up(
    place: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.leave(entry(since=time.time() - KEPT_SECONDS - 60))
    for name, age in (("new.part", 0.0), ("old.part", PART_SECONDS + 60)):
        (place / name).write_text("{")
        os.utime(place / name, (time.time() - age,) * 2)
    assert journal.take(Path("/project")) == []
    assert [path.name for path in place.iterdir()] == ["new.part"]
    assert "a1.json was dropped: it is too old" in caplog.text


def test_a_folder_that_was_never_made_holds_nothing(journal: Journal, place: Path) -> None:
    assert journal.take(Path("/project")) == []
    assert not place.exists()
