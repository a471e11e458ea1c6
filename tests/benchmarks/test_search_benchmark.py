"""The benchmark of the search reads what `bench repair` wrote, and tells what it promises."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import patchwright_engine
from patchwright_engine.bench.outcomes import Cell, Outcome
from patchwright_engine.bench.repair_summary import summarize_repair

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "search.py"


def outcome(name: str, cell: Cell, *, resolved: bool, tokens: int) -> Outcome:
    return Outcome(
        name,
        cell,
        resolved=resolved,
        evidence="reproduced",
        tokens=tokens,
        rollouts=cell.budget,
        patch=f"{name} {resolved}",
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two issues: at 8, `exec` resolves one; Dev-Search resolves one at 2 and both at 8."""
    fixed, small, large = Cell("exec", "divergent", 8), Cell("dev-search", "", 2), Cell("dev-search", "", 8)
    outcomes = [
        outcome("a", fixed, resolved=True, tokens=1000),
        outcome("b", fixed, resolved=False, tokens=1000),
        outcome("a", small, resolved=True, tokens=200),
        outcome("b", small, resolved=False, tokens=400),
        outcome("a", large, resolved=True, tokens=200),
        outcome("b", large, resolved=True, tokens=1000),
    ]
    (tmp_path / "results.json").write_text(json.dumps(summarize_repair(outcomes, "small")))
    return tmp_path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCHMARK, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(patchwright_engine.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_table_the_ratios_and_the_report(results: Path) -> None:
    done = run("--results", results, "--plots", results / "plots", "--json", results / "out.json")
    assert done.returncode == 0, done.stderr
    assert "2 issues, 6 searches, model small" in done.stdout
    curves = results / "plots" / "curves.png"
    assert curves.exists() or "pip install matplotlib" in done.stdout
    report = json.loads((results / "out.json").read_text())
    assert report["machine"].keys() == {"platform", "cores", "python"}
    assert [(row["model"], row["strategy"], row["budget"]) for row in report["rows"]] == [
        ("small", "dev-search", 2),
        ("small", "dev-search", 8),
        ("small", "exec", 8),
    ]
    assert report["ratios"] == {
        "dev_search_vs_exec_8": 2.0,
        "dev_search_tokens_vs_exec_8": 0.6,
        "dev_search_tokens_to_reach_exec_8": 0.3,
        "precision": pytest.approx(2 / 3),
    }
    assert "dev_search_tokens_to_reach_exec_8: 0.30" in done.stdout


def test_a_folder_without_results_is_told(tmp_path: Path) -> None:
    done = run("--results", tmp_path)
    assert done.returncode == 1
    assert "bench repair --out" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--quick", "--results", "x")])
def test_one_of_results_and_quick_is_asked_for(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "give --results DIR, or --quick" in done.stderr
