"""Tests of other languages: the tool is chosen by the manifest, its command is ours, its report gives each outcome.

The reports in `reports/` were written by the real tools (Node 20.20, vitest 3, jest 29 with jest-junit, mocha 11,
ava 6, Go 1.27, cargo 1.95, Surefire 3.2) over one small project each; gotestsum, cargo-nextest and Gradle follow their documents.
"""

# ruff: noqa: E501 - sources and reports in their own lines

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, EnvironmentProblem
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Evidence, FileEdit, Patch, RepoPath, Snapshot
from patchwright_engine.verify.choose import choose_environment
from patchwright_engine.verify.context import open_verification
from patchwright_engine.verify.discovery import find_test_files, is_test_file, select_regression_tests
from patchwright_engine.verify.evidence import verify_patch
from patchwright_engine.verify.foreign_results import report_files
from patchwright_engine.verify.orphans import delete
from patchwright_engine.verify.reports.base import Report, reported
from patchwright_engine.verify.reports.cargo import read_cargo
from patchwright_engine.verify.reports.go import read_go_json
from patchwright_engine.verify.reports.jest import read_jest_json
from patchwright_engine.verify.reports.junit import read_junit
from patchwright_engine.verify.reports.placing import Places
from patchwright_engine.verify.reports.tap import read_tap
from patchwright_engine.verify.runs import TestReport, run_tests
from patchwright_engine.verify.workspace import WorkspaceCopy

Make = Callable[[Mapping[str, str]], Snapshot]
RECORDED = Path(__file__).parent / "reports"

NODE = {
    "package.json": '{"name": "calc", "scripts": {"test": "touch /tmp/ran"}}',
    "calc.js": "exports.add = (a, b) => a + b;\n",
    "test/calc.test.js": """\
        const { describe, it, test } = require("node:test");
        const assert = require("node:assert");
        const { add } = require("../calc.js");
        test("adds two numbers", () => assert.strictEqual(add(1, 2), 3));
        describe("sums", () => {
          it("is wrong about <odd> & \\"quoted\\" ones", () => assert.strictEqual(add(1, 1), 3));
          it("throws", () => { throw new TypeError("no number"); });
          it.skip("is skipped", () => {});
        });
    """,
}


@pytest.fixture
def run(sandbox: Sandbox, cancel: CancelToken) -> Callable[..., TestReport]:
    """Run the whole project's tests in a copy of it."""

    def go(snapshot: Snapshot, *changed: str) -> TestReport:
        environment = choose_environment(snapshot.root, [RepoPath(path) for path in changed])
        files = find_test_files(snapshot, environment.language)
        with WorkspaceCopy(snapshot) as copy:
            return run_tests(sandbox, copy.path, environment, files, cancel, timeout_seconds=200.0)

    return go


