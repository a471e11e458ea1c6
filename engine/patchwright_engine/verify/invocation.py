"""How each runner is started for a selection of tests, and where its results come back.

A runner is one function in the table `RUNNERS`: from what is to be run to the commands to try, in order. The
commands are ours; nothing read from a repository becomes a part of one but the paths of its test files.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from patchwright_engine.types import RepoPath
from patchwright_engine.verify.discovery import is_test_file
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.habits import habits_in
from patchwright_engine.verify.reports.base import Report
from patchwright_engine.verify.reports.cargo import read_cargo
from patchwright_engine.verify.reports.go import read_go_json
from patchwright_engine.verify.reports.jest import read_jest_json
from patchwright_engine.verify.reports.junit import read_junit
from patchwright_engine.verify.reports.node import read_node_lines
from patchwright_engine.verify.reports.printed import (
    Printed,
    printed_by_gradle,
    printed_by_jest,
    printed_by_maven,
    printed_by_vitest,
)
from patchwright_engine.verify.reports.tap import read_tap

RUNNERS_FOLDER = Path(__file__).parent / "runners"
_DOCTESTS = "--doctest-modules"
_REPORT = "report=$PATCHWRIGHT_REPORT; unset PATCHWRIGHT_REPORT; "
"""Start of a shell command: the tests shall not find the report's name in the environment."""
_STREAMED = _REPORT + 'exec 3>>"$report"; rm -f -- "$report"; '
"""Where the report is what the tool prints, to >&3: nor shall they find the file. It is read by its descriptor."""


@dataclass(frozen=True, slots=True)
class Reports:
    """A tool's own report."""

    read: Callable[[bytes], Report]
    patterns: tuple[str, ...] = ()
    """Ends of the paths of files that the tool writes below the workspace; empty: the file that PATCHWRIGHT_REPORT
    names."""
    sealed: bool = False
    """Whether each line bears a seal (`verify.seals`), because a program of ours writes it."""
    printed: Callable[[str], Printed] | None = None
    """What the tool says of the whole run on its output, to hold against the report."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One command that runs tests."""

    argv: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    """What the user should know when this one was needed."""
    reports: Reports | None = None
    """None: a program of ours writes JSON lines."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What is to be run."""

    environment: TestEnvironment
    workspace: Path
    names: tuple[str, ...]
    """Files, or test ids as pytest writes them."""
    recorded: str = ""
    """What is to be noted of each test that runs in Python: 'functions' entered, 'lines' too, or nothing."""
    test_seconds: float = 0.0
    """After how long a test that runs in Python is stopped, so that it fails where it is; 0: never."""

    @property
    def files(self) -> tuple[str, ...]:
        """The selected files, each once."""
        return tuple(dict.fromkeys(name.partition("::")[0] for name in self.names))


Runner = Callable[[Selected], Sequence[Invocation]]
"""From a selection to the commands to try: each next one only where the one before could not start any test."""


def invocations(selected: Selected) -> Sequence[Invocation]:
    """The commands for the runner that the environment names."""
    # A file named like an option must stay a file.
    names = tuple(f"./{name}" if name.startswith("-") else name for name in selected.names)
    return RUNNERS[selected.environment.runner](replace(selected, names=names))


def _pytest(selected: Selected) -> Sequence[Invocation]:
    """With the project's own options and configuration; without them where they cannot work here."""
    empty = ("-c", str(RUNNERS_FOLDER / "empty.ini"))
    steps: list[tuple[str, tuple[str, ...], dict[str, str]]] = [
        ("", (), {}),
        ("The project's pytest options (addopts) do not work here and were left out.", ("-o", "addopts="), {}),
        ("The project's pytest configuration does not work here and was left out.", empty, {}),
        ("The project's conftest files do not work here and were left out.", (*empty, "--noconftest"), {}),
    ]
    if selected.environment.own:  # Ours slow every run down and are seldom the project's; it gets them when it asks.
        steps.insert(0, ("", (), {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}))
    # A module that is no test is run for the examples in its docstrings.
    habits = habits_in(selected.workspace)
    files = [RepoPath(path) for path in selected.files]
    tests = [path for path in files if is_test_file(path) or is_test_file(path, habits=habits)]
    doctests = () if tests == files else (_DOCTESTS,)
    return [
        Invocation(
            (
                *(str(selected.environment.python), "-m", "pytest", "-p", "patchwright_pytest"),
                *("-p", "no:cacheprovider", "-q", "--tb=short", f"--rootdir={selected.workspace}"),
                *("--continue-on-collection-errors", *doctests, *extra, *selected.names),
            ),
            {**variables, **_recorded(selected)},
            note,
        )
        for note, extra, variables in steps
    ]


def _unittest(selected: Selected) -> Sequence[Invocation]:
    return [_ours(selected, "patchwright_unittest.py")]


def _django(selected: Selected) -> Sequence[Invocation]:
    return [_ours(selected, "patchwright_django.py", selected.environment.entry)]


def _sympy(selected: Selected) -> Sequence[Invocation]:
    return [_ours(selected, "patchwright_sympy.py")]


def _ours(selected: Selected, program: str, *arguments: str) -> Invocation:
    python = str(selected.environment.python)
    return Invocation((python, str(RUNNERS_FOLDER / program), *arguments, *selected.names), _recorded(selected))


