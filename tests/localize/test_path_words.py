"""Words of an issue against words of paths."""

import math

import pytest

from patchwright_engine.localize.paths import PathWords
from patchwright_engine.types import RepoPath

FILES = [RepoPath(path) for path in ("web/HttpClient.py", "web/server.py", "docs/server.v2.md", "setup.py")]


def test_rare_words_of_a_path_count_more_and_half_a_mention_half() -> None:
    rare, common = math.log(1 + 4 / 1), math.log(1 + 4 / 2)
    found = PathWords(FILES).score({"client": 2.0, "web": 1.0, "py": 5.0})
    best = rare + common / 2
    assert found == pytest.approx({FILES[0]: 1.0, FILES[1]: common / 2 / best})


def test_a_word_counts_once_however_often_the_path_has_it() -> None:
    twice = [RepoPath("server/server.py"), RepoPath("web/server.py")]
    found = PathWords(twice).score({"server": 2.0})
    assert found[twice[0]] == found[twice[1]] == 1.0


def test_only_the_last_extension_is_left_out() -> None:
    assert PathWords(FILES).score({"v2": 2.0}) == {FILES[2]: 1.0}
    assert PathWords(FILES).score({"md": 2.0}) == {}
    assert PathWords(FILES).score({}) == {}
