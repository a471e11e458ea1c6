"""The adaptive budget: numbers in, decisions out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwright_engine.errors import BadInput
from patchwright_engine.search.policy import (
    Failure,
    Place,
    Standing,
    beliefs,
    confidence,
    load_policy,
    pays,
    plan,
    posterior,
)

POLICY = load_policy()
PLACES = st.lists(
    st.builds(
        lambda belief, failed, equal: Place(belief, failed + equal, failed, failed),
        st.floats(0.01, 1),
        st.integers(0, 20),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=5,
)


def standing(*places: Place, elsewhere: float = 0.1, failures: tuple[Failure, ...] = (), told: bool = True) -> Standing:
    return Standing(places, elsewhere, failures, told)


def counts(rounds: tuple[tuple[float, ...], ...]) -> list[int]:
    return [len(gains) for gains in rounds]


def test_beliefs_follow_scores_and_sum_to_their_share() -> None:
    first, second, third = beliefs(POLICY, [2.0, 1.5, 0.1], 0.9)
    assert first > second > third > 0
    assert first + second + third == pytest.approx(0.9)


@given(PLACES, st.floats(0.01, 0.5))
def test_belief_is_never_lost(places: list[Place], elsewhere: float) -> None:
    here, other = posterior(POLICY, Standing(tuple(places), elsewhere))
    assert sum(here) + other == pytest.approx(1)


def test_failures_move_belief_to_the_other_places() -> None:
    before, out = posterior(POLICY, standing(Place(0.6), Place(0.3)))
    after, further_out = posterior(POLICY, standing(Place(0.6, 4, 4, 4), Place(0.3)))
    assert after[0] < before[0]
    assert after[1] > before[1]
    assert further_out > out


@given(PLACES, st.integers(1, 32))
def test_every_rollout_of_a_round_is_given_out(places: list[Place], size: int) -> None:
    assert plan(POLICY, Standing(tuple(places), 0.1), size).size == size


@given(PLACES, st.integers(1, 16), st.integers(1, 16))
def test_a_larger_round_begins_with_a_smaller_one(places: list[Place], a: int, b: int) -> None:
    small, large = sorted((a, b))
    begun, whole = (plan(POLICY, Standing(tuple(places), 0.1), size) for size in (small, large))
    assert all(few == many[: len(few)] for few, many in zip(begun.fresh, whole.fresh, strict=True))


def test_better_places_get_more_rollouts_but_not_all() -> None:
    first, second, third = counts(plan(POLICY, standing(Place(0.5), Place(0.3), Place(0.1)), 8).fresh)
    assert first > second >= third
    assert second > 0


def test_where_only_equal_patches_come_no_more_are_asked_for() -> None:
    dry, fresh = counts(plan(POLICY, standing(Place(0.5, 8, 1, 1), Place(0.3)), 2).fresh)
    assert (dry, fresh) == (0, 2)


def test_a_near_failure_is_revised_before_many_fresh_ones_are_tried() -> None:
    near, far = Failure(0, 1.0), Failure(0, 0.2)
    planned = plan(POLICY, standing(Place(0.9, 6, 6, 6), failures=(near, far)), 2)
    assert counts(planned.revisions) == [1, 0] or counts(planned.revisions) == [2, 0]


def test_revisions_of_a_place_that_is_given_up_are_worth_nothing() -> None:
    planned = plan(POLICY, standing(Place(0.2), failures=(Failure(None, 1.0),)), 3)
    assert counts(planned.revisions) == [0]


def test_without_any_place_nothing_is_planned() -> None:
    assert plan(POLICY, Standing((), 1.0), 4).size == 0
    assert not pays(POLICY, Standing((), 1.0))


def test_hard_issues_end_when_more_of_the_same_does_not_pay() -> None:
    assert pays(POLICY, standing(Place(0.9)))
    assert not pays(POLICY, standing(Place(0.9, 40, 40, 40)))


def test_where_no_test_tells_right_from_wrong_a_few_candidates_are_enough() -> None:
    few, many = (Place(0.9, count, count, 0) for count in (2, POLICY.untold))
    assert pays(POLICY, standing(few, told=False))
    assert not pays(POLICY, standing(many, told=False))
    assert pays(POLICY, standing(replace(many, failed=many.distinct)))


def test_belief_in_a_fix_grows_with_votes_and_falls_with_how_unlikely_it_was() -> None:
    def believed(chance: float = 0.1, votes: int = 1, held_by: int = 2, *, named: bool = False) -> float:
        return confidence(POLICY, chance=chance, votes=votes, named=named, held_by=held_by)

    assert believed(chance=0.3) > believed(chance=0.05)
    assert believed(votes=3) > believed()
    assert believed(held_by=6) > believed(held_by=1)
    assert believed(named=True) > believed(held_by=1)
    assert 0 < believed(chance=0.0) < believed(chance=1.0) <= 1


@pytest.mark.parametrize(
    "change",
    [
        ("right = 0.35", "right = 1.5"),
        ("right = 0.35", "right = 'much'"),
        ("right = 0.35", ""),
        ("right = 0.35", "right = 0.35\nwrong = 1"),
        ("temperature = 1.0", "temperature = 0.0"),
        ("most = 2", "most = -1"),
        ("[widen]", "[wide]"),
        ("[stop]", "[stop"),
    ],
)
def test_what_is_no_policy_is_refused_with_a_cure(change: tuple[str, str]) -> None:
    from importlib.resources import files

    text = files("patchwright_engine.search").joinpath("policy.toml").read_text("utf-8")
    assert load_policy(text) == POLICY
    broken = text.replace(*change)
    assert broken != text
    with pytest.raises(BadInput, match="no search policy") as caught:
        load_policy(broken)
    assert "policy.toml" in caught.value.cure
