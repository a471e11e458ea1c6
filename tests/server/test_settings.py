"""Settings: good values are taken, bad ones are named and replaced."""

import pytest

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


def test_deeper_budgets_grow_to_a_limit() -> None:
    chain = ["quick"]
    while len(chain) < 12:
        chain.append(next_budget(chain[-1]))
    assert chain[:5] == ["quick", "standard", "deep", "64", "128"]
    assert chain[-1] == "256"
