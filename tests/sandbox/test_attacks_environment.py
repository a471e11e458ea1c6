"""Attacks through a virtual environment, or packages, that a repository brings along: what its files name is not shown.

Git is not asked here: a repository that was unpacked from an archive has none, so nothing tells whose files they are.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attacks import shell, unconfined_shell
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, EnvironmentProblem, SandboxUnavailable
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Command
from patchwright_engine.verify.choose import choose_environment
from patchwright_engine.verify.environment import TestEnvironment, discover_environment

SECRET = "PRIVATE KEY"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "people/anna"
    for name in (".ssh/id_ed25519", "lib/diary", "work/.env", "notes"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(SECRET)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "patchwright"))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    (folder / "calc.py").write_text("")
    return folder


def environment_at(prefix: Path, home: Path | str, python: Path | None = None) -> None:
    (prefix / "bin").mkdir(parents=True, exist_ok=True)
    (prefix / "pyvenv.cfg").write_text(f"home = {home}\nversion = 3.11.4\n")
    (prefix / "bin/python").symlink_to(python or sys.executable)


def false_base(root: Path, leads: Path) -> Path:
    """A folder of the repository that passes for an installation of Python, one part of which is a link elsewhere."""
    for folder in ("bin", "lib/python3.11"):
        (root / "evil" / folder).mkdir(parents=True)
    (root / "evil/bin/python3").write_text("#!/bin/sh\n")
    (root / "evil/bin/python3").chmod(0o755)
    (root / "evil/lib/python3.11/os.py").write_text("")
    (root / "evil/ssl").symlink_to(leads)
    return root / "evil/bin"


def base_that_is_the_home(root: Path, home: Path) -> str:
    environment_at(root / ".venv", home / "bin")
    return f"{home}/lib/diary"


def base_whose_library_is_a_link(root: Path, home: Path) -> str:
    (root / "evil/bin").mkdir(parents=True)
    (root / "evil/lib").symlink_to(home)
    environment_at(root / ".venv", root / "evil/bin")
    return f"{root}/evil/lib/.ssh/id_ed25519"


def base_with_one_link_among_its_parts(root: Path, home: Path) -> str:
    environment_at(root / ".venv", false_base(root, home / ".ssh"))
    return f"{root}/evil/ssl/id_ed25519"


def base_named_by_a_link(root: Path, home: Path) -> str:
    (root / "to").symlink_to(home)
    environment_at(root / ".venv", root / "to/bin")
    return f"{root}/to/lib/diary"


def base_named_with_dots(root: Path, home: Path) -> str:
    environment_at(root / ".venv", f"/usr/../{home}/bin")
    return f"{home}/lib/diary"


def interpreter_that_is_a_link_into_a_false_base(root: Path, home: Path) -> str:
    environment_at(root / ".venv", "/usr/bin", false_base(root, home / ".ssh") / "python3")
    return f"{root}/evil/ssl/id_ed25519"


def environment_that_is_a_link_to_the_home(root: Path, home: Path) -> str:
    environment_at(home, "/usr/bin")
    (root / ".venv").symlink_to(home)
    return f"{root}/.venv/.ssh/id_ed25519"


def environment_that_is_a_link_to_another_project(root: Path, home: Path) -> str:
    environment_at(home / "work", "/usr/bin")
    (root / ".venv").symlink_to(home / "work")
    return f"{root}/.venv/.env"


def interpreter_that_is_a_link_into_the_home(root: Path, home: Path) -> str:
    environment_at(home, "/usr/bin")
    environment_at(root / ".venv", "/usr/bin", home / "bin/python")
    return f"{home}/.ssh/id_ed25519"


def environment_whose_parts_are_links(root: Path, home: Path) -> str:
    environment_at(root / ".venv", "/usr/bin")
    (root / ".venv/lib").symlink_to(home)
    (root / ".venv/more").write_text("not an environment alone")
    return f"{root}/.venv/lib/.ssh/id_ed25519"


ATTACKS: tuple[Callable[[Path, Path], str], ...] = (
    base_that_is_the_home,
    base_whose_library_is_a_link,
    base_with_one_link_among_its_parts,
    base_named_by_a_link,
    base_named_with_dots,
    interpreter_that_is_a_link_into_a_false_base,
    environment_that_is_a_link_to_the_home,
    environment_that_is_a_link_to_another_project,
    interpreter_that_is_a_link_into_the_home,
    environment_whose_parts_are_links,
)


def cannot_read(sandbox: Sandbox, workspace: Path, secret: str, home: Path, found: TestEnvironment) -> None:
    script = f"cat {secret} {home}/.ssh/id_ed25519 {home}/lib/diary; true"
    command = Command(("sh", "-c", script), timeout_seconds=20.0)
    report = sandbox.run(command, workspace, CancelToken(), found.readable)
    assert report.exit_code == 0
    assert SECRET not in report.output


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_environment_in_the_tree_shows_nothing_but_an_interpreter(
    sandbox: Sandbox, workspace: Path, root: Path, home: Path, attack: Callable[[Path, Path], str]
) -> None:
    secret = attack(root, home)
    assert SECRET in unconfined_shell(workspace, f"cat {secret}")
    cannot_read(sandbox, workspace, secret, home, discover_environment(root))


@pytest.mark.parametrize(
    "attack", [attack for attack in ATTACKS if attack is not environment_that_is_a_link_to_the_home]
)
def test_nor_does_one_that_the_user_names(
    sandbox: Sandbox, workspace: Path, root: Path, home: Path, attack: Callable[[Path, Path], str]
) -> None:
    secret = attack(root, home)
    cannot_read(sandbox, workspace, secret, home, discover_environment(root, root / ".venv/bin/python"))


def test_a_home_is_no_environment_even_when_the_user_names_it(root: Path, home: Path) -> None:
    environment_that_is_a_link_to_the_home(root, home)
    with pytest.raises(BadInput, match=r"could read all of its environment, and .* is a home folder") as refused:
        discover_environment(root, root / ".venv/bin/python")
    assert "a folder of its own" in refused.value.cure


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_an_environment_may_not_show_is_said(root: Path, home: Path, attack: Callable[[Path, Path], str]) -> None:
    attack(root, home)
    found: TestEnvironment = discover_environment(root)
    silent = {environment_that_is_a_link_to_another_project, base_named_with_dots}
    told = [note for note in found.notes if "cannot read" in note or "could read all of it" in note]
    assert told or attack in silent, found.notes


def test_packages_that_are_a_link_to_keys_are_not_shown(
    sandbox: Sandbox, workspace: Path, root: Path, home: Path
) -> None:
    if not any(os.access(Path(folder) / "node", os.X_OK) for folder in os.environ["PATH"].split(os.pathsep)):
        pytest.skip("Node.js is not installed")
    (root / "package.json").write_text("{}")
    (root / "node_modules").symlink_to(home / ".ssh")
    secret = f"{root}/node_modules/id_ed25519"
    assert SECRET in unconfined_shell(workspace, f"cat {secret}")
    found = choose_environment(root, runner="node")
    assert any("is not shown to the tests" in note for note in found.notes)
    command = Command(("sh", "-c", f"cat {secret}; true"), timeout_seconds=20.0)
    assert SECRET not in sandbox.run(command, workspace, CancelToken(), found.readable).output


@pytest.mark.parametrize("what", [".", "..", ".ssh", "link", "/", "/home", "/etc"])
def test_no_level_shows_a_home_or_keys_whoever_asks(sandbox: Sandbox, workspace: Path, home: Path, what: str) -> None:
    (home.parent / "link").symlink_to(home)
    folder = home.parent / "link" if what == "link" else home / what
    with pytest.raises(SandboxUnavailable, match="nothing is run that may read"):
        sandbox.run(Command(("true",), timeout_seconds=20.0), workspace, CancelToken(), (folder,))


def test_a_tool_that_lies_in_the_home_itself_is_refused_with_the_cure(
    root: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "node").write_text("#!/bin/sh\n")
    (home / "node").chmod(0o755)
    monkeypatch.setenv("PATH", str(home))
    (root / "package.json").write_text("{}")
    with pytest.raises(EnvironmentProblem, match=f"could read all of {home}, and .* is a home folder") as refused:
        choose_environment(root, runner="node")
    assert "folder of its own" in refused.value.cure


def test_an_environment_of_the_usual_kind_still_works(
    sandbox: Sandbox, workspace: Path, root: Path, home: Path
) -> None:
    """Inside the project, with its base below the home, as pyenv and uv keep them; and one linked to from the tree."""
    prefix = home / ".local/share/environments/project"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    (root / ".venv").symlink_to(prefix)
    found = discover_environment(root)
    assert found.python == root / ".venv/bin/python"
    assert not any("cannot read" in note for note in found.notes)
    script = "import json, ctypes, ssl, sys; print(sys.prefix)"
    command = Command((str(found.python), "-c", script), timeout_seconds=30.0)
    report = sandbox.run(command, workspace, CancelToken(), found.readable)
    assert report.output == f"{root}/.venv\n"
    assert "PRIVATE" not in shell(sandbox, workspace, f"cat {home}/notes; true").output
