"""Environments that a project's tools keep: found where those tools put them, without running any of them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from patchwright_engine.verify.environment import TestEnvironment, discover_environment
from patchwright_engine.verify.environments.managers import hatch_folder, pipenv_name, poetry_names

Find = Callable[[], TestEnvironment]
VARIABLES = (
    *("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "UV_PROJECT_ENVIRONMENT", "PYENV_ROOT", "WORKON_HOME"),
    *("POETRY_CACHE_DIR", "POETRY_CONFIG_DIR", "POETRY_VIRTUALENVS_PATH", "HATCH_DATA_DIR", "PIPENV_CUSTOM_VENV_NAME"),
    *("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"),
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "patchwright"))
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "My App"
    folder.mkdir()
    return folder


def make_environment(prefix: Path, *packages: str, version: str = "3.11.4", conda: bool = False) -> Path:
    """An environment as its files show it: nothing here is ever started."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/python").symlink_to(sys.executable)
    if conda:
        (prefix / "conda-meta").mkdir()
        (prefix / f"conda-meta/python-{version}-h1_0.json").write_text("{}")
    else:
        (prefix / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).parent}\nversion_info = {version}.final.0\n")
    minor = ".".join(version.split(".")[:2])
    site = prefix / f"lib/python{minor}/site-packages"
    for package in packages:
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").write_text("")
        (site / f"{package}-1.0.dist-info").mkdir()
    return prefix / "bin/python"


def write(root: Path, **files: str) -> None:
    names = {"pyproject": "pyproject.toml", "environment": "environment.yml", "version": ".python-version"}
    for key, text in files.items():
        (root / names.get(key, key)).write_text(text)


def passed_over(environment: TestEnvironment) -> str:
    return " ".join(environment.considered)


def test_names_are_those_that_the_tools_themselves_gave() -> None:
    """Poetry 2, hatch 1 and pipenv 2026 made environments for a project `My_Cool.App` in /srv/vectors/My App."""
    folder = "/srv/vectors/My App"
    assert poetry_names("My_Cool.App", folder)[0] == "my-cool-app-qCfKJKOc"
    assert hatch_folder(folder) == "qCfKJKOc"
    assert pipenv_name(f"{folder}/Pipfile") == "My_App-Qy1pT9gT"


def test_poetrys_environment_is_found_by_its_name(root: Path, home: Path) -> None:
    write(root, pyproject='[project]\nname = "My_Cool.App"\n[tool.poetry]\npackage-mode = true\n')
    name = poetry_names("My_Cool.App", os.path.realpath(root))[0]
    folder = home / ".cache/pypoetry/virtualenvs"
    older = make_environment(folder / f"{name}-py3.11", "pytest")
    newer = make_environment(folder / f"{name}-py3.12", "pytest", version="3.12.1")
    make_environment(folder / "my-cool-app-XXXXXXXX-py3.11", "pytest")
    os.utime(folder / f"{name}-py3.11", (1, 1))
    found = discover_environment(root)
    assert (found.python, "poetry" in found.reason) == (newer, True)
    (folder / "envs.toml").write_text(f'[{name}]\nminor = "3.11"\npatch = "3.11.4"\n')
    assert discover_environment(root).python == older


def test_poetrys_folder_is_the_users_setting_and_never_the_repositorys(
    root: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, pyproject='[tool.poetry]\nname = "app"\n')
    name = poetry_names("app", os.path.realpath(root))[0]
    theirs = make_environment(tmp_path / "theirs" / f"{name}-py3.11", "pytest")
    (root / "poetry.toml").write_text(f'[virtualenvs]\npath = "{tmp_path}/theirs"\n')
    assert discover_environment(root).python == Path(sys.executable)
    (home / ".config/pypoetry").mkdir(parents=True)
    (home / ".config/pypoetry/config.toml").write_text(f'[virtualenvs]\npath = "{tmp_path}/theirs"\n')
    assert discover_environment(root).python == theirs
    monkeypatch.setenv("POETRY_VIRTUALENVS_PATH", str(tmp_path / "other"))
    assert discover_environment(root).python == Path(sys.executable)


def test_a_lock_without_an_environment_is_told(root: Path) -> None:
    write(root, pyproject='[tool.poetry]\nname = "app"\n', **{"poetry.lock": ""})
    found = discover_environment(root)
    assert found.python == Path(sys.executable)
    assert any("pypoetry" in note and "does not exist" in note for note in found.notes)


