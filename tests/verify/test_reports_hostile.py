"""Reports are written beside the code under test: cut off, hostile or huge ones never become a pass, nor a crash."""

# ruff: noqa: E501 - sources and reports in their own lines

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchwright_engine.verify.foreign_results import contradicts
from patchwright_engine.verify.reports.base import MAX_NAME, MAX_TEXT, Report
from patchwright_engine.verify.reports.cargo import read_cargo
from patchwright_engine.verify.reports.go import read_go_json
from patchwright_engine.verify.reports.jest import read_jest_json
from patchwright_engine.verify.reports.junit import read_junit
from patchwright_engine.verify.reports.printed import (
    Printed,
    printed_by_gradle,
    printed_by_jest,
    printed_by_maven,
    printed_by_vitest,
)
from patchwright_engine.verify.reports.tap import read_tap

RECORDED = Path(__file__).parent / "reports"
READERS: dict[str, tuple[Callable[[bytes], Report], str]] = {
    "junit": (read_junit, "surefire.xml"),
    "node": (read_junit, "node-junit.xml"),
    "vitest": (read_junit, "vitest-junit.xml"),
    "jest": (read_jest_json, "jest.json"),
    "go": (read_go_json, "go.jsonl"),
    "cargo": (read_cargo, "cargo.txt"),
    "tap": (read_tap, "node.tap"),
}
EACH = pytest.mark.parametrize("name", READERS)


@EACH
def test_an_empty_report_is_a_problem(name: str) -> None:
    reader, _ = READERS[name]
    for content in (b"", b"\n", b"null", b"<a/>", b"{}", b"[]", b"1..0 nonsense"):
        report = reader(content)
        assert not report.tests
        if content != b"1..0 nonsense":  # TAP's plan of no tests
            assert report.problem is not None, content


@EACH
def test_a_report_cut_off_anywhere_says_so_and_gives_no_test_a_better_outcome(name: str) -> None:
    reader, file = READERS[name]
    whole = (RECORDED / file).read_bytes()
    full = {(test.file, test.suite, test.name): test.outcome for test in reader(whole).tests}
    assert reader(whole).problem == WHOLE_PROBLEMS.get(name)
    rank = ("passed", "skipped", "error", "failed")
    for size in range(0, len(whole) - 1, max(1, len(whole) // 97)):
        report = reader(whole[:size])
        passed = {(test.file, test.suite, test.name) for test in report.tests if test.outcome == "passed"}
        if len(report.tests) < len(full) and not (name == "cargo" and between_programs(whole[:size])):
            assert report.problem is not None, size
        # A test read from a whole line keeps its outcome; only cargo's lines may end within a name.
        for key in passed & full.keys():
            assert rank.index(full[key]) == 0, (size, key)


def between_programs(cut: bytes) -> bool:
    """After the summary of one test program and before the line that names the next: cargo's exit status tells."""
    after = cut.rpartition(b"test result:")[2]
    return b"test result:" in cut and b"\n" in after and b"Running " not in after and b"Doc-tests " not in after


WHOLE_PROBLEMS = {"cargo": "tests/dies.rs ended before all of its tests were done"}
"""The recorded run of cargo has a program that aborts; the others ended in order."""


@EACH
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_raises(name: str, data: st.DataObject) -> None:
    reader, file = READERS[name]
    content = bytearray((RECORDED / file).read_bytes())
    for _ in range(data.draw(st.integers(1, 12))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=20))
    report = reader(bytes(content))
    assert all(test.outcome in {"passed", "failed", "error", "skipped"} for test in report.tests)


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1 if n > 1 else str()};" * 10}">' for n in range(1, 10))
    + ']><testsuites><testsuite name="s"><testcase name="&lol9;"/></testsuite></testsuites>'
)
OUTSIDE = (
    '<!DOCTYPE t [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    '<testsuites><testsuite name="s"><testcase name="&f;"/></testsuite></testsuites>'
)


