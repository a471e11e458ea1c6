"""`patchwright fix` as a user runs it: what it prints, what it touches, how it ends.

The model is scripted and answers over a real socket; repository, sandbox, tests and trace are real.
"""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo_project import CALC, FILES, FIXED, ISSUE, JUDGE, PIECES, REPAIR, REPRODUCTION, RULES
from front_door import (
    PROGRAM,
    Ended,
    end_of,
    end_unread,
    environment,
    fingerprint,
    git,
    make_repository,
    patchwright,
    read_until,
    start,
)
from scripted_model import Rule, ScriptedServer, serve_scripted

FAILING = f'{sys.executable} -c "from calc import add; assert add(2, 3)[0] == 5"'
WRONG_REPAIR = Rule(("```python\ndef add(a, b):\n    return b - a, '😀é'\n```",), match=REPAIR.match)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project")


@pytest.fixture
def model() -> Iterator[ScriptedServer]:
    with serve_scripted(*RULES) as server:
        yield server


def fix(repository: Path, url: str, *more: str | Path, home: Path, **variables: str) -> Ended:
    """`fix` of the demo issue with the smallest named budget."""
    arguments = ("fix", ISSUE, "--repo", repository, "--model", url, "--budget", "quick", *more)
    return patchwright(*arguments, home=home, **variables)


@dataclass(frozen=True)
class Recorded:
    """One verified fix and the search that found it, shared by tests that only look."""

    home: Path
    repository: Path
    ended: Ended
    before: Any
    after: Any
    requests: int

    @property
    def trace(self) -> Path:
        return Path(self.ended.result["trace"])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    home = tmp_path_factory.mktemp("recorded")
    root = make_repository(home / "project")
    before = fingerprint(root)
    with serve_scripted(*RULES) as server:
        ended = fix(root, server.url, "--json", "--seed", "7", home=home)
        return Recorded(home, root, ended, before, fingerprint(root), len(server.bodies))


def test_a_verified_fix_is_one_json_object_in_the_shape_of_the_contract(recorded: Recorded) -> None:
    assert recorded.ended.code == 0, recorded.ended.err
    result = recorded.ended.result
    assert set(result) == {"schema", "issue", "fixes", "cost", "stopped", "trace", "notes"}
    assert (result["schema"], result["stopped"]) == (1, "verified")
    assert result["issue"]["text"] == ISSUE
    (one,) = result["fixes"]
    assert set(one) == {
        "id",
        "rank",
        "evidence",
        "score",
        "files",
        "diff",
        "explanation",
        "runs",
        "flags",
        "differences",
        "test",
    }
    assert (one["rank"], one["evidence"], one["files"]) == (1, "reproduced", ["calc.py"])
    assert 0 < one["score"] <= 1
    assert one["explanation"]
    for run in one["runs"]:
        assert set(run) == {"kind", "command", "exit", "before", "after", "seconds"}
        assert run["seconds"] > 0
    shown = [(run["kind"], run["exit"], run["before"], run["after"]) for run in one["runs"]]
    assert shown == [("reproduction", 0, "1 failed", "1 passed"), ("regression", 0, "1 passed", "1 passed")]
    cost = result["cost"]
    names = {
        "rollouts",
        "prompt_tokens",
        "cached_tokens",
        "generated_tokens",
        "thought_tokens",
        "judge_tokens",
        "seconds",
    }
    assert set(cost) == names
    assert cost["rollouts"] == 1  # proven by the first
    assert min(cost["prompt_tokens"], cost["generated_tokens"], cost["seconds"]) > 0
    assert Path(result["trace"]).stat().st_mode & 0o077 == 0


def test_the_diff_is_one_that_git_applies(recorded: Recorded, tmp_path: Path) -> None:
    root = make_repository(tmp_path / "other")
    (tmp_path / "fix.diff").write_text(recorded.ended.result["fixes"][0]["diff"], encoding="utf-8")
    git(root, "apply", str(tmp_path / "fix.diff"))
    assert (root / "calc.py").read_text(encoding="utf-8") == FIXED


def test_progress_goes_to_stderr_as_plain_lines(recorded: Recorded) -> None:
    lines = recorded.ended.err.splitlines()
    assert "\x1b" not in recorded.ended.err
    assert all(line.lstrip().startswith("[") for line in lines), lines
    stages = [line.partition("] ")[2].partition(":")[0] for line in lines]
    assert list(dict.fromkeys(stages)) == [
        *("index", "model", "understand", "locate", "verify", "reproduce", "repair", "rank", "done")
    ]


def test_without_apply_nothing_of_the_users_tree_is_touched(recorded: Recorded) -> None:
    assert ".git/index" in recorded.before
    assert recorded.after == recorded.before


