"""How this project's tests are run: the language of the suspected code decides, then the project's own tools.

Invariant: the interpreter and the runner are the user's word before anything else.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from patchwright_engine.errors import BadInput
from patchwright_engine.sandbox.output import visible
from patchwright_engine.types import RepoPath
from patchwright_engine.verify.environment import TestEnvironment, discover_environment
from patchwright_engine.verify.environments.python_runner import PYTHON_RUNNERS
from patchwright_engine.verify.habits import habits_in
from patchwright_engine.verify.invocation import RUNNERS
from patchwright_engine.verify.toolchains import find_toolchain, language_of_tests
from patchwright_engine.workspace.scan import generated_files

_NAMED = 3


def choose_environment(
    root: Path, changed: Sequence[RepoPath] = (), *, python: Path | None = None, runner: str | None = None
) -> TestEnvironment:
    """The environment for tests that judge a change of `changed`; without any, for the project as a whole.

    `python` and `runner` are the user's word.

    Raises:
        BadInput: `python` or `runner` cannot be used here.
        EnvironmentProblem: the language's tool, or the project's packages, are not installed.
    """
    if runner is not None and runner not in RUNNERS:
        raise BadInput(f"unknown test runner '{runner}'", f"Known runners: {', '.join(RUNNERS)}.")
    language = language_of_tests(root, tuple(changed))
    if language == "python" or runner in PYTHON_RUNNERS:
        found = discover_environment(root, python, runner)
        notes = (habits_in(root).problem, _left_out(root))
        return replace(found, notes=(*found.notes, *(note for note in notes if note)))
    found = find_toolchain(root, language)
    if runner is not None and runner != found.runner:
        raise BadInput(f"the runner '{runner}' does not suit this project: {found.reason}", "Leave it out.")
    return found


def _left_out(root: Path) -> str:
    """What the user should know about built files that tests will not find; '' when there are none."""
    files = generated_files(root).left_out
    if not files:
        return ""
    named = visible(", ".join(files[:_NAMED]) + (f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""))
    return f"Files that git ignores are too large or too many to be copied for the tests, which may need them: {named}."
