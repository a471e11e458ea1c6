"""A small real project with one fault, its snapshot, and a sandbox that works here."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.select import select_sandbox
from patchwright_engine.types import Snapshot
from patchwright_engine.verify.environment import TestEnvironment, discover_environment
from patchwright_engine.workspace.snapshot import take_snapshot

MEAN = """\
def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)


def spread(values):
    return max(values) - min(values)
"""

MEAN_TESTS = """\
from stats.mean import mean, spread


def test_mean_of_two():
    assert mean([1, 3]) == 2


def test_spread():
    assert spread([1, 5]) == 4


def test_mean_of_nothing():
    assert mean([]) == 0
"""

ISSUE = "mean([]) raises ZeroDivisionError: division by zero. It should return 0 for an empty list."

PROJECT = {
    "stats/__init__.py": "",
    "stats/mean.py": MEAN,
    "tests/test_mean.py": MEAN_TESTS,
    "tests/test_other.py": "def test_arithmetic():\n    assert 1 + 1 == 2\n",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test, so that kept copies are its own too."""
    home = tmp_path / "home"
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(home))
    return home


@pytest.fixture
def make_snapshot(tmp_path: Path) -> Callable[[Mapping[str, str]], Snapshot]:
    """Write files (path → text) below a fresh root and take their snapshot."""

    def make(files: Mapping[str, str]) -> Snapshot:
        root = tmp_path / "project"
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(dedent(text))
        return take_snapshot(root)

    return make


@pytest.fixture
def project(make_snapshot: Callable[[Mapping[str, str]], Snapshot]) -> Snapshot:
    """`mean([])` divides by zero; a test of it fails, two others and another file's pass."""
    return make_snapshot(PROJECT)


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    return select_sandbox()


@pytest.fixture(scope="session")
def environment() -> TestEnvironment:
    """The interpreter running these tests, which has pytest."""
    return discover_environment(Path("/nonexistent"))


@pytest.fixture
def cancel() -> CancelToken:
    return CancelToken()
