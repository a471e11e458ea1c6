"""The JSON of `jest --json` and of vitest's json reporter, which follows it."""

from typing import Any

from patchwright_engine.verify.reports.base import Report, ReportedTest, bounded, parse_json, reported

_OUTCOMES = {
    "passed": "passed",
    "failed": "failed",
    "pending": "skipped",
    "skipped": "skipped",
    "todo": "skipped",
    "disabled": "skipped",
    "focused": "skipped",
}


def read_jest_json(content: bytes) -> Report:
    """One document; `suite` is the titles around a test, `file` the absolute path of its file."""
    document = parse_json(content)
    if not isinstance(document, dict) or not isinstance(document.get("testResults"), list):
        return Report(problem="the report is not whole JSON of jest or vitest")
    tests: list[ReportedTest] = []
    broken: list[ReportedTest] = []
    for file in _objects(document["testResults"]):
        path = file.get("name")
        cases = _objects(file.get("assertionResults"))
        for case in cases:
            titles = [title for title in _list(case.get("ancestorTitles")) if isinstance(title, str)]
            messages = [message for message in _list(case.get("failureMessages")) if isinstance(message, str)]
            text = "\n".join(messages)
            duration = case.get("duration")
            tests.append(
                reported(
                    case.get("title"),
                    _OUTCOMES.get(str(case.get("status")), "error"),
                    suite=" > ".join(title for title in titles if title),
                    file=path,
                    message=text.partition("\n")[0],
                    text=text,
                    seconds=duration / 1000 if isinstance(duration, int | float) else 0.0,
                )
            )
        if file.get("status") == "failed" and not any(case.get("status") == "failed" for case in cases):
            message = file.get("message")
            broken.append(reported(path, "error", file=path, message=_first(message), text=message))
    return bounded(tests, broken, _miscounted(document, tests))


def _miscounted(document: dict[str, Any], tests: list[ReportedTest]) -> str | None:
    outcomes = [test.outcome for test in tests]
    listed = {"Total": len(tests), "Passed": outcomes.count("passed"), "Failed": outcomes.count("failed")}
    for kind, count in listed.items():
        counted = document.get(f"num{kind}Tests")
        if isinstance(counted, int) and counted != count:
            which = "" if kind == "Total" else f"{kind.lower()} "
            return f"the report counts {counted} {which}tests and lists {count}"
    return None


def _first(message: object) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()] if isinstance(message, str) else []
    return lines[0] if lines else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: object) -> list[dict[str, Any]]:
    return [entry for entry in _list(value) if isinstance(entry, dict)]
