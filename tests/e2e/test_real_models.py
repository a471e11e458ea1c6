"""`patchwright fix` as a user runs it, with real models: the 0.5B goes through every stage, the 1.5B fixes a bug."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model_hosts import hosts_of
from patchwright_engine.model import wire
from patchwright_engine.model.child import LOG_NAME
from patchwright_engine.model.client import HostedModel
from patchwright_engine.search.rollouts import choose, drawn_from_json
from patchwright_engine.search.trace import read_trace

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]

RATINGS = """\
def average(ratings):
    total = 0
    for rating in ratings:
        total += rating
    return total / len(ratings)


def best(ratings):
    return max(ratings)
"""
FILES = {
    "ratings.py": RATINGS,
    "shop.py": "from ratings import average\n\n\ndef stars(ratings):\n    return '*' * round(average(ratings))\n",
    "test_ratings.py": "from ratings import average\n\n\ndef test_average():\n    assert average([1, 3]) == 2\n",
}
ISSUE = """\
average() crashes when there are no ratings

    >>> from ratings import average
    >>> average([])
    ZeroDivisionError: division by zero

It should return 0 for an empty list.
"""
STAGES = ["understand", "locate", "reproduce", "repair"]

Fix = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fix]:
    """Runs `patchwright fix --json` over a small repository; gives exit status and result. Ends the hosts it used."""
    home = tmp_path / "home"
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(home))
    used: list[Path] = []

    def run(model: Path, *options: str) -> tuple[int, dict[str, Any]]:
        root = tmp_path / "project"
        if not root.exists():
            root.mkdir()
            for path, text in FILES.items():
                (root / path).write_text(text)
        used.append(model)
        argv = [sys.executable, "-m", "patchwright_engine", "fix", ISSUE, "--repo", str(root), "--json"]
        argv += ["--model", str(model), "--python", sys.executable, *options]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=800, check=False, env=dict(os.environ))
        assert done.stdout, done.stderr
        assert {path.name: path.read_text() for path in root.iterdir()} == FILES
        return done.returncode, json.loads(done.stdout)

    yield run
    for model in dict.fromkeys(used):
        assert HostedModel(model, model.stem).retire()
        deadline = time.monotonic() + 20
        while wire.endpoint(model).socket.exists():
            assert time.monotonic() < deadline, "the model host did not retire"
            time.sleep(0.05)


def test_the_smallest_model_goes_through_every_stage(fix: Fix, small_model_path: Path) -> None:
    status, result = fix(small_model_path, "--budget", "quick")
    assert status in (0, 1)
    assert (status == 0) == any(one["evidence"] in ("reproduced", "failing_test") for one in result["fixes"])
    assert result["schema"] == 1
    assert result["stopped"] in ("verified", "budget", "no_candidates")
    assert result["cost"]["rollouts"] in (1, 2)  # one, where its candidate is proven and believed
    assert result["cost"]["cached_tokens"] > 0
    steps = list(read_trace(Path(result["trace"])))
    exchanges = [step for step in steps if step["kind"] == "complete"]
    # Candidates that nothing tells apart make it ask for inputs too.
    assert [stage for stage in dict.fromkeys(step["stage"] for step in exchanges) if stage != "rank"] == STAGES
    assert all(len(answer["answer"]) for step in exchanges for answer in step["answers"])
    assert any(step["kind"] == "reproduction" for step in steps)
    assert steps[-1]["kind"] == "end"


def test_the_fixed_strategies_see_the_same_rollouts_of_a_real_model(fix: Fix, small_model_path: Path) -> None:
    drawn = {}
    for strategy in ("orm-exec", "voting"):
        status, result = fix(small_model_path, "--budget", "3", "--strategy", strategy)
        steps = list(read_trace(Path(result["trace"])))
        (step,) = [step for step in steps if step["kind"] == "drawn"]
        drawn[strategy] = made = drawn_from_json(step)
        choice = choose(made, 3, strategy)
        assert choice.patch_id == (result["fixes"][0]["id"] if result["fixes"] else None)
        assert (choice.rollouts, choice.tokens) == (result["cost"]["rollouts"], result["cost"]["generated_tokens"])
        assert (status == 0) == any(one["evidence"] in ("reproduced", "failing_test") for one in result["fixes"][:1])
        assert any(step["kind"] == "reproduction" for step in steps) == (strategy == "orm-exec")
    both = [[(one.location, one.key, one.tokens) for one in made.rollouts] for made in drawn.values()]
    assert both[0] == both[1]
    assert len(set(both[0])) > 1
    assert all(one.tokens > 0 for one in drawn["voting"].rollouts)


def test_a_model_host_killed_twice_in_the_middle_of_a_search_costs_no_result(
    fix: Fix, small_model_path: Path, tmp_path: Path
) -> None:
    home, killed, over = tmp_path / "home", list[int](), threading.Event()
    log = home / "state" / "log" / LOG_NAME

    def kill() -> None:
        # First when some of the search is done, then the one that took its place, right after it loaded.
        for words, count in (("Completed in", 1), ("loaded", 2)):
            while not log.exists() or log.read_text().count(words) < count:
                if over.wait(0.05):
                    return
            time.sleep(0.5)  # into the next request
            for host in hosts_of(home):
                host.kill()
                killed.append(host.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    status, result = fix(small_model_path, "--budget", "1")
    over.set()
    killer.join()
    assert len(set(killed)) == 2
    assert status in (0, 1)
    assert result["stopped"] in ("verified", "budget", "no_candidates")
    assert result["cost"]["rollouts"] == 1
    assert not any("ended early" in note for note in result["notes"])
    assert [step["kind"] for step in read_trace(Path(result["trace"]))][-1] == "end"


def test_the_demo_model_fixes_a_bug_and_does_so_again(fix: Fix, demo_model_path: Path) -> None:
    status, result = fix(demo_model_path, "--budget", "standard", "--seed", "1")
    assert status == 0
    best = result["fixes"][0]
    assert best["evidence"] == "reproduced"
    assert best["files"] == ["ratings.py"]
    assert {run["kind"]: run["exit"] for run in best["runs"]} == {"reproduction": 0, "regression": 0}
    _, again = fix(demo_model_path, "--budget", "standard", "--seed", "1")
    assert [one["diff"] for one in again["fixes"]] == [one["diff"] for one in result["fixes"]]
