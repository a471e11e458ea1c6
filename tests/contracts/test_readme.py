"""The README says what the program does: its commands, targets, files and hardware table are the real ones."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def patchwright(*arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-P", "-m", "patchwright_engine", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return run.stdout


def test_the_hardware_table_is_what_models_plan_computes() -> None:
    rows = [line for line in patchwright("models", "plan", "--table").splitlines() if line.startswith("|")]
    assert len(rows) == 9
    for row in rows:
        assert row in README


def test_every_command_named_exists() -> None:
    shown = patchwright("--help")
    named = set(re.findall(r"patchwright (fix|locate|index|models|env|serve|trace|bench|doctor)\b", README))
    assert named == {"fix", "locate", "index", "models", "env", "serve", "trace", "bench", "doctor"}
    for name in named:
        assert re.search(rf"^    {name} ", shown, re.MULTILINE)


def test_every_option_named_exists() -> None:
    helps = (
        patchwright("fix", "--help")
        + patchwright("models", "plan", "--help")
        + patchwright("models", "pull", "--help")
        + patchwright("env", "build", "--help")
    )
    for option in ("--test", "--apply", "--budget", "--resume", "--json", "--model", "--repo", "--python", "--runner"):
        assert option in README
        assert option in helps
    for option in ("--table", "--measure", "--from", "--allow-building"):
        assert option in README
        assert option in helps


def test_every_make_target_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"`?make (demo|test-editors|test|check|vsix)\b", README))
    assert targets == {"demo", "test", "test-editors", "check", "vsix"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_every_file_linked_exists(link: str) -> None:
    assert (ROOT / link).is_file()


def test_ci_runs_what_the_readme_says() -> None:
    assert "exec make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
