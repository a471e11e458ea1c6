"""The trace survives crashes, says what is wrong with a file, and pays for a resumed search."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, EnvironmentProblem
from patchwright_engine.model.backend import (
    Completion,
    CompletionBatch,
    CompletionRequest,
    DecodeProgress,
    JudgeRequest,
    Message,
    Verdict,
)
from patchwright_engine.search.recorder import RecordedModel, load_recording
from patchwright_engine.search.trace import Trace, read_trace, scan_trace
from scripted_model import ScriptedModel


class CountingModel:
    """Answers with a running number, so that a replayed answer is told from a new one."""

    name = "counting"
    context_tokens = 4096

    def __init__(self) -> None:
        self.calls = 0

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def complete(
        self,
        request: CompletionRequest,
        cancel: CancelToken,
        *,
        on_progress: Callable[[DecodeProgress], None] | None = None,
        on_completion: Callable[[int, Completion], None] | None = None,
    ) -> CompletionBatch:
        self.calls += 1
        return CompletionBatch((Completion(f"answer {self.calls}", tokens=2),) * request.n, 10, 4, 2, 0.1)

    def judge(self, requests: Sequence[JudgeRequest], cancel: CancelToken) -> tuple[Verdict, ...]:
        self.calls += 1
        return tuple(Verdict(0.25, 10, 8) for _ in requests)

    def close(self) -> None:
        pass


def ask(text: str) -> CompletionRequest:
    return CompletionRequest((Message("user", text),), n=2)


def test_steps_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "t.jsonl"
    with Trace(path) as trace:
        trace.step("start", issue="x \u2028 \udcff")
        trace.step("end", stopped="verified")
    assert [step["kind"] for step in read_trace(path)] == ["start", "end"]
    assert path.stat().st_mode & 0o077 == 0


def test_a_line_cut_by_a_crash_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with Trace(path) as trace:
        trace.step("start", issue="x")
    with path.open("a") as file:
        file.write('{"schema": 1, "kind": "comp')
    assert len(list(read_trace(path))) == 1


def test_what_cannot_be_read_of_a_trace_is_told_by_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with Trace(path) as trace:
        trace.step("start", issue="x")
        trace.step("note", text="y")
    whole = scan_trace(path)
    assert ([line for line, _ in whole.steps], whole.unreadable, whole.cut) == ([1, 2], (), False)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + "\n\0 damaged\n" + "[" * 100_000 + "\n" + lines[1] + '{"schema": 1, "kind": "comp')
    damaged = scan_trace(path)
    assert ([line for line, _ in damaged.steps], damaged.unreadable, damaged.cut) == ([1, 5], (3, 4, 6), True)


@pytest.mark.parametrize("content", ["", "not json\n", '{"kind": "start"}\n', '{"schema": 99, "kind": "x"}\n', "[1]\n"])
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(content)
    with pytest.raises(BadInput, match="not a Patchwright trace"):
        list(read_trace(path))


def test_a_trace_that_cannot_be_written_names_the_cure(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(EnvironmentProblem, match="--trace"):
        Trace(blocker / "t.jsonl")


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "complete"},
        {"kind": "complete", "key": "k", "answers": [{"text": "of another version"}]},
        {"kind": "complete", "key": "k", "answers": 7},
        {"kind": "judge", "key": "k"},
        {"kind": "model"},
    ],
)
def test_a_damaged_step_is_paid_for_again(step: dict[str, object]) -> None:
    recording = load_recording([step])
    assert (recording.completions, recording.verdicts, recording.model) == ({}, {}, None)


@pytest.mark.parametrize(
    ("recorded", "now", "same"),
    [
        ("small", "small", True),
        ("small", "large", False),
        (None, "large", True),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:9090/v1", True),
        ("qwen", "http://127.0.0.1:9090/v1", True),
    ],
)
def test_answers_stand_for_the_model_that_gave_them(recorded: str | None, now: str, same: bool) -> None:
    steps = [{"kind": "model", "name": recorded}] if recorded else []
    assert load_recording(steps).answers_for(now) == same


def test_weights_are_replayed_too(tmp_path: Path) -> None:
    model = ScriptedModel(lambda _request: ("?",), weights=lambda _request: (-1.5, -20.0))
    question = JudgeRequest((Message("user", "which?"),), answers=("a.py", "b.py"))
    with Trace(tmp_path / "a.jsonl") as trace:
        [paid] = RecordedModel(model, trace).judge([question], CancelToken(), stage="rerank")
    recording = load_recording(read_trace(tmp_path / "a.jsonl"))
    with Trace(tmp_path / "b.jsonl") as trace:
        [again] = RecordedModel(model, trace, recording).judge([question], CancelToken(), stage="rerank")
    assert again.weights == paid.weights == (-1.5, -20.0)
    assert model.judged == [question]


def test_a_resumed_search_pays_only_for_what_is_new(tmp_path: Path) -> None:
    cancel = CancelToken()
    model = CountingModel()
    question = JudgeRequest((Message("user", "good?"),))
    with Trace(tmp_path / "a.jsonl") as trace:
        first = RecordedModel(model, trace)
        old = first.complete(ask("one"), cancel, stage="repair")
        first.judge([question], cancel, stage="rank")
        paid = first.cost(1, 0.0)
    assert (paid.prompt_tokens, paid.cached_tokens, paid.generated_tokens, paid.judge_tokens) == (10, 4, 2, 2)
    judged = [step for step in read_trace(tmp_path / "a.jsonl") if step["kind"] == "judge"]
    assert [(step["prompt_tokens"], step["cached_tokens"]) for step in judged] == [(10, 8)]
    recording = load_recording(read_trace(tmp_path / "a.jsonl"))
    with Trace(tmp_path / "b.jsonl") as trace:
        second = RecordedModel(model, trace, recording)
        assert second.complete(ask("one"), cancel, stage="repair").completions == old.completions
        assert second.judge([question], cancel, stage="rank")[0].probability == 0.25
        assert model.calls == 2
        assert second.cost(0, 0.0).generated_tokens == 0
        new = second.complete(ask("two"), cancel, stage="repair")
        assert new.completions[0].answer == "answer 3"
    # The second trace holds everything, so it can be resumed again.
    again = load_recording(read_trace(tmp_path / "b.jsonl"))
    assert len(again.completions) == 2
    assert json.loads((tmp_path / "b.jsonl").read_text().splitlines()[1])["replayed"] is True
