"""An environment is built only as planned, from the project's files, and is found again while they stay as they are."""

# ruff: noqa: E501 - sources and reports in their own lines

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken, ignore_progress
from patchwright_engine.errors import BadInput, Cancelled, EnvironmentProblem
from patchwright_engine.verify.build_environment import build, plan_build, remove_built
from patchwright_engine.verify.environment import discover_environment


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index of two wheels on disk, by the user's own pip settings; no network."""
    index = tmp_path / "wheels"
    index.mkdir()
    make_wheel(index, "pytest", "9.9", {"pytest/__init__.py": "", "pytest/__main__.py": "print('ran')\n"})
    make_wheel(index, "tinydep", "1.0", {"tinydep.py": "VALUE = 1\n"})
    make_wheel(index, "tinydep", "2.0", {"tinydep.py": "VALUE = 2\n"})
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))


def make_wheel(index: Path, name: str, version: str, files: dict[str, str]) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{info}/METADATA"]))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "My.App"\nversion = "1.2"\ndependencies = ["tinydep"]\n'
        '[project.entry-points.pytest11]\nmine = "app.plugin"\n'
    )
    (folder / "setup.py").write_text("raise SystemExit('must never be run')\n")
    return folder


def lock(root: Path, version: str) -> None:
    (root / "uv.lock").write_text(
        f'version = 1\n[[package]]\nname = "tinydep"\nversion = "{version}"\nsource = {{ registry = "https://x" }}\n'
        '[[package]]\nname = "app"\nversion = "0"\nsource = { editable = "." }\n'
    )


def test_a_plan_names_everything_and_does_nothing(root: Path, tmp_path: Path) -> None:
    lock(root, "1.0")
    before = sorted(tmp_path.rglob("*"))
    plan = plan_build(root)
    assert sorted(tmp_path.rglob("*")) == before
    assert plan.requirements == ("tinydep", "pytest")
    assert plan.pins == ("tinydep==1.0",)
    assert set(plan.files) >= {"pyproject.toml", "uv.lock"}
    assert plan.folder.is_relative_to(tmp_path / "home/cache")
    assert "--only-binary=:all:" in plan.commands[-1]
    assert any("no code of the project or of a dependency runs" in remark for remark in plan.remarks)
    risky = plan_build(root, allow_building=True)
    assert not any("only-binary" in part for command in risky.commands for part in command)
    assert "runs outside the sandbox" in risky.remarks[0]


def test_nothing_of_a_repository_but_names_and_versions_is_installed(root: Path) -> None:
    (root / "requirements.txt").write_text(
        "--index-url https://evil.invalid/simple\n-e .\n./local\ngit+https://evil.invalid/x.git\n"
        "pkg @ https://evil.invalid/p.whl\n-r more.txt\n-r ../outside.txt\ntinydep>=1  # ours\n"
    )
    (root / "more.txt").write_text("tinydep<3 \\\n  --hash=sha256:00\n--extra-index-url https://evil.invalid\n")
    (root.parent / "outside.txt").write_text("outside\n")
    plan = plan_build(root)
    assert plan.requirements == ("tinydep", "tinydep<3", "tinydep>=1", "pytest")
    assert len(plan.left_out) == 6
    everything = " ".join([*plan.requirements, *plan.pins, *(part for command in plan.commands for part in command)])
    assert "evil" not in everything


