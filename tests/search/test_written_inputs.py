"""Where inputs made from tests leave all fixes alike, the model is asked for some: once, as a hint, not as evidence."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.model.backend import CompletionRequest
from patchwright_engine.model.client import HostedModel
from patchwright_engine.pipeline import FixRequest, run_fix
from patchwright_engine.sandbox.select import select_sandbox
from patchwright_engine.search import written_inputs as module
from patchwright_engine.search.candidates import Candidate
from patchwright_engine.search.job import Job
from patchwright_engine.search.repair_stage import Attempt
from patchwright_engine.search.trace import read_trace
from patchwright_engine.search.written_inputs import written_inputs
from patchwright_engine.types import Evidence, FileEdit, FixResult, Issue, Location, Patch, RepoPath, Symbol
from patchwright_engine.verify.behaviour import observe
from patchwright_engine.verify.environment import discover_environment
from patchwright_engine.verify.evidence import Verification
from patchwright_engine.verify.probes import derive_probes
from scripted_model import Rule, ScriptedModel

FILES = {
    "calc.py": "def clip(n):\n    return n - 1\n",
    "test_calc.py": "from calc import clip\n\n\ndef test_small():\n    assert clip(1) < 2\n",
}
ISSUE = "`clip(5)` in calc.py returns 4. It should return 5."
CAPPED, BROKEN, SAME = "n if n < 700 else 700", "n if n < 700 else -1", "min(n, 700)"
"""Right for small numbers, of which alone the inputs made from tests are."""

Search = Callable[..., FixResult]


def scripted(*written: str, fixes: tuple[str, ...] = (CAPPED, BROKEN)) -> ScriptedModel:
    claim = "```python\nimport pytest\nfrom calc import clip\n\n\ndef test_issue():\n    assert clip(5) == 5\n```"
    return ScriptedModel.of(
        Rule(("calc.py",), match="Which of these files"),
        Rule(("calc.py::clip",), match="Which of these pieces"),
        Rule((claim,), match="Imports:"),
        Rule(written or ("I cannot.",), match="Write calls"),
        Rule(tuple(f"```python\ndef clip(n):\n    return {fix}\n```" for fix in fixes), match="rewriting `clip`"),
        Rule(yes=0.5),
    )


def asked(model: ScriptedModel) -> list[CompletionRequest]:
    return [request for request in model.requests if "Write calls" in request.messages[-1].content]


@pytest.fixture
def search(make_repository: Callable[[Mapping[str, str]], Path], unbelieving: None) -> Search:
    """Searches that do not end with the first proven fix, so that there is one to tell it from."""

    def run(model: ScriptedModel) -> FixResult:
        root = make_repository(FILES)
        request = FixRequest(Issue(ISSUE), root, budget="quick", python=sys.executable)
        result = run_fix(request, cancel=CancelToken(), model=model)
        assert {path: (root / path).read_text() for path in FILES} == FILES
        return result

    return run


def proof(result: FixResult) -> set[tuple[object, ...]]:
    return {(f.id, f.evidence, f.score, tuple((run.kind, run.exit) for run in f.runs)) for f in result.fixes}


def test_what_the_model_writes_tells_fixes_apart_shows_where_and_proves_nothing(search: Search) -> None:
    model = scripted('clip(1000)\nclip("no', "clip(699)  # below\nprint(clip(701))")
    result = search(model)
    assert len(asked(model)) == 1
    assert [fix.evidence for fix in result.fixes] == [Evidence.REPRODUCED] * 2
    (behaviour,) = [step for step in read_trace(result.trace) if step["kind"] == "behaviour"]
    assert behaviour["written"] > 3  # What it wrote is varied too.
    assert [len(group) for group in behaviour["groups"]] == [1, 1]
    for fix, other in zip(result.fixes, reversed(result.fixes), strict=True):
        mine, theirs = (-1, 700) if BROKEN in fix.patch.diff else (700, -1)
        words = f"clip(701): this fix returns {mine}; fix {other.rank} returns {theirs}; before returns 700"
        assert fix.differences == (words,)
    untold = search(scripted("I cannot."))
    assert [fix.differences for fix in untold.fixes] == [(), ()]
    assert proof(untold) == proof(result)


def test_it_sees_two_changes_and_goes_on_with_known_inputs(search: Search) -> None:
    model = scripted(fixes=(CAPPED, SAME))
    result = search(model)
    (request,) = asked(model)
    assert request.n == module.SAMPLES
    text = request.messages[-1].content
    assert [f"+    return {fix}\n" in text for fix in (CAPPED, SAME)] == [True, True]
    assert request.answer_prefix.startswith("```python\nfrom calc import clip\n\n")
    assert len(re.findall(r"^clip\(-?\d+\)$", request.answer_prefix, re.MULTILINE)) == module._LISTED
    assert [fix.differences for fix in result.fixes] == [(), ()]


def test_answers_of_any_form_do_no_harm(search: Search) -> None:
    """A session, a call cut short, a function of its own, one that writes to the code and one that ends the process."""
    last = "open('calc.py', 'w').write('')\nclip(3)\n__import__('os')._exit(0)\nclip(702)"
    result = search(scripted(">>> clip(701)\n>>> clip(1", "def clip(n):\n    return n\n\nclip(2)", last))
    assert [fix.evidence for fix in result.fixes] == [Evidence.REPRODUCED] * 2
    for fix in result.fixes:
        assert [words.partition(":")[0] for words in fix.differences] == ["clip(701)"]


def test_nobody_is_asked_when_there_is_no_time_or_no_token_left(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = scripted("clip(1000)")
    monkeypatch.setattr(module, "LEAST_SECONDS", 1e6)
    assert len(search(model).fixes) == 2
    assert asked(model) == []


# One candidate at a time

CHUNK = "def chunk(items, size):\n    return [items[i:i + size] for i in range(0, len(items) - 1, size)]\n"
CHUNKED = CHUNK.replace("len(items) - 1", "len(items)")
LISTED = CHUNKED.replace("[items[i:i + size]", "[list(items[i:i + size])")
LISTS = {"lists.py": CHUNK}
CHUNK_ISSUE = """\
chunk() of lists.py drops a last item that is alone

    >>> from lists import chunk
    >>> chunk([1, 2, 3], 2)
    [[1, 2]]

