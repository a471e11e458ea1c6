"""`patchwright models`: what it prints, as words and as JSON, and its exit codes."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.cli import models
from patchwright_engine.errors import BadInput
from patchwright_engine.model.catalog import load_catalog


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    models.add_parser(parser.add_subparsers())
    args = parser.parse_args(["models", *argv])
    return int(args.run(args))


def run_json(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    code = run(*argv, "--json")
    return code, json.loads(capsys.readouterr().out)


def test_the_list_shows_every_model_and_marks_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    for entry in load_catalog().entries:
        assert sum(entry.name in line for line in lines) == 1
    assert sum(line.startswith("* ") and " qwen" in line for line in lines) == 1


def test_the_list_as_json_holds_the_catalog(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = run_json(capsys, "list")
    assert (code, document["schema"]) == (0, 1)
    by_name = {model["name"]: model for model in document["models"]}
    model = by_name["qwen2.5-coder-1.5b"]
    assert model["size"] == 1_117_320_768
    assert model["installed"] is False
    assert sum(model["default"] for model in document["models"]) == 1


def test_a_plan_tells_layers_context_and_kv_type(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = run_json(capsys, "plan", "0.5b", "--sequences", "4")
    (model,) = document["models"]
    assert code == (0 if model["fits"] else 3)
    assert (model["name"], model["n_seq"]) == ("qwen2.5-coder-0.5b", 4)
    assert {"n_gpu_layers", "n_ctx", "kv_type", "threads", "gave_up", "total_bytes"} <= model.keys()
    assert document["machine"]["cores"] >= 1
    assert run("plan") == 0
    assert "qwen2.5-coder-32b" in capsys.readouterr().out


def test_the_table_has_a_row_for_every_card_and_a_default_in_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "--table") == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    assert [row.split("|")[1].strip() for row in rows] == ["none", *(f"{size} GB" for size in (8, 12, 16, 24, 32, 48))]
    assert all(row.count("**") == 2 for row in rows)
    _, document = run_json(capsys, "plan", "--table")
    assert [row["gpu_gb"] for row in document["table"]] == [0, 8, 12, 16, 24, 32, 48]


def test_verify_of_nothing_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify") == 3
    assert "patchwright models pull" in capsys.readouterr().out


def test_verify_names_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    path = load_catalog().get("0.5b").installed_path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>")
    code, document = run_json(capsys, "verify")
    assert code == 3
    assert "HTML page" in document["models"][0]["problem"]
    assert "models pull qwen2.5-coder-0.5b" in document["models"][0]["problem"]


def test_unknown_names_are_bad_input() -> None:
    for argv in (["pull", "nonsense"], ["plan", "nonsense"], ["verify", "nonsense"], ["plan", "--sequences", "0"]):
        with pytest.raises(BadInput) as caught:
            run(*argv)
        assert caught.value.cure
