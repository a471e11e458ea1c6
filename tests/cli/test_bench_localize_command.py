"""`patchwright bench localize` from the command line's side."""

import json
from pathlib import Path

import pytest

from patchwright_engine.cli import main
from toy_bug import Toy, make_toy


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return make_toy(tmp_path)


@pytest.fixture
def rows(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    gold = {"gold_files": ["calc.py"], "gold_functions": ["calc.py::clamp"]}
    path = tmp_path / "rows.jsonl"
    second = {**toy.row, **gold, "instance_id": "toys__calc-2", "base_commit": "0" * 40}
    path.write_text(json.dumps({**toy.row, **gold}) + "\n" + json.dumps(second) + "\n")
    return path


def bench(rows: Path, toy: Toy, *more: str | Path) -> int:
    arguments = ["bench", "localize", "--instances", rows, "--repos", toy.repos, *more]
    return main([str(argument) for argument in arguments])


def test_issues_are_located_and_told(rows: Path, toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(rows, toy, "--jobs", "2", "--json", tmp_path / "report.json") == 0
    told = capsys.readouterr()
    assert "toys/calc" in told.out
    assert "toys__calc-2: not located" in told.out
    assert "toys__calc-1: fix at 1 of 2 files" in told.err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["overall"]["file_all@1"] == 1.0
    assert report["overall"]["failed"] == 1
    assert report["by_repo"]["toys/calc"]["symbol_any@10"] == 1.0
    assert [one["instance_id"] for one in report["instances"]] == ["toys__calc-1", "toys__calc-2"]


def test_without_any_located_issue_it_fails(rows: Path, toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(rows, toy, "--only", "toys__calc-2") == 1
    assert "lacks the commit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--only", "other"), "there is no instance other"),
        (("--jobs", "0"), "--jobs 0 is too small"),
        (("--limit", "-1"), "--limit -1 is too small"),
        (("--rerank", "nothing-of-that-name"), "nothing-of-that-name"),
        (("--rerank", "http://127.0.0.1:9/v1"), "cannot tell how likely"),
        (("--json", "/no/such/folder/report.json"), "cannot write"),
    ],
)
def test_bad_options_are_told(
    rows: Path, toy: Toy, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], told: str
) -> None:
    assert bench(rows, toy, *more) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("given", ["0", "2048,-1", "2048,", "many"])
def test_budgets_that_are_none_are_told(rows: Path, toy: Toy, capsys: pytest.CaptureFixture[str], given: str) -> None:
    with pytest.raises(SystemExit) as ended:
        bench(rows, toy, "--packed", given)
    assert ended.value.code == 2
    assert "such as 2048,4096" in capsys.readouterr().err


def test_a_server_has_no_tokenizer_to_count_with(rows: Path, toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(rows, toy, "--packed", "2048", "--model", "http://127.0.0.1:1/v1") == 2
    assert "Name an installed model" in capsys.readouterr().err


@pytest.mark.model
def test_what_of_the_fix_is_in_the_context_is_told(
    rows: Path, toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str], small_model_path: Path
) -> None:
    options = ("--packed", "8,1024", "--model", small_model_path, "--json", tmp_path / "report.json")
    assert bench(rows, toy, "--only", "toys__calc-1", *options) == 0
    assert "in the packed context" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["overall"]["packed"]["8"]["whole"] == 0.0
    assert report["overall"]["packed"]["1024"]["whole"] == 1.0
    assert [one["budget"] for one in report["instances"][0]["packed"]] == [8, 1024]
    assert all(one["tokens"] <= one["budget"] for one in report["instances"][0]["packed"])
