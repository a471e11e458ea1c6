"""`benchmarks/policies.py`: searches recorded by `bench repair`, replayed under several policies."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from patchwright_engine.bench.outcomes import Cell, Outcome, append_outcome

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "policies.py"
PLACE = {"symbols": ["a.py::f"], "score": 2.0}


def candidate(patch: str, evidence: str | None, agreement: float) -> dict[str, Any]:
    arm = {"location": ["a.py::f"], "revised": None, "chance": 0.3, "tokens": 50}
    return {"kind": "candidate", "patch": patch, "evidence": evidence, "agreement": agreement, "diff": "-a\n+b", **arm}


def write_results(folder: Path, *steps: Mapping[str, Any], right: str) -> None:
    trace = folder / "traces" / "one.jsonl"
    trace.parent.mkdir(parents=True)
    begun = [
        {"kind": "start", "issue": "it fails"},
        {"kind": "complete", "stage": "reproduce", "generated_tokens": 100},
        {"kind": "reproduction", "valid": True, "source": "assert f() == 1", "votes": 3},
        {"kind": "plan", "places": [PLACE]},
    ]
    trace.write_text("".join(json.dumps({"schema": 1, "at": 0.0, **step}) + "\n" for step in [*begun, *steps]))
    cell = Cell("dev-search", "", 8)
    append_outcome(folder, Outcome("one", cell, resolved=True, right=(right,), trace="traces/one.jsonl"))


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_a_policy_that_stops_finds_as_much_for_less(tmp_path: Path) -> None:
    right = candidate("good", "reproduced", 1.0)
    others = [candidate(f"bad{n}", None, 0.0) for n in range(6)]
    write_results(tmp_path, candidate("bad", None, 0.0), right, *others, right="good")
    careless = tmp_path / "careless.toml"
    text = files("patchwright_engine.search").joinpath("policy.toml").read_text("utf-8")
    careless.write_text(text.replace("gain = 0.004", "gain = 1.0"))
    done = run("--results", tmp_path, "--policy", careless, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    packaged, fixed, other = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert (packaged["resolved"], fixed["resolved"], other["resolved"]) == (1, 1, 0)
    assert packaged["right"] == packaged["proven"] == 1
    assert (packaged["rollouts"], fixed["rollouts"], other["rollouts"]) == (2, 8, 0)
    assert packaged["tokens"] == 100 + 2 * 50
    assert fixed["tokens"] == 100 + 8 * 50
    assert fixed["missing"] == 0
    assert "1 recorded searches" in done.stdout


def test_what_is_no_policy_or_no_result_is_told(tmp_path: Path) -> None:
    write_results(tmp_path / "results", candidate("good", "reproduced", 1.0), right="good")
    (tmp_path / "wrong.toml").write_text("[belief]\n")
    refused = run("--results", tmp_path / "results", "--policy", tmp_path / "wrong.toml")
    assert refused.returncode == 2
    assert "search policy" in refused.stderr
    assert run("--results", tmp_path / "nothing").returncode == 1
