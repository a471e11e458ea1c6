"""Judge a reproduction test: it must fail on the unpatched code, and for the issue's reason.

The source is the model's; the file's name and place are ours. Invariant: a test that fails by its own mistake
(import, name, call) or by a constant assertion is never valid, and the reason says how to write a better one.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.verify.complaints import errors_of_today, last_part, speaks_of_no_end
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.hollow_tests import asserts_constant, objection_to
from patchwright_engine.verify.runs import STOPPED, Frame, TestFailure, TestReport, run_tests
from patchwright_engine.verify.workspace import WorkspaceCopy

_OWN_MISTAKES = {
    "SyntaxError",
    "IndentationError",
    "ImportError",
    "ModuleNotFoundError",
    "NameError",
    "UnboundLocalError",
    "AttributeError",
    "TypeError",
}
"""Raised in the test file itself, these tell of a wrong test and not of the issue."""
_LOADING = {"SyntaxError", "IndentationError", "ImportError", "ModuleNotFoundError"}
_ASSERTIONS = {"AssertionError", "Failed", "ComparisonFailure"}
_TOOLS = re.compile(r"(?:.*/)?(?:_pytest/|django/test/|sympy/testing/|sympy/utilities/(?:pytest|runtests)\.py$)")
"""Test tools that are part of a project: where they raise an assertion, the test that called them failed."""
_NO_DATABASE = re.compile(r"Database \w+ to .* are not allowed in ")
_NO_TABLE = re.compile(r"no such (?:table|column)\b")
_WANTED_ERROR = re.compile(r"DID NOT RAISE (?:any of )?\(?(?:<class ')?((?:\w+\.)*\w+)|^((?:\w+\.)*\w+) not raised")
_ASKED_ERROR = re.compile(r"\b(?:raises|assertRaises(?:Regex)?)\(\s*(?:r?['\"][^'\"]*['\"],\s*)?((?:\w+\.)*\w+)")
_UNENDED = "The test was still running at the time limit. Write a test that ends quickly."
_NOT_TODAY = "The issue complains of {}: assert what should come instead of it."
_TEST_SHARE = 0.25
"""The part of a run's time limit after which one test of it is stopped."""
_REPEAT_BELOW_SECONDS = 10.0
_PLACE = re.compile(r"\S.*\.py:\d+: in ")
"""A frame in pytest's short form; the line after it is the statement."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A judged reproduction test."""

    source: str
    path: RepoPath
    """Where it is written in the copy."""
    valid: bool
    reason: str
    """Why it is valid, or what is wrong and how to mend it, as text for the next try of a model."""
    before: TestReport | None
    """Its run on the unpatched copy; None when it was refused unrun."""
    failure: str = ""
    """What the failing test printed, shortened."""

    @property
    def failing(self) -> frozenset[str]:
        """Ids of the tests in it that failed before."""
        return self.before.with_outcome("failed") if self.before is not None else frozenset()


def reproduction_path(source: str, folder: str = "") -> RepoPath:
    """The file for a test text: its name is stable, and not one a project would use."""
    name = f"test_patchwright_{hashlib.sha256(source.encode()).hexdigest()[:8]}.py"
    return RepoPath((PurePosixPath(folder) / name).as_posix())


def check_reproduction(
    source: str,
    *,
    issue_text: str,
    sandbox: Sandbox,
    workspace: WorkspaceCopy,
    snapshot: Snapshot,
    environment: TestEnvironment,
    cancel: CancelToken,
    timeout_seconds: float = 60.0,
    folder: str = "",
) -> Reproduction:
    """Run `source` as a test file on the unpatched copy and judge how it fails. The copy is reset before and after.

    It lies in `folder` of the project.

    Raises: as `Sandbox.run`.
    """
    path = reproduction_path(source, folder)
    objection = objection_to(source, snapshot, environment.runner)
    if objection is not None:
        return Reproduction(source, path, False, objection, None)

    def run() -> TestReport:
        workspace.reset()
        workspace.write(path, source)
        try:
            return run_tests(
                sandbox,
                workspace.path,
                environment,
                (path,),
                cancel,
                timeout_seconds=timeout_seconds,
                record_calls=True,
                test_seconds=seconds_each(timeout_seconds),
            )
        finally:
            workspace.reset()

    before = run()
    valid, reason, shown = _judge(before, path, source, issue_text)
    if valid and before.run.seconds < _REPEAT_BELOW_SECONDS and run().results != before.results:
        return Reproduction(source, path, False, "The test does not fail every time; make it deterministic.", before)
    return Reproduction(source, path, valid, reason, before, shown)


def seconds_each(timeout_seconds: float) -> float:
    """How long one test of a reproduction may take, in a run that is limited to `timeout_seconds`."""
    return timeout_seconds * _TEST_SHARE


