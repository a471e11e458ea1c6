"""The whole search in process: a scripted model, a real repository, index and sandbox."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.model.backend import Completion, CompletionBatch, CompletionRequest, DecodeProgress
from patchwright_engine.pipeline import FixRequest
from patchwright_engine.report.build import read_report
from patchwright_engine.report.journal import describe
from patchwright_engine.search.policy import load_policy
from patchwright_engine.search.simulate import record, replay
from patchwright_engine.types import Evidence, Fix, Issue, RepoPath
from patchwright_engine.verify.history import load_history
from patchwright_engine.verify.shards import Room
from scripted_model import Rule, ScriptedModel
from searched import Searched, run_search

CALC = '''\
def add(a, b):
    """The sum."""
    return a - b


def mul(a, b):
    return a * b


def neg(a):
    return -a
'''
TESTS = """\
from calc import add, mul


def test_mul():
    assert mul(2, 3) == 6


def test_add_nothing():
    assert add(7, 0) == 7
"""
PROJECT = {"calc.py": CALC, "test_calc.py": TESTS}
ISSUE = "`add(2, 3)` in calc.py returns -1. It should return 5."

FILES = Rule(("calc.py",), match="Which of these files")
PIECES = Rule(("calc.py::add",), match="Which of these pieces")
JUDGE = Rule(yes=0.9)
IN_REPAIR = "rewriting `add`"
RIGHT = "a + b"
CONSTANT = "5"
"""Satisfies the reproduction and breaks a test."""
HARMLESS = "a - b - 0"
"""Breaks nothing and helps nothing."""


def reproduction(*claims: str, match: str = "Imports:") -> Rule:
    body = "".join(f"    assert {claim}\n" for claim in claims)
    return Rule((f"```python\nimport pytest\nfrom calc import add\n\n\ndef test_issue():\n{body}```",), match=match)


SHOWS_IT = reproduction("add(2, 3) == 5")
SHOWS_NOTHING = reproduction("add(7, 0) == 7")


def fixed(*expressions: str, match: str = IN_REPAIR) -> Rule:
    """Candidates that let `add` return these expressions."""
    return Rule(tuple(f"```python\ndef add(a, b):\n    return {each}\n```" for each in expressions), match=match)


def rules(repair: Rule, *, shown: Sequence[Rule] = (SHOWS_IT,), pieces: Rule = PIECES) -> ScriptedModel:
    return ScriptedModel.of(FILES, pieces, *shown, repair, JUDGE)


Search = Callable[..., Searched]


@pytest.fixture
def search(make_repository: Callable[[Mapping[str, str]], Path]) -> Search:
    """Runs a search over a project."""

    def run(
        model: ScriptedModel,
        *,
        files: Mapping[str, str] = PROJECT,
        cancel: CancelToken | None = None,
        on_fix: Callable[[Fix], None] | None = None,
        **fields: Any,
    ) -> Searched:
        request = FixRequest(Issue(ISSUE), make_repository(files), python=sys.executable)
        return run_search(replace(request, **fields), model, cancel, on_fix)

    return run


def test_a_fix_verified_in_the_first_round_ends_the_search(search: Search) -> None:
    found = search(rules(fixed(RIGHT)))
    assert found.result.stopped == "verified"
    assert found.evidence == [Evidence.REPRODUCED]
    assert found.result.cost.rollouts == 1
    (fix,) = found.result.fixes
    assert "-    return a - b\n+    return a + b\n" in fix.patch.diff
    assert {run.kind: (run.exit, run.before, run.after) for run in fix.runs} == {
        "reproduction": (0, "1 failed", "1 passed"),
        "regression": (0, "2 passed", "2 passed"),
    }
    assert [one.id for one in found.heard] == [fix.id]
    assert found.result.notes == ()
    (believed,) = found.steps("belief")
    assert believed["confidence"] > 0.75
    assert found.steps("stop")[0]["reason"] == "the best fix is proven and believed"
    # The first samples for tests were enough.
    assert len(found.asked("Imports:")) == 1
    stages = list(dict.fromkeys(progress.stage for progress in found.progress))
    assert stages == ["index", "understand", "locate", "verify", "reproduce", "repair", "rank", "done"]
    assert found.progress[-1].best_evidence == "reproduced"
    assert [p.rollouts for p in found.progress] == sorted(p.rollouts for p in found.progress)
    assert {p.budget for p in found.progress} == {8}


@pytest.mark.usefixtures("unbelieving")
def test_a_fix_that_is_not_believed_is_asked_more_tests_and_more_candidates(search: Search) -> None:
    found = search(rules(fixed(RIGHT, "b + a", RIGHT)), budget="4")
    assert found.result.stopped == "verified"
    assert found.result.cost.rollouts == 4
    assert [request.n for request in found.asked("Imports:")] == [3, 4]
    # Equal answers are one candidate with more votes.
    assert [step.get("votes") for step in found.steps("candidate")] == [None, None, 2, 3]


@pytest.mark.usefixtures("unbelieving")
def test_a_recorded_search_is_replayed_under_other_policies(search: Search) -> None:
    found = search(rules(fixed(HARMLESS, RIGHT, "b + a")), budget="8")
    recorded = record(found.steps())
    assert recorded is not None
    policy = load_policy()
    same = replay(recorded, replace(policy, confidence=1.0), 8)
    assert (same.rollouts, same.missing) == (8, 0)
    assert same.patch in {fix.id for fix in found.result.fixes}
    searched = [step for step in found.steps("complete") if step["stage"] != "rank"]
    assert same.tokens == sum(step["generated_tokens"] for step in searched)
    early = replay(recorded, policy, 8)
    assert early.evidence is Evidence.REPRODUCED
    assert early.rollouts == 2
    assert early.tokens < same.tokens
    none = replay(recorded, replace(policy, gain=1.0), 8)
    assert (none.patch, none.rollouts) == (None, 0)


def test_a_search_without_candidates_cannot_be_replayed(search: Search) -> None:
    assert record(search(rules(fixed(RIGHT)), files={"README.md": "# Nothing\n"}).steps()) is None


def test_every_step_is_of_this_schema_and_can_be_shown(search: Search) -> None:
    found = search(rules(fixed(CONSTANT, HARMLESS)), budget="quick")
    steps = found.steps()
    assert {step["schema"] for step in steps} == {1}
    assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)
    assert [steps[0]["kind"], steps[-1]["kind"]] == ["start", "end"]
    for step in steps:
        assert not describe(step)[0].startswith(f"{step['kind']}:"), step  # as a step of an unknown kind is told
    assert read_report(found.result.trace).gaps == ()


def test_wrong_patches_are_rejected_with_reasons_and_a_revision_of_the_nearest_wins(search: Search) -> None:
    model = ScriptedModel.of(
        FILES, PIECES, SHOWS_IT, fixed(CONSTANT, HARMLESS), fixed(RIGHT, match="That change does not work"), JUDGE
    )
    found = search(model, budget="12")
    assert found.result.stopped == "verified"
    assert found.result.cost.rollouts == 2
    (fix,) = found.result.fixes
    assert "return a + b" in fix.patch.diff
    candidates = [step for step in found.steps("candidate") if "diff" in step]
    assert [step["evidence"] for step in candidates] == [None, "reproduced"]
    assert "breaks tests that passed before" in candidates[0]["feedback"]
    assert "test_add_nothing" in candidates[0]["feedback"]
    assert candidates[1]["revised"] == candidates[0]["patch"]
    (fresh, revised) = found.steps("plan")
    assert (len(fresh["places"][0]["gains"]), len(revised["revisions"][0]["gains"])) == (1, 1)
    (revision,) = found.asked("That change does not work")
    assert "test_add_nothing" in revision.messages[-1].content
    assert [one.id for one in found.heard] == [fix.id]


def test_what_fails_the_reproduction_but_breaks_nothing_is_a_last_resort(search: Search) -> None:
    found = search(rules(fixed(HARMLESS, CONSTANT)), budget="quick")
    assert found.result.stopped == "budget"
    assert found.evidence == [Evidence.REGRESSION_ONLY]
    assert "a - b - 0" in found.result.fixes[0].patch.diff
    assert {run.kind: run.exit for run in found.result.fixes[0].runs} == {"reproduction": 1, "regression": 0}


def test_a_reproduction_that_passes_on_the_bug_is_no_proof(search: Search) -> None:
    found = search(rules(fixed(RIGHT), shown=[SHOWS_NOTHING]), budget="4")
    assert found.result.stopped == "budget"
    assert found.evidence == [Evidence.REGRESSION_ONLY]
    assert {run.kind for run in found.result.fixes[0].runs} == {"regression"}
    assert any("describe an exact call" in note for note in found.result.notes)
    shown = found.steps("reproduction")
    assert [step["valid"] for step in shown] == [False, False, False]
    assert "passes on the unpatched code" in shown[0]["reason"]
    # The second try is told why the first was of no use; there is no third.
    assert [request.n for request in found.asked("Imports:")] == [3, 4, 3, 4]
    first, second = ["Earlier tests were of no use" in r.messages[-1].content for r in found.asked("Imports:")[::2]]
    assert (first, second) == (False, True)
    assert "passes on the unpatched code" in found.asked("Imports:")[2].messages[-1].content


def test_a_round_without_a_reproduction_does_not_repeat_the_one_before(search: Search) -> None:
    found = search(rules(fixed(RIGHT), shown=[SHOWS_NOTHING]), budget="4")
    asked = [replace(request, seed=0) for request in found.asked(IN_REPAIR)]
    assert len(asked) == len(set(asked)) > 1


def test_a_reproduction_found_late_proves_earlier_candidates_too(search: Search) -> None:
    late = reproduction("add(2, 3) == 5", match="Earlier tests were of no use")
    found = search(rules(fixed(RIGHT), shown=[late, SHOWS_NOTHING]), budget="4")
    assert found.evidence == [Evidence.REPRODUCED]


def test_reproductions_take_the_place_of_code_that_was_never_entered(search: Search) -> None:
    pieces = Rule(("calc.py::mul",), match="Which of these pieces")
    model = rules(fixed(RIGHT), pieces=pieces)
    model.yes = lambda request: 0.9 if "def mul" in request.messages[-1].content else 0.1
    found = search(model, issue=Issue(ISSUE + " `mul` looks like it.\n\nfrom calc import add\n"), budget="quick")
    (located,) = found.steps("locations")
    assert located["candidates"][0]["symbols"] == ["calc.py::mul"]
    (narrowed,) = found.steps("narrowed")
    assert narrowed["entered"] == narrowed["kept"] == ["calc.py::add"]
    assert found.evidence == [Evidence.REPRODUCED]
    assert not found.asked("rewriting `mul`")


def test_a_named_failing_test_is_followed_before_anything_is_asked(search: Search) -> None:
    files = {**PROJECT, "test_calc.py": f"{TESTS}\n\ndef test_add():\n    assert add(2, 3) == 5\n"}
    issue = Issue("Sums are wrong.", test_command="pytest test_calc.py::test_add")
    found = search(rules(fixed(RIGHT)), files=files, issue=issue, budget="quick")
    (followed,) = found.steps("execution")
    assert (followed["failed"], followed["passed"]) == (["test_calc.py::test_add"], 2)
    assert followed["ranking"][0][0] == "calc.py"
    line, suspected = describe(followed)
    assert "1 failing tests followed, beside 2 that pass" in line
    assert suspected[0] == "suspected calc.py"


def test_a_command_that_names_no_test_is_no_obstacle(search: Search) -> None:
    found = search(rules(fixed(RIGHT)), issue=Issue(ISSUE, test_command="false"), budget="quick")
    (followed,) = found.steps("execution")
    assert "names no test" in followed["problem"]
    assert "No failing test followed" in describe(followed)[0]
    assert found.steps("candidate")


def test_the_failing_reproduction_is_shown_to_the_repair(search: Search) -> None:
    (request,) = search(rules(fixed(RIGHT)), budget="quick").asked(IN_REPAIR)
    assert "assert add(2, 3) == 5" in request.messages[-1].content
    assert "assert -1 == 5" in request.messages[-1].content


def test_claims_of_one_answer_are_judged_alone(search: Search) -> None:
    """A wrong expectation beside the right one neither condemns the fix nor hides."""
    both = reproduction("add(2, 3) == 5", "add(1, 1) == 3")
    found = search(rules(fixed(RIGHT), shown=[both]), budget="quick")
    assert [step["valid"] for step in found.steps("reproduction")] == [True, True]
    assert found.evidence == [Evidence.REPRODUCED]
    assert found.steps("candidate")[0]["agreement"] == 0.5
    assert found.result.stopped == "budget"  # half of what was asked of a fix disagrees: not settled


def test_a_fix_that_most_reproductions_contradict_is_not_verified(search: Search) -> None:
    one_of_three = reproduction("add(2, 3) == 5", "add(1, 1) == 3", "add(4, 4) == 9")
    found = search(rules(fixed(RIGHT), shown=[one_of_three]), budget="quick")
    assert round(found.steps("candidate")[0]["agreement"], 1) == 0.3
    assert found.evidence == [Evidence.REGRESSION_ONLY]
    assert found.result.stopped == "budget"


def test_what_the_model_found_no_memory_for_is_told(search: Search) -> None:
    model = rules(fixed(RIGHT))
    model.gave_up = ("context kept in q8_0 instead of f16",)
    found = search(model, budget="quick")
    assert found.result.notes == ("Memory is short for scripted: context kept in q8_0 instead of f16.",)


def test_another_models_search_is_not_resumed(search: Search, tmp_path: Path) -> None:
    search(rules(fixed(HARMLESS)), budget="quick", trace=tmp_path / "one.jsonl")
    other = rules(fixed(RIGHT))
    other.name = "another"
    with pytest.raises(BadInput, match="made by scripted, and this one asks another") as refused:
        search(other, budget="quick", trace=tmp_path / "two.jsonl", resume=tmp_path / "one.jsonl")
    assert "start anew" in refused.value.cure
    assert (other.requests, other.judged) == ([], [])


def test_what_is_damaged_of_an_earlier_search_is_asked_anew_and_said(search: Search, tmp_path: Path) -> None:
    first = search(rules(fixed(RIGHT)), budget="quick", trace=tmp_path / "one.jsonl")
    kept = (tmp_path / "one.jsonl").read_text().splitlines()
    number = next(n for n, line in enumerate(kept) if IN_REPAIR in line and '"kind": "complete"' in line)
    (tmp_path / "one.jsonl").write_text("\n".join([*kept[:number], kept[number][:-40]]))
    again = search(rules(fixed(RIGHT)), budget="quick", trace=tmp_path / "two.jsonl", resume=tmp_path / "one.jsonl")
    assert len(again.model.requests) == len(again.asked(IN_REPAIR)) == 1
    assert [fix.patch for fix in again.result.fixes] == [fix.patch for fix in first.result.fixes]
    assert "The earlier search's trace is damaged: 1 step of it cannot be used and is asked anew." in again.result.notes


def test_tests_that_are_not_run_are_said(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchwright_engine.search.opening.MAX_TEST_FILES", 1)
    monkeypatch.setattr("patchwright_engine.search.opening.MAX_OTHER_FILES", 1)
    files = {**PROJECT, "test_more.py": TESTS, "test_most.py": TESTS}
    found = search(rules(fixed(RIGHT)), files=files, budget="quick")
    assert "Of 3 test files only the 2 nearest to the suspected code are run." in found.result.notes


def test_a_verified_fix_over_which_the_other_tests_were_not_run_is_said(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchwright_engine.search.opening.MAX_TEST_FILES", 1)
    cancel = CancelToken()
    files = {**PROJECT, "test_more.py": TESTS, "test_most.py": TESTS}
    found = search(rules(fixed(RIGHT)), files=files, budget="quick", cancel=cancel, on_fix=lambda _fix: cancel.cancel())
    assert (found.result.stopped, found.evidence) == ("cancelled", [Evidence.REPRODUCED])
    assert "2 other test files were not run over 1 of the verified fixes." in found.result.notes


def test_other_tests_that_all_fail_by_themselves_are_said_to_judge_nothing(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchwright_engine.search.opening.MAX_TEST_FILES", 1)
    files = {**PROJECT, "other/test_broken.py": "import not_installed_here\n"}
    found = search(rules(fixed(RIGHT)), files=files, budget="quick")
    assert found.evidence == [Evidence.REPRODUCED]
    assert any("no test of the 1 other test files passes" in note for note in found.result.notes)


@pytest.mark.parametrize("threads", [0, 10_000])
def test_the_projects_other_tests_are_run_before_a_fix_is_called_verified(
    threads: int, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the background where the model leaves the processor free, else when they are needed: the same comes out."""
    monkeypatch.setattr("patchwright_engine.search.opening.MAX_TEST_FILES", 1)
    monkeypatch.setattr("patchwright_engine.verify.background.room_here", lambda: Room(2, 64 << 30))
    far = "import calc\n\n\ndef test_far():\n    assert calc.add(100, 0) == 100\n\n\ndef test_fails():\n    assert 0\n"
    files = {**PROJECT, "other/test_far.py": far}
    model = rules(fixed("a + b if a < 9 else 0", RIGHT))
    model.cpu_threads = threads
    found = search(model, files=files, budget="4")
    assert found.result.stopped == "verified"
    assert found.result.notes == (
        "Of 2 test files, 1 are run over every candidate (those nearest to the suspected code); "
        "the other 1 in the end, over the best fixes.",
    )
    said = [progress.message for progress in found.progress]
    assert ("running 1 other test files in the background" in said) is (threads == 0)
    assert ("running the 1 other test files as they are before any fix" in said) is (threads > 0)
    assert "running 1 more test files over the best candidate" in said
    (fix,) = found.result.fixes
    assert "return a + b\n" in fix.patch.diff
    assert [(run.command, run.before, run.after) for run in fix.runs if run.kind == "regression"] == [
        ("pytest test_calc.py", "2 passed", "2 passed"),
        ("pytest other/test_far.py", "1 failed, 1 passed", "1 failed, 1 passed"),
    ]
    rejected = [step for step in found.steps("candidate") if "test_far" in step.get("feedback", "")]
    assert [step["evidence"] for step in rejected] == [None]
    known = load_history(Path(found.steps("start")[0]["root"]))
    assert {path for path, test in known.items() if test.seconds > 0} == {"test_calc.py", "other/test_far.py"}


