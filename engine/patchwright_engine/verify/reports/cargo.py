"""What `cargo test` prints, standard error included: libtest's text, or its JSON lines (`--format json`, nightly).

Each test program prints a summary: a program without one crashed, and one whose counts disagree with its lines was
interfered with; both are problems.
"""

import re
from dataclasses import dataclass, field, replace
from itertools import pairwise

from patchwright_engine.verify.reports.base import MAX_TEXT, Report, ReportedTest, bounded, json_lines, reported

_PROGRAM = re.compile(
    r" *Running (?:unittests )?(?P<file>\S+\.rs) \((?:\S*/)?(?P<crate>\w+)-[0-9a-f]+\)| *Doc-tests (?P<doc>\S+)"
)
_TEST = re.compile(r"test (.{1,600}?)(?: - should panic)? \.\.\. (ok|FAILED|ignored.*|bench:.*)")
_DOC_FILE = re.compile(r"(\S+\.rs) - ")
_BLOCK = re.compile(r"---- (.{1,600}?)(?: - should panic)? stdout ----")
_SUMMARY = re.compile(r"test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored;.*")
_BEGIN = re.compile(r"running (\d+) tests?")
_EVENTS = {"ok": "passed", "failed": "failed", "ignored": "skipped"}


@dataclass(slots=True)
class _Program:
    """One test program: the unit tests of a crate, one file of tests/, or a crate's examples in comments."""

    file: str = ""
    crate: str = ""
    expected: int | None = None
    outcomes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    summary: tuple[int, int, int] | None = None
    spoiled: str = ""
    """What no test program prints, and something in its place did."""

    def ended(self, name: str, outcome: str) -> None:
        """One test is over."""
        if name in self.outcomes:
            self.spoiled = self.spoiled or f"tells of {reported(name, 'error').name} twice"
        self.outcomes[name] = outcome

    def summed_up(self, passed: int, failed: int, ignored: int) -> None:
        """All of its tests are over."""
        if self.summary is not None:
            self.spoiled = self.spoiled or "sums up twice"
        self.summary = passed, failed, ignored


def read_cargo(content: bytes) -> Report:
    """Both streams of one `cargo test`, together in the order they were printed."""
    programs: list[_Program] = [_Program()]
    errors: list[str] = []
    block: list[str] | None = None
    for line in json_lines(content):
        if not isinstance(line, str):
            _take_event(line, programs)
            continue
        if match := _PROGRAM.fullmatch(line):
            programs.append(_Program(file=match["file"] or "", crate=match["crate"] or match["doc"] or ""))
            block = None
        elif match := _BEGIN.fullmatch(line):
            if programs[-1].expected is not None:
                programs.append(_Program(file=programs[-1].file, crate=programs[-1].crate))
            programs[-1].expected = int(match[1])
        elif match := _BLOCK.fullmatch(line):
            block = programs[-1].texts.setdefault(match[1], [])
        elif match := _SUMMARY.fullmatch(line):
            programs[-1].summed_up(int(match[1]), int(match[2]), int(match[3]))
            block = None
        elif block is not None:
            if line == "failures:":
                block = None
            elif len(block) < 200:
                block.append(line[:500])
        elif programs[-1].summary is None and (match := _TEST.fullmatch(line)):
            outcome = "passed" if match[2] == "ok" else "failed" if match[2] == "FAILED" else "skipped"
            programs[-1].ended(match[1], outcome)
        elif line.startswith("error") and len(errors) < 20:
            errors.append(line[:300])
    report = _report([program for program in programs if program.crate or program.expected is not None], errors)
    if report.problem is None and not content.endswith(b"\n"):
        return replace(report, problem="the report ends in the middle of a line")
    return report


def _take_event(event: dict[str, object], programs: list[_Program]) -> None:
    kind, what = event.get("type"), event.get("event")
    if kind == "suite" and what == "started":
        if programs[-1].expected is not None:
            programs.append(_Program(file=programs[-1].file, crate=programs[-1].crate))
        count = event.get("test_count")
        programs[-1].expected = count if isinstance(count, int) else 0
    elif kind == "suite":
        counts = [event.get(key) for key in ("passed", "failed", "ignored")]
        passed, failed, ignored = (count if isinstance(count, int) else 0 for count in counts)
        programs[-1].summed_up(passed, failed, ignored)
    elif kind == "test" and isinstance(what, str) and what in _EVENTS:
        name = str(event.get("name"))
        programs[-1].ended(name, _EVENTS[what])
        if isinstance(event.get("stdout"), str):
            programs[-1].texts[name] = str(event["stdout"])[-MAX_TEXT:].splitlines()


def _report(programs: list[_Program], errors: list[str]) -> Report:
    tests: list[ReportedTest] = []
    problem: str | None = None
    for program in programs:
        for name, outcome in program.outcomes.items():
            lines = program.texts.get(name, [])
            text = "\n".join(lines)
            doc = _DOC_FILE.match(name)
            file = doc[1] if doc else program.file
            tests.append(reported(name, outcome, suite=program.crate, file=file, message=_panic(lines), text=text))
        problem = problem or _disagreement(program)
    if not programs:
        problem = "no test program ran" + (f": {errors[0]}" if errors else "")
    return bounded(tests, [], problem)


def _disagreement(program: _Program) -> str | None:
    name = program.file or "a test program"
    if program.spoiled:
        return f"the output of {name} {program.spoiled}"
    if program.summary is None:
        return f"{name} ended before all of its tests were done"
    counts = [list(program.outcomes.values()).count(outcome) for outcome in ("passed", "failed", "skipped")]
    if counts != list(program.summary):
        return f"the summary of {name} disagrees with its tests"
    return None


def _panic(lines: list[str]) -> str:
    """The message after the line that tells where the panic was."""
    for before, line in pairwise(lines):
        if " panicked at " in before:
            return line
    return next((line for line in lines if line.strip()), "")
