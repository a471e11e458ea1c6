"""A small project with one bug, its fix and the tests that came with it, as a bare mirror and an instance row.

The install commands make a real virtual environment without any network: pytest is copied from the one that runs this.
"""

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.bench.instances import Instance, read_instances

CALC = '''\
"""Numbers."""


def clamp(value, low, high):
    """The nearest value to `value` between `low` and `high`."""
    if value < low:
        return low
    return value


def span(values):
    if not values:
        raise ValueError("no values")
    return max(values) - min(values)


def label(value, unit):
    return str(value) + " " + unit
'''
FIXED = CALC.replace("        return low\n", "        return low\n    if value > high:\n        return high\n").replace(
    'str(value) + " " + unit', '" ".join([str(value), unit])'
)
TESTS = """\
import pytest

from calc import clamp, span


def test_low():
    assert clamp(-5, 0, 9) == 0
    assert clamp(0, 0, 9) == 0
    assert clamp(4, 0, 9) == 4


def test_span():
    assert span([3, 8, 5]) == 5
    with pytest.raises(ValueError, match="no values"):
        span([])
"""
HIDDEN = (
    TESTS
    + """

def test_high():
    assert clamp(12, 0, 9) == 9
    assert clamp(9, 0, 9) == 9
"""
)
FILES = {
    "calc.py": CALC,
    "tests/test_calc.py": TESTS,
    "build/data.txt": "tracked, though ignored\n",
    ".gitignore": "build/\n",
}
PACKAGES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py.py")


@dataclass(frozen=True, slots=True)
class Toy:
    """The mirror's folder and the instance's row."""

    repos: Path
    row: dict[str, Any]
    fix_commit: str

    def instance(self, folder: Path, **changed: Any) -> Instance:
        """Read from a file, as users do."""
        path = folder / "instances.jsonl"
        path.write_text(json.dumps({**self.row, **changed}) + "\n")
        return read_instances(path)[0]


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=30).stdout


def commit(folder: Path, files: dict[str, str], message: str) -> str:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD").strip()


def make_mirror(work: Path, mirror: Path) -> None:
    mirror.parent.mkdir(parents=True)
    git(work, "clone", "-q", "--mirror", str(work), str(mirror))


def make_toy(folder: Path) -> Toy:
    """Three commits: the bug, its fix, its tests; mirrored below `folder`/repos."""
    work = folder / "work"
    work.mkdir()
    git(work, "init", "-q")
    base = commit(work, FILES, "base")
    fix = commit(work, {"calc.py": FIXED}, "fix")
    patch = git(work, "diff", base, fix)
    tests = git(work, "diff", fix, commit(work, {"tests/test_calc.py": HIDDEN}, "tests"))
    make_mirror(work, folder / "repos" / "toys+calc" / "repo")
    site = Path(pytest.__file__).parent.parent
    copied = " ".join(shlex.quote(str(site / name)) for name in PACKAGES)
    row = {
        "instance_id": "toys__calc-1",
        "repo": "toys/calc",
        "base_commit": base,
        "python": f"3.{sys.version_info.minor}",
        "install_cmds": [
            f"{shlex.quote(sys.executable)} -m venv --without-pip VENV",
            f"cp -r {copied} VENV/lib/python3.*/site-packages/",
            "echo made > $CHECKOUT/build/generated.py",
            "export PYTHONPATH=$CHECKOUT",
        ],
        "test_cmd": "python -m pytest -rA -q --tb=short -p no:cacheprovider tests/test_calc.py",
        "FAIL_TO_PASS": ["tests/test_calc.py::test_high"],
        "problem_statement": "clamp(12, 0, 9) returns 12, not 9.",
        "patch": patch,
        "test_patch": tests,
    }
    return Toy(folder / "repos", row, fix)