@pytest.mark.usefixtures("unbelieving")
def test_tied_candidates_are_ordered_by_the_judge(search: Search) -> None:
    model = rules(fixed("b + a", "sum((a, b))"))
    model.yes = lambda request: 0.8 if "sum((a, b))" in request.messages[-1].content else 0.2
    found = search(model, budget="quick")
    assert found.evidence == [Evidence.REPRODUCED] * 2
    assert "sum((a, b))" in found.result.fixes[0].patch.diff
    assert "rank" in [progress.stage for progress in found.progress]


@pytest.mark.usefixtures("unbelieving")
def test_fixes_that_pass_everything_show_where_they_differ(search: Search) -> None:
    """One adds, the other only small numbers; no test tells."""
    files = {**PROJECT, "test_calc.py": TESTS.replace("add(7, 0)", "add(3, 0)").replace("== 7", "== 3")}
    found = search(rules(fixed("a + b", "a + b if a < 4 else a")), files=files, budget="quick")
    assert found.evidence == [Evidence.REPRODUCED] * 2
    (behaviour,) = found.steps("behaviour")
    assert [len(group) for group in behaviour["groups"]] == [1, 1]
    for fix, other in zip(found.result.fixes, reversed(found.result.fixes), strict=True):
        (told,) = fix.differences
        shown, _, outcomes = told.partition(": ")
        first, second = (int(number) for number in re.findall(r"-?\d+", shown))
        wrong = "a < 4" in fix.patch.diff
        assert f"this fix returns {first if wrong else first + second}" in outcomes
        assert f"fix {other.rank} returns {first + second if wrong else first}" in outcomes
        assert outcomes.endswith(f"before returns {first - second}")
    assert not found.asked("Write calls")
    again = search(rules(fixed("a + b", "sum((a, b))")), files=files, budget="quick")
    assert [fix.differences for fix in again.result.fixes] == [(), ()]
    assert [len(group) for group in again.steps("behaviour")[0]["groups"]] == [2]