def test_a_resumed_search_finds_the_same_without_asking_the_model(recorded: Recorded) -> None:
    assert recorded.requests > 0
    gone = "http://127.0.0.1:9/v1"  # where nobody listens
    again = fix(recorded.repository, gone, "--json", "--seed", "7", "--resume", recorded.trace, home=recorded.home)
    assert again.code == 0, again.err
    assert told(again) == told(recorded.ended)
    assert again.result["cost"]["generated_tokens"] == 0
    assert again.result["trace"] != str(recorded.trace)


def test_equal_seeds_find_the_same_and_another_seed_asks_otherwise(recorded: Recorded, model: ScriptedServer) -> None:
    again = fix(recorded.repository, model.url, "--json", "--seed", "7", home=recorded.home)
    assert told(again) == told(recorded.ended)
    assert model.bodies[0]["seed"] == 7
    model.bodies.clear()
    fix(recorded.repository, model.url, "--seed", "8", home=recorded.home, PATCHWRIGHT_SANDBOX="none")
    assert model.bodies[0]["seed"] == 8


def told(ended: Ended) -> list[tuple[Any, ...]]:
    """What two equal searches agree on: everything about the fixes but the seconds."""
    return [
        (
            *(one["id"], one["rank"], one["evidence"], one["score"], one["diff"]),
            *((run["kind"], run["command"], run["before"], run["after"]) for run in one["runs"]),
        )
        for one in ended.result["fixes"]
    ]


def test_people_read_the_fix_with_its_proof(recorded: Recorded) -> None:
    gone = "http://127.0.0.1:9/v1"
    shown = fix(recorded.repository, gone, "--seed", "7", "--resume", recorded.trace, home=recorded.home)
    assert shown.code == 0
    for words in ("verified (reproduced)", "before: 1 failed", "after: 1 passed", "+    return a + b", "Trace: "):
        assert words in shown.out
    assert "NOT verified" not in shown.out


def test_no_verified_fix_is_exit_1_and_says_what_to_try(repository: Path, tmp_path: Path) -> None:
    with serve_scripted(FILES, PIECES, REPRODUCTION, WRONG_REPAIR, JUDGE) as server:
        ended = fix(repository, server.url, "--test", FAILING, "--apply", home=tmp_path)
    assert ended.code == 1
    assert "No fix found." in ended.out
    for cure in ("larger --budget", "--test command that fails", "more exact description"):
        assert cure in " ".join(ended.out.split())
    assert "Nothing applied" in ended.err
    assert (repository / "calc.py").read_text(encoding="utf-8") == CALC


