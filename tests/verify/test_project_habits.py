"""A project's own pytest settings, and the habits of unittest and Django, decide which files are tests."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import FileEdit, Patch, RepoPath, Snapshot
from patchwright_engine.verify.choose import choose_environment
from patchwright_engine.verify.discovery import find_test_files, named_tests, refused_paths
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.runs import run_tests

Make = Callable[[Mapping[str, str]], Snapshot]

PATTERNS = "test_*.py *_test.py testing/python/*.py"
SETTINGS = {
    "pyproject.toml": f'[tool.pytest.ini_options]\npython_files = "{PATTERNS}"\n',
    "pytest.ini": f"[pytest]\npython_files =\n    {PATTERNS}\n",
    "tox.ini": f"[tox]\nenvlist = py\n[pytest]\npython_files = {PATTERNS}\n",
    "setup.cfg": f"[metadata]\nname = x\n[tool:pytest]\npython_files = {PATTERNS}\n",
    "pytest.toml": "[pytest]\npython_files = ['test_*.py', '*_test.py', 'testing/python/*.py']\n",
}
TEST = "def test_it():\n    assert 1 + 1 == 2\n"
FILES = {
    "src/pkg/core.py": "def double(x):\n    '''\n    >>> double(2)\n    5\n    '''\n    return x + x\n",
    "testing/python/approx.py": "'''\n>>> 1 + 1\n3\n'''\n" + TEST,
    "testing/test_a.py": TEST,
    "testing/b_test.py": TEST,
    "testing/tests.py": TEST,
    "testing/helper.py": "x = 1\n",
}
TESTS = ("testing/b_test.py", "testing/python/approx.py", "testing/test_a.py")


@pytest.mark.parametrize("name", SETTINGS)
def test_the_names_that_the_project_sets_are_its_tests(make_snapshot: Make, name: str) -> None:
    snapshot = make_snapshot({**FILES, name: SETTINGS[name]})
    assert find_test_files(snapshot) == TESTS
    assert named_tests("pytest testing/python/approx.py", snapshot) == ("testing/python/approx.py",)


def test_the_first_file_with_settings_counts_and_an_empty_pytest_ini_is_one(make_snapshot: Make) -> None:
    both = {**FILES, "setup.cfg": SETTINGS["setup.cfg"], "tox.ini": "[pytest]\npython_files = check_*.py\n"}
    snapshot = make_snapshot({**both, "testing/check_c.py": TEST})
    assert find_test_files(snapshot) == ("testing/check_c.py",)
    customs = ("testing/b_test.py", "testing/test_a.py", "testing/tests.py")
    assert find_test_files(make_snapshot({"pytest.ini": ""})) == customs


WHERE = {
    "testpaths": "[pytest]\ntestpaths = pkg/*/tests ./unit\n",
    "norecursedirs": "[pytest]\nnorecursedirs = .* data vendor/old\n",
    "both": "[pytest]\ntestpaths = pkg\nnorecursedirs = data\n",
    "recursive": "[pytest]\ntestpaths = pkg/**/tests\n",
    "names": "[pytest]\npython_files = check*.py tests/test_*.py\n",
    "everything": "[pytest]\npython_files = *.py\n",
}
PLACES = (
    *("unit/test_a.py", "unit/check_d.py", "pkg/inner/tests/test_b.py", "pkg/inner/tests/data/test_c.py"),
    *("pkg/deep/er/tests/test_e.py", "vendor/old/test_f.py", "vendor/new/test_g.py", "test_h.py", "tools/check.py"),
)


@pytest.mark.parametrize("case", [name for name in WHERE if name != "everything"])
def test_what_is_found_is_what_pytest_itself_would_collect(make_snapshot: Make, case: str) -> None:
    snapshot = make_snapshot({**dict.fromkeys(PLACES, TEST), "pytest.ini": WHERE[case]})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    listed = subprocess.run(
        [*command, "--import-mode=importlib"],
        cwd=snapshot.root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    collected = {line.partition("::")[0] for line in listed.stdout.splitlines() if "::" in line}
    assert 0 < len(collected) < len(PLACES)
    assert find_test_files(snapshot) == tuple(sorted(collected))


def test_settings_that_take_in_every_module_say_nothing_unless_they_name_a_folder_of_tests(make_snapshot: Make) -> None:
    files = {**FILES, "pytest.ini": WHERE["everything"]}
    assert "src/pkg/core.py" not in find_test_files(make_snapshot(files))
    snapshot = make_snapshot({"pytest.ini": WHERE["everything"] + "testpaths = testing\n"})
    assert find_test_files(snapshot) == tuple(sorted(path for path in FILES if path.startswith("testing/")))


def test_folders_that_are_not_there_bound_nothing(make_snapshot: Make) -> None:
    snapshot = make_snapshot({"test_a.py": TEST, "pytest.ini": "[pytest]\ntestpaths = gone ../.. /etc\n"})
    assert find_test_files(snapshot) == ("test_a.py",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[tool.pytest.ini_options]\npython_files = \n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\npython_files = 3\n"),
        ("pyproject.toml", "[tool.pytest]\nini_options = 3\n"),
        ("pytest.ini", "python_files = test_*.py\n"),
        ("tox.ini", "[pytest]\npython_files = 'test_*.py\n"),
        ("setup.cfg", "[tool:pytest]\nnorecursedirs = " + "x " * 200),
        ("pytest.ini", "[pytest]\n# " + "x" * (1 << 20)),
        ("pyproject.toml", "a = " + "[" * 100_000),
    ],
)
def test_settings_that_cannot_be_read_are_left_out_and_told(make_snapshot: Make, name: str, text: str) -> None:
    snapshot = make_snapshot({"test_a.py": TEST, name: text})
    assert find_test_files(snapshot) == ("test_a.py",)
    notes = choose_environment(snapshot.root).notes
    assert [note for note in notes if f"settings in {name} cannot be read" in note], notes
    assert not [note for note in notes if not note.isprintable()]


def test_a_patch_may_not_edit_what_the_settings_call_a_test(make_snapshot: Make) -> None:
    snapshot = make_snapshot({**FILES, "pytest.ini": SETTINGS["pytest.ini"] + "testpaths = testing\n"})

    def refused(path: str) -> bool:
        return bool(refused_paths(Patch((FileEdit(RepoPath(path), "", "x = 1\n"),)), snapshot))

    assert refused("testing/python/approx.py")
    assert refused("testing/helper.py")
    assert not refused("testing/python/fresh.py")
    assert not refused("src/pkg/core.py")


def test_tests_by_the_settings_are_run_as_tests_not_for_their_docstrings(
    make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> None:
    root = make_snapshot({**FILES, "pytest.ini": SETTINGS["pytest.ini"]}).root
    report = run_tests(sandbox, root, environment, ("testing/python/approx.py",), cancel)
    assert report.results == {"testing/python/approx.py::test_it": "passed"}


def test_names_that_unittest_and_django_take_are_tests_where_they_hold_some(make_snapshot: Make) -> None:
    case = "import unittest\nclass Case(unittest.TestCase):\n    def testSum(self):\n        pass\n"
    tests = ("app/test.py", "app/testmodels.py", "app/tests_views.py")
    helpers = ("app/testing.py", "app/testutils.py", "app/contest.py")
    snapshot = make_snapshot({**dict.fromkeys(tests, case), **dict.fromkeys(helpers, "def test_client():\n    pass\n")})
    assert find_test_files(snapshot) == tests
