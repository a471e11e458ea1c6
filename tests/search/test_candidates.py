"""Candidates are ordered by evidence, agreement, votes, the judge's word and brevity, in this order."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from patchwright_engine.model.backend import JudgeRequest
from patchwright_engine.search.candidates import ORM_TOP, Candidate, Pool, agreement, judge_ties, settled, to_fixes
from patchwright_engine.search.job import Job
from patchwright_engine.search.repair_stage import Attempt
from patchwright_engine.types import Evidence, FileEdit, FixRun, Location, Patch, RepoPath, Symbol
from patchwright_engine.verify.evidence import Verification
from scripted_model import ScriptedModel

BEFORE = "def f(x):\n    return x\n"
SYMBOL = Symbol(RepoPath("a.py"), "f", "function", 1, 2)


def patch(expression: str) -> Patch:
    return Patch((FileEdit(RepoPath("a.py"), BEFORE, BEFORE.replace("return x", f"return {expression}")),))


def verification(evidence: Evidence | None, reproductions: Sequence[int | None] = ()) -> Verification:
    runs = tuple(FixRun("reproduction", "pytest", code, "1 failed", "", 0.1) for code in reproductions)
    return Verification(evidence, (*runs, FixRun("regression", "pytest", 0, "", "", 0.1)), 0, None, "")


def candidate(
    expression: str = "x + 1",
    evidence: Evidence | None = Evidence.REPRODUCED,
    agreed: float = 1.0,
    votes: int = 1,
    orm: float | None = None,
) -> Candidate:
    change = patch(expression)
    attempt = Attempt(Location((SYMBOL,)), "", change, ())
    return Candidate(change, attempt, verification(evidence), agreed, votes, orm)


def pool_of(*candidates: Candidate) -> Pool:
    pool = Pool()
    for one in candidates:
        pool.add(one)
    return pool


LADDER = (
    candidate("x + 2", Evidence.FAILING_TEST, 0.0),
    candidate("x + 3", Evidence.REPRODUCED, 1.0, 1),
    candidate("x + 4", Evidence.REPRODUCED, 0.9, 7, 0.9),
    candidate("x + 5", Evidence.REPRODUCED, 0.5, 3, 0.1),
    candidate("x + 6", Evidence.REPRODUCED, 0.5, 2, 0.9),
    candidate("x + 7", Evidence.REPRODUCED, 0.5, 2, None),
    candidate("x + 10000", Evidence.REPRODUCED, 0.5, 2, None),
    candidate("x + 8", Evidence.REPRODUCED, 0.5, 2, 0.4),
    candidate("x + 9", Evidence.REGRESSION_ONLY, 1.0, 9, 0.99),
    candidate("x - 1", Evidence.PARSES, 1.0, 9, 0.99),
)


@pytest.mark.parametrize("order", [LADDER, LADDER[::-1], LADDER[5:] + LADDER[:5]], ids=["best", "worst", "turned"])
def test_the_order_does_not_depend_on_when_a_candidate_came(order: tuple[Candidate, ...]) -> None:
    rejected = candidate("x - 2", None, votes=50, orm=1.0)
    assert pool_of(rejected, *order).alive() == list(LADDER)
    assert all(a.key() > b.key() for a, b in itertools.pairwise([*LADDER, rejected]))


def test_patches_that_do_the_same_are_votes_for_one_candidate() -> None:
    pool = pool_of(candidate("x + 1"))
    assert pool.seen(patch("(x   + 1)  # because")) is pool.alive()[0]
    assert pool.seen(patch("x + 2")) is None
    assert [one.votes for one in pool.alive()] == [2]


@pytest.mark.parametrize(
    ("exits", "votes", "expected"),
    [
        ((), (), 1.0),
        ((0, 0), (3, 1), 1.0),
        ((0, 1), (3, 1), 0.75),
        ((1, 0), (3, 1), 0.25),
        ((1, None), (3, 1), 0.0),
        ((), (3, 1), 0.0),  # rejected before any reproduction ran
        ((0,), (3, 1), 0.0),
    ],
)
def test_agreement_is_the_share_of_votes_whose_reproductions_pass(
    exits: tuple[int | None, ...], votes: tuple[int, ...], expected: float
) -> None:
    assert agreement(verification(Evidence.REPRODUCED, exits), votes) == expected


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ((), False),
        ((candidate(evidence=None),), False),
        ((candidate(evidence=Evidence.PARSES),), False),
        ((candidate(evidence=Evidence.REGRESSION_ONLY),), False),
        ((candidate(agreed=0.74),), False),
        ((candidate(agreed=0.75),), True),
        ((candidate(evidence=Evidence.FAILING_TEST),), True),
        ((candidate("x + 2", evidence=None), candidate(agreed=0.5)), False),
        ((candidate("x + 2", agreed=0.5), candidate()), True),
    ],
)
def test_a_search_is_settled_when_its_best_is_verified_and_agreed_on(
    candidates: tuple[Candidate, ...], expected: bool
) -> None:
    assert settled(pool_of(*candidates)) is expected


@pytest.fixture
def judge(make_job: Callable[..., Job]) -> Callable[[Pool, dict[str, float]], list[JudgeRequest]]:
    """Judges a pool's ties by a script (text in the prompt → P(yes)); gives what was asked."""

    def run(pool: Pool, opinions: dict[str, float]) -> list[JudgeRequest]:
        def yes(request: JudgeRequest) -> float:
            return next((p for text, p in opinions.items() if text in request.messages[-1].content), 0.5)

        model = ScriptedModel(lambda _request: ["ok"], yes, context_tokens=1024)
        judge_ties(make_job(model, {"a.py": BEFORE}, "f is off by one"), pool)
        return model.judged

    return run