def test_a_failing_test_of_the_user_gives_the_strongest_evidence(
    repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    ended = fix(repository, model.url, "--test", FAILING, "--json", home=tmp_path)
    assert ended.code == 0, ended.err
    (one,) = ended.result["fixes"]
    assert one["evidence"] == "failing_test"
    (run,) = [run for run in one["runs"] if run["kind"] == "user_test"]
    assert (run["command"], run["before"], run["after"], run["exit"]) == (FAILING, "exit 1", "exit 0", 0)


def test_a_test_command_that_passes_already_is_said_to_prove_nothing(
    repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    ended = fix(repository, model.url, "--test", "true", "--json", home=tmp_path)
    assert all(one["evidence"] != "failing_test" for one in ended.result["fixes"])
    assert any("passes before any change" in note and "give one that fails" in note for note in ended.result["notes"])


def test_apply_writes_only_the_fix_and_keeps_mode_and_line_ends(
    repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    target = repository / "calc.py"
    target.write_bytes(CALC.replace("\n", "\r\n").encode())
    target.chmod(0o750)
    before = fingerprint(repository)
    ended = fix(repository, model.url, "--apply", home=tmp_path)
    assert ended.code == 0, ended.err
    assert "Applied fix" in ended.err
    assert target.read_bytes() == FIXED.replace("\n", "\r\n").encode()
    assert target.stat().st_mode & 0o777 == 0o750
    after = fingerprint(repository)
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == {"calc.py"}
    assert git(repository, "log", "--oneline").count("\n") == 1


NEW_FILE = """```python
calc.py
<<<<<<< SEARCH
def add(a, b):
    return a - b, '😀é'
=======
from sums.total import total


def add(a, b):
    return total(a, b), '😀é'
>>>>>>> REPLACE
sums/total.py
<<<<<<< SEARCH
=======
def total(a, b):
    return a + b
>>>>>>> REPLACE
"""


def test_apply_writes_a_fix_that_makes_a_new_file(repository: Path, tmp_path: Path) -> None:
    with serve_scripted(*RULES[:3], Rule((NEW_FILE,), match=REPAIR.match), JUDGE) as server:
        ended = fix(repository, server.url, "--apply", home=tmp_path)
    assert ended.code == 0, ended.err
    assert "to calc.py, sums/total.py." in ended.err
    assert (repository / "sums/total.py").read_text() == "def total(a, b):\n    return a + b\n"
    assert "return total(a, b)" in (repository / "calc.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (("--budget", "zero"), "Use quick (2 rollouts), standard (8), deep (32) or a number from 1 to 256."),
        (("--budget", "0"), "Use quick"),
        (("--timeout", "0"), "Give seconds, more than 0"),
        (("--timeout", "nan"), "Give seconds, more than 0"),
        (("--test", " "), "Give a command"),
        (("--resume", "/nowhere.jsonl"), "Give the path of a .jsonl trace."),
        (("--python", "/nowhere/python"), "Name an interpreter"),
        (("--model", "gpt-99"), "A GGUF file of your own is given by its path"),
        (("--seed", "x"), "--seed"),
    ],
)
def test_an_option_that_cannot_be_worked_on_is_exit_2_with_its_cure(
    repository: Path, tmp_path: Path, model: ScriptedServer, arguments: tuple[str, ...], cure: str
) -> None:
    ended = fix(repository, model.url, *arguments, home=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert cure in ended.err
    assert "Traceback" not in ended.err


HANGING_REPAIR = Rule(REPAIR.answers, match=REPAIR.match, fault="hang")


@pytest.mark.parametrize(
    ("busy_with", "number"),
    [("the model", signal.SIGINT), ("a run", signal.SIGINT), ("a run", signal.SIGTERM), ("a run", signal.SIGHUP)],
)
def test_ctrl_c_or_a_kill_ends_at_once_keeps_the_trace_and_leaves_nothing_behind(
    repository: Path, tmp_path: Path, busy_with: str, number: signal.Signals
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    repair = HANGING_REPAIR if busy_with == "the model" else REPAIR
    more = () if busy_with == "the model" else ("--test", "sleep 60")
    stage = "repair: writing" if busy_with == "the model" else "verify: running"
    trace = tmp_path / "kept.jsonl"
    with serve_scripted(FILES, PIECES, REPRODUCTION, repair, JUDGE) as server:
        arguments = ("fix", ISSUE, "--repo", str(repository), "--model", server.url, "--trace", str(trace), *more)
        process = start(*arguments, home=tmp_path, TMPDIR=str(scratch))
        read_until(process, stage)
        time.sleep(0.5)  # well inside
        pressed = time.monotonic()
        process.send_signal(number)
        ended = end_of(process)
        seconds = time.monotonic() - pressed
    assert ended.code == 130, ended.err
    assert seconds < 2.0  # The rule is half a second; the rest is for a machine that is busy with other tests.
    assert "cancelled" in ended.out
    assert "Try a larger" not in ended.out
    assert "Traceback" not in ended.err
    steps = [json.loads(line) for line in trace.read_text().splitlines()]
    assert (steps[0]["kind"], steps[-1]["kind"]) == ("start", "end")
    shown = patchwright("trace", "show", trace, home=tmp_path)
    assert (shown.code, "Stopped because it was cancelled." in shown.out) == (0, True)
    assert list(scratch.iterdir()) == []
    assert (repository / "calc.py").read_text(encoding="utf-8") == CALC


def test_a_terminal_sees_the_stages_live_and_stdout_stays_clean(
    repository: Path, tmp_path: Path, model: ScriptedServer
) -> None:
    terminal, side = pty.openpty()
    variables = environment(tmp_path, TERM="xterm-256color", COLUMNS="120", LINES="40")
    arguments = ("fix", ISSUE, "--repo", str(repository), "--model", model.url, "--budget", "quick", "--json")
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=side, stdin=side, env=variables, cwd=tmp_path
    )
    os.close(side)
    seen = bytearray()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
    out, _ = process.communicate(timeout=30)
    os.close(terminal)
    assert process.returncode == 0
    assert json.loads(out)["stopped"] == "verified"
    drawn = seen.decode("utf-8", "replace")
    assert "\x1b[" in drawn  # drawn over, not scrolled
    for stage in ("index", "model", "understand", "locate", "reproduce", "repair", "verify", "rank"):
        assert stage in drawn
    assert "rollouts" in drawn
    assert "tokens" in drawn


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_reader_that_leaves_early_spoils_neither_apply_nor_the_exit_status(
    repository: Path, tmp_path: Path, model: ScriptedServer, form: tuple[str, ...]
) -> None:
    arguments = ("fix", ISSUE, "--repo", str(repository), "--model", model.url, "--budget", "quick", "--apply", *form)
    ended = end_unread(start(*arguments, home=tmp_path))
    assert ended.code == 0, ended.err
    assert "Broken" not in ended.err
    assert (repository / "calc.py").read_text(encoding="utf-8") == FIXED
