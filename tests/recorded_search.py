"""The trace of a whole search, step by step as `fix` writes it: two rounds, two locations, every kind of candidate."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ADD = "calc.py::add"
MUL = "calc.py::mul"
DIFF = """\
--- a/calc.py
+++ b/calc.py
@@ -1,3 +1,3 @@
 def add(a, b):
--- an old remark
-    return a - b
+++ a new remark
+    return a + b
"""
HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title></textarea><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }} {% include '/etc/passwd' %}",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \u202egnp.exe \u200b \x00 \udcff",
    "`<b>` &amp; &lt;i&gt; javascript:alert(1)",
)
"""Texts that would act, hide or break out where a page, a template or a terminal let them."""
TEST = "from calc import add\n\ndef test_issue():\n    assert add(2, 3) == 5\n"


def run(kind: str, code: int, before: str, after: str, output: str = "") -> dict[str, Any]:
    command = f"pytest {kind}.py"
    return {
        **{"kind": kind, "command": command, "exit": code, "before": before, "after": after},
        **{"seconds": 0.5, "output": output},
    }


def answers(stage: str, n: int, tokens: int, *, replayed: bool = False) -> dict[str, Any]:
    return {
        **{"kind": "complete", "stage": stage, "key": f"{stage}{n}", "replayed": replayed, "messages": []},
        "answers": [{"answer": "x", "think": "", "tokens": tokens // n}] * n,
        **{"prompt_tokens": 100, "cached_tokens": 40, "generated_tokens": tokens, "seconds": 1.0},
    }


def candidate(rollout: int, patch: str, **more: Any) -> dict[str, Any]:
    arm = {"location": [ADD], "revised": None, "chance": 0.3, "tokens": 20}
    return {"kind": "candidate", "rollout": rollout, "patch": patch, **arm, **more}


def judged(evidence: str | None, *runs: dict[str, Any], **more: Any) -> dict[str, Any]:
    verdict = {"evidence": evidence, "agreement": 1.0 if evidence else 0.0, "feedback": "", "flags": []}
    return {"diff": DIFF, "runs": list(runs), **verdict, **more}


def whole_search() -> list[dict[str, Any]]:
    """Steps without schema and time, which `write_trace` adds: one second a step."""
    failing = run("reproduction", 1, "1 failed", "1 failed", "E   assert -1 == 5")
    passing = run("reproduction", 0, "1 failed", "1 passed", "1 passed in 0.01s")
    kept = run("regression", 0, "4 passed", "4 passed", "4 passed in 0.05s")
    place = {"score": 2.0, "prior": 0.7, "spent": 0, "distinct": 0, "failed": 0}
    plan = {
        "elsewhere": 0.15,
        "places": [
            {**place, "symbols": [ADD], "belief": 0.7, "gains": [0.3]},
            {**place, "symbols": [MUL], "belief": 0.15, "gains": []},
        ],
        "revisions": [],
    }
    prm = {"stage": "locate", "replayed": False, "messages": [], "probability": 0.75}
    fix = {"id": "aaa111", "evidence": "reproduced", "score": 0.9, "files": ["calc.py"], "diff": DIFF}
    return [
        {"kind": "start", "issue": "`add` subtracts\n\nadd(2, 3) is -1", "budget": "4", "rollouts": 4, "seed": 0}
        | {"root": "/home/someone/project", "time": "2026-01-02T03:04:05+00:00", "resumed": None},
        {"kind": "index", "revision": "r", "files": 2, "symbols": 3, "ranking": [["calc.py", 0.9], ["util.py", 0.1]]},
        {"kind": "model", "name": "small-model"},
        answers("understand", 4, 40),
        {"kind": "file_sets", "kept": ["calc.py"]}
        | {
            "candidates": [{"paths": ["calc.py"], "votes": 3, "prm": 0.8}, {"paths": ["x.py"], "votes": 1, "prm": None}]
        },
        answers("locate", 4, 40),
        {"kind": "judge", "key": "j", **prm, "prompt_tokens": 50, "cached_tokens": 45, "seconds": 0.1},
        {"kind": "locations", "kept": 2}
        | {
            "candidates": [
                {"symbols": [ADD], "votes": 3, "prior": 1.0, "prm": 0.75, "score": 2.75},
                {"symbols": [MUL], "votes": 1, "prior": 0.5, "prm": None, "score": 1.5},
                {"symbols": ["util.py::other"], "votes": 0, "prior": 0.1, "prm": 0.2, "score": 0.3},
            ]
        },
        {"kind": "environment", "python": "/usr/bin/python3", "runner": "pytest", "reason": "found", "sandbox": "bwrap"}
        | {"tests": ["test_calc.py"], "other_tests": 7},
        {"kind": "baseline", "tests": "4 passed", "flaky": 0, "seconds": 0.8, "user_test": None},
        {"kind": "nearby_tests", "path": "test_calc.py", "text": ""},
        answers("reproduce", 3, 90),
        {"kind": "reproduction", "path": "test_p_1.py", "source": TEST, "votes": 2, "valid": True}
        | {"reason": "fails before: AssertionError", "failure": "E   assert -1 == 5"},
        {"kind": "reproduction", "path": "test_p_2.py", "source": "def test_issue():\n    assert 0\n", "votes": 1}
        | {"valid": False, "reason": "The test imports nothing of the project.", "failure": ""},
        {"kind": "narrowed", "entered": [ADD], "kept": [ADD, MUL]},
        {"kind": "plan", "number": 0, **plan},
        answers("repair", 1, 20),
        candidate(1, "bbb222", **judged(None, failing, feedback="The reproduction still fails")),
        {"kind": "round", "number": 0, "rollouts": 1, "alive": 0},
        {"kind": "widened", "elsewhere": 0.5, "locations": ["util.py::other"]},
        {"kind": "plan", "number": 1, **plan},
        answers("repair", 3, 60),
        candidate(2, "aaa111", revised="bbb222", **judged("reproduced", passing, kept, flags=["looks odd"])),
        candidate(3, "aaa111", location=[MUL], votes=2),
        {
            "kind": "candidate",
            "rollout": 4,
            "refused": "no code in the answer",
            "hint": "Answer with code.",
            "tokens": 20,
        }
        | {"location": [MUL], "revised": None},
        {"kind": "round", "number": 1, "rollouts": 4, "alive": 1},
        candidate(4, "aaa111", **judged("reproduced", passing, kept, kept, flags=["looks odd"])),
        {"kind": "belief", "patch": "aaa111", "confidence": 0.93},
        {"kind": "behaviour", "probes": [["add(2, 3)", "returns -1"]], "written": 0, "groups": [["aaa111"]]},
        {"kind": "contradicted", "reproductions": ["test_p_3.py"]},
        {"kind": "test", "path": "test_calc.py", "offered": True, "reason": ""},
        {"kind": "dropped", "stage": "understand", "what": ["big.py: 9 symbols"]},
        {"kind": "note", "text": "Something worth knowing."},
        {"kind": "stop", "reason": "the best fix is proven and believed", "rollouts": 4, "generated_tokens": 250},
        {
            "kind": "end",
            "ranking": [
                {"patch": "aaa111", "evidence": "reproduced", "agreement": 1.0, "votes": 2, "peers": 2, "orm": 0.66}
                | {"confirmed": True}
            ],
            "result": {
                "stopped": "verified",
                "fixes": [
                    {**fix, "rank": 1, "explanation": "changes add in calc.py (+2 −2)", "runs": [passing, kept]}
                    | {"differences": ["add(0, 1): this fix returns 1; before returns -1"], "flags": []}
                    | {"test": {"path": "test_calc.py", "source": TEST}}
                ],
                "cost": {"rollouts": 4, "prompt_tokens": 500, "cached_tokens": 200, "generated_tokens": 250}
                | {"judge_tokens": 5, "seconds": 35.2},
                "notes": ["Something worth knowing."],
            },
        },
    ]


def write_trace(path: Path, steps: Iterable[dict[str, Any]]) -> Path:
    """Write steps as a trace."""
    lines = [json.dumps({"schema": 1, "at": float(at), **step}) for at, step in enumerate(steps)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def poisoned(value: Any, poison: str) -> Any:
    """`value` with poison behind every text that is not a word of ours."""
    ours = {"kind", "stage", "evidence", "stopped", "patch", "id", "revised"}
    if isinstance(value, dict):
        return {key: one if key in ours else poisoned(one, poison) for key, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one, poison) for one in value]
    if not isinstance(value, str) or not value:
        return value
    return f"{value[:-1]}{poison}\n" if value.endswith("\n") else f"{value}{poison}"  # Lines stay lines.
