"""Probes are evaluated in the sandbox, each alone, and their outcomes are comparable texts."""

from collections.abc import Callable, Mapping

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Snapshot
from patchwright_engine.verify.behaviour import NOT_RUN, differing, observe
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.probes import Probe

CODE = """\
import os, pathlib, time
SEEN = []

class Thing:
    pass

def twice(n):
    SEEN.append(n)
    return n * 2

def lazily(n):
    yield from range(n)

def fails():
    raise KeyError("a\\nb")

def hangs():
    while True:
        time.sleep(0.01)

def leaves():
    os._exit(0)

def here():
    return str(pathlib.Path(__file__).resolve())
"""


@pytest.fixture
def outcomes(
    make_snapshot: Callable[[Mapping[str, str]], Snapshot],
    sandbox: Sandbox,
    environment: TestEnvironment,
    cancel: CancelToken,
) -> Callable[..., tuple[str, ...]]:
    def go(*expressions: str, setup: str = "from code_under_test import *") -> tuple[str, ...]:
        root = make_snapshot({"code_under_test.py": CODE}).root
        probes = [Probe(setup, expression) for expression in expressions]
        seen = observe(sandbox, root, environment, probes, cancel, timeout_seconds=30)
        assert not list(root.glob(".patchwright-*")), "the answers' folder was left behind"
        return seen

    return go


def test_values_errors_and_endless_calls_are_told(outcomes: Callable[..., tuple[str, ...]]) -> None:
    assert outcomes("twice(2)", "fails()", "hangs()", "lazily(3)", "lazily(99)", "twice('é')", "no_such", "1 +") == (
        "returns 4",
        "raises KeyError: 'a\\nb'",
        "does not end",
        "returns an iterator over [0, 1, 2]",
        "returns an iterator over [" + ", ".join(map(str, range(30))) + ", …]",
        "returns 'éé'",
        "raises NameError: name 'no_such' is not defined",
        "raises SyntaxError: invalid syntax (<probe>, line 1)",
    )


def test_addresses_and_the_copys_place_do_not_make_a_difference(outcomes: Callable[..., tuple[str, ...]]) -> None:
    thing, where = outcomes("Thing()", "here()")
    assert thing == "returns <code_under_test.Thing object at 0x…>"
    assert where == "returns 'code_under_test.py'"


def test_a_probe_that_ends_the_process_costs_only_those_after_it(outcomes: Callable[..., tuple[str, ...]]) -> None:
    assert outcomes("twice(1)", "leaves()", "twice(2)") == ("returns 2", NOT_RUN, NOT_RUN)


def test_names_of_one_probe_are_not_there_in_the_next(outcomes: Callable[..., tuple[str, ...]]) -> None:
    assert outcomes("(x := 1)", "x", setup="") == ("returns 1", "raises NameError: name 'x' is not defined")


def test_only_what_ran_on_both_sides_and_is_stable_is_a_difference() -> None:
    one, other = ("a", "b", "c", NOT_RUN, "e"), ("a", "x", "y", "d", NOT_RUN)
    assert differing(one, other, (True, True, False, True, True)) == (1,)