@pytest.mark.parametrize("document", [BOMB, OUTSIDE, '<!DOCTYPE t SYSTEM "http://example.invalid/t.dtd"><testsuites/>'])
def test_a_document_type_is_refused_before_any_entity_is_expanded(document: str) -> None:
    report = read_junit(document.encode())
    assert report.tests == ()
    assert "document type" in (report.problem or "")


def test_an_unknown_entity_ends_the_report() -> None:
    report = read_junit(
        b'<testsuites><testsuite name="s"><testcase name="a"/><testcase name="&x;"/></testsuite></testsuites>'
    )
    assert [test.name for test in report.tests] == ["a"]
    assert "undefined entity" in (report.problem or "")


def test_deep_nesting_ends_the_report() -> None:
    assert "nested" in (read_junit(b"<testsuites>" + b"<testsuite>" * 100_000).problem or "")
    assert read_jest_json(b'{"testResults":' + b"[" * 100_000).problem is not None
    assert read_go_json(b'{"Action":' + b"[" * 100_000).problem is not None


def test_names_and_texts_are_bounded_and_safe_to_show() -> None:
    name = "a\nb\x1b]0;title\x07\u202e" + "x" * 10_000
    case = {"title": name, "status": "failed", "failureMessages": ["\x1b[31m" + "y" * 100_000]}
    report = read_jest_json(json.dumps({"testResults": [{"name": "f", "assertionResults": [case]}]}).encode())
    (test,) = report.tests
    assert test.name.startswith("a bx")
    assert len(test.name) <= MAX_NAME
    assert len(test.text) <= MAX_TEXT
    assert "\x1b" not in test.name + test.text + test.message


def test_numbers_beyond_all_bounds_are_no_time() -> None:
    for seconds in ("nan", "inf", "-1", "1e999", "x", ""):
        document = f'<testsuite name="s"><testcase name="a" time="{seconds}"/></testsuite>'
        assert read_junit(document.encode()).tests[0].seconds == 0.0
    digits = b'{"testResults":[],"numTotalTests":' + b"9" * 10_000 + b"}"
    assert read_jest_json(digits).problem is not None


def test_a_summary_that_disagrees_with_its_tests_is_a_problem() -> None:
    assert "disagrees" in (
        read_cargo(
            b"running 2 tests\ntest a ... ok\ntest b ... FAILED\n\n"
            b"test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
        ).problem
        or ""
    )
    assert "counts 3 tests" in (read_jest_json(b'{"numTotalTests": 3, "testResults": []}').problem or "")
    assert "plans 3 tests" in (read_tap(b"TAP version 13\nok 1 - a\n1..3\n").problem or "")


RUST_SUM = b"test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
RUST_RUN = b"running 2 tests\ntest a ... ok\ntest b ... FAILED\n" + RUST_SUM
GO_RUN = (
    b'{"Action":"start","Package":"p"}\n{"Action":"run","Package":"p","Test":"TestA"}\n'
    b'{"Action":"fail","Package":"p","Test":"TestA"}\n{"Action":"fail","Package":"p"}\n'
)
TAP_RUN = b"ok 1 a\nnot ok 2 b\n# tests 2\n# pass 1\n# fail 1\n1..2\n"
JEST_RUN: dict[str, object] = {
    "numTotalTests": 2,
    "numPassedTests": 1,
    "numFailedTests": 1,
    "testResults": [
        {"name": "f.js", "assertionResults": [{"title": "a", "status": "passed"}, {"title": "b", "status": "failed"}]}
    ],
}