def test_the_reproduction_is_offered_as_a_test_of_the_project(search: Search) -> None:
    (fix,) = search(rules(fixed(RIGHT)), budget="quick").result.fixes
    assert fix.test is not None
    assert fix.test.path == "test_add_2_3_calc_py.py"
    assert fix.test.created
    assert "from calc import add\n\n\ndef test_add_2_3_calc_py():\n    assert add(2, 3) == 5\n" in fix.test.after
    assert fix.test.path not in fix.patch.paths


def test_a_reproduction_that_contradicts_the_majority_is_dropped(search: Search) -> None:
    three = reproduction("add(2, 3) == 5", "add(1, 4) == 5", "add(1, 1) == 3")
    found = search(rules(fixed(RIGHT), shown=[three]), budget="4")
    assert any("1 of 3 reproductions contradict" in note for note in found.result.notes)
    (fix, *_) = found.result.fixes
    assert fix.evidence is Evidence.REPRODUCED
    assert [run.exit for run in fix.runs if run.kind == "reproduction"] == [0, 0]


def test_a_cancel_in_the_middle_keeps_what_was_found(search: Search) -> None:
    cancel = CancelToken()
    found = search(rules(fixed(RIGHT, HARMLESS)), budget="8", cancel=cancel, on_fix=lambda _fix: cancel.cancel())
    assert found.result.stopped == "cancelled"
    assert found.evidence == [Evidence.REPRODUCED]
    assert found.steps()[-1]["result"]["stopped"] == "cancelled"
    assert len(found.steps("candidate")) == 1


