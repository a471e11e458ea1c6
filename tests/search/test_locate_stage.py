"""Understanding and localization: what answers name, what gets a place in the beam, what narrows it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from patchwright_engine.model.backend import CompletionRequest
from patchwright_engine.search.job import Job
from patchwright_engine.search.locate import BEAM, ScoredLocation, locate_fault, parse_symbols_named
from patchwright_engine.search.trace import read_trace
from patchwright_engine.search.understand import parse_paths, understand
from patchwright_engine.types import RepoPath, Symbol
from scripted_model import ScriptedModel

MakeJob = Callable[..., Job]
FILES = {
    "app/price.py": "RATE = 2\n\n\ndef net(x):\n    return x\n\n\ndef gross(x):\n    return net(x) * RATE\n",
    "app/cart.py": "class Cart:\n    def total(self):\n        return 0\n\n    def clear(self):\n        return None\n",
    "app/log.py": "def log(x):\n    return x\n\n\ndef log2(x):\n    return x\n\n\ndef log10(x):\n    return x\n",
    "other/cart.py": "def total():\n    return 1\n",
}
ISSUE = "`gross(3)` in app/price.py gives 6 but should give 3.6; `net` and `Cart.total` may matter"


def symbol(path: str, name: str) -> Symbol:
    return Symbol(RepoPath(path), name, "function", 1, 2)


SUSPECTS = [
    symbol("app/price.py", "gross"),
    symbol("app/price.py", "net"),
    symbol("app/cart.py", "Cart.total"),
    symbol("other/cart.py", "total"),
    symbol("app/log.py", "log"),
    symbol("app/log.py", "log10"),
    symbol("app/log.py", "__init__"),
]
KNOWN = frozenset(RepoPath(path) for path in FILES)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("app/price.py::gross", ["gross"]),
        ("1. `app/price.py::gross`\n2) app/price.py::net", ["gross", "net"]),
        ("- ### app/price.py::gross (lines 8-9)", ["gross"]),
        ("* price.py::gross(x)", ["gross"]),
        ("gross\ngross\nnet", ["gross", "net"]),
        ("app/cart.py::Cart.total", ["Cart.total"]),
        ("app/cart.py::total", ["Cart.total"]),
        ("other/cart.py::total", ["total"]),
        ("total", []),  # either of two
        ("app/log.py::__init__", ["__init__"]),
        ("app/price.py", []),
        ("I think that gross is wrong.", []),
        ("", []),
        ("app/log.py::log10", ["log10"]),
    ],
)
def test_symbols_are_read_from_answers(answer: str, expected: list[str]) -> None:
    assert [s.name for s in parse_symbols_named(answer, SUSPECTS)] == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("app/price.py", ["app/price.py"]),
        ("1. `./app/price.py`\n2. app/cart.py: the cart.", ["app/price.py", "app/cart.py"]),
        ("price.py and price.py", ["app/price.py"]),
        ("cart.py", []),  # either of two
        ("made/up.py ../app/price.py", []),
        ("It is in app/price.py.", ["app/price.py"]),
        ("", []),
    ],
)
def test_paths_are_read_from_answers(answer: str, expected: list[str]) -> None:
    assert list(parse_paths(answer, KNOWN)) == expected


def names(beam: tuple[ScoredLocation, ...]) -> list[str]:
    return [" ".join(s.name for s in one.location.symbols) for one in beam]


def scripted(*answers: str, likes: str = "\0") -> ScriptedModel:
    """`likes` is in the answers that the judge approves of; its question comes behind them."""
    return ScriptedModel(
        lambda _request: answers, lambda request: 0.9 if likes in request.messages[-2].content else 0.1
    )


def test_files_that_samples_agree_on_come_first_and_the_index_keeps_its_own(make_job: MakeJob, tmp_path: Path) -> None:
    model = scripted("app/log.py", "app/log.py", "other/cart.py", "nothing known")
    job = make_job(model, FILES, ISSUE)
    files = understand(job)
    assert files[:2] == ("app/log.py", "other/cart.py")
    assert job.ranking.files[0].path in files
    (step,) = [step for step in read_trace(tmp_path / "trace.jsonl") if step["kind"] == "file_sets"]
    assert [c["votes"] for c in step["candidates"]] == [2, 1]
    assert step["kept"] == list(files)


def test_the_judge_is_asked_about_files_only_when_answers_differ(make_job: MakeJob) -> None:
    model = scripted("app/log.py")
    understand(make_job(model, FILES, ISSUE))
    assert model.judged == []


def test_answers_that_name_nothing_leave_the_index_in_charge(make_job: MakeJob) -> None:
    job = make_job(scripted("I cannot tell."), FILES, ISSUE)
    files = understand(job)
    assert files == tuple(ranked.path for ranked in job.ranking.files[: len(files)])
    beam = locate_fault(job, files)
    assert 0 < len(beam) <= BEAM
    assert beam[0].location.votes == 0


def test_a_location_with_votes_and_the_judges_word_leads_the_beam(make_job: MakeJob) -> None:
    model = scripted("app/cart.py::Cart.total", likes="Cart.total")
    job = make_job(model, FILES, ISSUE)
    beam = locate_fault(job, (RepoPath("app/cart.py"),))
    assert names(beam)[0] == "Cart.total"
    assert beam[0].prm == 0.9
    assert beam[0].location.votes == 4
    assert len(beam) == BEAM
    assert [one.score for one in beam] == sorted((one.score for one in beam), reverse=True)


def test_one_answer_of_two_names_is_no_joint_change_two_are(make_job: MakeJob) -> None:
    both = "app/price.py::gross\napp/price.py::net"
    once = locate_fault(make_job(scripted(both, "a", "b", "c"), FILES, ISSUE), ())
    assert "gross net" not in names(once)


def test_answers_that_agree_on_two_names_make_a_joint_location(make_job: MakeJob) -> None:
    both = "app/price.py::gross\napp/price.py::net"
    assert "gross net" in names(locate_fault(make_job(scripted(both), FILES, ISSUE), ()))


def test_a_repository_without_code_has_no_location(make_job: MakeJob) -> None:
    model = scripted("README.md")
    assert locate_fault(make_job(model, {"README.md": "# Nothing\n"}, ISSUE), ()) == ()
    assert model.requests == []


def test_tests_are_not_suspected(make_job: MakeJob) -> None:
    tests = {"test_price.py": "from app.price import gross\n\n\ndef test_gross():\n    assert gross(0) == 0\n"}
    beam = locate_fault(make_job(scripted("test_price.py::test_gross"), {**FILES, **tests}, ISSUE), ())
    assert "test_gross" not in names(beam)


def test_what_does_not_fit_the_prompt_is_told(make_job: MakeJob, tmp_path: Path) -> None:
    asked: list[CompletionRequest] = []

    def answer(request: CompletionRequest) -> list[str]:
        asked.append(request)
        return ["nothing"]

    model = ScriptedModel(answer, context_tokens=200)
    job = make_job(model, FILES, ISSUE)
    locate_fault(job, understand(job))
    dropped = {s["stage"]: s["what"] for s in read_trace(tmp_path / "trace.jsonl") if s["kind"] == "dropped"}
    assert set(dropped) == {"understand", "locate"}
    for what, request in ((dropped["understand"], asked[0]), (dropped["locate"], asked[1])):
        assert what
        for piece in what:
            assert f"### {piece}" not in request.messages[-1].content


def test_answers_may_name_only_what_their_prompt_shows(make_job: MakeJob) -> None:
    model = scripted("app/price.py", "app/price.py::gross")
    job = make_job(model, {**FILES, "my app/odd name.py": "def odd():\n    return 1\n"}, ISSUE)
    locate_fault(job, understand(job))
    files, headings = (request.choices for request in model.requests)
    assert set(files) == {*FILES, "my app/odd name.py"}
    assert "app/price.py::gross" in headings
    shown = model.requests[1].messages[-1].content
    assert all(f"### {heading} (" in shown for heading in headings)
    assert shown.count("\n### ") + shown.startswith("### ") == len(headings)


@pytest.mark.parametrize("path", ["my app/odd name.py", "app/price.py"])
def test_a_line_that_is_a_choice_is_read_as_it_stands(path: str) -> None:
    known = KNOWN | {RepoPath("my app/odd name.py"), RepoPath("other/name.py")}
    assert parse_paths(f"{path}\n{path}\n", known) == (path,)
    suspects = [symbol(path, "odd"), symbol(path, "Odd.odd")]
    assert parse_symbols_named(f"{path}::odd\n", suspects) == (suspects[0],)
