"""Judge a reproduction test: it must fail on the unpatched code, and for the issue's reason.

The source is the model's; the file's name and place are ours. Invariant: a test that fails by its own mistake
(import, name, call) or by a constant assertion is never valid, and the reason says how to write a better one.
"""

import ast
import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.runs import TestFailure, TestReport, run_tests
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


def reproduction_path(source: str) -> RepoPath:
    """The file name for a test text: stable, and not one a project would use."""
    return RepoPath(f"test_patchwright_{hashlib.sha256(source.encode()).hexdigest()[:8]}.py")


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
) -> Reproduction:
    """Run `source` as a test file on the unpatched copy and judge how it fails. The copy is reset before and after.

    Raises: as `Sandbox.run`.
    """
    path = reproduction_path(source)
    objection = _objection(source, snapshot)
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
            )
        finally:
            workspace.reset()

    before = run()
    valid, reason, shown = _judge(before, path, source, issue_text)
    if valid and before.run.seconds < _REPEAT_BELOW_SECONDS and run().results != before.results:
        return Reproduction(source, path, False, "The test does not fail every time; make it deterministic.", before)
    return Reproduction(source, path, valid, reason, before, shown)


def _objection(source: str, snapshot: Snapshot) -> str | None:
    """What can be told without running: syntax, no test at all, nothing of the project imported."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return f"The test is not valid Python: {error}. Write one complete test file."
    if not any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
        for node in ast.walk(tree)
    ):
        return "The file defines no test. Write at least one function whose name starts with `test_`."
    own = {PurePosixPath(path).stem for path in snapshot.files if path.endswith(".py")}
    own |= {part for path in snapshot.files if path.endswith(".py") for part in PurePosixPath(path).parts[:-1]}
    if not (_imported(tree) & own) and not _starts_processes(tree):
        return "The test imports nothing of the project, so it cannot show the issue. Import the code at fault."
    return None


def _imported(tree: ast.Module) -> set[str]:
    """Top-level names of imported modules; for relative imports the names they bring."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {(node.module or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names |= {str(a.value).split(".")[0] for a in node.args[:1] if isinstance(a, ast.Constant)}
    return names


def _starts_processes(tree: ast.Module) -> bool:
    return bool(_imported(tree) & {"subprocess", "runpy"})


def _judge(before: TestReport, path: RepoPath, source: str, issue_text: str) -> tuple[bool, str, str]:
    """(valid, reason, what to show)."""
    if before.run.outcome == "timeout":
        return False, "The test was still running at the time limit. Write a test that ends quickly.", ""
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
        return False, "The test passes on the unpatched code, so it does not show the issue.", ""
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
    innermost = inside[-1]
    in_test = innermost.path == path
    if not in_test and failure.exception in _LOADING and failure.exception not in issue_text:
        return f"The project's own code cannot be loaded here ({_headline(failure)}). Test a part that can."
    if not in_test:
        return None  # The project's own code raised it.
    if failure.exception in _ASSERTIONS:
        if _asserts_constant(source, innermost.line):
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


def _asserts_constant(source: str, line: int) -> bool:
    """Whether the statement at `line` fails whatever the project does: `assert False`, a bare `pytest.fail()`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert) and node.lineno <= line <= (node.end_lineno or line):
            return not any(isinstance(part, ast.Name | ast.Call) for part in ast.walk(node.test))
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in function.body:  # directly in the body: under a condition or an except it may be meant
                if statement.lineno <= line <= (statement.end_lineno or line):
                    return isinstance(statement, ast.Raise) or ast.unparse(statement).startswith("pytest.fail(")
    return False


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
