"""What is really right: the instance's own test command, run over a patched copy that holds the hidden tests.

Independent of the verifier: another command, another reading (the lines that pytest prints with -rA, or unittest and
Django's runner with --verbosity 2).
Invariant: a test counts as passed only when the run says so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patchwright_engine.bench.instances import Instance
from patchwright_engine.types import Command, RunReport
from patchwright_engine.verify.environment import TestEnvironment

OUTPUT_BYTES = 32 << 20
"""With -rA every test's captured output is printed again; what is cut from the middle would be lost results."""
_SUMMARY = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (\S+\.py.*)$", re.MULTILINE)
_REASONED = {"FAILED", "ERROR", "XFAIL", "XPASS"}
_PYTEST = re.compile(r"(?:python3?(?:\.\d+)? -m )?(?:pytest|py\.test)\b")
_UNITTEST = re.compile(r"python3?(?:\.\d+)? (?:-m unittest\b|(?:\S*/)?(?:runtests|manage)\.py\b)")
_ENDED = re.compile(r"^(.+?) \.\.\. (?:.*\s)?(ok|FAIL|ERROR|skipped\b.*|expected failure|unexpected success)$")
_TITLE = re.compile(r"^(\w+) \(([\w.]+)\)$")
_UNITTEST_OUTCOMES = {"ok": "PASSED", "expected failure": "XFAIL", "unexpected success": "FAILED"}


@dataclass(frozen=True, slots=True)
class HiddenRun:
    """One run of the hidden tests."""

    results: Mapping[str, str]
    """Test id, as the runner prints it → 'PASSED', 'FAILED', 'ERROR', 'SKIPPED', ..."""
    outcome: str
    """How the run ended, as `RunReport.outcome`."""
    last_line: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Test id → what names it on a command line, where that differs."""

    @property
    def passed(self) -> frozenset[str]:
        return frozenset(test for test, outcome in self.results.items() if outcome == "PASSED")


@dataclass(frozen=True, slots=True)
class Truth:
    """What a right patch must make pass."""

    fail_to_pass: frozenset[str]
    pass_to_pass: frozenset[str]
    """Those that pass before and after the developer's fix, here and now."""
    labels: Mapping[str, str] = field(default_factory=dict)

    def is_right(self, run: HiddenRun) -> bool:
        """Every test of the fix passes and none that passed before fails."""
        return self.fail_to_pass <= run.passed and self.pass_to_pass <= run.passed


def form_of(instance: Instance) -> str | None:
    """Whose output the instance's test command prints: 'pytest', 'unittest' (Django's too), or None: not known here."""
    if _PYTEST.match(instance.test_command):
        return "pytest"
    return "unittest" if _UNITTEST.match(instance.test_command) else None


def hidden_command(
    instance: Instance, environment: TestEnvironment, workspace: Path, timeout_seconds: float
) -> Command:
    """The instance's test command for a copy at `workspace`."""
    return Command(
        ("sh", "-c", instance.test_command),
        env=environment.variables(workspace),
        timeout_seconds=timeout_seconds,
        output_bytes=OUTPUT_BYTES,
    )


def read_run(run: RunReport, form: str) -> HiddenRun:
    """What a run of that command says of each test."""
    last = run.output.strip().rpartition("\n")[2][:200]
    if form == "pytest":
        return HiddenRun(read_summary(run.output), run.outcome, last)
    results, labels = read_verbose(run.output)
    return HiddenRun(results, run.outcome, last, labels)


def hidden_from_json(row: Mapping[str, Any]) -> HiddenRun:
    """The run that `dataclasses.asdict` made a row of."""
    return HiddenRun(dict(row["results"]), str(row["outcome"]), str(row["last_line"]), dict(row["labels"]))


def read_summary(output: str) -> dict[str, str]:
    """Test id → outcome, from the lines that `pytest -rA` ends with."""
    results: dict[str, str] = {}
    for outcome, rest in _SUMMARY.findall(output):
        test = rest.partition(" - ")[0].rstrip() if outcome in _REASONED else rest.rstrip()
        if results.get(test) not in ("FAILED", "ERROR"):  # One test may pass and then err while it is taken down.
            results[test] = outcome
    return results


def read_verbose(output: str) -> tuple[dict[str, str], dict[str, str]]:
    """Test → outcome, and test → label, from the lines of unittest at verbosity 2.

    A test with a docstring is printed on two lines, and known by the second: so do SWE-bench's lists of tests.
    """
    results: dict[str, str] = {}
    labels: dict[str, str] = {}
    title: re.Match[str] | None = None
    for line in output.splitlines():
        found = _ENDED.match(line)
        if found is None:
            title = _TITLE.match(line) or title
            continue
        test, outcome = found[1], found[2]
        title = _TITLE.match(test) or title
        if title is not None:
            place = title[2] if title[2].endswith(f".{title[1]}") else f"{title[2]}.{title[1]}"
            labels[test] = place
        title = None
        if results.get(test) not in ("FAILED", "ERROR"):
            failed = {"FAIL": "FAILED", "ERROR": "ERROR"}
            results[test] = _UNITTEST_OUTCOMES.get(outcome) or failed.get(outcome, "SKIPPED")
    return results, labels


def establish(instance: Instance, before: HiddenRun, right: HiddenRun) -> Truth | str:
    """The tests that tell right from wrong on this machine, or why there are none."""
    for name, run in (("before", before), ("with", right)):
        if run.outcome != "exited":
            return f"the hidden tests did not end {name} the developer's fix: {run.outcome}"
    if not instance.fail_to_pass:
        wanted = right.passed - before.passed
    else:
        named = {name: _named(name, right.results) for name in instance.fail_to_pass}
        missing = [name for name, found in named.items() if not found & right.passed]
        if missing:
            return f"{len(missing)} tests do not pass with the developer's fix here: {missing[0]} ({right.last_line})"
        wanted = frozenset().union(*named.values()) & right.passed - before.passed
    if not wanted:
        return "the tests of the fix pass without it here"
    return Truth(wanted, before.passed & right.passed, right.labels)


def _named(name: str, results: Mapping[str, str]) -> frozenset[str]:
    """The ids that a row means: it may give a function's name alone, a parameter cut off at its first space, or a title
    as another Python prints it."""
    if name in results:
        return frozenset({name})
    if re.fullmatch(r"\w+", name):
        return frozenset(test for test in results if test.partition("::")[2].partition("[")[0] == name)
    if _TITLE.match(name):
        return frozenset(test for test in results if _plain(test) == _plain(name))
    return frozenset(test for test in results if test.startswith(f"{name} "))


def _plain(title: str) -> str:
    """A test's title as unittest printed it before Python 3.11, which repeats the method behind the class."""
    found = _TITLE.match(title)
    return f"{found[1]} ({found[2].removesuffix(f'.{found[1]}')})" if found else title
