"""`patchwright doctor`: each failure is said with its cure, and the exit code says whether a fix could run."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lora_file import attention_shapes, write_lora
from patchwright_engine.cli import doctor
from patchwright_engine.sandbox.select import levels_here


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, dict[str, Any]]]:
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    args = parser.parse_args(["doctor", "--json", *argv])
    code = int(args.run(args))
    document = json.loads(capsys.readouterr().out)
    assert document["ready"] is (code == 0)
    for check in document["checks"]:
        assert check["detail"]
        assert check["status"] == "ok" or check["cure"], check
    return code, {check["name"]: check for check in document["checks"]}


def test_without_a_model_the_cure_is_a_pull(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, checks = run(capsys, "--repo", str(tmp_path))
    assert code == 3
    assert checks["model"]["status"] == "fail"
    assert "patchwright models pull" in checks["model"]["cure"]
    assert {"python", "git", "folders", "llama.cpp", "GPU", "test runner", "sandbox"} <= checks.keys()


def test_with_a_server_a_fix_can_run_where_a_sandbox_works(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, checks = run(capsys, "--model", "http://127.0.0.1:9/v1", "--repo", str(tmp_path))
    assert checks["model"]["status"] == "ok"
    assert code == (0 if checks["sandbox"]["status"] == "ok" else 3)


def test_a_missing_git_and_a_folder_that_cannot_be_written_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    home.mkdir()
    (home / "cache").write_text("a file where a folder should be")
    code, checks = run(capsys, "--model", "http://127.0.0.1:9/v1", "--repo", str(tmp_path))
    assert code == 3
    assert (checks["git"]["status"], checks["folders"]["status"]) == ("fail", "fail")
    assert "Install git" in checks["git"]["cure"]
    assert "PATCHWRIGHT_HOME" in checks["folders"]["cure"]


def test_without_a_sandbox_the_doctor_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHWRIGHT_SANDBOX", "none")
    code, checks = run(capsys, "--model", "http://127.0.0.1:9/v1", "--repo", str(tmp_path))
    assert (code, checks["sandbox"]["status"]) == (3, "fail")


def test_a_broken_model_file_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    code, checks = run(capsys, "--model", str(broken), "--repo", str(tmp_path))
    assert code == 3
    assert "ends early" in checks["model"]["detail"]


def test_every_level_of_the_sandbox_is_tried(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, checks = run(capsys, "--model", "http://127.0.0.1:9/v1", "--repo", str(tmp_path))
    others = [name for name in levels_here() if not checks["sandbox"]["detail"].startswith(f"{name}: ")]
    assert len(others) >= len(levels_here()) - 1
    for name in others:
        level = checks[name]
        assert ("does not stop" in level["detail"]) == (level["status"] == "ok")


@pytest.mark.model
def test_adapters_that_do_not_fit_the_model_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, home: Path, small_model_path: Path
) -> None:
    model = tmp_path / "coder.gguf"
    model.symlink_to(small_model_path)
    (tmp_path / "coder.prm.gguf").write_bytes(b"no adapter at all")
    code, checks = run(capsys, "--model", str(model), "--no-decode", "--repo", str(tmp_path))
    assert (code, checks["adapters"]["status"]) == (3, "fail")
    assert "prm adapter" in checks["adapters"]["detail"]
    write_lora(tmp_path / "coder.prm.gguf", attention_shapes(small_model_path))
    _, checks = run(capsys, "--model", str(model), "--no-decode", "--repo", str(tmp_path))
    assert checks["adapters"]["status"] == "ok"


def test_a_grammar_that_is_not_installed_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, checks = run(capsys, "--no-decode", "--repo", str(tmp_path))
    assert checks["languages"]["status"] == "ok"
    monkeypatch.setitem(sys.modules, "tree_sitter_ruby", None)
    _, checks = run(capsys, "--no-decode", "--repo", str(tmp_path))
    assert checks["languages"]["status"] == "warn"
    assert "tree-sitter-ruby" in checks["languages"]["cure"]
