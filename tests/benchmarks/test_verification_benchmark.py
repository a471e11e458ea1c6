"""The benchmark of copies runs over a real repository, leaves it alone, and writes what it promises."""

import json
import os
import subprocess
import sys
from pathlib import Path

from trees import exact_picture, make_awkward

ROOT = Path(__file__).parents[2]


def test_it_prints_a_table_and_writes_rows_and_ratios(tmp_path: Path) -> None:
    root = make_awkward(tmp_path / "project")
    before = exact_picture(root)
    (tmp_path / "scratch").mkdir()
    out = tmp_path / "out.json"
    done = subprocess.run(
        [
            *(sys.executable, ROOT / "benchmarks" / "verification.py", "--quick", "--repo", root),
            *("--scratch", tmp_path / "scratch", "--json", out),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    rows = {row["what"]: row["seconds"] for row in result["rows"]}
    assert {"snapshot", "shutil.copytree", "git worktree add", "copy, cold", "copy, warm"} <= rows.keys()
    assert {"copy, warm, one edit", "reset, after a run"} <= rows.keys()
    assert all(seconds > 0 for seconds in rows.values())
    assert result["ratios"]["copy_vs_plain_cold"] == rows["copy, cold"] / rows["shutil.copytree"]
    assert result["ratios"]["copy_vs_git_worktree_warm"] == rows["copy, warm"] / rows["git worktree add"]
    (many,) = [what for what in rows if what.startswith("tests, ") and what != "tests, 1 process"]
    assert result["ratios"]["shards"] == rows[many] / rows["tests, 1 process"]
    assert {"platform", "cores", "python"} <= result["machine"].keys()
    assert "copy, warm, one edit" in done.stdout
    assert exact_picture(root) == before
    assert list((tmp_path / "scratch").iterdir()) == []