def test_what_no_tool_prints_is_a_problem() -> None:
    """Each report is whole and agrees with itself at first; then with what tested code might add to it or change."""
    assert read_cargo(RUST_RUN).problem is None
    assert "tells of b twice" in (
        read_cargo(RUST_RUN.replace(b"FAILED\n", b"FAILED\ntest b ... ok\n", 1)).problem or ""
    )
    good = RUST_SUM.replace(b"FAILED. 1 passed; 1 failed", b"ok. 2 passed; 0 failed")
    assert "sums up twice" in (read_cargo(RUST_RUN + good).problem or "")
    assert read_go_json(GO_RUN).problem is None
    passed = GO_RUN.splitlines(keepends=True)[2].replace(b"fail", b"pass")
    assert "TestA, which was not running" in (read_go_json(GO_RUN + passed).problem or "")
    never = passed.replace(b"TestA", b"TestB")
    assert "TestB, which was not running" in (
        read_go_json(GO_RUN.replace(b'{"Action":"run"', never + b'{"Action":"run"')).problem or ""
    )
    assert "ends p twice" in (read_go_json(GO_RUN + b'{"Action":"pass","Package":"p"}\n').problem or "")
    assert "cut off" in (read_go_json(b'{"Action":"out\n' + GO_RUN).problem or "")
    assert read_tap(TAP_RUN).problem is None
    assert "counts 1 failures and lists 0" in (read_tap(TAP_RUN.replace(b"not ok", b"ok")).problem or "")
    assert read_jest_json(json.dumps(JEST_RUN).encode()).problem is None
    assert "1 failed tests and lists 0" in (
        read_jest_json(json.dumps({**JEST_RUN, "numPassedTests": 2}).replace('"failed"', '"passed"').encode()).problem
        or ""
    )


@pytest.mark.parametrize(
    ("read", "output", "printed"),
    [
        (printed_by_jest, "Tests:       1 failed, 1 skipped, 2 passed, 4 total\nTime: 1 s\n", Printed(1, 2)),
        (printed_by_jest, "Tests:       0 total\n", Printed(0, 0)),
        (
            printed_by_vitest,
            " Test Files  1 failed (1)\n      Tests  1 failed | 2 passed | 1 todo (4)\n",
            Printed(1, 2),
        ),
        (printed_by_vitest, "      Tests  2 passed (2)\n", Printed(0, 2)),
        (
            printed_by_maven,
            "[ERROR] Tests run: 4, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.1 s <<< FAILURE!\n"
            "[ERROR] Tests run: 4, Failures: 1, Errors: 0, Skipped: 0\n[INFO] \nTests run: 2, Failures: 0, Errors: 1, Skipped: 1\n",
            Printed(2),
        ),
        (
            printed_by_gradle,
            "\n> Task :test FAILED\n6 tests completed, 2 failed, 1 skipped\n1 test completed, 1 failed\n",
            Printed(3),
        ),
        (printed_by_jest, "nothing of the kind", Printed()),
        (printed_by_jest, "Tests: " + "9" * 20_000 + " failed, 1 total\n", Printed()),
    ],
)
def test_the_counts_that_a_tool_prints_are_read(read: Callable[[str], Printed], output: str, printed: Printed) -> None:
    assert read(output) == printed


def test_a_report_that_hides_failures_or_adds_passes_contradicts_what_its_tool_printed() -> None:
    report = read_jest_json(json.dumps(JEST_RUN).encode())
    assert not contradicts(report, Printed(1, 1))
    assert not contradicts(report, Printed())
    assert contradicts(report, Printed(2, 1))
    assert contradicts(report, Printed(1, 0))


def test_of_two_outcomes_of_one_test_the_worse_one_counts() -> None:
    report = read_junit(
        b'<testsuite name="s"><testcase name="a"><flakyFailure message="once"/></testcase>'
        b'<testcase name="b"><skipped/><failure/></testcase><testcase name="c"><failure/><skipped/></testcase></testsuite>'
    )
    assert [test.outcome for test in report.tests] == ["failed", "failed", "failed"]


def test_a_suite_that_failed_as_a_whole_is_kept_apart_from_its_tests() -> None:
    report = read_junit(b'<testsuite name="com.x.A"><error message="no database"/></testsuite>')
    assert report.tests == ()
    assert [(broken.name, broken.outcome, broken.message) for broken in report.broken] == [
        ("com.x.A", "error", "no database")
    ]


def test_a_bail_out_is_a_problem() -> None:
    assert "given up: no server" in (read_tap(b"1..2\nok 1 - a\nBail out! no server\n").problem or "")