def needs(tool: str) -> None:
    """Skip where the tool is missing, or is there without what it starts (rustup's cargo without a toolchain)."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    asked = {"go": "version"}.get(tool, "--version")
    if subprocess.run([path, asked], capture_output=True, check=False).returncode:
        pytest.skip(f"{tool} does not work")


def test_nodes_own_runner_gives_every_test_its_outcome(make_snapshot: Make, run: Callable[..., TestReport]) -> None:
    needs("node")
    report = run(make_snapshot(NODE))
    assert report.problem is None, report.run.output
    assert report.results == {
        "test/calc.test.js::adds two numbers": "passed",
        'test/calc.test.js::sums::is wrong about <odd> & "quoted" ones': "failed",
        "test/calc.test.js::sums::throws": "failed",
        "test/calc.test.js::sums::is skipped": "skipped",
    }
    assert "no number" in report.failures["test/calc.test.js::sums::throws"].text


@pytest.mark.parametrize("source", ["process.exit(0);\n", "require('./nowhere.js');\n", "syntax error here\n"])
def test_a_node_file_that_ends_early_passes_none_of_its_tests(
    make_snapshot: Make, run: Callable[..., TestReport], source: str
) -> None:
    needs("node")
    report = run(make_snapshot({**NODE, "test/calc.test.js": source + dedent(NODE["test/calc.test.js"])}))
    assert report.results == {}
    assert report.problem == "no tests were found" or report.failures["test/calc.test.js"].message


def test_installed_packages_are_shown_and_the_copys_own_come_first(
    make_snapshot: Make, sandbox: Sandbox, cancel: CancelToken
) -> None:
    """A package of the workspace that node_modules links to is the copy's, whatever lies in the user's tree."""
    needs("node")
    snapshot = make_snapshot(
        {
            "package.json": '{"name": "all", "workspaces": ["packages/*"]}',
            "packages/sum/package.json": '{"name": "sum", "main": "index.js"}',
            "packages/sum/index.js": "module.exports = 1;\n",
            "test/a.test.js": "const test = require('node:test'); const assert = require('node:assert');\n"
            "test('copy', () => assert.strictEqual(require('sum'), 1));\n"
            "test('installed', () => assert.strictEqual(require('@org/dep'), 'dep'));\n",
        }
    )
    installed = snapshot.root / "node_modules"
    (installed / "@org/dep").mkdir(parents=True)
    (installed / "@org/dep/index.js").write_text("module.exports = 'dep';\n")
    (installed / "sum").symlink_to("../packages/sum")
    environment = choose_environment(snapshot.root)
    with WorkspaceCopy(snapshot) as copy:  # after it the user's tree moves on
        (snapshot.root / "packages/sum/index.js").write_text("module.exports = 2;\n")
        report = run_tests(sandbox, copy.path, environment, ("test/a.test.js",), cancel)
        assert report.results == {"test/a.test.js::copy": "passed", "test/a.test.js::installed": "passed"}
        copy.reset()
        assert not (copy.path / "node_modules").exists()


FORGES = """\
const fs = require("node:fs");
for (const folder of fs.readdirSync(".").filter((name) => name.startsWith(".patchwright-")))
  for (const file of fs.readdirSync(folder))
    for (const record of [{ kind: "test", name: "added", outcome: "passed", suite: "" }, { kind: "end" }])
      fs.appendFileSync(`${folder}/${file}`, (JSON.stringify({ ...record, file: "test/calc.test.js" }) + "\\n").repeat(99));