def test_a_cancel_before_the_search_ends_it_with_nothing(search: Search) -> None:
    cancel = CancelToken()
    cancel.cancel()
    found = search(rules(fixed(RIGHT)), cancel=cancel)
    assert (found.result.stopped, found.result.fixes) == ("cancelled", ())
    assert found.model.requests == []
    assert [step["kind"] for step in found.steps()] == ["start", "end"]


def test_a_search_that_talks_too_much_ends_with_a_note(search: Search) -> None:
    found = search(rules(Rule(("talk " * 30_000,), match=IN_REPAIR)), budget="8")
    assert found.result.stopped == "no_candidates"
    assert found.result.cost.rollouts == 2
    assert "The search reached its limit of generated tokens." in found.result.notes
    assert [step["refused"] for step in found.steps("candidate")]


def test_a_resumed_search_asks_nothing_and_finds_the_same(search: Search, tmp_path: Path) -> None:
    first = search(rules(fixed(CONSTANT, HARMLESS)), budget="quick", trace=tmp_path / "one.jsonl")
    again = search(rules(fixed(RIGHT)), budget="quick", trace=tmp_path / "two.jsonl", resume=tmp_path / "one.jsonl")
    assert (again.model.requests, again.model.judged) == ([], [])
    assert again.result.cost.generated_tokens == 0
    assert outcome(again) == outcome(first)
    deeper = search(rules(fixed(RIGHT)), budget="4", trace=tmp_path / "3.jsonl", resume=tmp_path / "two.jsonl")
    # It walks the same tree first and pays for the second round alone.
    assert len(deeper.model.requests) == len(deeper.asked(IN_REPAIR)) == 1
    assert deeper.model.requests[0] not in first.model.requests
    assert deeper.evidence == [Evidence.REPRODUCED]
    assert [step["replayed"] for step in deeper.steps("complete")] == [True] * 5 + [False]


