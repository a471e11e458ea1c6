"""Which files are tests, which run first, and what a candidate may not touch."""

from collections.abc import Callable, Mapping

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


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("tests/test_a.py", True),
        ("tests/helpers.py", True),
        ("conftest.py", True),
        ("pkg/conftest.py", True),
        ("pyproject.toml", True),
        ("setup.cfg", True),
        ("sitecustomize.py", True),
        ("zz.pth", True),
        (".github/workflows/ci.yml", True),
        ("pkg/core.py", False),
        ("django/test/client.py", False),
        ("tests/test_new.py", False),
    ],
)
def test_candidates_may_not_edit_what_judges_them(make_snapshot: Make, path: str, refused: bool) -> None:
    snapshot = make_snapshot(
        dict.fromkeys(
            ["tests/test_a.py", "tests/helpers.py", "pyproject.toml", "pkg/core.py", "django/test/client.py"], ""
        )
    )
    patch = Patch((FileEdit(RepoPath(path), "", "x = 1\n"),))
    assert refused_paths(patch, snapshot) == ((path,) if refused else ())
