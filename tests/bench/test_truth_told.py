"""How the runners' own output is read, and what follows from it."""

from dataclasses import replace

import pytest

from patchwright_engine.bench.gold import user_command
from patchwright_engine.bench.instances import Instance
from patchwright_engine.bench.truth import HiddenRun, Truth, establish, form_of, read_summary, read_verbose

OUTPUT = """\
=== PASSES ===
___ test_a ___
PASSED is a word of mine
=== short test summary info ===
PASSED tests/test_x.py::test_a
PASSED tests/test_x.py::test_b[one two - three]
PASSED tests/test_x.py::test_e
ERROR tests/test_x.py::test_e - OSError: no
FAILED tests/test_x.py::test_c - assert 1 == 2
SKIPPED [1] tests/test_x.py:3: not here
XFAIL tests/test_x.py::test_d - known
2 passed in 1.0s
"""


VERBOSE = """\
Creating test database for alias 'default'...
test_a (app.tests.ATests) ... ok
test_b (app.tests.ATests)
A docstring says what is tested ... ok
test_c (app.tests.ATests.test_c) ... FAIL
test_d (app.tests.ATests) ... skipped 'not here'
test_e (app.tests.ATests) ... expected failure
test_f (app.tests.ATests) ... a word of its own ok
Test of nothing ... ERROR

----------------------------------------------------------------------
Ran 7 tests in 0.1s
"""


def run(results: dict[str, str], outcome: str = "exited") -> HiddenRun:
    return HiddenRun(results, outcome, "the last line")


def instance(*fail_to_pass: str) -> Instance:
    return Instance("a", "b/c", "b+c", "0" * 40, "3.11", ("true",), "pytest x.py", "p", "d", "d", fail_to_pass)


def test_the_summary_is_read_per_test() -> None:
    assert read_summary(OUTPUT) == {
        "tests/test_x.py::test_a": "PASSED",
        "tests/test_x.py::test_b[one two - three]": "PASSED",
        "tests/test_x.py::test_e": "ERROR",
        "tests/test_x.py::test_c": "FAILED",
        "tests/test_x.py::test_d": "XFAIL",
    }


def test_what_unittest_prints_is_read_per_test() -> None:
    results, labels = read_verbose(VERBOSE)
    assert results == {
        "test_a (app.tests.ATests)": "PASSED",
        "A docstring says what is tested": "PASSED",
        "test_c (app.tests.ATests.test_c)": "FAILED",
        "test_d (app.tests.ATests)": "SKIPPED",
        "test_e (app.tests.ATests)": "XFAIL",
        "test_f (app.tests.ATests)": "PASSED",
        "Test of nothing": "ERROR",
    }
    assert labels["A docstring says what is tested"] == "app.tests.ATests.test_b"
    assert labels["test_c (app.tests.ATests.test_c)"] == "app.tests.ATests.test_c"
    assert "Test of nothing" not in labels


@pytest.mark.parametrize(
    ("command", "form"),
    [
        ("python -m pytest -rA tests/test_x.py", "pytest"),
        ("pytest tests", "pytest"),
        ("python tests/runtests.py --verbosity 2 app.tests", "unittest"),
        ("python -m unittest -v app.tests", "unittest"),
        ("make test", None),
    ],
)
def test_the_form_of_the_output_follows_from_the_command(command: str, form: str | None) -> None:
    assert form_of(replace(instance(), test_command=command)) == form


def test_the_users_command_names_the_failing_tests_alone() -> None:
    by_pytest = replace(instance(), test_command="python -m pytest -rA -q tests/test_x.py tests/test_y.py")
    ids = Truth(frozenset({"tests/test_x.py::test_b[one two]", "tests/test_x.py::test_a"}), frozenset())
    expected = "python -m pytest -rA -q tests/test_x.py::test_a 'tests/test_x.py::test_b[one two]'"
    assert user_command(by_pytest, ids) == expected
    command = "python tests/runtests.py --verbosity 2 --parallel 1 app.tests"
    by_django = replace(instance(), test_command=command)
    named = Truth(frozenset({"A docstring"}), frozenset(), {"A docstring": "app.tests.ATests.test_b"})
    assert user_command(by_django, named) == command.replace("app.tests", "app.tests.ATests.test_b")
    assert user_command(by_django, Truth(frozenset({"unknown"}), frozenset())) == command


def test_what_passes_before_and_after_must_go_on_passing() -> None:
    before = run({"t.py::a": "FAILED", "t.py::b": "PASSED", "t.py::c": "FAILED"})
    right = run({"t.py::a": "PASSED", "t.py::b": "PASSED", "t.py::c": "FAILED"})
    truth = establish(instance("t.py::a"), before, right)
    assert not isinstance(truth, str)
    assert truth.is_right(right)
    assert not truth.is_right(before)
    assert not truth.is_right(run({"t.py::a": "PASSED", "t.py::b": "FAILED"}))
    assert not truth.is_right(run({"t.py::a": "PASSED"}))


def test_a_name_alone_and_a_cut_parameter_name_their_tests() -> None:
    results = {"t.py::f": "PASSED", "t.py::g[a b]": "PASSED", "t.py::h": "PASSED"}
    truth = establish(instance("f", "t.py::g[a"), run(dict.fromkeys(results, "FAILED")), run(results))
    assert not isinstance(truth, str)
    assert truth.fail_to_pass == {"t.py::f", "t.py::g[a b]"}


@pytest.mark.parametrize("printed", ["test_a (app.tests.ATests)", "test_a (app.tests.ATests.test_a)"])
@pytest.mark.parametrize("named", ["test_a (app.tests.ATests)", "test_a (app.tests.ATests.test_a)"])
def test_a_title_is_known_however_its_python_prints_it(printed: str, named: str) -> None:
    results = {printed: "PASSED", "test_b (app.tests.ATests)": "PASSED"}
    truth = establish(instance(named), run(dict.fromkeys(results, "FAILED")), run(results))
    assert not isinstance(truth, str)
    assert truth.fail_to_pass == {printed}


def test_without_names_the_tests_that_the_fix_mends_count() -> None:
    truth = establish(instance(), run({"t.py::a": "FAILED", "t.py::b": "PASSED"}), run({"t.py::a": "PASSED"}))
    assert not isinstance(truth, str)
    assert truth.fail_to_pass == {"t.py::a"}


def test_a_run_that_was_cut_short_tells_nothing() -> None:
    reason = establish(instance("t.py::a"), run({}), run({}, "timeout"))
    assert isinstance(reason, str)
    assert "did not end with the developer's fix: timeout" in reason