def test_pipenvs_environment_is_found_by_its_hash(root: Path, home: Path) -> None:
    write(root, Pipfile="[packages]\n")
    python = make_environment(home / ".local/share/virtualenvs" / pipenv_name(str(root / "Pipfile")), "pytest")
    found = discover_environment(root)
    assert (found.python, "pipenv" in found.reason) == (python, True)


def test_hatchs_test_environment_comes_before_its_default(root: Path, home: Path) -> None:
    write(root, pyproject='[project]\nname = "My_Cool.App"\n[tool.hatch.envs.default]\n')
    folder = home / ".local/share/hatch/env/virtual/my-cool-app" / hatch_folder(str(root))
    default = make_environment(folder / "my-cool-app", "pytest")
    assert discover_environment(root).python == default
    testing = make_environment(folder / "hatch-test.py3.11", "pytest")
    assert discover_environment(root).python == testing


def test_uvs_environment_elsewhere_is_the_users_word(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, **{"uv.lock": "version = 1\n"})
    make_environment(root / ".venv", "pytest")
    chosen = make_environment(tmp_path / "elsewhere", "pytest")
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", str(tmp_path / "elsewhere"))
    assert discover_environment(root).python == chosen


@pytest.mark.parametrize("committed", [True, False])
def test_pdms_choice_counts_unless_the_repository_brings_it_along(root: Path, tmp_path: Path, committed: bool) -> None:
    python = make_environment(tmp_path / "pdm/venvs/app", "pytest")
    (root / ".pdm-python").write_text(str(python))
    subprocess.run(["git", "init", "-q", root], check=True)
    if committed:
        subprocess.run(["git", "-C", root, "add", ".pdm-python"], check=True)
    found = discover_environment(root)
    assert found.python == (Path(sys.executable) if committed else python)
    assert ("the repository names it" in passed_over(found)) == committed


def test_condas_environment_is_the_registered_one_of_that_name(root: Path, home: Path, tmp_path: Path) -> None:
    write(root, environment="channels: [defaults]\nname: shop  # ours\ndependencies:\n  - numpy\n")
    assert "does not exist" in " ".join(discover_environment(root).notes)
    python = make_environment(tmp_path / "conda/envs/shop", "pytest", conda=True)
    (home / ".conda").mkdir()
    (home / ".conda/environments.txt").write_text(f"{tmp_path}/conda\n{tmp_path}/conda/envs/shop\n")
    assert discover_environment(root).python == python


def test_a_project_cannot_ask_for_condas_base_or_for_a_path(root: Path, home: Path, tmp_path: Path) -> None:
    make_environment(tmp_path / "conda", "pytest", conda=True)
    (home / ".conda").mkdir()
    (home / ".conda/environments.txt").write_text(f"{tmp_path}/conda\n")
    for name in ("base", "../../conda", f"{tmp_path}/conda"):
        write(root, environment=f"name: {name}\n")
        assert discover_environment(root).python == Path(sys.executable)


def test_condas_base_that_every_shell_activates_does_not_hide_the_trees(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_environment(tmp_path / "conda", "pytest", conda=True)
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "conda"))
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "base")
    assert discover_environment(root).python == base
    own = make_environment(root / ".venv", "pytest")
    assert discover_environment(root).python == own


@pytest.mark.parametrize("manager", ["tox", "nox"])
def test_of_several_environments_the_latest_that_can_run_tests_is_used(root: Path, manager: str) -> None:
    folder = root / f".{manager}"
    make_environment(folder / "lint")
    old = make_environment(folder / "py310", "pytest", version="3.10.2")
    new = make_environment(folder / "py311", "pytest")
    os.utime(folder / "py310", (1, 1))
    os.utime(folder / "py311", (2, 2))
    assert discover_environment(root).python == new
    write(root, pyproject='[project]\nname = "x"\nrequires-python = "<3.11"\n')
    found = discover_environment(root)
    assert found.python == old
    assert "it has Python 3.11.4, and the project asks for <3.11" in passed_over(found)


def test_a_link_that_the_repository_tracks_leads_nowhere(root: Path, tmp_path: Path) -> None:
    make_environment(tmp_path / "theirs/py311", "pytest")
    (root / ".tox").symlink_to(tmp_path / "theirs")
    subprocess.run(["git", "init", "-q", root], check=True)
    subprocess.run(["git", "-C", root, "add", "-f", ".tox"], check=True)
    found = discover_environment(root)
    assert found.python == Path(sys.executable)
    assert "it belongs to the repository" in passed_over(found)


