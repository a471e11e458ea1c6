"""`patchwright fix` meets what should not happen: every case ends with a message, its cure and the right exit code."""

import os
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_project import CALC, FILES, FIXED, ISSUE, JUDGE, PIECES, REPAIR, REPRODUCTION, RULES
from front_door import PROGRAM, Ended, end_of, end_unread, environment, make_repository, patchwright, read_until, start
from scripted_model import Rule, ScriptedServer, serve_scripted

ISSUE_CURE = "Give the issue as text, as a file, or '-'"
PROOF = "grep -q 'a + b' calc.py"
SLOW_REPAIR = Rule(REPAIR.answers, match=REPAIR.match, delay=2.0)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project")


@pytest.fixture
def model() -> Iterator[ScriptedServer]:
    with serve_scripted(*RULES) as server:
        yield server


def fix(repository: Path, url: str, *more: str | Path, home: Path, **variables: str) -> Ended:
    return patchwright(*demo(repository, url), *more, home=home, **variables)


def demo(repository: Path, url: str) -> tuple[str | Path, ...]:
    return ("fix", ISSUE, "--repo", repository, "--model", url, "--budget", "quick")


def check_refused(ended: Ended, code: int, cure: str) -> None:
    """Nothing on stdout, the exit code, and a message with its cure instead of a traceback."""
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert cure in ended.err
    assert "Traceback" not in ended.err
    assert "patchwright: " in ended.err


@pytest.mark.parametrize(
    "issue", ["", "  \n\t ", "-", "missing.md", "some/missing.log", "folder", "binary.txt", "huge"]
)
def test_an_issue_that_cannot_be_read_is_refused(
    issue: str, repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "huge").write_text("log line\n" * 200_000)
    cure = "Keep the part of the log" if issue == "huge" else ISSUE_CURE
    arguments = ("fix", issue, "--repo", repository, "--model", model.url)
    check_refused(patchwright(*arguments, home=tmp_path, stdin=" \n"), 2, cure)
    assert model.bodies == []


@pytest.mark.parametrize("folder", ["missing", "file.txt", "no-source"])
def test_a_folder_that_is_no_project_is_refused(folder: str, tmp_path: Path, model: ScriptedServer) -> None:
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "no-source").mkdir()
    (tmp_path / "no-source" / "readme.txt").write_text("x")
    check_refused(fix(tmp_path / folder, model.url, home=tmp_path), 2, "Give a folder with source code")


