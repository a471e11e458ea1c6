"""`patchwright env`: what is chosen is said, what would be built is shown, and nothing is built without a word."""

import json
import sys
from pathlib import Path

import pytest

from patchwright_engine.cli import main


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "patchwright"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "app.py").write_text("x = 1\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "app"\ndependencies = ["tinydep"]\n')
    (folder / "requirements.txt").write_text("-e .\n")
    return folder


def test_show_tells_what_is_used_and_what_was_passed_over(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / ".venv").mkdir()
    (repo / ".venv/pyvenv.cfg").write_text("home = /nowhere\n")
    assert main(["env", "show", "--repo", str(repo)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"pytest with {sys.executable}\n")
    assert "because no environment of the project was found" in said
    assert ".venv was passed over: it has no working bin/python" in said
    assert main(["env", "show", "--repo", str(repo), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["language"], document["runner"], document["executable"]) == ("python", "pytest", sys.executable)


def test_the_plan_shows_files_requirements_what_is_left_out_and_the_commands(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", "plan", "--repo", str(repo)]) == 0
    said = capsys.readouterr().out
    for part in ("pyproject.toml, requirements.txt", "tinydep", "-e . (requirements.txt)", "-m venv", "Wheels only"):
        assert part in said
    assert main(["env", "plan", "--repo", str(repo), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["requirements"] == ["tinydep", "pytest"]


def test_nothing_is_built_without_a_word(repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "build", "--repo", str(repo)]) == 2
    assert "--yes" in capsys.readouterr().err
    assert not (tmp_path / "patchwright/cache").exists()


def test_what_was_never_built_can_be_removed(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "remove", "--repo", str(repo)]) == 0
    assert "Nothing was built" in capsys.readouterr().out


def test_a_folder_that_asks_for_nothing_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/a.py").write_text("")
    assert main(["env", "plan", "--repo", str(tmp_path / "bare")]) == 2
    assert "requirements files" in capsys.readouterr().err
