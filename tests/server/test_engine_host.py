"""The engine host process: protected stdout, jobs that fail without taking it along, no orphan, no deaf moment."""

import io
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.host.messages import (
    ApplyCheck,
    CancelJob,
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
    pack_edits,
    unpack_edits,
)
from patchwright_engine.host.placement import place, placement_from_json
from patchwright_engine.types import FileEdit, RepoPath

HOST = Path(__file__).with_name("scripted_host.py")
CALC = "def add(a, b):\n    return a - b\n"


class Host:
    """A running host process and what it said so far."""

    def __init__(self, root: Path, home: Path) -> None:
        env = {**os.environ, "PATCHWRIGHT_HOME": str(home)}
        self.process = subprocess.Popen(
            [sys.executable, str(HOST), "--root", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )
        self.said: queue.Queue[Message | None] = queue.Queue()
        self.errors = b""
        threading.Thread(target=self._read, daemon=True).start()
        self._drain = threading.Thread(target=self._read_errors, daemon=True)
        self._drain.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.put(decode(line))
        self.said.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors = self.process.stderr.read()

    def say(self, message: Message) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(encode(message))
        self.process.stdin.flush()

    def wait_for(self, kind: type[Message], seconds: float = 20) -> Any:
        end = time.monotonic() + seconds
        while (message := self.said.get(timeout=max(0.01, end - time.monotonic()))) is not None:
            if isinstance(message, kind):
                return message
        raise AssertionError(f"the host ended; stderr: {self.errors!r}")

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(10)
        self._drain.join(10)
        return code


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    root = tmp_path / "project"
    root.mkdir()
    (root / "calc.py").write_text(CALC)
    host = Host(root, tmp_path / "home")
    yield host
    host.process.kill()
    host.end()
    for stream in (host.process.stdout, host.process.stderr):
        assert stream is not None
        stream.close()


def test_a_fix_comes_with_progress_proof_and_a_trace_path(host: Host) -> None:
    host.say(StartFix(1, "j", "fix it"))
    assert host.wait_for(Reply).result["trace"].endswith("-j.jsonl")
    assert host.wait_for(JobProgress).stage == "understand"
    found = host.wait_for(FixFound).fix
    assert (found.evidence, found.verified, found.title) == ("failing_test", True, "calc.py +1 -1")
    assert "+    return a + b" in found.diff
    done = host.wait_for(JobDone)
    assert [fix.id for fix in done.fixes] == [found.id]
    assert done.stopped == "verified"


def test_unsaved_buffers_are_what_is_fixed(host: Host, tmp_path: Path) -> None:
    path = str((tmp_path / "project" / "calc.py").resolve())
    host.say(StartFix(1, "j", "fix it", overlays={path: ["# ünsaved\n", CALC]}))
    edit = unpack_edits(host.wait_for(JobDone).fixes[0].edits)[0]
    assert edit.before == "# ünsaved\n" + CALC


def test_suspected_places_are_told_of_the_unsaved_text(host: Host, tmp_path: Path) -> None:
    path = str((tmp_path / "project" / "calc.py").resolve())
    unsaved = ["# unsaved\n" + CALC]
    host.say(StartLocate(1, "j", "add(1, 2) gives -1", path=path, line=2, overlays={path: unsaved}, top=3))
    done = host.wait_for(JobDone)
    assert done.stopped == "located"
    best = done.located["symbols"][0]
    assert (best["path"], best["name"], best["start_line"]) == (path, "add", 2)
    assert "you pointed at it" in best["reasons"]
    assert done.located["files"][0]["path"] == path


def test_questions_about_other_texts_are_answered_one_after_the_other(host: Host, tmp_path: Path) -> None:
    path = str((tmp_path / "project" / "calc.py").resolve())
    names = ["first", "second", "third"]
    for number, name in enumerate(names):
        text = [f"def {name}():\n    return {number}\n"]
        host.say(StartLocate(number, name, f"`{name}` is wrong", overlays={path: text}, top=3))
    found = {done.job: done.located["symbols"][0]["name"] for done in (host.wait_for(JobDone) for _ in names)}
    assert found == {name: name for name in names}


def test_what_libraries_print_does_not_reach_the_messages(host: Host) -> None:
    host.say(StartFix(1, "j", "print something"))
    assert host.wait_for(JobDone).stopped == "verified"
    host.end()
    assert b"native code prints\n" in host.errors
    assert b"and Python too\n" in host.errors


def test_a_job_that_cannot_be_done_says_why_and_what_to_do(host: Host) -> None:
    host.say(StartFix(1, "j", "no-model"))
    failed = host.wait_for(JobFailed)
    assert (failed.kind, failed.message) == ("ModelUnavailable", "no model is installed")
    assert "patchwright models pull" in failed.cure


def test_a_fault_of_ours_fails_the_job_and_not_the_host(host: Host) -> None:
    host.say(StartFix(1, "j", "bug"))
    failed = host.wait_for(JobFailed)
    assert failed.kind == "Unexpected"
    assert "a bug of ours" in failed.message
    host.say(StartFix(2, "k", "fix it"))
    assert host.wait_for(JobDone).job == "k"
    host.end()
    assert b"Traceback" in host.errors


def test_a_running_job_is_listed_and_stops_when_cancelled(host: Host) -> None:
    host.say(StartFix(1, "j", "slow"))
    host.wait_for(Reply)
    host.wait_for(JobProgress)
    host.say(ListJobs(2))
    assert host.wait_for(Reply).result == {"jobs": ["j"]}
    started = time.monotonic()
    host.say(CancelJob(3, "j"))
    assert host.wait_for(JobFailed).kind == "Cancelled"
    assert time.monotonic() - started < 0.5


def test_a_fix_waits_for_the_index_that_is_being_built(host: Host, tmp_path: Path) -> None:
    (tmp_path / "project" / "slow_index").touch()
    host.say(StartIndex(1, "index"))
    host.say(StartFix(2, "fix", "fix it"))
    host.say(StartFix(3, "impatient", "fix it"))
    while host.wait_for(JobProgress).message != "waiting for the index":
        continue
    host.say(CancelJob(4, "impatient"))
    assert host.wait_for(JobFailed).job == "impatient"
    assert [host.wait_for(JobDone).job, host.wait_for(JobDone).job] == ["index", "fix"]


def test_the_host_leaves_when_its_input_ends_though_a_job_will_not(host: Host) -> None:
    host.say(StartFix(1, "j", "stubborn"))
    host.wait_for(JobProgress)
    started = time.monotonic()
    assert host.end() == 0
    assert time.monotonic() - started < 4


def test_a_line_that_is_no_message_is_ignored(host: Host) -> None:
    assert host.process.stdin is not None
    host.process.stdin.write(b'garbage\n{"type": "Nonsense"}\n{"type": "CancelJob"}\n')
    host.say(StartFix(1, "j", "fix it"))
    assert host.wait_for(JobDone).job == "j"


def test_a_fix_is_placed_in_the_open_text_or_the_one_on_disk(host: Host, tmp_path: Path) -> None:
    edits = pack_edits([FileEdit(RepoPath("calc.py"), CALC, CALC.replace("-", "+"))])
    path = str((tmp_path / "project" / "calc.py").resolve())
    host.say(ApplyCheck(1, edits))
    on_disk = placement_from_json(host.wait_for(Reply).result)
    assert on_disk.files[0].replacements[0].start.line == 1
    host.say(ApplyCheck(2, edits, {path: ["# new line above 😀\n", CALC]}))
    moved = placement_from_json(host.wait_for(Reply).result)
    assert moved.files[0].replacements[0].start.line == 2
    host.say(ApplyCheck(3, edits, {path: [CALC.replace("-", "*")]}))
    assert "edited since" in (placement_from_json(host.wait_for(Reply).result).conflict or "")
    host.say(ApplyCheck(4, "not packed", {}))
    assert host.wait_for(Reply).error


def test_messages_survive_the_pipe() -> None:
    message = StartFix(7, "j", "täxt 😀 \ud800", overlays={"/a": ["x\r\n", "\u2028"]}, line=3)
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode(line) == message
    assert json.loads(line)["type"] == "StartFix"


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"type":"Reply"}', b'{"type":"Reply","id":1,"x":2}', b"\xff"])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a message"):
        decode(line)


