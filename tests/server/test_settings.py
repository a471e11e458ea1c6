"""Settings: good values are taken, bad ones are named and replaced."""

import pytest

from patchwright_engine.search.budget import MAX_ROLLOUTS, parse_budget
from patchwright_server.settings import ServerSettings, budget_name, next_budget, read_settings


def test_values_are_read_on_top_of_the_base() -> None:
    base = ServerSettings(model="from-options", python="/usr/bin/python3")
    values = {"model": "mine", "budget": 4, "testCommand": "make test", "testTimeout": 600}
    settings, warnings = read_settings(values, base)
    assert settings == ServerSettings("mine", "4", "/usr/bin/python3", "make test", 600.0)
    assert warnings == []


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"model": 7}, "patchwright.model"),
        ({"budget": "huge"}, "patchwright.budget"),
        ({"budget": 0}, "patchwright.budget"),
        ({"budget": True}, "patchwright.budget"),
        ({"python": ["python"]}, "patchwright.python"),
        ({"testTimeout": "60"}, "patchwright.testTimeout"),
        ({"testTimeout": 0}, "patchwright.testTimeout"),
        ({"testTimeout": True}, "patchwright.testTimeout"),
        ({"testTimeout": 90_000}, "patchwright.testTimeout"),
        ({"testTimeout": float("nan")}, "patchwright.testTimeout"),
        ("not an object", "must be an object"),
    ],
)
def test_a_bad_value_is_named_and_the_default_used(values: object, named: str) -> None:
    settings, warnings = read_settings(values, ServerSettings())
    assert settings == ServerSettings()
    assert len(warnings) == 1
    assert named in warnings[0]


def test_unset_and_unknown_values_say_nothing() -> None:
    assert read_settings({"model": None, "python": "", "future": 1}, ServerSettings()) == (ServerSettings(), [])


@pytest.mark.parametrize("value", ["quick", "standard", "deep", "1", 16, " 8 "])
def test_budgets_the_engine_knows(value: object) -> None:
    assert budget_name(value) == str(value).strip()


@pytest.mark.parametrize("value", ["", "-1", "1.5", "²", None, 10**6, [8]])
def test_budgets_it_does_not(value: object) -> None:
    assert budget_name(value) is None


@pytest.mark.parametrize(
    ("begin", "chain"),
    [
        ("quick", ["standard", "deep", "64", "128", "256"]),
        ("7", ["14", "28", "56", "112", "224", "256"]),
        ("256", []),
    ],
)
def test_deeper_budgets_grow_to_what_the_engine_takes_and_then_there_are_none(begin: str, chain: list[str]) -> None:
    found: list[str] = []
    following = next_budget(begin)
    while following is not None:
        found.append(following)
        following = next_budget(following)
    assert found == chain
    assert all(parse_budget(budget).rollouts <= MAX_ROLLOUTS for budget in found)
