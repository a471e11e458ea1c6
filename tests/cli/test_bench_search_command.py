"""`patchwright bench repair` as a user runs it: a search that is killed goes on where it was."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import patchwright_engine
from front_door import end_of, patchwright, read_until, start
from patchwright_engine.sandbox.output import one_line
from patchwright_engine.search.trace import read_trace
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
TREE = {"PYTHONPATH": str(Path(patchwright_engine.__file__).parents[1])}
"""The tree under test, which need not be the installed one."""


def arguments(toy: Toy, home: Path, url: str) -> tuple[str, ...]:
    rows = home / "rows.jsonl"
    rows.write_text(json.dumps(toy.row) + "\n")
    given = ["--instances", rows, "--repos", toy.repos, "--out", home / "out", "--model", url]
    return "bench", "repair", *map(str, given), "--strategy", "dev-search,exec", "--budget", "1,2"


def answered(trace: Path) -> dict[str, bool]:
    """The answers that a search has written down so far, by key: whether each was taken over from before."""
    if not trace.exists() or not trace.read_text().count("\n"):
        return {}
    return {step["key"]: step["replayed"] for step in read_trace(trace) if step["kind"] == "complete"}


def test_a_killed_search_goes_on_and_pays_for_no_answer_twice(tmp_path: Path) -> None:
    toy = make_toy(tmp_path)
    part = tmp_path / "out/traces/toys__calc-1/r0-exec-divergent-2.part"
    with serve_scripted(*RULES) as server:
        command = arguments(toy, tmp_path, server.url)
        process = start(*command, home=tmp_path, **TREE)
        read_until(process, "searching: exec-divergent-2")
        deadline = time.monotonic() + 100
        while len(answered(part)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        end_of(process)
        kept = answered(part)
        assert len(kept) >= 2
        assert not any(kept.values())
        assert not (tmp_path / "out/outcomes.jsonl").exists()
        ended = patchwright(*command, "--json", tmp_path / "report.json", home=tmp_path, **TREE)
        assert ended.code == 0, ended.err
        whole = answered(part.with_suffix(".jsonl"))
        assert kept.keys() < whole.keys()
        assert {key for key, taken_over in whole.items() if taken_over} == kept.keys()
        asked = len(server.bodies)
        again = patchwright(*command, home=tmp_path, **TREE)
        assert (again.code, len(server.bodies)) == (0, asked)
    assert "1 of 1 instances were finished before" in again.err
    report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
    assert report == json.loads((tmp_path / "out/results.json").read_text())
    resolved = {(one["strategy"], one["budget"]): one["resolved"] for one in report["cells"]}
    assert resolved == {(name, budget): 1.0 for name in ("dev-search", "exec") for budget in (1, 2)}
    assert "dev-search − exec (divergent)" in ended.out
    assert f"Kept in {one_line(str(tmp_path / 'out'))}" in ended.err
    found = {(one["strategy"], one["budget"]): tmp_path / "out" / one["trace"] for one in report["instances"]}
    assert found["dev-search", 2] == found["dev-search", 1]  # It ended by itself, so a larger budget ends alike.
    shown = patchwright("trace", "show", found["dev-search", 2], home=tmp_path, **TREE)
    assert shown.code == 0


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
