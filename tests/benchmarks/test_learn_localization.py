"""The weights' script learns from dumps of signals what speaks for a place, and says what it would do elsewhere."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy
import pytest

import learn_localization
from learn_localization import folds, learn, measured


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """Forty issues of four repositories in which 'says' tells the fixed file and 'noise' tells nothing."""
    random, folder = Random(7), tmp_path / "signals"
    folder.mkdir()
    for number in range(40):
        gold = random.randrange(8)
        files = {
            f"f{at}.py": {"says": random.random() / 2 + (at == gold) / 2, "noise": random.random()} for at in range(8)
        }
        symbols = [[path, "work", {**own, "file": 1.0}] for path, own in files.items()]
        content = {
            "instance_id": f"one-{number}",
            "repo": f"some/repo{number % 4}",
            "files": files,
            "symbols": symbols,
            "gold_files": [f"f{gold}.py"],
            "gold_symbols": [f"f{gold}.py::work"],
        }
        (folder / f"one-{number}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    monkeypatch.setattr(learn_localization, "WEIGHTS", tmp_path / "weights.toml")
    monkeypatch.setattr(learn_localization, "L2", {"files": 1.0, "symbols": 1.0})

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["learn_localization.py", *arguments])
        return learn_localization.main()

    return run


def test_what_speaks_for_the_fix_gets_the_weight(main: Callable[..., int], dump: Path, tmp_path: Path) -> None:
    assert main(str(dump), "--write", "--ablate", "--json", str(tmp_path / "out.json")) == 0
    weights = tomllib.loads((tmp_path / "weights.toml").read_text())
    assert weights["files"]["says"] > 3
    assert weights["files"].get("noise", 0.0) < weights["files"]["says"] / 4
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["files"]["any@1"] > 80, "cross-validated"
    assert report["files without says"]["any@1"] < 50
    assert report["symbols"]["all@10"] == 100


def test_without_write_the_weights_stay(main: Callable[..., int], dump: Path, tmp_path: Path) -> None:
    assert main(str(dump)) == 0
    assert not (tmp_path / "weights.toml").exists()


def test_a_repository_is_never_in_two_folds() -> None:
    repositories = ["a"] * 50 + ["b"] * 20 + ["c", "d", "e", "f", "g", "c"]
    found = folds(repositories)
    assert len({(name, fold) for name, fold in zip(repositories, found, strict=True)}) == len(set(repositories))
    assert found[0] != found[50]


def test_a_signal_that_speaks_for_a_place_never_counts_against_it(dump: Path) -> None:
    instances = [json.loads(path.read_text()) for path in sorted(dump.glob("*.json"))]
    for one in instances:
        for own in one["files"].values():
            own["against"] = 1 - own["says"]
    rows = learn_localization.file_rows(instances)
    assert dict(zip(rows.names, learn(rows, "files"), strict=True))["against"] == 0.0


@pytest.mark.parametrize("l2", [1.0, 100.0])
def test_shares_are_as_sure_as_the_ranking_is_right(dump: Path, monkeypatch: pytest.MonkeyPatch, l2: float) -> None:
    """However much the penalty takes from the weights."""
    monkeypatch.setattr(learn_localization, "L2", {"files": l2})
    instances = [json.loads(path.read_text()) for path in sorted(dump.glob("*.json"))]
    rows = learn_localization.file_rows(instances)
    odds = (rows.values @ learn(rows, "files")).reshape(len(instances), -1)
    shares = numpy.exp(odds) / numpy.exp(odds).sum(1, keepdims=True)
    right = rows.gold.reshape(shares.shape)[numpy.arange(len(shares)), shares.argmax(1)]
    assert right.mean() > 0.8
    assert shares.max(1).mean() == pytest.approx(right.mean(), abs=0.1)


def test_ranks_are_counted_over_instances_that_have_a_gold_place() -> None:
    scores = measured([[1, 6], [None], []])
    assert (scores["any@1"], scores["all@1"], scores["any@5"], scores["all@10"]) == (50, 0, 50, 50)
    assert scores["mrr"] == 0.5
