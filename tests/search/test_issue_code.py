"""Code that an issue shows becomes a test as it stands, or none."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from patchwright_engine.pipeline import FixRequest
from patchwright_engine.search.issue_code import issue_tests
from patchwright_engine.types import Evidence, Issue
from scripted_model import Rule, ScriptedModel
from searched import Searched, run_search

MADE = {
    "a session whose error is shown": (
        "mean breaks\n\n>>> from stats import mean\n>>> values = []\n>>> mean(values)\nZeroDivisionError: no\n",
        ["from stats import mean\n\ndef test_issue():\n    values = []\n    repr(mean(values))"],
    ),
    "a block with an assertion of its own": (
        "mean is wrong\n\n```python\nfrom stats import mean\n\nresult = mean([1, 3])\nassert result == 2\n```\n",
        ["from stats import mean\n\ndef test_issue():\n    result = mean([1, 3])\n    assert result == 2"],
    ),
    "a notebook": (
        "crash\n\nIn [1]: import stats\nIn [2]: for n in (1, 2):\n   ...:     stats.mean(n)\n\nTypeError: no\n",
        ["import stats\n\ndef test_issue():\n    for n in (1, 2):\n        stats.mean(n)"],
    ),
    "a test": (
        "mean([]) raises ZeroDivisionError\n\n```py\nfrom stats import mean\n\ndef test_mean():\n    mean([])\n```",
        ["from stats import mean\n\ndef test_mean():\n    mean([])"],
    ),
    "two sessions": (
        "KeyError\n\n>>> import a\n>>> a.f()\nKeyError: 1\n\nand also\n\n>>> import b\n>>> b.g()\nKeyError: 2\n",
        ["import a\n\ndef test_issue():\n    repr(a.f())", "import b\n\ndef test_issue():\n    repr(b.g())"],
    ),
    "nothing is complained of and nothing asserted": (
        "mean is wrong\n\n>>> from stats import mean\n>>> mean([1, 3])\n3\n\nI expected 2.",
        [],
    ),
    "nothing is imported": ("f raises KeyError\n\n>>> f(1)\nKeyError: 1\n", []),
    "it only imports": ("import raises KeyError\n\n>>> import stats\nKeyError: 1\n", []),
    "it does not parse": ("f raises KeyError\n\n```python\nfrom stats import (\n```\n", []),
    "another language": ("f raises KeyError\n\n```js\nimport f from 'stats'\n```\n", []),
    "a prompt with nothing behind it": ("f raises KeyError\n\n>>>from stats import f\n>>>f()\nKeyError: 1", []),
    "words": ("mean([]) raises ZeroDivisionError. It should return 0.", []),
}


@pytest.mark.parametrize("case", MADE)
def test_what_is_made_of_an_issue(case: str) -> None:
    issue, tests = MADE[case]
    assert [test.strip() for test in issue_tests(issue)] == tests


CALC = "def invert(value):\n    return 1 / value\n\n\ndef double(value):\n    return 2 * value\n"
TESTS = "from calc import double\n\n\ndef test_double():\n    assert double(2) == 4\n"
ISSUE = "invert(0) raises ZeroDivisionError\n\n>>> from calc import invert\n>>> invert(0)\n{error}\n\nI expected 0.\n"
NO_TEST = Rule(("I cannot write one.",), match="Imports:")
REPAIR = Rule(("```python\ndef invert(value):\n    return 1 / value if value else 0\n```",), match="rewriting `invert`")
MODEL = ScriptedModel.of(
    Rule(("calc.py",), match="Which of these files"),
    Rule(("calc.py::invert",), match="Which of these pieces"),
    NO_TEST,
    REPAIR,
    Rule(yes=0.9),
)


@pytest.mark.parametrize(
    "error",
    ["ZeroDivisionError: division by zero", "calc.Overflow: too large"],  # of the second, the title tells what comes
)
def test_the_issues_own_code_reproduces_it(make_repository: Callable[[Mapping[str, str]], Path], error: str) -> None:
    found = _search(make_repository, ISSUE.format(error=error))
    assert found.evidence == [Evidence.REPRODUCED]
    (run,) = [run for run in found.result.fixes[0].runs if run.kind == "reproduction"]
    assert (run.before, run.after) == ("1 failed", "1 passed")


def test_an_error_that_nobody_complains_of_proves_nothing(
    make_repository: Callable[[Mapping[str, str]], Path],
) -> None:
    found = _search(make_repository, ISSUE.format(error="KeyError: 0").replace("ZeroDivisionError", "KeyError"))
    assert found.evidence == [Evidence.REGRESSION_ONLY]
    assert any("not with the error" in step["reason"] for step in found.steps("reproduction"))


def _search(make_repository: Callable[[Mapping[str, str]], Path], issue: str) -> Searched:
    root = make_repository({"calc.py": CALC, "test_calc.py": TESTS})
    return run_search(FixRequest(Issue(issue), root, python=sys.executable, budget="1"), MODEL)