def test_what_is_built_is_found_and_reused(root: Path) -> None:
    lock(root, "1.0")
    said: list[str] = []
    built = build(plan_build(root), CancelToken(), lambda progress: said.append(progress.message))
    assert any("pip" in message for message in said)
    found = discover_environment(root)
    assert (found.python, found.runner) == (built.python, "pytest")
    assert "patchwright env build" in found.reason
    assert "pyproject.toml" in found.reason
    site = next((built.folder / "venv").glob("lib/python3*/site-packages"))
    assert (site / "tinydep.py").read_text() == "VALUE = 1\n"
    script = (
        "from importlib.metadata import entry_points, version\n"
        "print(version('my-app'), [point.value for point in entry_points(group='pytest11')])\n"
    )
    done = subprocess.run([built.python, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1.2 ['app.plugin']\n"
    stamp = built.python.lstat().st_ctime_ns
    assert build(plan_build(root), CancelToken(), ignore_progress).python.lstat().st_ctime_ns == stamp


def test_a_changed_lock_makes_it_outdated_and_removing_takes_both(root: Path) -> None:
    lock(root, "1.0")
    first = build(plan_build(root), CancelToken(), ignore_progress)
    lock(root, "2.0")
    found = discover_environment(root)
    assert found.python == Path(sys.executable)
    assert "changed since" in " ".join(found.notes)
    second = build(plan_build(root), CancelToken(), ignore_progress)
    assert discover_environment(root).python == second.python
    assert set(remove_built(root)) == {first.folder, second.folder}
    assert not first.folder.exists()
    assert discover_environment(root).python == Path(sys.executable)


def test_a_failed_build_is_removed_and_says_what_pip_said(root: Path) -> None:
    (root / "pyproject.toml").write_text('[project]\nname = "app"\ndependencies = ["no-such-thing-anywhere"]\n')
    plan = plan_build(root)
    with pytest.raises(EnvironmentProblem, match="no-such-thing-anywhere") as failure:
        build(plan, CancelToken(), ignore_progress)
    assert "--allow-building" in failure.value.cure
    assert [path.name for path in plan.folder.iterdir()] == ["lock"]
    assert discover_environment(root).python == Path(sys.executable)


def test_a_cancelled_build_leaves_nothing(root: Path) -> None:
    cancel = CancelToken()
    plan = plan_build(root)
    with pytest.raises(Cancelled):
        build(plan, cancel, lambda progress: cancel.cancel())
    assert [path.name for path in plan.folder.iterdir()] == ["lock"]


def test_a_half_deleted_environment_is_built_again(root: Path) -> None:
    built = build(plan_build(root), CancelToken(), ignore_progress)
    (built.folder / "built.json").write_text(json.dumps({"schema": 0}))
    (built.folder / "venv/bin/python").unlink()
    assert discover_environment(root).python == Path(sys.executable)
    assert build(plan_build(root), CancelToken(), ignore_progress).python.exists()


def test_a_project_that_asks_for_nothing_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="says what to install"):
        plan_build(tmp_path / "empty")


def test_an_impossible_python_is_told_with_the_cure(root: Path) -> None:
    (root / "pyproject.toml").write_text(
        '[project]\nname = "app"\nrequires-python = ">=9"\ndependencies = ["tinydep"]\n'
    )
    with pytest.raises(EnvironmentProblem, match="asks for Python >=9") as problem:
        plan_build(root)
    assert "--python" in problem.value.cure


Plans = Callable[[Path], tuple[str, ...]]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("pyproject.toml", '[project]\nname = "a"\n[dependency-groups]\ntest = [{include-group = "base"}, "x"]\nbase = ["y"]\n', "y x"),
        ("pyproject.toml", '[tool.poetry]\nname = "a"\n[tool.poetry.dependencies]\npython = "^3.9"\nx = "^1.2"\ny = {version = "~2.0", extras = ["e"]}\nz = {git = "https://g"}\n[tool.poetry.group.test.dependencies]\nw = "*"\n', "x<2,>=1.2 y[e]<2.1,>=2.0 w"),
        ("pyproject.toml", '[project]\nname = "a"\n[project.optional-dependencies]\nTesting = ["x"]\ndocs = ["y"]\n', "x"),
        ("setup.cfg", "[options]\ninstall_requires =\n  x>=1\n  # y\n[options.extras_require]\ntest = z\n", "x>=1 z"),
        ("setup.py", "from setuptools import setup\nR = ['x']\nsetup(install_requires=R, extras_require={'test': ['y'], 'd': ['z']}, tests_require=open('f').read())\n", "x y"),
        ("Pipfile", '[packages]\nx = "*"\n[dev-packages]\ny = ">=2"\n', "x y>=2"),
        ("requirements.txt", "x==1.0 ; python_version > '3'\n", 'x==1.0; python_version > "3"'),
        ("pyproject.toml", "this is no TOML [", ""),
    ],
)  # fmt: skip
def test_each_kind_of_file_is_read(tmp_path: Path, name: str, text: str, expected: str) -> None:
    from patchwright_engine.verify.environments.asked import what_is_asked

    (tmp_path / name).write_text(text)
    lines = what_is_asked(tmp_path).requirements
    assert " ".join(lines) == expected


HOSTILE = {
    "pyproject.toml": [
        "project = 3\ntool = 'x'\n",
        "[project]\nname = ['a']\nversion = {}\nrequires-python = 3\ndependencies = {a = 1}\noptional-dependencies = [1]\n",
        "[project]\nname = '../../x'\nversion = '1/../../2'\ndependencies = ['x', 3, '', 'not a requirement !!']\n"
        "[project.entry-points]\n'a]\\n[b' = {x = 'y'}\ngroup = {\"x\\ny\" = 'z'}\n",
        "[dependency-groups]\ntest = [{include-group = 'test'}, {include-group = 3}, [1]]\n",
        "[tool.poetry]\nname = 1\ndependencies = {python = {}, a = {version = 1, extras = 2}, b = [1, {version = '^x'}]}\n",
        "[tool]\nhatch = {envs = {a = 1}}\nuv = {dev-dependencies = 1}\npdm = {dev-dependencies = {test = 1}}\ntox = 1\n",
        "a = " + "[" * 50_000,
    ],
    "setup.py": [
        "setup(" + "a." * 20_000 + "b())\n",
        "setup(install_requires=[*x], extras_require={**y})\n",
        "(" * 20_000,
        "\x00",
    ],
    "setup.cfg": ["[options\n", "[options]\nextras_require = %(x)s\n[options.extras_require]\ntest = %(y)s\n"],
    "requirements.txt": ["-r requirements.txt\n", "-r /etc/passwd\n-r ../x\n", "\\\n" * 10_000, "@ : ; # \x00\n"],
    "Pipfile.lock": ['{"default": 3, "develop": {"a": 1, "b": {"version": []}}}', "[" * 50_000],
    "uv.lock": ["package = 3\n", "[[package]]\nname = 1\nversion = 2\n[[package]]\n"],
    "environment.yml": ["name: " + "a" * 200_000],
    "tox.ini": ["[testenv]\ncommands = \n", "[testenv\n"],
    "noxfile.py": ["x" * 100_000 + "(", "session.run(*a, 1)\n"],
    ".pdm-python": ["\x00", "/" * 5000, "../../bin/python\n", "/\0/bin/python", "/" + "a" * 3000 + "/bin/python"],
    ".python-version": ["\x00\n../x\n"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in HOSTILE.items() for text in texts])
def test_no_file_of_a_project_can_break_the_search_for_its_environment(tmp_path: Path, name: str, text: str) -> None:
    """Whatever they hold: an environment is found, and a plan, when there is one, holds names and versions only."""
    root = tmp_path / "project"
    root.mkdir()
    (root / name).write_text(text)
    assert discover_environment(root).python == Path(sys.executable)
    try:
        plan = plan_build(root)
    except (BadInput, EnvironmentProblem):
        return
    assert all(re.fullmatch(r"[\w.-]+(\[[\w,.-]+\])?[\w.,<>=!~*+ -]*(;.*)?", line) for line in plan.requirements)
    assert not any("/" in part or "\n" in part for part in plan.described)
