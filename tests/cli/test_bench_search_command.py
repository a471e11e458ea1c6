"""`patchwright bench repair` as a user runs it: a search that is killed goes on where it was."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from front_door import PROGRAM, end_of, patchwright, read_until, start
from patchwright_engine.sandbox.output import one_line
from scripted_model import Rule, serve_scripted
from toy_bug import Toy, make_toy

RIGHT = "```python\ndef clamp(value, low, high):\n    return max(low, min(value, high))\n```"
TEST = "```python\nimport pytest\nfrom calc import clamp\n\n\ndef test_issue():\n    assert clamp(12, 0, 9) == 9\n```"
RULES = (
    Rule(("calc.py",), match="Which of these files"),
    Rule(("calc.py::clamp",), match="Which of these pieces"),
    Rule((TEST,), match="Imports:"),
    Rule((RIGHT,), match="(?i)fix the issue (in|by)", delay=1.0),
    Rule(("Yes",), yes=0.9),
)
TREE = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
"""Where the tests run another tree than the installed one, so do the commands they start."""


def arguments(toy: Toy, home: Path, url: str) -> tuple[str, ...]:
    rows = home / "rows.jsonl"
    rows.write_text(json.dumps(toy.row) + "\n")
    given = ["--instances", rows, "--repos", toy.repos, "--out", home / "out", "--model", url]
    return "bench", "repair", *map(str, given), "--strategy", "dev-search,exec", "--budget", "1,2"


def answered(part: Path) -> int:
    """How many answers a search that is under way has written down."""
    try:
        return part.read_text().count('"kind": "complete"')
    except OSError:
        return 0


def test_a_killed_search_goes_on_and_pays_for_no_answer_twice(tmp_path: Path) -> None:
    toy = make_toy(tmp_path)
    part = tmp_path / "out/traces/toys__calc-1/r0-exec-divergent-2.part"
    with serve_scripted(*RULES) as server:
        command = arguments(toy, tmp_path, server.url)
        process = start(*command, home=tmp_path, **TREE)
        read_until(process, "searching: exec-divergent-2")
        deadline = time.monotonic() + 100
        while answered(part) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        end_of(process)
        kept = answered(part)
        assert kept >= 2
        assert not (tmp_path / "out/outcomes.jsonl").exists()
        ended = patchwright(*command, "--json", tmp_path / "report.json", home=tmp_path, **TREE)
        assert ended.code == 0, ended.err
        bodies = [json.dumps(body, sort_keys=True) for body in server.bodies]
        repeated = len(bodies) - len(set(bodies))
        assert repeated <= 1  # What was being answered at the kill.
        again = patchwright(*command, home=tmp_path, **TREE)
        assert (again.code, len(server.bodies)) == (0, len(bodies))
    assert "1 of 1 instances were finished before" in again.err
    report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
    assert report == json.loads((tmp_path / "out/results.json").read_text())
    resolved = {(one["strategy"], one["budget"]): one["resolved"] for one in report["cells"]}
    assert resolved == {(name, budget): 1.0 for name in ("dev-search", "exec") for budget in (1, 2)}
    assert "dev-search − exec (divergent)" in ended.out
    assert f"Kept in {one_line(str(tmp_path / 'out'))}" in ended.err
    shown = patchwright(
        "trace", "show", tmp_path / "out/traces/toys__calc-1/r0-dev-search-2.jsonl", home=tmp_path, **TREE
    )
    assert shown.code == 0
    assert PROGRAM[-1] == "patchwright_engine"


def test_two_at_once_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    toy = make_toy(tmp_path)
    with serve_scripted(Rule(("calc.py",), fault="hang")) as server:
        command = arguments(toy, tmp_path, server.url)
        process = start(*command, home=tmp_path, **TREE)
        read_until(process, "searching: exec-divergent-2")
        second = patchwright(*command, home=tmp_path, **TREE)
        assert second.code == 2
        assert "another benchmark works in" in second.err
        process.send_signal(signal.SIGINT)
        ended = end_of(process)
    assert ended.code == 130
    assert "interrupted" in ended.err
