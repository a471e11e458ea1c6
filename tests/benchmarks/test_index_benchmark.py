"""The benchmark of the index runs over a real repository, leaves it alone, and writes what it promises."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from index_peers import aider_seconds, bm25s_seconds
from index_trees import BRANCH, copy_sources, grow, make_issues
from patchwright_engine.types import Snapshot
from patchwright_engine.workspace.snapshot import take_snapshot
from trees import exact_picture

ROOT = Path(__file__).parents[2]


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    root = tmp_path / "project"
    for number in range(30):
        place = root / f"pkg{number % 3}" / f"m{number}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"import os\n\ndef work_{number}(value):\n    return os.path.join(value, 'x{number}')\n")
    (root / "notes.txt").write_text("Not source.\n")
    return take_snapshot(root)


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout


def test_it_prints_a_table_and_writes_rows_and_ratios(snapshot: Snapshot, tmp_path: Path) -> None:
    before = exact_picture(snapshot.root)
    out = tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "index.py", "--quick", "--repo", snapshot.root, "--json", out],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    rows = {row["what"]: row["value"] for row in result["rows"]}
    assert {"cold: all of it", "warm: open", "saved file: index", "branch switch: index", "query"} <= rows.keys()
    assert all(value > 0 for value in rows.values())
    assert result["ratios"] == {
        "cold_vs_floor": pytest.approx(rows["cold: all of it"] / rows["floor: parse and query alone"], rel=0.05)
    }
    assert "aider is not there" in done.stdout
    assert {"platform", "cores", "python"} <= result["machine"].keys()
    assert exact_picture(snapshot.root) == before


def test_the_copy_has_a_branch_with_other_contents(snapshot: Snapshot, tmp_path: Path) -> None:
    sources = copy_sources(snapshot, tmp_path / "copy")
    assert len(sources) == 30
    assert git(tmp_path / "copy", "status", "--porcelain") == ""
    assert len(git(tmp_path / "copy", "diff", "--name-only", "HEAD", BRANCH).split()) == 30


@pytest.mark.parametrize("size", [7, 30, 75])
def test_a_grown_tree_has_its_size_and_no_two_equal_files(size: int, snapshot: Snapshot, tmp_path: Path) -> None:
    grown = grow(snapshot, tmp_path / "grown", size)
    files = take_snapshot(tmp_path / "grown").files
    assert len(files) == size == len(set(files.values()))
    assert set(grown) == set(files)


def test_issues_are_about_the_code_that_is_there(snapshot: Snapshot) -> None:
    issues = make_issues(snapshot.root, [path for path in snapshot.files if path.endswith(".py")])
    assert len(issues) > 1
    assert all("work_" in issue and "os.path.join" in issue for issue in issues)


def test_what_is_not_installed_is_said_with_how_to_get_it(tmp_path: Path) -> None:
    nowhere = Path(sys.executable)  # Has neither, and nobody should install them here.
    for found in (aider_seconds(nowhere, tmp_path, [], tmp_path, 60), bm25s_seconds(None, tmp_path, [], 60)):
        assert "pip install aider-chat bm25s" in str(found)


def test_what_takes_longer_than_its_limit_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "site" / "bm25s").mkdir(parents=True)
    (tmp_path / "site" / "bm25s" / "__init__.py").write_text("import time\ntime.sleep(600)\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/site exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert "more than 1 s" in str(bm25s_seconds(python, tmp_path, [], 1))