I expected [[1, 2], [3]].
"""
CHUNK_TEST = "from lists import chunk\n\n\ndef test_issue():\n    assert chunk([1, 2, 3], 2) == [[1, 2], [3]]\n"


def candidate(after: str) -> Candidate:
    patch = Patch((FileEdit(RepoPath("lists.py"), CHUNK, after),))
    location = Location((Symbol(RepoPath("lists.py"), "chunk", "function", 1, 2),))
    return Candidate(patch, Attempt(location, "", patch, ()), Verification(Evidence.REPRODUCED, (), 0, None, ""), 1.0)


TIED = [candidate(CHUNKED), candidate(LISTED)]


def test_without_any_known_input_the_call_of_what_was_changed_is_begun(make_job: Callable[..., Job]) -> None:
    model = ScriptedModel.of(Rule(("(1, 2, 3), 2)\nchunk('abc', 2)",)))
    probes = written_inputs(make_job(model, LISTS, CHUNK_ISSUE), TIED, ())
    (request,) = model.requests
    assert request.answer_prefix == "```python\nfrom lists import chunk\n\nchunk("
    assert [probe.expression for probe in probes[:2]] == ["chunk((1, 2, 3), 2)", "chunk('abc', 2)"]
    assert len(probes) <= module.WRITTEN


def test_changes_that_do_not_fit_are_not_asked_about(make_job: Callable[..., Job]) -> None:
    model = ScriptedModel.of(Rule(("chunk('abc', 2)",)))
    model.context_tokens = 512
    long = candidate(CHUNKED + "# too long\n" * 200)
    assert written_inputs(make_job(model, LISTS, CHUNK_ISSUE), [TIED[0], long], ()) == ()
    assert model.requests == []


@pytest.fixture
def small_model(small_model_path: Path) -> Iterator[HostedModel]:
    model = HostedModel(small_model_path, "small")
    yield model
    assert model.retire()


@pytest.mark.model
@pytest.mark.timeout(600)
def test_the_smallest_real_model_writes_inputs_that_run(
    make_job: Callable[..., Job], small_model: HostedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLES", 2)
    monkeypatch.setattr(module, "ANSWER_TOKENS", 48)
    job = make_job(small_model, LISTS, CHUNK_ISSUE)
    known = derive_probes({RepoPath("test_lists.py"): CHUNK_TEST}, 32)
    probes = written_inputs(job, TIED, known)
    (exchange,) = [step for step in read_trace(tmp_path / "trace.jsonl") if step["kind"] == "complete"]
    assert (exchange["stage"], len(exchange["answers"])) == ("rank", 2)
    assert 0 < len(probes) <= module.WRITTEN
    assert not {probe.shown for probe in probes} & {probe.shown for probe in known}
    assert all("chunk(" in probe.expression for probe in probes)
    environment = discover_environment(Path("/nonexistent"))
    seen = observe(select_sandbox(), job.snapshot.root, environment, probes, CancelToken(), timeout_seconds=60)
    assert [outcome for outcome in seen if outcome.startswith("returns [")]
