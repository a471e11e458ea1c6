"""`patchwright fix --strategy` as a user runs it. The model is scripted and answers over a real socket."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from demo_project import ISSUE, REPAIR, RULES
from front_door import Ended, fingerprint, make_repository, patchwright
from scripted_model import ScriptedServer, serve_scripted

WRONG, RIGHT = (f"```python\ndef add(a, b):\n    return {each}, '😀é'\n```" for each in ("a - b - 0", "a + b"))
TWICE_WRONG = replace(REPAIR, answers=(WRONG, RIGHT, WRONG))


@pytest.fixture
def model() -> Iterator[ScriptedServer]:
    with serve_scripted(*(TWICE_WRONG if rule is REPAIR else rule for rule in RULES)) as server:
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project")


def fix(repository: Path, url: str, strategy: str, home: Path, *more: str) -> Ended:
    arguments = ("fix", ISSUE, "--repo", repository, "--model", url, "--budget", "3", "--strategy", strategy, *more)
    return patchwright(*arguments, home=home)


def test_voting_offers_the_commonest_answer_and_claims_nothing(
    repository: Path, model: ScriptedServer, tmp_path: Path
) -> None:
    before = fingerprint(repository)
    ended = fix(repository, model.url, "voting", tmp_path, "--json")
    assert ended.code == 1, ended.err  # nothing is verified
    result = ended.result
    assert [fix["evidence"] for fix in result["fixes"]] == ["parses", "parses"]
    assert ["a - b - 0" in fix["diff"] for fix in result["fixes"]] == [True, False]
    assert [fix["runs"] for fix in result["fixes"]] == [[], []]
    assert (result["stopped"], result["cost"]["rollouts"]) == ("budget", 3)
    assert any("No candidate was run" in note for note in result["notes"])
    assert not any("Imports:" in message["content"] for body in model.bodies for message in body["messages"])
    assert fingerprint(repository) == before


def test_exec_offers_what_the_runs_prove(repository: Path, model: ScriptedServer, tmp_path: Path) -> None:
    ended = fix(repository, model.url, "exec", tmp_path, "--json")
    assert ended.code == 0, ended.err
    result = ended.result
    assert result["fixes"][0]["evidence"] == "reproduced"
    assert "+    return a + b" in result["fixes"][0]["diff"]
    assert (result["stopped"], result["cost"]["rollouts"]) == ("budget", 3)
    shown = patchwright("trace", "show", result["trace"], home=tmp_path)
    assert shown.code == 0
    for each in result["fixes"]:
        assert each["id"] in shown.out


def test_an_unknown_strategy_is_named_with_those_that_there_are(
    repository: Path, model: ScriptedServer, tmp_path: Path
) -> None:
    ended = fix(repository, model.url, "best", tmp_path)
    assert (ended.code, ended.out, model.bodies) == (2, "", [])
    for words in ("unknown strategy 'best'", "dev-search", "single", "voting", "exec", "orm-exec"):
        assert words in ended.err


def test_help_says_what_the_strategies_are_for(tmp_path: Path) -> None:
    helped = " ".join(patchwright("fix", "--help", home=tmp_path).out.split())
    assert "default: dev-search); for comparison: single, voting, exec, orm-exec" in helped