def check_placed(before: str, after: str, current: str, root: Path) -> str:
    """Place an edit and carry out its replacements on `current`, as an editor would."""
    from patchwright_engine.text.lines import LineTable

    placement = place([FileEdit(RepoPath("a.py"), before, after)], {RepoPath("a.py"): current}, root)
    assert placement.conflict is None
    table = LineTable.of(current)
    out, done = io.StringIO(), 0
    for one in placement.files[0].replacements:
        start = table.offset(one.start.line, len(one.start.before))
        end = table.offset(one.end.line, len(one.end.before))
        assert table.line(one.start.line).startswith(one.start.before)
        out.write(current[done:start] + one.text)
        done = end
    return out.getvalue() + current[done:]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\nb\nc\n", "a\nB\nc\n"),
        ("a\r\nb\r\n", "a\r\nbb\r\n"),
        ("a\r\n", "a\n"),
        ("a\n", "a\r\n"),
        ("a", "ab"),
        ("", "x\n"),
        ("a\nb\n", ""),
        ("x\x0cy\nz\u2028\n", "x\x0cy\nZ\u2028\nnew\n"),
        ("😀é - 1\n", "😀é + 1\n"),
        ("a\rb\rc", "a\rB\rc"),
        ("a\nb", "a\nb\n"),
    ],
)
def test_replacements_make_exactly_the_new_text(before: str, after: str, tmp_path: Path) -> None:
    assert check_placed(before, after, before, tmp_path) == after


def test_only_the_characters_that_differ_are_replaced(tmp_path: Path) -> None:
    edit = FileEdit(RepoPath("a.py"), "def f():\n    return a - b\n", "def f():\n    return a + b\n")
    (one,) = place([edit], {RepoPath("a.py"): edit.before}, tmp_path).files[0].replacements
    assert (one.start.line, one.start.before, one.text) == (1, "    return a ", "+")
    assert one.end.before == "    return a -"


def test_a_fix_never_reaches_through_a_link_out_of_the_workspace(tmp_path: Path) -> None:
    root = (tmp_path / "root").resolve()
    root.mkdir()
    (tmp_path / "outside.py").write_text("secret\n")
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    placement = place([FileEdit(RepoPath("link.py"), "secret\n", "x\n")], {}, root)
    assert "outside" in (placement.conflict or "")


def test_all_files_of_a_fix_land_or_none(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "a.py").write_text("1\n")
    edits = [FileEdit(RepoPath("a.py"), "1\n", "2\n"), FileEdit(RepoPath("gone.py"), "1\n", "2\n")]
    placement = place(edits, {}, root)
    assert placement.files == ()
    assert "gone.py no longer exists" in (placement.conflict or "")
