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
from patchwright_engine.search.recorder import RecordedModel
from patchwright_engine.search.recording import load_recording, read_recording
from patchwright_engine.search.trace import Trace, read_trace, scan_trace
from scripted_model import ScriptedModel

NUMBERS = {"prompt_tokens": 1, "cached_tokens": 0, "generated_tokens": 1, "seconds": 0.1}


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
        {"kind": "complete", "key": "k", "answers": [], **NUMBERS},
        {"kind": "complete", "key": "k", "answers": [{"answer": None}], **NUMBERS},
        {"kind": "complete", "key": "k", "answers": [{"answer": "x"}], **NUMBERS, "seconds": None},
        {"kind": "complete", "key": "k", "answers": [{"answer": "x"}], **NUMBERS, "seconds": "soon"},
        {"kind": "complete", "key": ["k"], "answers": [{"answer": "x"}], **NUMBERS},
        {"kind": "judge", "key": "k"},
        {"kind": "judge", "key": "k", "probability": "likely"},
        {"kind": "judge", "key": "k", "probability": float("nan")},
        {"kind": "judge", "key": "k", "probability": 0.5, "weights": [None]},
        {"kind": "model"},
    ],
)
def test_a_damaged_step_is_paid_for_again(step: dict[str, object]) -> None:
    recorded = load_recording([step])
    assert [(part.completions, part.verdicts) for part in recorded.parts] == [({}, {})]
    assert recorded.damaged == 1


def exchange(**changed: object) -> list[dict[str, object]]:
    """The steps of a trace with one answer of a model; `changed` is what is different about that model."""
    answered = {"kind": "complete", "key": "k", "answers": [{"answer": "x"}], **NUMBERS}
    return [{"kind": "model", "name": "small", **changed}, answered]


def model_now(name: str, identity: str = "") -> ScriptedModel:
    model = ScriptedModel(lambda _request: ("?",), name=name)
    model.identity = identity  # type: ignore[attr-defined]
    return model


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        (("small", ""), ("small", "")),
        (("small", "base:1"), ("renamed", "base:1")),
        (("small", ""), ("small", "base:1")),
        (("http://127.0.0.1:8080/v1", ""), ("http://127.0.0.1:9090/v1", "")),
        (("qwen", "served:qwen"), ("http://127.0.0.1:9090/v1", "")),
    ],
)
def test_answers_stand_for_the_model_that_gave_them(recorded: tuple[str, str], now: tuple[str, str]) -> None:
    steps = exchange(name=recorded[0], identity=recorded[1])
    assert list(load_recording(steps).of(model_now(*now)).completions) == ["k"]


@pytest.mark.parametrize(
    ("recorded", "now", "said"),
    [
        (("small", ""), ("large", ""), "made by small, and this one asks large"),
        (("small", "base:1"), ("small", "base:2"), "other weights or adapters"),
        (("small", "base:1"), ("small", "base:1 reasoner:3"), "other weights or adapters"),
        (("qwen", "served:qwen"), ("llama", "served:llama"), "made by qwen"),
        (("qwen", "base:1"), ("http://127.0.0.1:9090/v1", ""), "made by qwen"),
    ],
)
def test_answers_of_another_model_are_refused(recorded: tuple[str, str], now: tuple[str, str], said: str) -> None:
    steps = exchange(name=recorded[0], identity=recorded[1])
    with pytest.raises(BadInput, match=said) as refused:
        load_recording(steps).of(model_now(*now))
    assert "start anew" in refused.value.cure


def test_of_a_trace_that_two_models_wrote_each_gets_its_own_answers() -> None:
    recorded = load_recording([*exchange(name="small"), *exchange(name="large")])
    recorded.parts[2].completions["other"] = recorded.parts[2].completions.pop("k")
    assert list(recorded.of(model_now("small")).completions) == ["k"]
    assert list(recorded.of(model_now("large")).completions) == ["other"]


def test_a_server_that_could_not_say_who_it_is_must_be_the_one_that_answered_before(tmp_path: Path) -> None:
    steps = exchange(name="qwen", identity="served:qwen")
    model = model_now("http://127.0.0.1:9090/v1")
    recording = load_recording(steps).of(model)
    with Trace(tmp_path / "t.jsonl") as trace:
        again = RecordedModel(model, trace, recording)
        again.complete(ask("one"), CancelToken(), stage="repair")
        model.identity, model.name = "served:llama", "llama"  # type: ignore[attr-defined]
        with pytest.raises(BadInput, match="made by qwen, and this one asks llama"):
            again.complete(ask("two"), CancelToken(), stage="repair")


def test_who_answered_is_written_once_a_server_can_be_asked(tmp_path: Path) -> None:
    model = model_now("http://127.0.0.1:9090/v1")

    def answers(_request: CompletionRequest) -> Sequence[str]:
        model.identity, model.name = "served:qwen", "qwen"  # type: ignore[attr-defined]
        return ("x",)

    model.answers = answers
    with Trace(tmp_path / "a.jsonl") as trace:
        again = RecordedModel(model, trace)
        again.complete(ask("one"), CancelToken(), stage="repair")
        again.complete(ask("two"), CancelToken(), stage="repair")
    assert [step["kind"] for step in read_trace(tmp_path / "a.jsonl")] == ["model", "model", "complete", "complete"]
    recorded = read_recording(tmp_path / "a.jsonl")
    assert len(recorded.of(model_now("qwen", "served:qwen")).completions) == 2
    with pytest.raises(BadInput, match="made by qwen"):
        recorded.of(model_now("llama", "served:llama"))