def _recorded(selected: Selected) -> dict[str, str]:
    asked = {"PATCHWRIGHT_CALLS": selected.recorded}
    if selected.test_seconds:
        asked["PATCHWRIGHT_TEST_SECONDS"] = f"{selected.test_seconds:g}"
    return {name: value for name, value in asked.items() if value}


def _node(selected: Selected) -> Sequence[Invocation]:
    """Node's own runner, from version 20 on, with a reporter of ours: those it brings do not tell a test's file."""
    reporter = RUNNERS_FOLDER / "patchwright_node.mjs"
    options = f'--test --test-reporter={shlex.quote(str(reporter))} --test-reporter-destination="$report"'
    script = _REPORT + f'exec "$0" {options} "$@"'
    return [
        Invocation(
            ("sh", "-c", script, _program(selected), *selected.files), reports=Reports(read_node_lines, sealed=True)
        )
    ]


def _vitest(selected: Selected) -> Sequence[Invocation]:
    tool = "node_modules/vitest/vitest.mjs"
    options = "--reporter=default --reporter=json --no-color"
    script = _REPORT + f'exec "$0" {tool} run {options} --outputFile.json="$report" "$@"'
    return [_javascript(selected, script, Reports(read_jest_json, printed=printed_by_vitest))]


def _jest(selected: Selected) -> Sequence[Invocation]:
    tool = "node_modules/jest/bin/jest.js"
    options = "--ci --no-color --watchman=false --cache=false --runTestsByPath"
    script = _REPORT + f'exec "$0" {tool} --json --outputFile="$report" {options} "$@"'
    return [_javascript(selected, script, Reports(read_jest_json, printed=printed_by_jest))]


def _mocha(selected: Selected) -> Sequence[Invocation]:
    script = _STREAMED + 'exec "$0" node_modules/mocha/bin/mocha.js --reporter tap --no-color "$@" >&3 3>&-'
    return [_javascript(selected, script, Reports(read_tap))]


def _ava(selected: Selected) -> Sequence[Invocation]:
    script = _STREAMED + 'exec "$0" node_modules/ava/entrypoints/cli.mjs --tap --no-worker-threads "$@" >&3 3>&-'
    return [_javascript(selected, script, Reports(read_tap))]


def _javascript(selected: Selected, script: str, reports: Reports) -> Invocation:
    argv = ("sh", "-c", script, _program(selected), *selected.files)
    return Invocation(argv, {"CI": "1"}, reports=reports)


def _go(selected: Selected) -> Sequence[Invocation]:
    """The packages of the selected files. The report is standard output; what the build says comes in it."""
    folders = dict.fromkeys("./" + file.rpartition("/")[0] if "/" in file else "." for file in selected.files)
    script = _STREAMED + 'exec "$0" test -json "$@" >&3 3>&-'
    return [Invocation(("sh", "-c", script, _program(selected), *folders), reports=Reports(read_go_json))]


def _cargo(selected: Selected) -> Sequence[Invocation]:
    """Every test of the workspace: Rust's unit tests live beside the code and have no file of their own."""
    script = _STREAMED + 'exec "$0" test --offline --no-fail-fast --workspace --color=never "$@" >&3 2>&1 3>&-'
    return [Invocation(("sh", "-c", script, _program(selected)), reports=Reports(read_cargo))]


def _maven(selected: Selected) -> Sequence[Invocation]:
    classes = ",".join(_classes(selected))
    options = (
        *("-B", "-o", "-q", "-fae", f"-Dmaven.repo.local={selected.environment.packages}"),
        *("-Dsurefire.failIfNoSpecifiedTests=false", "-DfailIfNoTests=false", "-Dstyle.color=never"),
        *([f"-Dtest={classes}"] if classes else []),
    )
    reports = Reports(read_junit, ("target/surefire-reports/TEST-*.xml",), printed=printed_by_maven)
    return [Invocation((_program(selected), *options, "test"), reports=reports)]


def _gradle(selected: Selected) -> Sequence[Invocation]:
    """With a home of its own for Gradle, which wants to write there, and looks for the user's by their account."""
    chosen = [part for name in _classes(selected) for part in ("--tests", f"*{name}")]
    options = ("--offline", "--no-daemon", "--continue", "--console=plain", "-q")
    script = 'exec "$0" --gradle-user-home "${TMPDIR:-/tmp}/gradle" "$@"'
    added = ("--init-script", str(RUNNERS_FOLDER / "patchwright_gradle.gradle"))
    reports = Reports(read_junit, ("build/test-results/*/TEST-*.xml",), printed=printed_by_gradle)
    argv = ("sh", "-c", script, _program(selected), *options, *added, "test", *chosen)
    return [Invocation(argv, reports=reports)]


def _classes(selected: Selected) -> list[str]:
    """Test classes by the names of their files; a name that would mean more to the tool than a class is left out."""
    stems = dict.fromkeys(Path(file).stem for file in selected.files)
    return [stem for stem in stems if stem.isidentifier()]


def _program(selected: Selected) -> str:
    assert selected.environment.program is not None
    return str(selected.environment.program)


RUNNERS: Mapping[str, Runner] = {
    "pytest": _pytest,
    "unittest": _unittest,
    "django": _django,
    "sympy": _sympy,
    "node": _node,
    "vitest": _vitest,
    "jest": _jest,
    "mocha": _mocha,
    "ava": _ava,
    "go": _go,
    "cargo": _cargo,
    "maven": _maven,
    "gradle": _gradle,
}
