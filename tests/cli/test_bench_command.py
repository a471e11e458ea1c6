"""`patchwright bench repair` from the command line's side."""

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
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(toy.row) + "\n")
    return path


def bench(rows: Path, toy: Toy, *more: str | Path) -> int:
    arguments = ["bench", "repair", "--instances", rows, "--repos", toy.repos, *more]
    return main([str(argument) for argument in arguments])


def test_a_bug_is_judged_and_told(rows: Path, toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--gold", "--wrong", "1", "--out", tmp_path / "out", "--json", tmp_path / "report.json")
    assert bench(rows, toy, *more) == 0
    told = capsys.readouterr()
    assert "1 instances: 1 judged" in told.out
    assert "toys__calc-1: judged" in told.err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["overall"]["settings"]["failing_test"]["gold_accepted"] == 1
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 1


def test_a_broken_install_command_is_reported_and_not_raised(
    rows: Path, toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    rows.write_text(json.dumps({**toy.row, "install_cmds": ["echo no such wheel; exit 1"]}) + "\n")
    assert bench(rows, toy, "--gold") == 1
    told = capsys.readouterr()
    assert "1 instances: 1 setup failed" in told.out
    assert "no such wheel" in told.out


def test_without_a_model_nothing_is_searched(rows: Path, toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(rows, toy, "--model", "qwen2.5-coder-0.5b") == 3
    assert "models pull" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--strategy", "exec,guess"), "unknown strategy 'guess'"),
        (("--budget", "1,0"), "unknown budget '0'"),
        (("--sampling", "wild"), "unknown sampling 'wild'"),
        (("--repetitions", "0"), "--repetitions 0 is too small"),
    ],
)
def test_bad_options_of_a_search_are_told(
    rows: Path, toy: Toy, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], told: str
) -> None:
    assert bench(rows, toy, *more) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--only", "other"), "there is no instance other"),
        (("--jobs", "0"), "--jobs 0 is too small"),
        (("--timeout", "nan"), "--timeout nan is too small"),
    ],
)
def test_bad_options_are_told(
    rows: Path, toy: Toy, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], told: str
) -> None:
    assert bench(rows, toy, "--gold", *more) == 2
    assert told in capsys.readouterr().err