Judge = Callable[[Pool, dict[str, float]], list[JudgeRequest]]


def test_the_judge_decides_between_what_evidence_leaves_equal(judge: Judge) -> None:
    pool = pool_of(candidate("x + 1"), candidate("x + 2"), candidate("x + 3", agreed=0.9), candidate("x + 4", None))
    asked = judge(pool, {"x + 2": 0.9, "x + 1": 0.2})
    assert [c.patch for c in pool.alive()] == [patch("x + 2"), patch("x + 1"), patch("x + 3")]
    assert len(asked) == 2
    for request in asked:
        # Issue and patch only: what tests and other judges said would colour the verdict.
        assert "f is off by one" in request.messages[-1].content
        assert "+    return x + " in request.messages[-1].content


@pytest.mark.parametrize(
    "candidates",
    [
        (),
        (candidate(),),
        (candidate(), candidate("x + 2", None)),
        (candidate(), candidate("x + 2", Evidence.REGRESSION_ONLY)),
        (candidate(), candidate("x + 2", agreed=0.9)),
    ],
)
def test_without_a_tie_nobody_is_asked(judge: Judge, candidates: tuple[Candidate, ...]) -> None:
    assert judge(pool_of(*candidates), {}) == []


def test_only_the_leaders_are_judged(judge: Judge) -> None:
    pool = pool_of(*(candidate(f"x + {n}") for n in range(1, ORM_TOP + 4)))
    assert len(judge(pool, {})) == ORM_TOP


def test_a_patch_too_long_for_the_prompt_is_not_judged_and_not_cut(judge: Judge) -> None:
    pool = pool_of(candidate("x + 1"), candidate("'" + "long" * 500 + "'"))
    assert len(judge(pool, {"x + 1": 0.4})) == 1
    assert {c.orm for c in pool.alive()} == {0.4, None}


def test_fixes_are_numbered_from_the_best_and_scored_alike() -> None:
    fixes = to_fixes(pool_of(*LADDER[::-1], candidate("x - 2", None)))
    assert [fix.rank for fix in fixes] == list(range(1, len(LADDER) + 1))
    assert [fix.patch for fix in fixes] == [one.patch for one in LADDER]
    scores = [fix.score for fix in fixes]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 0.75
    assert scores[1] == 0.725
    assert all(0 <= score <= 1 for score in scores)
    assert fixes[0].id == LADDER[0].patch.id
    assert "f" in fixes[0].explanation


def test_a_pool_without_candidates_gives_no_fixes() -> None:
    assert not to_fixes(pool_of(candidate("x - 2", None)))


def test_a_flagged_patch_ranks_behind_its_equals_and_says_so() -> None:
    flagged = candidate("x + 1", votes=9, orm=0.99)
    flagged.verification = replace(flagged.verification, flags=("swallows every error",))
    plain, weaker = candidate("x + 2"), candidate("x + 3", Evidence.REGRESSION_ONLY)
    fixes = to_fixes(pool_of(flagged, weaker, plain))
    assert [fix.id for fix in fixes] == [plain.patch.id, flagged.patch.id, weaker.patch.id]
    assert [fix.flags for fix in fixes] == [(), ("swallows every error",), ()]
