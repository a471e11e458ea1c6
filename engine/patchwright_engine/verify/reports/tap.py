"""TAP 13 and 14 as mocha, ava, node-tap and `node --test` write them, sub-tests indented by four spaces.

A test is known by its titles alone: only some writers tell a place, and only for some tests. Only leaves are tests: a
line that closes a sub-test counts when it failed though all below it passed (a hook did).
"""

import re
from dataclasses import dataclass, field

from patchwright_engine.verify.reports.base import MAX_TEXT, Report, ReportedTest, bounded, reported

_POINT = re.compile(r"( *)(not )?ok\b(?: +\d+)?(?: +- | +|$)(.*)")
_PLAN = re.compile(r"( *)1\.\.(\d{1,9})\b(.*)")
_SUBTEST = re.compile(r"( *)# Subtest: (.*)")
_DIRECTIVE = re.compile(r" # (SKIP|TODO)\b.*", re.IGNORECASE)
_FIELD = re.compile(r" *(error|message|name|duration_ms): *(.*)")
_FAILED = re.compile(r"# +fail(?:ed)? +(\d{1,9})")
MAX_DEPTH = 60


@dataclass(slots=True)
class _Level:
    """One nesting level of the stream."""

    points: int = 0
    planned: int | None = None
    leaves: int = 0
    bad: int = 0


@dataclass(slots=True)
class _Point:
    titles: list[str]
    outcome: str
    leaf: bool
    nested_bad: bool
    fields: dict[str, str] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)
    awaited: str = ""


def read_tap(content: bytes) -> Report:
    """One stream. Its `problem` tells of a missing plan, of points missing from it, or of a bail out."""
    levels: dict[int, _Level] = {0: _Level()}
    titles: dict[int, str] = {}
    points: list[_Point] = []
    problem: str | None = None
    in_yaml = False
    bad = counted = 0
    for line in content.decode("utf-8", "replace").splitlines():
        stripped = line.strip()
        if in_yaml:
            in_yaml = stripped != "..."
            if in_yaml and points:
                _take_yaml(points[-1], line)
        elif stripped == "---":
            in_yaml = True
        elif stripped.startswith("Bail out!"):
            problem = problem or f"the run was given up: {stripped[10:200].strip() or 'no reason given'}"
        elif match := _SUBTEST.fullmatch(line):
            titles[_depth(match[1])] = match[2].strip()
        elif (match := _PLAN.fullmatch(line)) is not None:
            levels.setdefault(_depth(match[1]), _Level()).planned = int(match[2])
        elif (match := _POINT.fullmatch(line)) is not None:
            depth = _depth(match[1])
            if depth > MAX_DEPTH:
                problem = problem or "its sub-tests are nested too deeply"
                continue
            points.append(_close(match, depth, levels, titles))
            bad += match[2] is not None
        elif match := _FAILED.fullmatch(line.rstrip()):
            counted = int(match[1])  # The last one is the tool's own.
        elif points and points[-1].outcome == "failed" and line.startswith("  "):
            _take_plain(points[-1], line)  # mocha prints the error as it is
    if counted > bad:
        problem = problem or f"the report counts {counted} failures and lists {bad}"
    return _report(points, problem or _gap(levels[0]))


def _close(match: re.Match[str], depth: int, levels: dict[int, _Level], titles: dict[int, str]) -> _Point:
    """The point of one line; the level below it, if there was one, belongs to it and is over."""
    below = levels.pop(depth + 1, None)
    level = levels.setdefault(depth, _Level())
    level.points += 1
    title = match[3]
    directive = _DIRECTIVE.search(title)
    outcome = "skipped" if directive else "failed" if match[2] else "passed"
    if below is not None and _gap(below) and outcome == "passed":
        outcome = "error"
    name = _DIRECTIVE.sub("", title).strip().replace("\\#", "#")
    enclosing = [titles[above] for above in range(depth) if above in titles]
    titles.pop(depth, None)
    leaf = below is None or below.points == 0
    nested_bad = below is not None and below.bad > 0
    level.bad += outcome in {"failed", "error"}
    return _Point([*enclosing, name], outcome, leaf, nested_bad)


def _report(points: list[_Point], problem: str | None) -> Report:
    tests: list[ReportedTest] = []
    broken: list[ReportedTest] = []
    for point in points:
        text = "\n".join(point.text)[-MAX_TEXT:] if point.outcome in {"failed", "error"} else ""
        said = [point.fields.get(key, "").strip("'\", ") for key in ("error", "message", "name")]
        value = reported(
            point.titles[-1],
            point.outcome,
            suite=" > ".join(point.titles[:-1]),
            message=next(filter(None, said), ""),
            text=text,
            seconds=_milliseconds(point.fields.get("duration_ms", "0")),
        )
        if point.leaf:
            tests.append(value)
        elif point.outcome in {"failed", "error"} and not point.nested_bad:
            broken.append(value)
    return bounded(tests, broken, problem)


def _gap(level: _Level) -> str | None:
    if level.planned is None:
        return "the report ends before its plan"
    if level.planned != level.points:
        return f"the report plans {level.planned} tests and lists {level.points}"
    return None


def _take_plain(point: _Point, line: str) -> None:
    point.fields.setdefault("error", line.strip())
    if len(point.text) < 200:
        point.text.append(line[:500])


def _take_yaml(point: _Point, line: str) -> None:
    if point.awaited:  # the first line of a block of text
        point.fields[point.awaited] = line.strip()
        point.awaited = ""
    elif match := _FIELD.fullmatch(line):
        value = match[2].strip()
        point.awaited = match[1] if value in {"|-", "|", ">-", ">"} else ""
        point.fields.setdefault(match[1], value)
    if len(point.text) < 200:
        point.text.append(line[:500])


def _depth(indent: str) -> int:
    return len(indent) // 4


def _milliseconds(value: str) -> float:
    try:
        return float(value) / 1000
    except ValueError:
        return 0.0
