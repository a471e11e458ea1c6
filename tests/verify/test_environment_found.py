"""Which interpreter runs the project's tests, and what the sandbox must show for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Command
from patchwright_engine.verify.environment import discover_environment
from patchwright_engine.verify.environments.prefix import interpreter_folders


@pytest.fixture(autouse=True)
def _no_active_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)


def make_venv(prefix: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    return prefix / "bin" / "python"


def test_the_users_word_comes_first(tmp_path: Path) -> None:
    make_venv(tmp_path / ".venv")
    chosen = make_venv(tmp_path / "elsewhere")
    environment = discover_environment(tmp_path, chosen)
    assert environment.python == chosen
    assert environment.reason == "chosen by the user"


def test_the_active_environment_comes_before_the_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_venv(tmp_path / ".venv")
    active = make_venv(tmp_path / "active")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "active"))
    assert discover_environment(tmp_path).python == active


def test_patchwrights_own_environment_does_not_hide_the_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = make_venv(tmp_path / ".venv")
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert discover_environment(tmp_path).python == python


def test_without_any_the_own_interpreter_serves_and_says_so(tmp_path: Path) -> None:
    environment = discover_environment(tmp_path)
    assert environment.python == Path(sys.executable)
    assert environment.runner == "pytest"
    assert "may be missing" in environment.notes[0]


@pytest.mark.parametrize("committed", [True, False])
def test_an_environment_that_the_repository_brings_along_is_passed_over(tmp_path: Path, committed: bool) -> None:
    python = make_venv(tmp_path / ".venv")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    if committed:
        subprocess.run(["git", "-C", tmp_path, "add", "-f", ".venv/pyvenv.cfg"], check=True)
    environment = discover_environment(tmp_path)
    assert environment.python == (Path(sys.executable) if committed else python)
    assert ("it belongs to the repository" in " ".join(environment.notes)) == committed


def test_a_broken_environment_is_passed_over_with_a_note(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/pyvenv.cfg").write_text("home = /nowhere\n")
    environment = discover_environment(tmp_path)
    assert environment.python == Path(sys.executable)
    assert "passed over" in environment.notes[0]


def test_the_runner_is_read_from_disk_without_running_anything(tmp_path: Path) -> None:
    python = make_venv(tmp_path / ".venv")
    assert discover_environment(tmp_path).runner == "unittest"
    packages = next((tmp_path / ".venv").glob("lib/python3*/site-packages"))
    (packages / "pytest").mkdir()
    (packages / "pytest/__init__.py").write_text("")
    python.unlink()
    python.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    python.chmod(0o755)
    assert discover_environment(tmp_path).runner == "pytest"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("left", ["pytest-8.0.dist-info", "pytest.egg-link", "__editable__.pytest-8.0.pth"])
def test_a_runner_installed_in_place_is_found(tmp_path: Path, left: str) -> None:
    """pytest's own developers run its tests so: its code lies in the tree, its metadata in the environment."""
    make_venv(tmp_path / ".venv")
    packages = next((tmp_path / ".venv").glob("lib/python3*/site-packages"))
    (packages / "pytest_timeout-2.4.dist-info").mkdir()
    assert discover_environment(tmp_path).runner == "unittest"
    (packages / left).write_text("")
    assert discover_environment(tmp_path).runner == "pytest"


@pytest.mark.parametrize("name", ["missing/python", "text.txt"])
def test_an_override_that_is_no_interpreter_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.txt").write_text("no program")
    with pytest.raises(BadInput, match="not a Python interpreter"):
        discover_environment(tmp_path, tmp_path / name)


def test_a_pyenv_shim_is_refused_with_the_cure(tmp_path: Path) -> None:
    shim = tmp_path / "shims/python"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\n")
    shim.chmod(0o755)
    with pytest.raises(BadInput, match="pyenv which python"):
        discover_environment(tmp_path, shim)


def test_an_interpreter_below_a_hidden_home_runs_in_the_sandbox(tmp_path: Path, sandbox: Sandbox) -> None:
    python = make_venv(tmp_path / "home/.venv")
    workspace = tmp_path / "copy"
    workspace.mkdir()
    command = Command((str(python), "-c", "import sys, json, ctypes; print(sys.prefix)"))
    report = sandbox.run(command, workspace, CancelToken(), interpreter_folders(python))
    assert report.output == f"{tmp_path}/home/.venv\n"


def test_only_the_interpreters_own_folders_are_shown(tmp_path: Path) -> None:
    base = tmp_path / ".local"
    for part in ("bin", "lib/python3.12", "share/keyrings"):
        (base / part).mkdir(parents=True)
    (base / "lib/python3.12/os.py").write_text("")
    (base / "bin/python3.12").write_text("")
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/pyvenv.cfg").write_text(f"home = {base}/bin\n")
    (tmp_path / "venv/bin/python").symlink_to(base / "bin/python3.12")
    folders = interpreter_folders(tmp_path / "venv/bin/python")
    assert set(folders) == {tmp_path / "venv", base / "bin", base / "lib"}


def test_the_copys_code_comes_before_installed_code(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    variables = discover_environment(tmp_path).variables(tmp_path)
    assert variables["PYTHONPATH"] == f"{tmp_path}/src:{tmp_path}"
    assert variables["PATH"].startswith(str(Path(sys.executable).parent))
