"""What earlier jobs saw is kept per project, never trusted, and forgotten in time."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.verify.history import KEPT_SECONDS, learned, load_history, save_history

Make = Callable[[Mapping[str, str]], Snapshot]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_a_job_saw_is_there_for_the_next_one_of_the_same_project(make_snapshot: Make, tmp_path: Path) -> None:
    snapshot = make_snapshot({"a.py": "", "b.py": "", "test_a.py": "one"})
    seen = {"test_a.py": frozenset({"a.py", "test_a.py"})}
    save_history(snapshot.root, learned({}, snapshot, seen, ["test_a.py::test_x[1]"], now=7.0))
    (test,) = load_history(snapshot.root).values()
    assert (test.enters, test.caught) == ({"a.py"}, 7.0)
    text = snapshot.files[RepoPath("test_a.py")]
    assert test.covers([RepoPath("a.py")], text)
    assert not test.covers([RepoPath("b.py")], text)
    assert not test.covers([RepoPath("a.py")], "changed since")
    assert load_history(tmp_path / "elsewhere") == {}


def test_news_replace_what_was_entered_and_keep_what_was_caught(make_snapshot: Make) -> None:
    snapshot = make_snapshot({"test_a.py": "", "test_b.py": ""})
    first = learned({}, snapshot, {"test_a.py": frozenset({"x.py"})}, ["test_b.py::t"], now=1.0)
    second = learned(first, snapshot, {"test_a.py": frozenset({"y.py"})}, ["test_a.py::t"], now=2.0)
    assert second[RepoPath("test_a.py")].enters == {"y.py"}
    assert [second[RepoPath(path)].caught for path in ("test_a.py", "test_b.py")] == [2.0, 1.0]


def test_how_long_tests_took_is_kept_beside_what_else_is_known(make_snapshot: Make) -> None:
    snapshot = make_snapshot({"test_a.py": "", "test_b.py": ""})
    first = learned({}, snapshot, {"test_a.py": frozenset({"x.py"})}, ["test_a.py::t"], now=1.0)
    seconds = {"test_a.py": 2.5, "test_b.py": 0.5, "test_gone.py": 1.0}
    save_history(snapshot.root, learned(first, snapshot, {}, [], now=2.0, seconds=seconds))
    known = load_history(snapshot.root)
    assert {path: test.seconds for path, test in known.items()} == {"test_a.py": 2.5, "test_b.py": 0.5}
    assert (known[RepoPath("test_a.py")].enters, known[RepoPath("test_a.py")].caught) == ({"x.py"}, 1.0)
    # A later job that did not measure it takes nothing away.
    assert learned(known, snapshot, {}, ["test_a.py::t"], now=3.0)[RepoPath("test_a.py")].seconds == 2.5


def test_files_that_are_gone_and_old_news_are_forgotten(make_snapshot: Make) -> None:
    snapshot = make_snapshot({"test_a.py": ""})
    old = learned({}, snapshot, {}, ["test_a.py::t", "test_gone.py::t"], now=1.0)
    assert set(old) == {"test_a.py"}
    assert learned(old, snapshot, {}, [], now=2.0 + KEPT_SECONDS) == {}


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", b'{"schema": 0, "tests": {}}', b'{"schema": 2, "tests": {"a": 1}}']
)
def test_a_damaged_history_is_an_empty_one(content: bytes, make_snapshot: Make, home: Path) -> None:
    snapshot = make_snapshot({"test_a.py": ""})
    save_history(snapshot.root, learned({}, snapshot, {}, ["test_a.py::t"], now=1.0))
    (place,) = (home / "cache" / "tests").iterdir()
    place.write_bytes(content)
    assert load_history(snapshot.root) == {}
    save_history(snapshot.root, learned({}, snapshot, {}, ["test_a.py::t"], now=1.0))
    assert load_history(snapshot.root)


def test_a_disk_that_cannot_be_written_is_no_error(make_snapshot: Make, home: Path) -> None:
    home.write_text("a file where a folder should be")
    snapshot = make_snapshot({"test_a.py": ""})
    save_history(snapshot.root, learned({}, snapshot, {}, ["test_a.py::t"]))
    assert load_history(snapshot.root) == {}
