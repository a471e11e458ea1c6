"""Ranks of the developer's fix, and the shares made of them."""

import math
from pathlib import Path

import pytest

from patchwright_engine.bench.instances import LocalizationInstance
from patchwright_engine.bench.localization import Located, Work, locate_instance
from patchwright_engine.bench.localization_summary import in_words, summarize
from patchwright_engine.types import RepoPath
from toy_bug import Toy


def work(toy: Toy, folder: Path, *, commit: str = "") -> Work:
    instance = LocalizationInstance(
        "toys__calc-1",
        "toys/calc",
        commit or toy.row["base_commit"],
        toy.row["problem_statement"],
        (RepoPath("calc.py"), RepoPath("no_such.py")),
        ("calc.py::clamp",),
    )
    return Work(instance, toy.repos, folder / "cache", folder)


def test_the_fix_is_found_in_the_ranking(toy: Toy, tmp_path: Path) -> None:
    located = locate_instance(work(toy, tmp_path))
    assert located.problem == ""
    assert located.file_ranks == (1, None)
    assert located.symbol_ranks == (1,)
    assert located.files[0] == "calc.py"
    assert located.indexed == 2
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]  # The tree is gone.


def test_a_missing_commit_is_a_problem_and_no_rank(toy: Toy, tmp_path: Path) -> None:
    located = locate_instance(work(toy, tmp_path, commit="0" * 40))
    assert "lacks the commit" in located.problem
    assert located.file_ranks == ()


LOCATED = (
    Located("a-1", "a/a", file_ranks=(1,), symbol_ranks=(7, 11), seconds=1.0),
    Located("a-2", "a/a", file_ranks=(6, 2), symbol_ranks=(), seconds=3.0),
    Located("b-1", "b/b", file_ranks=(None, 3), symbol_ranks=(None,), seconds=2.0),
    Located("b-2", "b/b", problem="there is no mirror"),
)


def test_shares_count_any_and_all_gold_places() -> None:
    overall = summarize(LOCATED)["overall"]
    expected = {
        "file_any@1": 1 / 3,
        "file_all@1": 1 / 3,
        "file_any@3": 1.0,
        "file_all@5": 1 / 3,
        "file_all@10": 2 / 3,
        "symbol_any@5": 0.0,
        "symbol_any@10": 1 / 2,
        "symbol_all@10": 0.0,
        "mrr": (1 + 1 / 2 + 1 / 3) / 3,
        "seconds_median": 2.0,
    }
    assert {key: overall[key] for key in expected} == pytest.approx(expected, abs=1e-4)
    assert overall["instances"] == 3
    assert overall["failed"] == 1


def test_repositories_are_counted_apart() -> None:
    by_repo = summarize(LOCATED)["by_repo"]
    assert by_repo["a/a"]["file_any@1"] == 0.5
    assert by_repo["b/b"]["file_any@1"] == 0.0
    assert by_repo["b/b"]["instances"] == 1


def test_intervals_hold_the_share_and_narrow_with_more_instances() -> None:
    few, many = (summarize(LOCATED[:3] * times)["overall"] for times in (1, 50))
    widths = []
    for summary in (few, many):
        low, high = summary["intervals"]["file_all@10"]
        assert low <= summary["file_all@10"] <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3
    assert math.isclose(widths[1], 2 * 1.96 * math.sqrt(2 / 9 / 150), rel_tol=0.2)


def test_the_table_names_what_failed() -> None:
    told = in_words(LOCATED)
    assert "together" in told
    assert "b-2: not located: there is no mirror" in told
    assert next(line for line in told.split("\n") if line.startswith("a/a")).split()[1:4] == ["2", "50.0", "100.0"]
    assert "0.611" in told  # the mean reciprocal rank is no percentage


def test_nothing_located_is_no_share() -> None:
    overall = summarize(LOCATED[3:])["overall"]
    assert overall["file_any@1"] is None
    assert overall["intervals"] == {}
    assert "b-2" in in_words(LOCATED[3:])