TIMING = {"at", "seconds", "replayed", "result", "budget", "command", "time", "resumed", "output"}
"""What may differ between equal searches: times, costs, and what a run printed, which tells how long it took."""


def outcome(searched: Searched) -> list[Any]:
    """A trace without what may differ, kind by kind: candidates are judged beside the model, whoever is first."""

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(one) for key, one in value.items() if key not in TIMING}
        return [kept(one) for one in value] if isinstance(value, list) else value

    return sorted((kept(step) for step in searched.steps()), key=lambda step: str(step["kind"]))


def test_equal_seeds_search_alike_and_others_ask_with_other_seeds(search: Search, tmp_path: Path) -> None:
    one, two = (search(rules(fixed(HARMLESS)), budget="quick", seed=3) for _ in range(2))
    assert one.model.requests == two.model.requests
    assert outcome(one) == outcome(two)
    assert [fix.id for fix in one.result.fixes] == [fix.id for fix in two.result.fixes]
    other = search(rules(Rule()), budget="quick", seed=4)
    assert {r.seed for r in other.model.requests}.isdisjoint(r.seed for r in one.model.requests)


def test_unsaved_text_is_what_is_searched_and_changed(search: Search) -> None:
    unsaved = "# Not saved yet.\n" + CALC
    saved = {**PROJECT, "calc.py": CALC.replace("a - b", "a + b")}
    found = search(rules(fixed(RIGHT)), files=saved, overlays={RepoPath("calc.py"): unsaved}, budget="quick")
    (fix,) = found.result.fixes
    assert fix.evidence is Evidence.REPRODUCED
    (edit,) = fix.patch.edits
    assert (edit.before, edit.after) == (unsaved, unsaved.replace("a - b", "a + b"))


