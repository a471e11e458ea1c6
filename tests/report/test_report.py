"""A trace read as a report: the tree, what each stage cost, and whatever is missing said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.report import words
from patchwright_engine.report.build import read_report
from patchwright_engine.report.diffs import read_diff
from patchwright_engine.report.page import render_page
from recorded_search import ADD, DIFF, MUL, whole_search, write_trace

Reader = Callable[[list[dict[str, Any]]], Any]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    return lambda steps: read_report(write_trace(tmp_path / "t.jsonl", steps))


def test_a_search_is_told_by_stages_rounds_locations_and_candidates(read: Reader) -> None:
    report = read(whole_search())
    assert report.gaps == ()
    assert (report.title, report.model, report.rollouts_allowed) == ("`add` subtracts", "small-model", 4)
    assert [(one.names, one.kept) for one in report.file_sets] == [(("calc.py",), True), (("x.py",), False)]
    assert [(one.names, one.votes, one.prm, one.kept) for one in report.locations] == [
        ((ADD,), 3, 0.75, True),
        ((MUL,), 1, None, True),
        (("util.py::other",), 0, 0.2, False),
    ]
    assert report.tests is not None
    assert (report.tests.before, report.tests.other_files) == ("4 passed", 7)
    first, second = report.rounds
    assert [(test.votes, test.valid) for test in first.reproductions] == [(2, True), (1, False)]
    assert first.narrowed == (ADD, MUL)
    assert first.beliefs == {(ADD,): 0.7, (MUL,): 0.15}
    assert [candidate.verdict for candidate in first.candidates] == ["rejected"]
    assert [(location, [one.number for one in group]) for location, group in second.by_location] == [
        ((ADD,), [2]),
        ((MUL,), [3, 4]),
    ]
    fixed, again, refused = second.candidates
    assert (fixed.verdict, fixed.revises, fixed.votes, fixed.rank, fixed.orm) == ("reproduced", 1, 2, 1, 0.66)
    assert len(fixed.runs) == 3  # as it was judged last
    assert fixed.seconds == 1.5
    assert (again.verdict, again.same_as) == ("repeated", 2)
    assert (refused.verdict, refused.refused) == ("refused", "no code in the answer")
    assert any("#2 is right: 0.93" in remark for remark in second.remarks)
    assert report.best is not None
    assert report.best.candidate is fixed
    assert words.headline(report) == ("proven", "Verified fix found")
    assert words.why_stopped(report) == "Stopped because the best fix is proven and believed."


def test_the_shares_of_the_stages_add_up_to_the_whole(read: Reader) -> None:
    steps = whole_search()
    report = read(steps)
    assert sum(one.seconds for one in report.stages) == len(steps) - 1
    assert sum(one.generated for one in report.stages) == report.cost.generated_tokens == 250
    assert sum(one.prompt for one in report.stages) == report.cost.prompt_tokens
    assert sum(one.judged for one in report.stages) == report.cost.judge_tokens == 5
    by_stage = {one.stage: one for one in report.stages}
    assert (by_stage["repair"].samples, by_stage["verify"].samples) == (4, 3)


def test_what_came_from_an_earlier_search_costs_nothing(read: Reader) -> None:
    steps = [{**step, "replayed": True} if "replayed" in step else step for step in whole_search()]
    report = read(steps[:-1])
    assert (report.cost.generated_tokens, report.cost.prompt_tokens, report.cost.judge_tokens) == (0, 0, 0)
    assert report.cost.rollouts == 4


def test_a_search_without_its_end_is_told_as_far_as_it_goes(read: Reader) -> None:
    steps = whole_search()
    ends = {len(steps[: at + 1]) for at, step in enumerate(steps) if step["kind"] == "candidate"}
    for length in range(1, len(steps)):
        report = read(steps[:length])
        assert words.headline(report)[0] in ("open", "proven")
        assert "There is no end" in report.gaps[-1]
    render_page(report, "t.jsonl")
    killed = read(steps[: min(ends)])
    assert [one.finished for one in killed.rounds] == [False]
    assert killed.cost.seconds == min(ends) - 1
    found = read(steps[:-1])
    assert found.best is not None
    assert found.best.candidate.number == 2


def test_lines_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t.jsonl", whole_search())
    lines = path.read_text().splitlines(keepends=True)
    lines[7] = lines[7][: len(lines[7]) // 2] + "\n"
    path.write_text("".join(lines))
    report = read_report(path)
    assert report.gaps == ("Of the file, 1 line could not be read: 8.",)
    assert report.locations == ()
    assert len(report.rounds) == 2
    path.write_text("".join(lines)[:-30])
    assert "cut off in its middle" in "".join(read_report(path).gaps)


def test_a_file_without_its_beginning_or_with_two_searches_says_so(read: Reader) -> None:
    steps = whole_search()
    assert read(steps[1:]).gaps == ("The beginning is missing, and with it the issue.",)
    again = [*steps, {**steps[0], "issue": "another issue"}, *steps[1:]]
    path_of_two = read(again)
    assert path_of_two.gaps == ("The file holds 2 searches one after another; this is the last.",)
    assert path_of_two.title == "another issue"
    assert len(path_of_two.rounds) == 2


def test_no_field_is_trusted_to_be_there_or_to_be_what_it_was(read: Reader) -> None:
    told_of = set()
    for place, step in enumerate(whole_search()):
        for key in step:
            for odd in (None, 7, "odd", [None], {"a": 1}, float("nan"), True):
                steps = whole_search()
                steps[place] = {**step, key: odd} if key != "kind" else {**step, "kind": str(odd)}
                report = read(steps)
                told_of.update(report.gaps)
        render_page(report, "t.jsonl")
    assert any("(candidate: no usable 'runs')" in gap for gap in told_of)
    assert any("(end: no usable 'stopped')" in gap for gap in told_of)


def test_a_step_of_a_later_version_is_shown_as_it_is(read: Reader) -> None:
    steps = whole_search()
    steps.insert(18, {"kind": "omen", "colour": "red", "size": 3})
    report = read(steps)
    assert report.gaps == ()
    assert "omen: colour red, size 3" in report.rounds[0].remarks


def test_a_removed_line_that_looks_like_a_header_is_a_removed_line() -> None:
    kinds = [line.kind for line in read_diff(DIFF)]
    assert kinds == ["file", "file", "place", "same", "removed", "removed", "added", "added"]
    created = "--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+x = 1\n\\ No newline at end of file\n"
    assert [line.kind for line in read_diff(created)] == ["file", "file", "place", "added", "note"]
    assert list(read_diff("")) == []


def test_the_same_test_written_again_is_one_with_more_votes(read: Reader) -> None:
    steps = whole_search()
    written = next(step for step in steps if step["kind"] == "reproduction")
    steps.insert(20, {**written, "votes": 6})
    report = read(steps)
    assert [[test.votes for test in one.reproductions] for one in report.rounds] == [[6, 1], []]


def test_a_trace_from_before_the_report_is_told_too(read: Reader) -> None:
    """The fields that traces lacked at first: where a candidate belongs, what runs printed, why it stopped."""
    lacking = {"location", "tokens", "chance", "seconds", "output", "ranking", "time", "rollouts", "failure", "path"}
    later = {"baseline", "plan", "widened", "belief", "stop"}

    def old(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: old(one) for key, one in value.items() if key not in lacking or key in value.get("kept", ())}
        return [old(one) for one in value] if isinstance(value, list) else value

    steps = [step for step in whole_search() if step["kind"] not in later]
    bare = [old(step) if step["kind"] in ("start", "candidate", "reproduction") else step for step in steps]
    report = read(json.loads(json.dumps(bare)))
    assert report.gaps == ()
    assert [len(one.candidates) for one in report.rounds] == [1, 3]
    assert report.rounds[1].candidates[0].runs[0].seconds is None
    render_page(report, "t.jsonl")
