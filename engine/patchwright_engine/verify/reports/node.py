"""The lines of our own reporter for `node --test` (`runners/patchwright_node.mjs`), one JSON object each.

They are written by the process that starts the test files, not by theirs, and bear a seal, taken off in `seals.py`.
"""

from patchwright_engine.verify.reports.base import Report, ReportedTest, bounded, json_lines, reported


def read_node_lines(content: bytes) -> Report:
    """Without the `end` line the report was cut short."""
    tests: list[ReportedTest] = []
    broken: list[ReportedTest] = []
    ended = False
    for record in json_lines(content):
        if isinstance(record, str):
            continue
        failure = record.get("failure")
        failure = failure if isinstance(failure, dict) else {}
        what = {key: record.get(key) for key in ("suite", "file", "seconds")}
        said = {"message": failure.get("message"), "text": failure.get("text")}
        if record.get("kind") == "test" and record.get("outcome") in {"passed", "failed", "skipped"}:
            tests.append(reported(record.get("name"), str(record["outcome"]), **what, **said))
        elif record.get("kind") == "collect":
            broken.append(reported(record.get("name"), "error", **what, **said))
        ended = record.get("kind") == "end"
    return bounded(tests, broken, None if ended else "the report ends before the run does")