def test_a_bit_that_changed_in_an_answer_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    question = JudgeRequest((Message("user", "good?"),))
    with Trace(path) as trace:
        model = RecordedModel(CountingModel(), trace)
        model.complete(ask("one"), CancelToken(), stage="repair")
        model.judge([question], CancelToken(), stage="rank")
    assert read_recording(path).damaged == 0
    path.write_text(path.read_text().replace("answer 1", "answer 7").replace("0.25", "0.35"))
    recorded = read_recording(path)
    assert recorded.damaged == 2
    assert not any(part.completions or part.verdicts for part in recorded.parts)


@pytest.mark.parametrize(
    "end", ['{"schema": 1, "kind": "comp', "\x00" * 4096, "\udcff\udcfe", "[" * 100_000, '{"schema": 1, "kind": 7}\n']
)
def test_a_trace_that_ends_in_ruins_is_read_up_to_there_and_can_be_gone_on_with(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.jsonl"
    with Trace(path) as trace:
        RecordedModel(CountingModel(), trace).complete(ask("one"), CancelToken(), stage="repair")
    with path.open("ab") as file:
        file.write(end.encode("utf-8", "surrogateescape"))
    recorded = read_recording(path)
    assert recorded.damaged == 1
    assert [len(part.completions) for part in recorded.parts] == [0, 1]
    with Trace(path) as trace:
        trace.step("start", issue="again")
    assert [step["kind"] for step in read_trace(path)] == ["model", "complete", "start"]


def test_weights_are_replayed_too(tmp_path: Path) -> None:
    model = ScriptedModel(lambda _request: ("?",), weights=lambda _request: (-1.5, -20.0))
    question = JudgeRequest((Message("user", "which?"),), answers=("a.py", "b.py"))
    with Trace(tmp_path / "a.jsonl") as trace:
        [paid] = RecordedModel(model, trace).judge([question], CancelToken(), stage="rerank")
    recording = read_recording(tmp_path / "a.jsonl").of(model)
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
    recording = read_recording(tmp_path / "a.jsonl").of(model)
    with Trace(tmp_path / "b.jsonl") as trace:
        second = RecordedModel(model, trace, recording)
        assert second.complete(ask("one"), cancel, stage="repair").completions == old.completions
        assert second.judge([question], cancel, stage="rank")[0].probability == 0.25
        assert model.calls == 2
        assert second.cost(0, 0.0).generated_tokens == 0
        new = second.complete(ask("two"), cancel, stage="repair")
        assert new.completions[0].answer == "answer 3"
    # The second trace holds everything, so it can be resumed again.
    again = read_recording(tmp_path / "b.jsonl").of(model)
    assert len(again.completions) == 2
    assert json.loads((tmp_path / "b.jsonl").read_text().splitlines()[1])["replayed"] is True


def test_what_was_paid_before_a_search_that_was_killed_again_is_not_paid_a_third_time(tmp_path: Path) -> None:
    model = CountingModel()
    with Trace(tmp_path / "a.jsonl") as trace:
        first = RecordedModel(model, trace)
        for text in ("one", "two"):
            first.complete(ask(text), CancelToken(), stage="repair")
    with Trace(tmp_path / "b.jsonl") as trace:
        trace.step("start", resumed=str(tmp_path / "a.jsonl"))
        second = RecordedModel(model, trace, read_recording(tmp_path / "a.jsonl").of(model))
        second.complete(ask("one"), CancelToken(), stage="repair")  # and here it is killed
    with Trace(tmp_path / "c.jsonl") as trace:
        trace.step("start", resumed=str(tmp_path / "b.jsonl"))
        third = RecordedModel(model, trace, read_recording(tmp_path / "b.jsonl").of(model))
        answers = [third.complete(ask(text), CancelToken(), stage="repair").completions[0] for text in ("one", "two")]
    assert [one.answer for one in answers] == ["answer 1", "answer 2"]
    assert model.calls == 2


@pytest.mark.parametrize("before", ["gone.jsonl", "b.jsonl", "no_trace.jsonl", ""])
def test_a_trace_is_read_alone_when_the_one_before_it_cannot_be(tmp_path: Path, before: str) -> None:
    (tmp_path / "no_trace.jsonl").write_text("not one of ours\n")
    with Trace(tmp_path / "b.jsonl") as trace:
        trace.step("start", resumed=str(tmp_path / before))
        RecordedModel(CountingModel(), trace).complete(ask("one"), CancelToken(), stage="repair")
    recorded = read_recording(tmp_path / "b.jsonl")
    assert recorded.damaged == 0
    assert sum(len(part.completions) for part in recorded.parts) == 1