def test_pyenvs_environment_counts_and_its_bare_version_only_with_a_runner(root: Path, home: Path) -> None:
    write(root, version="3.11\n")
    bare = make_environment(home / ".pyenv/versions/3.11.4")
    (home / ".pyenv/versions/3.11.4/pyvenv.cfg").unlink()
    bare.unlink()  # an interpreter of its own, not a link to one that may have pytest
    bare.write_text("#!/bin/sh\n")
    bare.chmod(0o755)
    found = discover_environment(root)
    assert found.python == Path(sys.executable)
    assert "no test runner" in passed_over(found)
    site = home / ".pyenv/versions/3.11.4/lib/python3.11/site-packages/pytest"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text("")
    assert discover_environment(root).python == bare
    write(root, version="../../../etc\n")
    assert discover_environment(root).python == Path(sys.executable)


def test_what_the_project_asks_for_and_lacks_is_told(root: Path) -> None:
    make_environment(root / ".venv", "pytest", "attrs")
    write(
        root,
        pyproject='[project]\nname = "app"\n'
        'dependencies = ["attrs", "numpy>=2", "pywin32; sys_platform == \'win32\'"]\n'
        '[project.optional-dependencies]\ntest = ["hypothesis", "app[extra]"]\ndocs = ["sphinx"]\n',
    )
    found = discover_environment(root)
    notes = [note for note in found.notes if note.startswith("Not installed")]
    assert notes == [f"Not installed for {found.python}: numpy, hypothesis; tests may need them."]


def test_a_version_that_the_active_environment_does_not_have_is_told(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    active = make_environment(tmp_path / "active", "pytest", version="3.8.1")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "active"))
    write(root, pyproject='[project]\nname = "x"\nrequires-python = ">=3.10"\n')
    found = discover_environment(root)
    assert found.python == active
    assert "has Python 3.8.1, and the project asks for >=3.10" in " ".join(found.notes)


def test_a_dev_container_is_told_and_not_started(root: Path) -> None:
    (root / ".devcontainer").mkdir()
    (root / ".devcontainer/devcontainer.json").write_text('{"postCreateCommand": "touch /tmp/ran"}')
    assert "dev container" in " ".join(discover_environment(root).notes)


@pytest.mark.parametrize(
    ("files", "packages", "runner", "entry"),
    [
        ({"manage.py": "execute_from_command_line"}, ("django", "pytest"), "django", "manage.py"),
        ({"manage.py": "execute_from_command_line"}, ("django", "pytest", "pytest_django"), "pytest", ""),
        ({"manage.py": "print('something else')"}, ("django", "pytest"), "pytest", ""),
        ({"shop/manage.py": "execute_from_command_line"}, ("django",), "django", "shop/manage.py"),
        ({"tests/runtests.py": "", "django/__init__.py": ""}, ("pytest",), "django", "tests/runtests.py"),
        ({"bin/test": "", "sympy/testing/runtests.py": ""}, (), "sympy", ""),
        ({"bin/test": "", "sympy/testing/runtests.py": ""}, ("pytest",), "pytest", ""),
        ({"test_a.py": ""}, (), "unittest", ""),
    ],
)
def test_the_runner_is_the_projects_own(
    root: Path, files: dict[str, str], packages: tuple[str, ...], runner: str, entry: str
) -> None:
    make_environment(root / ".venv", *packages)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    found = discover_environment(root)
    assert (found.runner, found.entry) == (runner, entry)


def test_the_users_runner_comes_first(root: Path) -> None:
    make_environment(root / ".venv", "pytest")
    assert discover_environment(root, runner="unittest").runner == "unittest"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("tox.ini", "[testenv]\ndeps = pytest\ncommands =\n  pytest {posargs:tests}\n", "without tox"),
        ("tox.ini", "[testenv]\ncommands = stestr run\n", "give it with --test"),
        ("noxfile.py", "import nox\n@nox.session\ndef t(session):\n    session.run('pytest', '-x')\n", "without nox"),
        ("noxfile.py", "this is ( not Python", ""),
        ("tox.ini", "no section\n", ""),
    ],
)
def test_tox_and_nox_are_read_and_never_run(root: Path, name: str, text: str, told: str) -> None:
    make_environment(root / ".venv", "pytest")
    (root / name).write_text(text)
    considered = discover_environment(root).considered
    assert told in " ".join(considered) if told else not considered