def test_a_repository_without_tests_is_still_fixed_and_claims_no_regression_run(
    repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    (repository / "test_calc.py").unlink()
    ended = fix(repository, model.url, "--json", home=tmp_path)
    assert ended.code == 0, ended.err
    (one,) = ended.result["fixes"]
    assert one["evidence"] == "reproduced"
    assert [run["kind"] for run in one["runs"]] == ["reproduction"]


def test_a_file_that_does_not_parse_spoils_nothing_else(
    repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    (repository / "broken.py").write_text("def half(:\n    return (\n")
    (repository / "nul.py").write_bytes(b"x = '\0'\xff\n")
    ended = fix(repository, model.url, "--json", home=tmp_path)
    assert ended.code == 0, ended.err
    assert ended.result["fixes"][0]["files"] == ["calc.py"]


def test_without_a_model_the_cure_is_a_pull(repository: Path, tmp_path: Path) -> None:
    ended = patchwright("fix", ISSUE, "--repo", repository, home=tmp_path)
    check_refused(ended, 3, "patchwright models pull")


def cut_gguf(path: Path) -> Path:
    """The head of a model whose one tensor of a million values is missing."""
    text = b"general.architecture"
    pair = struct.pack("<Q", len(text)) + text + struct.pack("<IQ", 8, 5) + b"qwen2"
    tensor = struct.pack("<Q", 1) + b"t" + struct.pack("<IQIQ", 1, 1_000_000, 0, 0)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + pair + tensor)
    return path


def test_a_model_file_that_was_cut_is_told(repository: Path, tmp_path: Path) -> None:
    ended = fix(repository, str(cut_gguf(tmp_path / "cut.gguf")), home=tmp_path)
    check_refused(ended, 3, "Delete the file and run `patchwright models pull` again.")
    assert "ends early" in ended.err


@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", b"PK\x03\x04zip", b"\x7fELF and more"])
def test_a_file_that_is_no_model_is_told(content: bytes, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    check_refused(fix(repository, str(tmp_path / "m.gguf"), home=tmp_path), 3, "run `patchwright models pull`")


def test_a_server_that_is_not_there_is_told(repository: Path, tmp_path: Path) -> None:
    ended = fix(repository, "http://127.0.0.1:9/v1", home=tmp_path)
    check_refused(ended, 3, "Start the server, or mend the URL.")


def test_a_test_command_that_hangs_is_stopped_and_said(repository: Path, tmp_path: Path, model: ScriptedServer) -> None:
    started = time.monotonic()
    ended = fix(repository, model.url, "--test", "sleep 600", "--timeout", "1", "--json", home=tmp_path)
    assert time.monotonic() - started < 60
    assert ended.code == 1, ended.err
    assert all(one["evidence"] != "failing_test" for one in ended.result["fixes"])
    assert any("still running after 1 s" in note and "more time" in note for note in ended.result["notes"])


def test_a_test_command_that_cannot_start_is_refused(repository: Path, tmp_path: Path, model: ScriptedServer) -> None:
    ended = fix(repository, model.url, "--test", "no-such-program --now", home=tmp_path)
    check_refused(ended, 2, "give one that works there")
    assert "was not found" in ended.err


def test_a_test_command_that_prints_a_gigabyte_is_survived_in_bounded_memory(
    repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    flood = f"head -c 1G /dev/zero | tr '\\0' x; {PROOF}"
    arguments = ("fix", ISSUE, "--repo", repository, "--model", model.url, "--budget", "1", "--json", "--test", flood)
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen([*PROGRAM, *map(str, arguments)], stdout=out, env=environment(tmp_path))
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        _, status, usage = os.wait4(process.pid, 0)
        watchdog.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    ended = Ended(process.returncode, (tmp_path / "out").read_text(), "")
    assert ended.code == 0
    assert ended.result["fixes"][0]["evidence"] == "failing_test"
    assert usage.ru_maxrss < 500_000  # KiB; the largest of our process and all that it waited for
    assert Path(ended.result["trace"]).stat().st_size < 5_000_000


def test_without_a_sandbox_nothing_runs_and_nothing_is_called_verified(
    repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    canary = tmp_path / "canary"
    plant = f"open({str(canary)!r}, 'w').close()\n"
    (repository / "test_calc.py").write_text(plant)
    (repository / "conftest.py").write_text(plant)
    (repository / "calc.py").write_text(CALC + plant, encoding="utf-8")
    command = f"touch {canary}"
    more = ("--test", command, "--apply", "--json")
    ended = fix(repository, model.url, *more, home=tmp_path, PATCHWRIGHT_SANDBOX="none")
    assert ended.code == 1, ended.err
    (one,) = ended.result["fixes"]
    assert (one["evidence"], one["runs"]) == ("parses", [])
    assert any("Nothing was run" in note and "PATCHWRIGHT_SANDBOX" in note for note in ended.result["notes"])
    assert "Nothing applied: no fix is verified." in ended.err
    assert (repository / "calc.py").read_text(encoding="utf-8") == CALC + plant
    assert not canary.exists()
    subprocess.run(["sh", "-c", command], check=True)
    assert canary.exists()  # the trap works


def test_a_sandbox_nobody_knows_is_refused_and_not_ignored(
    repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    ended = fix(repository, model.url, home=tmp_path, PATCHWRIGHT_SANDBOX="chroot")
    check_refused(ended, 2, "Known levels: bubblewrap, docker, landlock, seatbelt, none.")


def test_a_home_that_cannot_be_written_names_the_way_out(
    repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    (tmp_path / "file").write_text("in the way, which stops even root")
    closed = {"PATCHWRIGHT_HOME": str(tmp_path / "file" / "home"), "PATCHWRIGHT_SANDBOX": "none"}
    check_refused(fix(repository, model.url, home=tmp_path, **closed), 3, "Choose a writable place with --trace")
    ended = fix(repository, model.url, "--trace", tmp_path / "t.jsonl", "--json", home=tmp_path, **closed)
    assert [one["evidence"] for one in ended.result["fixes"]] == ["parses"]  # the index was built in memory
    assert any("in memory only" in note for note in ended.result["notes"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_said(repository: Path, tmp_path: Path, model: ScriptedServer) -> None:
    ended = fix(repository, model.url, "--trace", "/dev/full", home=tmp_path)
    check_refused(ended, 3, "Free disk space and run again.")


def test_a_file_changed_while_the_search_still_reads_it_ends_the_job(repository: Path, tmp_path: Path) -> None:
    with serve_scripted(FILES, PIECES, REPRODUCTION, SLOW_REPAIR, JUDGE) as server:
        process = start(*demo(repository, server.url), "--apply", home=tmp_path)
        read_until(process, "repair: writing")
        changed = CALC.replace("a - b", "b - a")
        (repository / "calc.py").write_text(changed, encoding="utf-8")
        ended = end_of(process)
    check_refused(ended, 1, "Start the job again.")
    assert "calc.py changed while the job was running" in ended.err
    assert (repository / "calc.py").read_text(encoding="utf-8") == changed


@pytest.mark.parametrize("where", ["elsewhere in the file", "in the lines of the fix"])
def test_a_file_changed_while_the_fix_is_tested_is_rebased_or_left_alone(
    where: str, repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    slow = f"{PROOF} && sleep 2"  # fails at once on the old code
    process = start(*demo(repository, model.url), "--apply", "--json", "--budget", "1", "--test", slow, home=tmp_path)
    read_until(process, "running candidate 1")
    time.sleep(0.3)
    top = "# a new first line\n"
    changed = top + CALC if where.startswith("elsewhere") else CALC.replace("a - b", "b - a")
    (repository / "calc.py").write_text(changed, encoding="utf-8")
    ended = end_of(process)
    assert ended.result["fixes"][0]["evidence"] == "failing_test"
    now = (repository / "calc.py").read_text(encoding="utf-8")
    if where.startswith("elsewhere"):
        assert (ended.code, now) == (0, top + FIXED), ended.err
    else:
        assert (ended.code, now) == (1, changed)
        assert "the fix no longer fits: lines 5-5 of calc.py were edited since" in ended.err
        assert "Run the fix again, or apply the diff by hand; nothing was written." in ended.err


@pytest.mark.parametrize("command", ["locate", "index", "models", "--version", "--help"])
def test_a_reader_that_leaves_early_is_no_error(command: str, repository: Path, tmp_path: Path) -> None:
    rest = {"locate": (ISSUE, "--repo", str(repository)), "index": (str(repository),), "models": ("list",)}
    ended = end_unread(start(command, *rest.get(command, ()), home=tmp_path))
    assert ended.code == 0, ended.err
    assert "Broken" not in ended.err