def test_a_repository_without_code_says_so(search: Search) -> None:
    found = search(rules(fixed(RIGHT)), files={"README.md": "# Nothing\n"})
    assert found.result.stopped == "no_candidates"
    assert found.result.notes == ("No function or class was found that could be at fault.",)


def test_an_empty_issue_is_refused_before_anything_is_done(search: Search) -> None:
    model = rules(fixed(RIGHT))
    with pytest.raises(BadInput, match="empty"):
        search(model, issue=Issue(" \n"))
    assert model.requests == []


@dataclass
class StrictModel(ScriptedModel):
    """Refuses what does not fit its context, as the real ones do."""

    thinks: bool = False

    def complete(
        self,
        request: CompletionRequest,
        cancel: CancelToken,
        *,
        on_progress: Callable[[DecodeProgress], None] | None = None,
        on_completion: Callable[[int, Completion], None] | None = None,
    ) -> CompletionBatch:
        prompt = sum(self.count_tokens(message.content) for message in request.messages)
        room = request.max_answer_tokens + (request.max_think_tokens if self.thinks else 0)
        if prompt + room > self.context_tokens:
            raise BadInput(f"a prompt of {prompt} tokens and an answer of {room} do not fit {self.context_tokens}")
        return super().complete(request, cancel, on_progress=on_progress, on_completion=on_completion)


