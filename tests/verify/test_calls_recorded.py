"""What runners note of each test, under every Python that is here: by monitoring, by tracing, beside another tracer."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from patchwright_engine.verify.runs import RUNNERS

CODE = """\
def least(items):
    if not items:
        return none()
    low = items[0]
    for item in items:
        low = min(low, item)
    return low


def none():
    return None


def lazy():
    return sorted([2, 1], key=lambda value: -value)
"""
SCRIPT = """\
import json, sys
import code_under_test as code
import patchwright_calls

if "traced" in sys.argv:
    sys.settrace(lambda *event: None)
recorder = patchwright_calls.open_recorder()
records = []
for name, test in [
    ("full", lambda: code.least([3, 1] * 30_000)),
    ("empty", lambda: code.least([])),
    ("again", lambda: code.least([5])),
    ("other", lambda: (code.lazy(), json.dumps({}), eval("[x for x in (1, 2)]"))),
]:
    recorder.begin()
    test()
    recorder.end(lambda **record: records.append(record), name)
recorder.begin()
code.none()
recorder.end(lambda **record: records.append(record), None)
code.none()
print(json.dumps(records))
"""


def interpreters() -> list[str]:
    """One of each version that is here, this one first."""
    versions: dict[str, str] = {}
    for python in (sys.executable, *(shutil.which(f"python3.{minor}") for minor in range(7, 16))):
        done = subprocess.run([python, "-V"], capture_output=True, text=True, check=False) if python else None
        if python and done is not None and done.returncode == 0:
            versions.setdefault(done.stdout.rpartition(".")[0], python)
    return list(versions.values())


def record(folder: Path, python: str, asked: str, *arguments: str) -> dict[str, dict[str, list[int]]]:
    """Test → function → lines, as the recorder tells them in a fresh process of `python`."""
    (folder / "code_under_test.py").write_text(CODE)
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [python, "script.py", *arguments],
        cwd=folder,
        env={"PATCHWRIGHT_CALLS": asked, "PYTHONPATH": str(RUNNERS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    told = [(folder.resolve() / path, name, line) for one in records for path, line, name in one["functions"]]
    assert {path.parent for path, _, _ in told} <= {folder.resolve()}
    assert len(told) == len(set(told))  # Each function is told once, at its first test.
    return {
        one["id"]: {told[number][1]: lines for number, *lines in one["calls"] if told[number][0].stem != "script"}
        for one in records
    }


@pytest.mark.parametrize("python", interpreters())
def test_each_test_has_the_functions_and_the_lines_that_it_ran(tmp_path: Path, python: str) -> None:
    ran = record(tmp_path, python, "lines")
    ran["full"]["least"] = [line for line in ran["full"]["least"] if line != 7]  # Behind what is followed of a loop.
    assert ran == {
        "full": {"least": [2, 4, 5, 6]},
        "empty": {"least": [2, 3], "none": [11]},
        "again": {"least": [2, 4, 5, 6, 7]},
        "other": {"lazy": [15], "<lambda>": [15]},
    }


@pytest.mark.parametrize("python", interpreters())
@pytest.mark.parametrize(("asked", "arguments"), [("functions", ()), ("lines", ("traced",))])
def test_functions_alone_are_told_when_asked_and_where_something_else_traces(
    tmp_path: Path, python: str, asked: str, arguments: tuple[str, ...]
) -> None:
    ran = record(tmp_path, python, asked, *arguments)
    assert {test: set(functions) for test, functions in ran.items()} == {
        "full": {"least"},
        "empty": {"least", "none"},
        "again": {"least"},
        "other": {"lazy", "<lambda>"},
    }
    if asked == "functions":
        assert not any(lines for functions in ran.values() for lines in functions.values())


def test_nothing_is_told_when_nobody_asked(tmp_path: Path) -> None:
    assert record(tmp_path, sys.executable, "") == {}
