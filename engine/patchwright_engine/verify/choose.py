"""How this project's tests are run: the language of the suspected code decides, then the project's own tools.

Invariant: the interpreter and the runner are the user's word before anything else.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from patchwright_engine.errors import BadInput
from patchwright_engine.types import RepoPath
from patchwright_engine.verify.environment import TestEnvironment, discover_environment
from patchwright_engine.verify.environments.python_runner import PYTHON_RUNNERS
from patchwright_engine.verify.habits import habits_in
from patchwright_engine.verify.invocation import RUNNERS
from patchwright_engine.verify.toolchains import find_toolchain, language_of_tests


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
        problem = habits_in(root).problem
        return replace(found, notes=(*found.notes, problem)) if problem else found
    found = find_toolchain(root, language)
    if runner is not None and runner != found.runner:
        raise BadInput(f"the runner '{runner}' does not suit this project: {found.reason}", "Leave it out.")
    return found