WIDE = "".join(f"    b = b + {'0' * 60}  # {n}\n" for n in range(36))
CROWDED = {
    "calc.py": CALC.replace('    """The sum."""\n', WIDE),
    "test_calc.py": TESTS,
    **{f"part{n}.py": f"def add_{n}(a, b):\n    return a - b  # {'x' * 200}\n" * 3 for n in range(40)},
}


@pytest.mark.parametrize(("budget", "thinks"), [("4", False), ("8", False), ("4", True), ("8", True)])
def test_nothing_that_is_asked_ever_overfills_the_context(search: Search, budget: str, thinks: bool) -> None:
    long_answer = Rule(("```python\ndef add(a, b):\n" + WIDE + "    return a * b\n```",), match=IN_REPAIR)
    script = rules(long_answer)
    model = StrictModel(script.answers, script.yes, context_tokens=4096, thinks=thinks)
    issue = ISSUE + "\n" + "\n".join(f"line {n} of a long report" for n in range(600))
    found = search(model, files=CROWDED, issue=Issue(issue), budget=budget)
    assert any("middle was left out" in note for note in found.result.notes)
    assert {step["stage"] for step in found.steps("dropped")} == {"understand", "locate"}
    assert found.asked(IN_REPAIR)
    assert budget == "4" or found.asked("That change does not work")


def test_a_test_id_that_is_none_of_the_project_is_said_though_nothing_is_found(search: Search) -> None:
    issue = Issue("x", test_command="tests/none.py::test_x")
    found = search(ScriptedModel.of(Rule(("none of them",))), files={"notes.txt": "x\n"}, issue=issue)
    assert found.result.stopped == "no_candidates"
    assert any("`tests/none.py::test_x` names no test of this project" in note for note in found.result.notes)
