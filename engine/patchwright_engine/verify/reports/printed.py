"""What other languages' tools print at the end of a run: counts to hold against the report that they wrote.

A report lies where the tested code can write, and the last line that a tool prints comes after everything the tests
print. Invariant: a tool that prints no counts, or others print in its place, is not held to any.
"""

import re
from dataclasses import dataclass

_JEST = re.compile(r"Tests: +(.*, )?\d+ total")
_VITEST = re.compile(r" *Tests +(.*) \(\d+\)")
_MAVEN = re.compile(r"(?:\[\w+\] *)?Tests run: \d+, Failures: (\d+), Errors: (\d+), Skipped: \d+(?:, Flakes: \d+)?")
_GRADLE = re.compile(r"\d+ tests? completed, (\d+) failed(?:, \d+ skipped)?")


@dataclass(frozen=True, slots=True)
class Printed:
    """Counts of one run."""

    failed: int = 0
    """At least so many tests failed."""
    passed: int | None = None
    """So many passed; None where the tool does not say."""


def printed_by_jest(output: str) -> Printed:
    """The last line of the kind `Tests:       1 failed, 2 skipped, 3 passed, 6 total`."""
    return _of_last(_JEST, output)


def printed_by_vitest(output: str) -> Printed:
    """The last line of the kind `      Tests  1 failed | 3 passed | 2 skipped (6)`."""
    return _of_last(_VITEST, output)


def printed_by_maven(output: str) -> Printed:
    """Surefire's sums of each module; with -q only those of modules where some test failed."""
    found = (_MAVEN.fullmatch(line.strip()) for line in output.splitlines())
    return Printed(failed=sum(int(match[1]) + int(match[2]) for match in found if match))


def printed_by_gradle(output: str) -> Printed:
    """Lines of the kind `6 tests completed, 1 failed, 2 skipped`, printed for tasks where some test failed."""
    found = (_GRADLE.fullmatch(line.strip()) for line in output.splitlines())
    return Printed(failed=sum(int(match[1]) for match in found if match))


def _of_last(pattern: re.Pattern[str], output: str) -> Printed:
    for line in reversed(output.splitlines()):
        match = pattern.fullmatch(line.rstrip()[:300])
        if match is not None:
            counts = {word: int(count) for count, word in re.findall(r"(\d{1,9}) (failed|passed)\b", match[1] or "")}
            return Printed(counts.get("failed", 0), counts.get("passed", 0))
    return Printed()
