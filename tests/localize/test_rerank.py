"""A model reorders the first files by what the issue tells it; the index keeps its say, and what it is sure of."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.localize.reasons import reasons
from patchwright_engine.localize.rerank import (
    CANDIDATES,
    ISSUE_TOKENS,
    NO_ISSUE,
    is_sure,
    rerank,
    reranking_model,
    shortened,
)
from patchwright_engine.model.backend import JudgeRequest
from patchwright_engine.model.llama import quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import LoadParameters
from patchwright_engine.types import Issue, RankedFile, Ranking, RepoPath
from scripted_model import ScriptedModel

ISSUE = Issue("Totals are rounded down")
SCORES = (0.3, 0.29, 0.2, 0.15, 0.06)


def ranking(scores: Sequence[float] = SCORES) -> Ranking:
    files = (RankedFile(RepoPath(f"f{n}.py"), score, {"lexical": score}) for n, score in enumerate(scores))
    return Ranking(tuple(files), (), 0.0)


def model(likes: dict[str, float], *, anyway: dict[str, float] | None = None) -> ScriptedModel:
    """Nats by which the issue makes paths likelier, and by which they are likelier anyway."""

    def weights(request: JudgeRequest) -> list[float]:
        told = f"<issue>\n{NO_ISSUE}\n</issue>" not in request.messages[-1].content
        return [-9 + (anyway or {}).get(path, 0) + (likes.get(path, 0) if told else 0) for path in request.answers]

    return ScriptedModel(lambda _request: ("?",), weights=weights)


def order(likes: dict[str, float], **given: dict[str, float]) -> list[str]:
    return [file.path for file in rerank(ISSUE, ranking(), model(likes, **given), CancelToken()).files]


def test_the_file_that_the_issue_makes_likely_comes_first() -> None:
    assert order({}) == ["f0.py", "f1.py", "f2.py", "f3.py", "f4.py"]
    assert order({"f1.py": 3})[:2] == ["f1.py", "f0.py"]
    assert order({"f3.py": 20})[0] == "f3.py"


def test_a_path_that_is_likely_whatever_the_issue_gains_nothing() -> None:
    assert order({"f1.py": 3}, anyway={"f4.py": 30})[:2] == ["f1.py", "f0.py"]


def test_a_mild_opinion_does_not_outweigh_the_index() -> None:
    assert order({"f4.py": 1})[0] == "f0.py"


def test_the_same_files_stay_and_places_keep_their_scores() -> None:
    before = ranking([1 / (2 + n) for n in range(CANDIDATES + 5)])
    after = rerank(ISSUE, before, model({"f20.py": 50, "f33.py": 50}), CancelToken())
    assert after.files[0].path == "f20.py"
    assert [file.score for file in after.files] == [file.score for file in before.files]
    assert sorted(file.path for file in after.files) == sorted(file.path for file in before.files)
    assert after.files[CANDIDATES:] == before.files[CANDIDATES:]


def test_the_models_share_is_a_signal_and_a_reason() -> None:
    files = rerank(ISSUE, ranking(), model({"f1.py": 4}), CancelToken()).files
    assert math.isclose(sum(file.signals["model"] for file in files), 1)
    assert files[0].signals["lexical"] == SCORES[1]
    assert "the model would change it" in reasons(files[0].signals)
    assert "the model would change it" not in reasons(files[1].signals)


def test_where_the_index_is_sure_the_model_is_not_asked() -> None:
    sure, asked = ranking((0.9, 0.04, 0.02, 0.02, 0.01, 0.01)), model({"f3.py": 50})
    assert is_sure(sure.files)
    assert rerank(ISSUE, sure, asked, CancelToken()) == sure
    assert asked.judged == []


@pytest.mark.parametrize("scores", [(), (0.4,), (0.4, 0.4), (0.0, 0.0, 0.0)])
def test_rankings_of_few_or_equal_files_come_back_whole(scores: Sequence[float]) -> None:
    before = ranking(scores)
    after = rerank(ISSUE, before, model({}), CancelToken())
    assert [file.path for file in after.files] == [file.path for file in before.files]


def test_the_issue_stands_first_and_the_candidates_are_the_answers() -> None:
    asked = model({})
    rerank(ISSUE, ranking([1 / (2 + n) for n in range(CANDIDATES + 5)]), asked, CancelToken())
    with_issue, without = asked.judged
    assert with_issue.messages[-1].content.startswith(f"Issue:\n<issue>\n{ISSUE.text}\n</issue>")
    assert with_issue.answers == without.answers == tuple(f"f{n}.py" for n in range(CANDIDATES))


def test_a_file_name_that_is_no_text_leaves_the_order_to_the_index() -> None:
    odd = Ranking((*ranking().files, RankedFile(RepoPath("bad\udcff.py"), 0.1)), (), 0.0)
    assert rerank(ISSUE, odd, model({"f3.py": 50}), CancelToken()) == odd


def test_a_model_that_cannot_weigh_answers_is_refused_with_a_cure() -> None:
    with pytest.raises(BadInput) as caught:
        rerank(ISSUE, ranking(), ScriptedModel(lambda _request: ("f1.py",)), CancelToken())
    assert "models list" in caught.value.cure
    with pytest.raises(BadInput) as caught:
        reranking_model("http://127.0.0.1:9/v1")
    assert "models list" in caught.value.cure


def test_a_long_issue_keeps_its_beginning_and_its_end() -> None:
    count = ScriptedModel(lambda _request: ("?",)).count_tokens
    text = "<!-- fill in\nthis form -->\nTotals are wrong\n\n\n" + "noise " * 2_000 + "\nValueError: the end"
    short = shortened(text, count)
    assert short.startswith("Totals are wrong\nnoise")
    assert short.endswith("ValueError: the end")
    assert "left out" in short
    assert count(short) <= ISSUE_TOKENS * 1.1
    assert shortened("as it is", count) == "as it is"


@pytest.mark.model
def test_a_real_model_finds_the_file_that_the_issue_is_about(small_model_path: Path) -> None:
    os.environ.update(quiet_environment())
    paths = ("shop/__init__.py", "shop/catalog/search.py", "shop/notify/email.py", "shop/cart/totals.py")
    equal = Ranking(tuple(RankedFile(RepoPath(path), 0.5) for path in paths), (), 0.0)
    real = LocalModel(small_model_path, LoadParameters(n_ctx=1024, context_tokens=1024, n_seq=2))
    try:
        for text, right in (
            ("The customer gets every email twice, and its subject is empty.", "shop/notify/email.py"),
            ("The total of a cart with a discount is one cent too low.", "shop/cart/totals.py"),
        ):
            found = rerank(Issue(text), equal, real, CancelToken())
            assert found.files[0].path == right
    finally:
        real.close()