"""
"""Many lines: Node writes its own over the first of them."""


def test_lines_that_tested_javascript_adds_to_the_report_are_seen(
    make_snapshot: Make, run: Callable[..., TestReport]
) -> None:
    needs("node")
    honest = run(make_snapshot(NODE))
    forged = run(make_snapshot({**NODE, "calc.js": FORGES + NODE["calc.js"]}))
    assert forged.results == honest.results
    assert (honest.tampering, forged.tampering) == (set(), {"writes into the report of the run"})


@pytest.mark.parametrize(
    ("after", "evidence"),
    [
        ("exports.add = (a, b) => a + b;\n", Evidence.FAILING_TEST),
        (FORGES + "exports.add = (a, b) => a + b;\n", None),
        ("exports.add = (a, b) => a - b + 0;\n", Evidence.REGRESSION_ONLY),
        ("exports.add = (a, b) => { throw new Error('no'); };\n", None),
        ("process.exit(0);\n", None),
    ],
)
def test_a_patch_of_javascript_is_judged_by_the_projects_own_tests(
    make_snapshot: Make, sandbox: Sandbox, cancel: CancelToken, after: str, evidence: Evidence | None
) -> None:
    needs("node")
    before = "exports.add = (a, b) => a - b;\n"
    tests = (
        "const test = require('node:test'); const assert = require('node:assert');\n"
        "const { add } = require('../calc.js');\n"
        "test('adds two numbers', () => assert.strictEqual(add(1, 2), 3));\n"
        "test('keeps zero', () => assert.strictEqual(add(0, 0), 0));\n"
    )
    snapshot = make_snapshot({"package.json": "{}", "calc.js": before, "test/calc.test.js": tests})
    changed = [RepoPath("calc.js")]
    environment = choose_environment(snapshot.root, changed)
    selection = select_regression_tests(snapshot, changed, lambda _: (), 10, language=environment.language)
    with open_verification(
        snapshot,
        sandbox=sandbox,
        environment=environment,
        issue_text="The test 'adds two numbers' fails: add(1, 2) gives -1.",
        selection=selection,
        cancel=cancel,
    ) as context:
        patch = Patch((FileEdit(RepoPath("calc.js"), before, after),))
        verdict = verify_patch(patch, context, cancel)
    assert verdict.evidence == evidence, verdict.feedback
    assert verdict.runs[0].command == "node test/calc.test.js"


def test_go_tests_have_their_outcomes(make_snapshot: Make, run: Callable[..., TestReport]) -> None:
    needs("go")
    source = 'package calc\n\nimport "testing"\n\nfunc TestGood(t *testing.T) {}\n\nfunc TestBad(t *testing.T) { t.Fatal("no") }\n'
    report = run(make_snapshot({"go.mod": "module example.com/calc\n\ngo 1.19\n", "deep/calc_test.go": source}))
    assert report.problem is None, report.run.output
    assert report.results == {
        "deep/calc_test.go::example.com/calc/deep::TestGood": "passed",
        "deep/calc_test.go::example.com/calc/deep::TestBad": "failed",
    }


def test_rust_tests_have_their_outcomes(make_snapshot: Make, run: Callable[..., TestReport]) -> None:
    needs("cargo")
    files = {
        "Cargo.toml": '[package]\nname = "calc"\nversion = "0.1.0"\nedition = "2021"\n',
        "src/lib.rs": "pub fn two() -> i32 { 2 }\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn good() { assert_eq!(super::two(), 2); }\n"
        "    #[test]\n    fn bad() { assert_eq!(super::two(), 3); }\n}\n",
    }
    report = run(make_snapshot(files))
    assert report.problem is None, report.run.output
    assert report.results == {
        "src/lib.rs::calc::tests::good": "passed",
        "src/lib.rs::calc::tests::bad": "failed",
    }


RUST_FORGES = """\
use std::io::Write;
pub fn forge() {
    for entry in std::fs::read_dir(".").unwrap() {
        let folder = entry.unwrap().path();
        if folder.to_str().unwrap().starts_with("./.patchwright-") {
            for file in std::fs::read_dir(&folder).unwrap() {
                let mut file = std::fs::OpenOptions::new().append(true).open(file.unwrap().path()).unwrap();
                file.write_all(b"test tests::added ... ok\\n").unwrap();
            }
        }
    }
}
#[cfg(test)]
mod tests {
    #[test]
    fn good() { super::forge(); }
    #[test]
    fn bad() { super::forge(); panic!("no"); }
}
"""


def test_tested_rust_does_not_find_the_file_that_its_tool_prints_to(
    make_snapshot: Make, run: Callable[..., TestReport]
) -> None:
    needs("cargo")
    manifest = '[package]\nname = "calc"\nversion = "0.1.0"\nedition = "2021"\n'
    report = run(make_snapshot({"Cargo.toml": manifest, "src/lib.rs": RUST_FORGES}))
    assert report.problem is None, report.run.output
    assert report.results == {"src/lib.rs::calc::tests::good": "passed", "src/lib.rs::calc::tests::bad": "failed"}


JAVA_JARS = ("/usr/share/java/junit4.jar", "/usr/share/java/hamcrest-core.jar")
GRADLE = {
    "settings.gradle": "rootProject.name = 'all'\ninclude 'calc', 'other'\n",
    "build.gradle": "subprojects {\n  apply plugin: 'java'\n"
    f"  dependencies {{ testImplementation files{JAVA_JARS!r} }}\n}}\n",
    "calc/src/main/java/org/x/Calc.java": "package org.x;\npublic class Calc {\n"
    "  public static int add(int a, int b) { return a + b; }\n}\n",
    "calc/src/test/java/org/x/CalcTest.java": """\
        package org.x;
        import static org.junit.Assert.assertEquals;
        import org.junit.Ignore;
        import org.junit.Test;
        public class CalcTest {
          @Test public void adds() { assertEquals(3, Calc.add(1, 2)); }
          @Test public void isWrong() { assertEquals("two numbers", 3, Calc.add(1, 1)); }
          @Test @Ignore public void isLater() { }
          public static class Inner { @Test public void inner() { } }
        }
    """,
    "other/src/test/java/org/y/OtherTest.java": """\
        package org.y;
        public class OtherTest { @org.junit.Test public void other() { } }
    """,
}


def test_gradle_tests_have_their_outcomes(make_snapshot: Make, run: Callable[..., TestReport]) -> None:
    needs("gradle")
    if not all(Path(jar).is_file() for jar in JAVA_JARS):
        pytest.skip("JUnit is not installed")
    report = run(make_snapshot(GRADLE))
    prefix = "calc/src/test/java/org/x/CalcTest.java::org.x.CalcTest::"
    assert report.results == {
        f"{prefix}adds": "passed",
        f"{prefix}isWrong": "failed",
        f"{prefix}isLater": "skipped",
        "other/src/test/java/org/y/OtherTest.java::org.y.OtherTest::other": "passed",
    }, report.run.output
    assert report.problem is None, report.run.output
    assert report.tampering == set()
    assert "two numbers" in report.failures[f"{prefix}isWrong"].message


def test_results_of_other_languages_are_said_to_be_their_tools_word(make_snapshot: Make) -> None:
    needs("node")
    (note,) = choose_environment(make_snapshot(NODE).root).notes
    assert "node's own report" in note


def outcomes(report: Report) -> dict[str, str]:
    return {" | ".join(part for part in (test.suite, test.name) if part): test.outcome for test in report.tests}


SUMS = {"adds two numbers": "passed", "half | halves": "passed", "half | is wrong": "failed", "half | throws": "failed"}
LATER = {"half | is skipped": "skipped", "half | is to do": "skipped"}
RUST = {
    "calc_lib | tests::adds": "passed",
    "calc_lib | tests::is_wrong": "failed",
    "calc_lib | tests::overflows": "passed",
    "calc_lib | tests::ignored": "skipped",
    "calc_lib | src/lib.rs - add (line 5)": "passed",
    "whole | whole": "passed",
    "whole | fails": "failed",
}
JAVA = {
    "com.example.CalcTest | adds": "passed",
    "com.example.CalcTest | isWrong": "failed",
    "com.example.CalcTest | breaks": "error",
    "com.example.CalcTest | skipped": "skipped",
    "com.example.CalcTest$Inner | nested": "passed",
}
AVA = {
    "adds two numbers": "passed",
    "is wrong": "failed",
    "throws": "failed",
    "is skipped": "skipped",
    "is to do": "skipped",
}
GO = {
    "example.com/calc | TestAdd": "passed",
    "example.com/calc | TestTable": "failed",
    "example.com/calc | TestTable/good": "passed",
    "example.com/calc | TestTable/bad_one": "failed",
    "example.com/calc | TestSkipped": "skipped",
    "example.com/calc/crash | TestFine": "passed",
    "example.com/calc/crash | TestPanics": "failed",
}


@pytest.mark.parametrize(
    ("file", "read", "expected", "broken"),
    [
        ("jest.json", read_jest_json, SUMS | LATER, "Test suite failed to run"),
        ("vitest.json", read_jest_json, SUMS | LATER, "Cannot find module './nowhere'"),
        ("go.jsonl", read_go_json, GO, "undefined: undefinedName"),
        ("cargo.txt", read_cargo, RUST, None),
        ("surefire.xml", read_junit, JAVA, None),
        ("mocha.tap", read_tap, {name.replace(" | ", " "): end for name, end in (SUMS | LATER).items()}, None),
        ("ava.tap", read_tap, AVA, None),
    ],
)
def test_a_report_of_the_real_tool_gives_each_test_its_outcome(
    file: str, read: Callable[[bytes], Report], expected: dict[str, str], broken: str | None
) -> None:
    report = read((RECORDED / file).read_bytes())
    assert outcomes(report) == expected
    assert [broken in test.message for test in report.broken] == ([True] if broken else [])
    bad = [test for test in report.tests if test.outcome in {"failed", "error"} and test.name != "TestTable"]
    assert [test.name for test in bad if not (test.message and test.text)] == []


def test_reports_that_other_tools_were_told_to_write_are_read_too() -> None:
    """Those of vitest's, node's and jest's junit reporters and of node's tap, which spell their titles differently."""
    assert outcomes(read_junit((RECORDED / "vitest-junit.xml").read_bytes())) == {
        name.replace(" | ", " > "): outcome for name, outcome in (SUMS | LATER).items()
    }
    tap = outcomes(read_tap((RECORDED / "node.tap").read_bytes()))
    assert tap.pop('half | is wrong about <odd> & "quoted"') == "failed"
    assert tap.pop("/project/test/broken.test.js") == "failed"
    assert tap == {name: outcome for name, outcome in (SUMS | LATER).items() if "is wrong" not in name}
    junit = outcomes(read_junit((RECORDED / "node-junit.xml").read_bytes()))
    assert sorted(junit.values()) == sorted([*tap.values(), "failed", "failed"])
    jest = outcomes(read_junit((RECORDED / "jest-junit.xml").read_bytes()))
    assert (jest["half is wrong"], jest["half is skipped"], jest["adds two numbers"]) == ("failed", "skipped", "passed")


def test_a_cargo_program_that_aborts_is_a_problem_and_names_it() -> None:
    assert "tests/dies.rs ended before" in (read_cargo((RECORDED / "cargo.txt").read_bytes()).problem or "")


def test_gotestsums_and_nextests_junit_are_read() -> None:
    """After the documents of gotestsum and cargo-nextest: neither ran here."""
    gotestsum = b"""<?xml version="1.0"?><testsuites tests="2" failures="1"><testsuite tests="2" failures="1" time="0.1"
        name="example.com/calc"><properties><property name="go.version" value="go1.22"/></properties>
        <testcase classname="example.com/calc" name="TestAdd" time="0.000"></testcase>
        <testcase classname="example.com/calc" name="TestTable/bad_one" time="0.000"><failure message="Failed" type="">
        calc_test.go:9: got 2</failure></testcase></testsuite></testsuites>"""
    assert outcomes(read_junit(gotestsum)) == {
        "example.com/calc | TestAdd": "passed",
        "example.com/calc | TestTable/bad_one": "failed",
    }
    nextest = b"""<?xml version="1.0"?><testsuites name="nextest-run" tests="2"><testsuite name="calc::whole" tests="2">
        <testcase name="tests::adds" classname="calc::whole" time="0.01"><system-out>x</system-out></testcase>
        <testcase name="tests::bad" classname="calc::whole"><failure type="test failure">panicked</failure></testcase>
        </testsuite></testsuites>"""
    assert outcomes(read_junit(nextest)) == {
        "calc::whole | tests::adds": "passed",
        "calc::whole | tests::bad": "failed",
    }


def test_libtests_json_lines_are_read() -> None:
    """After rustc's own description of `--format json`, a nightly option."""
    lines = [
        {"type": "suite", "event": "started", "test_count": 2},
        {"type": "test", "event": "started", "name": "a"},
        {"type": "test", "name": "a", "event": "ok"},
        {"type": "test", "name": "b", "event": "failed", "stdout": "thread 'b' panicked at src/lib.rs:1:1:\nno\n"},
        {"type": "suite", "event": "failed", "passed": 1, "failed": 1, "ignored": 0},
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    report = read_cargo(content)
    assert (outcomes(report), report.problem) == ({"a": "passed", "b": "failed"}, None)
    assert report.tests[1].message == "no"
    assert "ended before" in (
        read_cargo(content[: content.index(b'{"type": "suite", "event": "failed"')]).problem or ""
    )


@pytest.mark.parametrize(
    ("files", "runner"),
    [
        ({"package.json": '{"devDependencies": {"vitest": "^3"}}', "node_modules/vitest/vitest.mjs": ""}, "vitest"),
        ({"package.json": '{"devDependencies": {"jest": "*"}}', "node_modules/jest/bin/jest.js": ""}, "jest"),
        ({"package.json": "not JSON"}, "node"),
    ],
)
def test_the_javascript_runner_is_the_one_the_manifest_asks_for(
    make_snapshot: Make, files: Mapping[str, str], runner: str
) -> None:
    needs("node")
    root = make_snapshot({**files, "src/a.ts": ""}).root
    assert choose_environment(root, [RepoPath("src/a.ts")]).runner == runner


def test_a_runner_that_is_not_installed_is_told_with_the_cure(make_snapshot: Make) -> None:
    needs("node")
    root = make_snapshot({"package.json": '{"devDependencies": {"jest": "*"}}'}).root
    with pytest.raises(EnvironmentProblem, match="jest") as problem:
        choose_environment(root)
    assert "npm ci" in problem.value.cure


def test_the_suspected_files_choose_the_language_of_a_mixed_project(make_snapshot: Make) -> None:
    needs("node")
    root = make_snapshot({"package.json": "{}", "pyproject.toml": "", "app/a.py": "", "web/a.js": ""}).root
    assert choose_environment(root, [RepoPath("app/a.py")]).language == "python"
    assert choose_environment(root, [RepoPath("web/a.js")]).language == "javascript"
    assert choose_environment(root).language == "python"
    assert choose_environment(root, [RepoPath("web/a.js")], runner="unittest").runner == "unittest"
    with pytest.raises(BadInput, match="unknown test runner"):
        choose_environment(root, runner="make test")
    with pytest.raises(BadInput, match="does not suit"):
        choose_environment(root, [RepoPath("web/a.js")], runner="cargo")


@pytest.mark.parametrize(
    ("language", "names", "others"),
    [
        ("javascript", "a.test.ts b.spec.jsx __tests__/c.js test/d.mjs test-e.js f_test.cjs gSpec.js", "a.ts testing.js test/x.json test/t.d.ts"),
        ("go", "a_test.go", "a.go test.go"),
        ("rust", "tests/a.rs crates/x/tests/b.rs", "src/a.rs"),
        ("java", "src/test/java/ATest.java BTests.java TestC.java DIT.kt ESpec.groovy", "A.java Testing.txt"),
        ("python", "test_a.py b_test.py", "a.test.ts a_test.go"),
    ],
)  # fmt: skip
def test_test_files_are_known_by_the_habits_of_each_language(language: str, names: str, others: str) -> None:
    assert [name for name in names.split() if not is_test_file(RepoPath(name), language)] == []
    assert [name for name in others.split() if is_test_file(RepoPath(name), language)] == []


def test_rust_files_with_tests_inside_are_found(make_snapshot: Make) -> None:
    files = {
        "src/a.rs": "#[cfg(test)]\nmod t {}\n",
        "src/b.rs": "fn b() {}\n",
        "src/c.rs": "#[tokio::test]\nasync fn c() {}\n",
    }
    assert find_test_files(make_snapshot(files), "rust") == ("src/a.rs", "src/c.rs")


def test_places_never_lead_out_of_the_copy(tmp_path: Path) -> None:
    from patchwright_engine.verify.reports.base import reported

    (tmp_path / "copy").mkdir()
    (tmp_path / "outside.js").write_text("")
    places = Places(tmp_path / "copy")
    for file in ("../outside.js", str(tmp_path / "outside.js"), "/etc/passwd"):
        assert places.identify(reported("a", "passed", file=file)) == "a"


def test_reports_and_places_are_looked_for_no_deeper_than_a_stack_reaches(tmp_path: Path) -> None:
    report = tmp_path / "app/target/surefire-reports/TEST-a.xml"
    report.parent.mkdir(parents=True)
    report.write_text("<testsuite/>")
    (report.parent / "TEST-link.xml").symlink_to("/etc/passwd")
    (tmp_path / "Calc.java").write_text("")
    deep = tmp_path
    for _ in range(1100):
        deep /= "d"
        deep.mkdir()
    try:
        assert list(report_files(tmp_path, ("target/surefire-reports/TEST-*.xml",))) == [report]
        assert Places(tmp_path).identify(reported("test", "passed", suite="com.x.Calc")) == "com.x.Calc::test"
        assert Places(tmp_path).file_of(reported("t", "passed", file="a" * 400 + ".js")) == ""
    finally:
        delete(tmp_path / "d")  # pytest's own cleaning would not cope with it


def test_no_script_of_the_repository_is_run(make_snapshot: Make, sandbox: Sandbox, cancel: CancelToken) -> None:
    """package.json's scripts would leave a mark in the copy, as `npm test` would run them."""
    needs("node")
    scripts = '{"scripts": {"pretest": "touch ran", "test": "touch ran"}}'
    snapshot = make_snapshot({**NODE, "package.json": scripts})
    with WorkspaceCopy(snapshot) as copy:
        report = run_tests(sandbox, copy.path, choose_environment(snapshot.root), ("test/calc.test.js",), cancel)
        assert len(report.results) == 4
        assert not (copy.path / "ran").exists()