def _judge(before: TestReport, path: RepoPath, source: str, issue_text: str) -> tuple[bool, str, str]:
    """(valid, reason, what to show)."""
    if before.run.outcome == "timeout":
        return False, _UNENDED, ""
    uncollected = [failure for test, failure in before.failures.items() if test not in before.results]
    if uncollected:
        failure = uncollected[0]
        reason = (
            f"The test file cannot be loaded: {_headline(failure)}. Import only what the project really has; "
            "if loading is the issue itself, import inside the test function."
        )
        return False, reason, useful_lines(failure.text)
    if not before.results:
        return (
            False,
            f"The test did not run: {before.problem or 'no tests were found'}.",
            useful_lines(before.run.output),
        )
    errors = before.with_outcome("error")
    if errors:
        failure = before.failures[min(errors)]
        reason = f"The test's set-up fails ({_headline(failure)}). Use only fixtures that exist."
        return False, reason, useful_lines(failure.text)
    failing = sorted(before.with_outcome("failed"))
    if not failing:
        if not before.with_outcome("passed"):
            return False, "The test is skipped here, so it shows nothing. Write one that runs.", ""
        asked = {last_part(name) for name in _ASKED_ERROR.findall(source)} & errors_of_today(issue_text)
        hint = f" {_NOT_TODAY.format(min(asked))}" if asked else ""
        return False, f"The test passes on the unpatched code, so it does not show the issue.{hint}", ""
    for test in failing:
        failure = before.failures[test]
        mistake = _mistake(failure, path, source, issue_text)
        if mistake is not None:
            return False, mistake, useful_lines(failure.text)
    failure = before.failures[failing[0]]
    return True, f"fails before: {_headline(failure)}", useful_lines(failure.text)


def _mistake(failure: TestFailure, path: RepoPath, source: str, issue_text: str) -> str | None:
    """Why this failure does not come from the issue; None when it does."""
    inside = [frame for frame in failure.frames if frame.inside]
    if not inside:
        return f"The failure ({_headline(failure)}) does not come from the project's code."
    wanted = _WANTED_ERROR.search(failure.message)
    name = last_part(wanted[1] or wanted[2]) if wanted is not None else ""
    if failure.exception in _ASSERTIONS and name in errors_of_today(issue_text):
        return f"The test is the wrong way round. {_NOT_TODAY.format(name)}"
    if failure.exception == STOPPED:
        meant = speaks_of_no_end(issue_text) and any(frame.path != path for frame in inside)
        return None if meant else _UNENDED
    unusable = _no_database(failure, issue_text)
    if unusable is not None:
        return unusable
    asserted = failure.exception in _ASSERTIONS or "AssertionError" in failure.bases
    while asserted and len(inside) > 1 and _is_tool(inside[-1], issue_text):
        inside.pop()
    innermost = inside[-1]
    in_test = innermost.path == path
    if not in_test and failure.exception in _LOADING and failure.exception not in issue_text:
        return f"The project's own code cannot be loaded here ({_headline(failure)}). Test a part that can."
    if not in_test:
        return None  # The project's own code raised it.
    if asserted:
        if asserts_constant(source, innermost.line):
            return "The test fails by asserting a constant. Assert what the project's code returns or raises."
        return None
    if failure.exception in _OWN_MISTAKES:
        if failure.message and failure.message in issue_text:
            return None
        return (
            f"The test itself is wrong at line {innermost.line}: {_headline(failure)}. "
            "Use only names, modules and parameters that the project has."
        )
    if any(name in issue_text for name in (failure.exception, *failure.bases) if name not in {"Exception", ""}):
        return None
    return (
        f"The test stops with {_headline(failure)} at its own line {innermost.line}, which the issue does not "
        "speak of. Call the project's code and assert the result that the issue expects."
    )


def _no_database(failure: TestFailure, issue_text: str) -> str | None:
    """Why the test could not have the rows it wants, under Django; None when it could, or the issue says as much."""
    if failure.message and failure.message in issue_text:
        return None
    if _NO_DATABASE.match(failure.message):
        return "The test's class may not use the database. Derive it from django.test.TestCase."
    if failure.exception == "OperationalError" and _NO_TABLE.match(failure.message):
        return f"The test's database lacks what it needs ({_headline(failure)}). Use only models of installed apps."
    return None


def _is_tool(frame: Frame, issue_text: str) -> bool:
    """Whether a frame is of a test tool, and not of an assertion that the issue is about."""
    meant = frame.function.startswith("assert") and frame.function in issue_text
    return bool(_TOOLS.match(frame.path)) and not meant


def _headline(failure: TestFailure) -> str:
    first = failure.message.strip().splitlines()
    return f"{failure.exception}: {first[0][:200]}" if first else failure.exception or "unknown error"


def useful_lines(text: str, limit: int = 1500) -> str:
    """The part of a run's output that tells why it failed: pytest's `E` lines with their places, else the end."""
    lines = text.splitlines()
    telling: list[str] = []
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith(("E ", "FAILED", "ERROR")) or _PLACE.match(line) or _PLACE.match(before):
            telling.append(line)
    chosen = "\n".join(telling if any(line.startswith("E ") for line in telling) else lines[-40:])
    return chosen if len(chosen) <= limit else "…" + chosen[-limit:]
