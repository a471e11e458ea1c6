"""Which files are tests, which run first, and what a candidate may not touch."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from patchwright_engine.types import FileEdit, Patch, RepoPath, Snapshot
from patchwright_engine.verify.discovery import find_test_files, named_tests, refused_paths, select_regression_tests

Make = Callable[[Mapping[str, str]], Snapshot]


def test_tests_are_found_by_their_names(make_snapshot: Make) -> None:
    names = [
        "test_a.py",
        "pkg/b_test.py",
        "pkg/tests.py",
        "pkg/contest.py",
        "pkg/attest.py",
        "tests/helper.py",
        "tests/unittest_d.py",
        "test_c.txt",
    ]
    found = ("pkg/b_test.py", "pkg/tests.py", "test_a.py", "tests/unittest_d.py")
    assert find_test_files(make_snapshot(dict.fromkeys(names, ""))) == found


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("pytest -q tests/test_a.py", ("tests/test_a.py",)),
        (
            "python -m pytest './tests/test_a.py::test_x[1 2]' tests/app/tests.py",
            ("tests/test_a.py", "tests/app/tests.py"),
        ),
        ("pytest tests/checks.py::test_y", ("tests/checks.py",)),
        ("python tests/checks.py", ()),
        ("python -m unittest tests.test_a.Case.test_x", ("tests/test_a.py",)),
        ("python tests/runtests.py --parallel 1 app.tests.Case", ("tests/app/tests.py",)),
        ("pytest ../tests/test_a.py /tests/test_a.py tests/gone.py", ()),
        ("pytest 'tests/test_a.py", ()),
    ],
)
def test_a_users_command_names_test_files(make_snapshot: Make, command: str, named: tuple[str, ...]) -> None:
    files = ["tests/test_a.py", "tests/app/tests.py", "tests/checks.py", "tests/runtests.py", "app/code.py"]
    assert named_tests(command, make_snapshot(dict.fromkeys(files, ""))) == named


def test_nearest_tests_come_first_and_the_limit_holds(make_snapshot: Make) -> None:
    snapshot = make_snapshot(
        dict.fromkeys(
            [
                "pkg/core.py",
                "pkg/api.py",
                "tests/test_zz.py",
                "tests/test_yy.py",
                "tests/test_core.py",
                "tests/test_aa.py",
                "doc/en/example/pkg/test_core.py",
            ],
            "",
        )
    )
    importers = {"pkg/core.py": ("pkg/api.py", "tests/test_zz.py"), "pkg/api.py": ("tests/test_yy.py",)}

    def importing(path: RepoPath) -> tuple[RepoPath, ...]:
        return tuple(RepoPath(name) for name in importers.get(path, ()))

    chosen = select_regression_tests(snapshot, [RepoPath("pkg/core.py")], importing, limit=4)
    assert chosen == ("tests/test_zz.py", "tests/test_yy.py", "tests/test_core.py", "tests/test_aa.py")
    assert select_regression_tests(snapshot, [RepoPath("pkg/core.py")], importing, limit=1) == ("tests/test_zz.py",)


EXISTING = (
    "tests/test_a.py",
    "tests/helpers.py",
    "pyproject.toml",
    "pkg/__init__.py",
    "pkg/core.py",
    "django/test/client.py",
    "single.py",
    "typing.py",
    "web/button.spec.ts",
)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        # tests, and what they need
        ("tests/test_a.py", "test folder"),
        ("tests/helpers.py", "test folder"),
        ("tests/new_helper.py", "test folder"),
        ("tests/__init__.py", "test folder"),
        ("tests/expected.json", "test folder"),
        ("web/button.spec.ts", "test file"),
        ("src/test/java/AppTest.java", "test folder"),
        ("pkg/link_test.go", "test file"),
        ("ui/__snapshots__/button.snap", "test folder"),
        # what decides how they run
        ("conftest.py", "how tests run"),
        ("pkg/conftest.py", "how tests run"),
        ("pyproject.toml", "how tests run"),
        ("setup.cfg", "how tests run"),
        ("tox.ini", "how tests run"),
        ("Makefile", "how tests run"),
        ("package.json", "how tests run"),
        ("vitest.config.ts", "how tests run"),
        ("sitecustomize.py", "how tests run"),
        ("src/usercustomize.py", "how tests run"),
        ("zz.pth", "how tests run"),
        (".venv/lib/python3.11/site-packages/pytest/__init__.py", "installed"),
        ("pkg.egg-info/entry_points.txt", "installed"),
        ("pkg/__pycache__/core.cpython-311.pyc", "installed"),
        (".github/workflows/ci.yml", "continuous integration"),
        (".gitlab-ci.yml", "continuous integration"),
        ("Jenkinsfile", "continuous integration"),
        # our own names
        ("test_patchwright_0a1b2c3d.py", "test runs use"),
        ("patchwright_pytest.py", "test runs use"),
        # imported in place of something else
        ("pytest.py", "in place of the module pytest"),
        ("unittest/__init__.py", "in place of the module unittest"),
        ("json.py", "in place of the module json"),
        ("src/traceback.py", "in place of the module traceback"),
        ("pytest_sugar.py", "in place of the module pytest_sugar"),
        ("single/__init__.py", "in place of single.py"),
        # out of the repository
        ("../outside.py", "inside the repository"),
        ("/etc/passwd", "inside the repository"),
        (".git/hooks/pre-commit", "belongs to git"),
        ("sub/.git/config", "belongs to git"),
        # the product
        ("pkg/core.py", None),
        ("pkg/json.py", None),
        ("pkg/unittest_tools.py", None),
        ("django/test/client.py", None),
        ("typing.py", None),
        ("new_module.py", None),
        ("docs/testing.rst", None),
        ("tests/test_new.py", None),
    ],
)
def test_candidates_may_not_edit_what_judges_them(make_snapshot: Make, path: str, reason: str | None) -> None:
    snapshot = make_snapshot(dict.fromkeys(EXISTING, ""))
    refused = refused_paths(Patch((FileEdit(RepoPath(path), "", "x = 1\n"),)), snapshot)
    assert tuple(refused) == ((path,) if reason else ())
    assert reason is None or reason in refused[RepoPath(path)]


def test_a_link_does_not_lead_around_the_rule(make_snapshot: Make, tmp_path: Path) -> None:
    snapshot = make_snapshot(dict.fromkeys(EXISTING, ""))
    (snapshot.root / "alias").symlink_to(snapshot.root / "tests")
    (snapshot.root / "same.py").symlink_to(snapshot.root / "tests/test_a.py")
    (snapshot.root / "away").symlink_to(tmp_path)
    (snapshot.root / "other").symlink_to(snapshot.root / "pkg")
    edits = [FileEdit(RepoPath(p), "", "") for p in ("alias/test_a.py", "same.py", "away/x.py", "other/core.py")]
    refused = refused_paths(Patch(tuple(edits)), snapshot)
    assert set(refused) == {"alias/test_a.py", "same.py", "away/x.py"}


def test_a_package_of_the_patch_itself_is_seen_as_one(make_snapshot: Make) -> None:
    snapshot = make_snapshot(dict.fromkeys(EXISTING, ""))
    edits = [FileEdit(RepoPath(path), "", "") for path in ("fresh/__init__.py", "fresh/json.py")]
    assert refused_paths(Patch(tuple(edits)), snapshot) == {}
    alone = Patch((FileEdit(RepoPath("fresh/json.py"), "", ""),))
    assert list(refused_paths(alone, snapshot)) == ["fresh/json.py"]
