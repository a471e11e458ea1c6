"""The lines of `go test -json` (`go doc test2json`). A test that began and has no end crashed with its package."""

from typing import Any

from patchwright_engine.verify.reports.base import MAX_TEXT, Report, ReportedTest, bounded, json_lines, reported

_ENDS = {"pass": "passed", "fail": "failed", "skip": "skipped"}


def read_go_json(content: bytes) -> Report:
    """`suite` is the import path of the package; sub-tests are named 'Parent/child'."""
    running: dict[str, dict[str, None]] = {}
    """Package → its tests that began and have not ended."""
    output: dict[tuple[str, str], str] = {}
    tests: list[ReportedTest] = []
    broken: list[ReportedTest] = []
    packages: dict[str, bool] = {}
    """Package → whether it has ended."""
    started: set[str] = set()
    """Packages of which go (from 1.20 on) tells that they start: then it never misses the begin of a test either."""
    failing: set[str] = set()
    builds: dict[str, str] = {}
    spoiled: str | None = None
    for event in json_lines(content):
        if isinstance(event, str) and event.startswith("{"):
            spoiled = spoiled or "the report holds a line that is cut off"
        if isinstance(event, str) or not isinstance(event.get("Action"), str):
            continue
        action = event["Action"]
        if action in {"build-output", "build-fail"}:
            path = _text(event, "ImportPath")
            builds[path] = (builds.get(path, "") + _text(event, "Output"))[-MAX_TEXT:]
            continue
        package, test = _text(event, "Package"), _text(event, "Test")
        key = (package, test)
        packages.setdefault(package, False)
        if action == "output":
            output[key] = (output.get(key, "") + _text(event, "Output"))[-MAX_TEXT:]
        elif action == "start":
            started.add(package)
        elif action == "run" and test:
            running.setdefault(package, {})[test] = None
        elif action in _ENDS and test:
            if (package in started and test not in running.get(package, {})) or packages[package]:
                spoiled = spoiled or f"the report ends {reported(test, 'error').name}, which was not running"
            running.get(package, {}).pop(test, None)
            failing.update([package] if action == "fail" else [])
            text = output.pop(key, "") if action == "fail" else ""
            seconds = event.get("Elapsed")
            tests.append(reported(test, _ENDS[action], suite=package, message=_first(text), text=text, seconds=seconds))
        elif action in _ENDS:
            if packages[package]:
                spoiled = spoiled or f"the report ends {reported(package, 'error').name} twice"
            packages[package] = True
            crashed = running.pop(package, {})
            for name in crashed:
                text = output.pop((package, name), "") + output.get(key, "")
                tests.append(reported(name, "error", suite=package, message=_first(text), text=text))
            if action == "fail" and not crashed and package not in failing:
                text = builds.get(_text(event, "FailedBuild"), "") + output.get(key, "")
                broken.append(reported(package, "error", suite=package, message=_first(text), text=text))
    return bounded(tests, broken, spoiled or _problem(packages))


def _problem(packages: dict[str, bool]) -> str | None:
    """A report cut off between two packages looks whole; the tool's exit status tells."""
    unfinished = [package for package, ended in packages.items() if not ended]
    if unfinished:
        return f"the report ends before {unfinished[0]} is done"
    return None if packages else "the report tells of no package"


def _text(event: dict[str, Any], key: str) -> str:
    value = event.get(key)
    return value if isinstance(value, str) else ""


def _first(text: str) -> str:
    """The line that tells most: not the frame that go prints around it."""
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if line and not line.startswith(("===", "---", "FAIL", "# "))), "")
