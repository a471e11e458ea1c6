"""The inference benchmark measures what it says: exact tokens, the same work for every engine, honest ratios."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import inference
from inference_engines import SPARE, Result
from inference_servers import p_yes
from llama_server import server_path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "inference.py"
PROMPT = 160
TOKENS = 8


def grid(model: Path, tmp_path: Path, engines: str, n: str, *more: str) -> dict[tuple[str, int], dict[str, Any]]:
    """Rows of a small run by (engine, N)."""
    out = tmp_path / "out.json"
    argv = [sys.executable, str(SCRIPT), "--model", str(model), "--prompts", str(PROMPT), "--n", n, "--passive"]
    argv += ["--tokens", str(TOKENS), "--engines", engines, "--json", str(out), *more]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert all(row["engine"] in done.stdout for row in rows)
    return {(row["engine"], row["n"]): row for row in rows}


@pytest.mark.model
def test_ours_and_the_loop_do_the_same_work(small_model_path: Path, tmp_path: Path) -> None:
    rows = grid(small_model_path, tmp_path, "ours,loop", "1,2")
    assert len(rows) == 4
    for (_, n), row in rows.items():
        assert row["tokens"] == n * TOKENS
        assert len(row["verdicts"]) == n
        assert all(0 < verdict < 1 for verdict in row["verdicts"])
        assert PROMPT - SPARE < row["prefill"] < PROMPT + SPARE
        assert row["judge_prefill"] > 0
        assert row["peak_mib"] > 100
    assert rows["ours", 2]["ratio"] == 1
    assert rows["loop", 2]["ratio"] > 0


@pytest.mark.model
def test_llama_server_does_it_in_every_way(small_model_path: Path, tmp_path: Path) -> None:
    if not server_path().is_file():
        message = "llama-server is not built; run `python benchmarks/llama_server.py`"
        if os.environ.get("PATCHWRIGHT_REQUIRE_LLAMA_SERVER"):
            pytest.fail(message)
        pytest.skip(message)
    rows = grid(small_model_path, tmp_path, "server,server-best,server-slots", "2")
    usual, best, pinned = (rows[kind, 2] for kind in ("server", "server-best", "server-slots"))
    for row in (usual, best, pinned):
        assert row["tokens"] == 2 * TOKENS
        assert len(row["verdicts"]) == 2
    # The usual way computes the prompt in each slot, the others once.
    assert usual["prefill"] > 1.8 * best["prefill"]
    assert usual["prefill"] > 1.8 * pinned["prefill"]
    # Verdicts go on from the prompt, pinned ones from the answer too.
    assert pinned["judge_prefill"] < best["judge_prefill"] < PROMPT


def test_an_engine_that_fails_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = Result(2.0, 1.0, 16, 100, 20, (0.5, 0.5))

    def run(kind: str, *_: object) -> Result:
        if kind == "loop":
            raise RuntimeError("no memory")
        return done

    monkeypatch.setattr(inference, "run", run)
    monkeypatch.setattr(inference, "cut_code", lambda *_: "code")
    model = tmp_path / "m.gguf"
    monkeypatch.setattr(inference, "resolve_model", lambda *_: type("Resolved", (), {"path": model}))
    argv = ["inference.py", "--quick", "--engines", "loop,ours", "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr("sys.argv", argv)
    assert inference.main() == 1
    assert "no memory" in capsys.readouterr().err
    out = json.loads((tmp_path / "out.json").read_text())
    assert [row.get("ratio") for row in out["rows"]] == [None, 1.0]
    assert out["ratios"] == {}


def test_short_answers_count_as_if_they_were_whole() -> None:
    assert inference.even_seconds(Result(3.0, 1.0, 12, 0, 0, ()), 24) == 7.0


def test_the_fastest_turn_counts_and_a_failed_one_is_told() -> None:
    turns: list[dict[str, Any]] = [{"even_seconds": 3.0}, {"even_seconds": 2.0}]
    assert inference.fastest(turns) == {"even_seconds": 2.0, "turns": [3.0, 2.0]}
    assert inference.fastest([*turns, {"error": "no memory"}]) == {"error": "no memory"}


def test_ratios_are_within_one_cell() -> None:
    cells = [(512, 1, "ours", 2.0), (512, 2, "ours", 4.0), (512, 2, "server", 12.0)]
    rows = [{"prompt": p, "n": n, "engine": e, "even_seconds": s} for p, n, e, s in cells]
    assert inference.ratio(rows, rows[2]) == 3.0
    assert inference.ratio(rows[:1] + rows[2:], rows[2]) is None


def test_the_goals_are_ratios_at_eight_answers_of_the_shortest_prompt() -> None:
    def row(engine: str, generate: float, judge: float, n: int = 8, prompt: int = 1024) -> dict[str, Any]:
        seconds = {"even_seconds": generate + judge, "even_generate_seconds": generate}
        return {"prompt": prompt, "n": n, "engine": engine, **seconds}

    other = [row("ours", 100.0, 0.0, prompt=4096), row("loop", 1.0, 0.0, n=4), row("loop", 1.0, 0.0, prompt=4096)]
    rows = [*other, row("ours", 9.0, 1.0), row("loop", 18.0, 2.0), row("server-best", 9.0, 6.0)]
    assert inference.goals(rows) == {"vs_loop": 2.0, "vs_server_best": 1.0, "judging_vs_server_best": 1.5}
    assert inference.goals([*rows, row("server", 35.0, 5.0)])["vs_server_usual"] == 4.0
    assert inference.goals([*rows, {"prompt": 1024, "n": 8, "engine": "server", "error": "x"}]) == inference.goals(rows)
    assert inference.goals(other[1:]) == {}


def test_quick_is_the_goals_cell_without_a_server_that_is_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = inference.parse(["--quick"])
    assert (quick.prompts, quick.n) == ([1024], [8])
    missing = tmp_path / "llama-server"
    assert inference.available(quick.engines, missing, quick=True) == ["ours", "loop"]
    assert "llama_server.py" in capsys.readouterr().err
    built: list[Path] = []
    monkeypatch.setattr(inference, "build", lambda: built.append(missing))
    assert inference.available(quick.engines, missing, quick=False) == quick.engines
    assert built == [missing]
    missing.touch()
    assert inference.available(quick.engines, missing, quick=True) == quick.engines


def test_sizes_and_engines_are_read_or_refused() -> None:
    arguments = inference.parse(["--prompts", "1k,300", "--engines", "ours,server-best", "--no-judge"])
    assert arguments.prompts == [1024, 300]
    assert arguments.engines == ["ours", "server-best"]
    assert not arguments.judge
    for wrong in (["--prompts", "0"], ["--n", "many"], ["--engines", "theirs"], ["--repeat", "0"]):
        with pytest.raises(SystemExit):
            inference.parse(wrong)


def test_the_servers_verdict_is_the_share_of_yes() -> None:
    top = [{"token": word, "logprob": math.log(p)} for word, p in (("No", 0.6), ("Yes", 0.2), (" Yes", 0.01))]
    assert p_yes([{"top_logprobs": top}]) == pytest.approx(0.25)
