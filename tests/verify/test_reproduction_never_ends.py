"""A bug that never ends can be reproduced: by a test that is stopped in the project's code, if the issue says so."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Evidence, FileEdit, Patch, RepoPath, Snapshot
from patchwright_engine.verify.complaints import speaks_of_no_end
from patchwright_engine.verify.context import (
    VerificationContext,
    open_verification,
    try_reproduction,
    with_reproduction,
)
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.evidence import verify_patch
from patchwright_engine.verify.runs import run_tests

Make = Callable[[Mapping[str, str]], Snapshot]

BITS = """\
def bits(number):
    count = 0
    while number:
        number ^= number - 1
        count += 1
    return count


def ones(numbers):
    try:
        return [bits(number) for number in numbers]
    except Exception:
        return []
"""
RIGHT = BITS.replace("^=", "&=")
FILES = {
    "counting.py": BITS,
    "tests/test_zero.py": "from counting import bits\n\ndef test_zero():\n    assert bits(0) == 0\n",
}
ISSUE = "bits(127) never returns. I expected 7."
TEST = """\
from counting import bits

def test_issue():
    assert bits(127) == 7

def test_zero():
    assert bits(0) == 0
"""
SECONDS = 8.0


@pytest.fixture
def opened(
    make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> Iterator[Callable[..., VerificationContext]]:
    """Open verification over the project with one of our runners."""
    with ExitStack() as stack:

        def go(runner: str = "pytest", issue: str = ISSUE) -> VerificationContext:
            return stack.enter_context(
                open_verification(
                    make_snapshot(FILES),
                    sandbox=sandbox,
                    environment=replace(environment, runner=runner),
                    issue_text=issue,
                    selection=(RepoPath("tests/test_zero.py"),),
                    cancel=cancel,
                    timeout_seconds=SECONDS,
                )
            )

        yield go


def _patch(after: str) -> Patch:
    return Patch((FileEdit(RepoPath("counting.py"), BITS, after),))


@pytest.mark.parametrize("runner", ["pytest", "unittest", "sympy"])
def test_an_endless_bug_is_reproduced_and_its_fix_is_verified(
    opened: Callable[..., VerificationContext], runner: str, cancel: CancelToken
) -> None:
    context = opened(runner)
    reproduction = try_reproduction(TEST, context, cancel)
    assert reproduction.valid, reproduction.reason
    assert "still running after 2 s" in reproduction.reason
    assert "counting.py" in reproduction.failure
    context = with_reproduction(context, reproduction)
    assert verify_patch(_patch(RIGHT), context, cancel).evidence is Evidence.REPRODUCED
    wrong = verify_patch(_patch(BITS.replace("count += 1", "count += 2")), context, cancel)
    assert wrong.evidence is not Evidence.REPRODUCED
    assert "still running" in wrong.feedback


def test_the_tests_after_an_endless_one_still_run(
    make_snapshot: Make, sandbox: Sandbox, environment: TestEnvironment, cancel: CancelToken
) -> None:
    snapshot = make_snapshot({**FILES, "tests/test_bits.py": TEST})
    for runner in ("pytest", "unittest"):
        report = run_tests(
            sandbox,
            snapshot.root,
            replace(environment, runner=runner),
            ("tests/test_bits.py",),
            cancel,
            timeout_seconds=30.0,
            test_seconds=1.0,
        )
        assert report.results == {"tests/test_bits.py::test_issue": "failed", "tests/test_bits.py::test_zero": "passed"}
        assert report.problem is None


def test_code_that_swallows_every_exception_of_its_own_is_stopped_too(
    opened: Callable[..., VerificationContext], cancel: CancelToken
) -> None:
    source = "from counting import ones\n\ndef test_issue():\n    assert ones([127]) == [7]\n"
    assert try_reproduction(source, opened(), cancel).valid


REFUSED = {
    "the issue is about something else": (TEST, "bits(127) gives 8. I expected 7."),
    "the test itself never ends": (
        "import time\nfrom counting import bits\n\ndef test_issue():\n    assert bits(0) == 0\n    time.sleep(60)\n",
        ISSUE,
    ),
    "the test never ends before it comes to the code": (
        "from counting import bits\n\ndef test_issue():\n    while True:\n        pass\n    assert bits(127) == 7\n",
        ISSUE,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_end_for_another_reason_is_refused(
    opened: Callable[..., VerificationContext], case: str, cancel: CancelToken
) -> None:
    source, issue = REFUSED[case]
    reproduction = try_reproduction(source, opened(issue=issue), cancel)
    assert not reproduction.valid
    assert "time limit" in reproduction.reason


SPOKEN = {
    True: (
        "the call hangs",
        "it doesn't return for this input",
        "causes an infinite loop",
        "never terminates",
        "pip gets stuck",
        "the request timed out",
        "goes on forever",
        "This never ends; I expected 7.",
        "parse takes exponential time",
    ),
    False: ("returns the wrong value", "raises ValueError", "the change of a hangar", "prints slowly typed text"),
}


@pytest.mark.parametrize(("endless", "text"), [(endless, text) for endless, texts in SPOKEN.items() for text in texts])
def test_how_issues_speak_of_what_never_ends(endless: bool, text: str) -> None:
    assert speaks_of_no_end(text) is endless
