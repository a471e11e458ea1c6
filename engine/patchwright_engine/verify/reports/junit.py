"""JUnit's XML, as Surefire, Gradle, vitest, node --test, gotestsum, cargo-nextest and jest-junit write it.

The format has no standard; the elements read here are those that all of them share. Invariant: a document type
declaration is refused, so no entity is ever expanded; what was read before a fault in the XML is kept.
"""

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from patchwright_engine.verify.reports.base import MAX_TESTS, MAX_TEXT, Report, ReportedTest, bounded, reported

MAX_DEPTH = 200
_BAD = {
    "failure": "failed",
    "error": "error",
    "flakyFailure": "failed",
    "flakyError": "error",
    "rerunFailure": "failed",
    "rerunError": "error",
}
"""A test that passed only when it was run again (Surefire's flaky…) has not passed."""
_FILE = re.compile(r"[^\s:]+\.[A-Za-z]{1,5}")


class _Refused(Exception):
    """The document holds what no report needs."""


@dataclass(slots=True)
class _Open:
    """One `testsuite` or `testcase` being read."""

    name: str
    attributes: dict[str, str]
    outcome: str = "passed"
    message: str = ""
    text: list[str] = field(default_factory=list)


def read_junit(content: bytes) -> Report:
    """One document. Its `problem` says where the XML ends early or why it was refused."""
    if not content.strip():
        return Report(problem="the report is empty")
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = _refuse_doctype
    problem: str | None = None
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        problem = f"the report is not whole XML: {expat.ErrorString(error.code)} at line {error.lineno}"
    except (_Refused, ValueError) as error:  # ValueError: an encoding that Python does not know
        problem = f"the report was refused: {error}"
    if problem is None and not reader.rooted:
        problem = "the report is not JUnit XML"
    return bounded(reader.tests, reader.broken, problem)


def _refuse_doctype(*_declaration: object) -> None:
    raise _Refused("it declares a document type, which no test report needs")


class _Reader:
    """Collects the tests while expat walks through the document."""

    def __init__(self) -> None:
        self.tests: list[ReportedTest] = []
        self.broken: list[ReportedTest] = []
        self.rooted = False
        self._stack: list[str] = []
        self._suites: list[_Open] = []
        self._case: _Open | None = None
        self._reading: _Open | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        self._stack.append(tag)
        if len(self._stack) > MAX_DEPTH:
            raise _Refused(f"its elements are nested more than {MAX_DEPTH} deep")
        if len(self.tests) > MAX_TESTS:
            raise _Refused(f"it holds more than {MAX_TESTS} tests")
        if tag in {"testsuites", "testsuite"}:
            self.rooted = True
        if tag == "testsuite":
            self._suites.append(_Open(attributes.get("name", ""), attributes))
        elif tag == "testcase" and self.rooted:
            self._case = _Open(attributes.get("name", ""), attributes)
        elif tag in _BAD:
            self._fails(_BAD[tag], attributes)
        elif tag == "skipped" and self._case is not None and self._case.outcome == "passed":
            self._case.outcome = "skipped"

    def _fails(self, outcome: str, attributes: dict[str, str]) -> None:
        target = self._case or (self._suites[-1] if self._suites else None)
        if target is None:
            return
        if target.outcome != "failed":
            target.outcome = outcome
        kind, message = attributes.get("type", ""), attributes.get("message", "")
        target.message = target.message or message or kind
        self._reading = target

    def characters(self, text: str) -> None:
        target = self._reading
        if target is not None and sum(map(len, target.text)) < MAX_TEXT:
            target.text.append(text)

    def end(self, tag: str) -> None:
        tag = self._stack.pop()
        if tag in _BAD:
            self._reading = None
        elif tag == "testcase" and self._case is not None:
            value = self._reported(self._case)
            # vitest writes a file that could not be loaded as a test with the file's name.
            whole_file = value.outcome in {"failed", "error"} and value.name == value.file
            (self.broken if whole_file else self.tests).append(value)
            self._case = None
        elif tag == "testsuite":
            suite = self._suites.pop()
            if suite.outcome != "passed":
                self.broken.append(self._reported(suite))

    def _reported(self, opened: _Open) -> ReportedTest:
        attributes = opened.attributes
        titles = [suite.name for suite in self._suites if suite.name]
        owner = attributes.get("classname", "")
        files = (attributes.get("file"), *(suite.attributes.get("file") for suite in reversed(self._suites)))
        named = (name for name in (*reversed(titles), owner) if "/" in name and _FILE.fullmatch(name))
        file = next((f for f in files if f), None) or next(named, "")
        # node --test gives every test the class 'test'; vitest gives it the name of the file.
        suite = " > ".join(t for t in titles if t != file) if owner in {"", "test", file} else owner
        return reported(
            opened.name,
            opened.outcome,
            suite="" if opened.name.startswith(suite) else suite,
            file=file,
            message=opened.message,
            text="".join(opened.text) or opened.message,
            seconds=attributes.get("time", 0.0),
        )
