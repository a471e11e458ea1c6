"""`OpenAIModel` against a real llama-server with the real 0.5B model: what a user with a bigger box relies on.

The server is built once by `python benchmarks/llama_server.py`; PATCHWRIGHT_REQUIRE_LLAMA_SERVER=1 makes its absence
a failure.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from llama_server import Serving, serve, server_path
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled, ModelHostLost, ModelUnavailable
from patchwright_engine.model.backend import CompletionBatch, CompletionRequest, JudgeRequest, Message
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.openai import OpenAIModel
from patchwright_engine.model.parameters import LoadParameters, default_threads

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]

SLOTS = 4
CONTEXT = 1024
"""Tokens of one slot."""
SYSTEM = Message("system", "You are a careful Python programmer.")
CODE = """def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)
"""
ASK = (SYSTEM, Message("user", f"Write this function anew so that it returns 0 for an empty list.\n\n{CODE}"))
LONG = (SYSTEM, Message("user", "Which function is wrong?\n\n" + CODE * 24))
"""About 800 tokens: a prefill of several seconds."""


@pytest.fixture(scope="module")
def server(small_model_path: Path) -> Iterator[Serving]:
    binary = server_path()
    if not binary.is_file():
        message = f"llama-server is not built at {binary}; run `python benchmarks/llama_server.py`"
        if os.environ.get("PATCHWRIGHT_REQUIRE_LLAMA_SERVER"):
            pytest.fail(message)
        pytest.skip(message)
    # Small steps, so that a cancel during a prefill is noticed soon.
    options = ("-b", "64", "-ub", "64", "--metrics")
    with serve(
        binary, small_model_path, slots=SLOTS, context=SLOTS * CONTEXT, threads=default_threads(), extra=options
    ) as serving:
        yield serving


@pytest.fixture
def model(server: Serving) -> OpenAIModel:
    return OpenAIModel(server.url)


@pytest.fixture(scope="module")
def local(small_model_path: Path) -> Iterator[LocalModel]:
    model = LocalModel(small_model_path, LoadParameters(n_ctx=2048, context_tokens=1024, n_seq=4))
    yield model
    model.close()


def complete(model: OpenAIModel | LocalModel, messages: tuple[Message, ...] = ASK, **fields: object) -> CompletionBatch:
    fields.setdefault("max_answer_tokens", 24)
    return model.complete(CompletionRequest(messages, **fields), CancelToken())  # type: ignore[arg-type]


def texts(batch: CompletionBatch) -> list[str]:
    return [one.answer for one in batch.completions]


def busy_slots(server: Serving) -> int:
    slots = httpx.get(f"{server.root}/slots", trust_env=False, timeout=60).json()
    return sum(bool(slot["is_processing"]) for slot in slots)


def wait_until_idle(server: Serving, seconds: float) -> float:
    """How long all slots took to become free."""
    started = time.monotonic()
    while busy_slots(server):
        assert time.monotonic() - started < seconds, "a slot is still busy"
        # The server looks for hang-ups after a second without any reply, replies to these questions included.
        time.sleep(1.5)
    return time.monotonic() - started


def test_the_server_tells_its_model_and_its_context(model: OpenAIModel) -> None:
    model.connect(CancelToken())
    assert "qwen2.5-coder-0.5b" in model.name.lower()
    assert model.context_tokens == CONTEXT


def test_it_answers_as_the_same_weights_do_here(model: OpenAIModel, local: LocalModel) -> None:
    prefix = "```python\ndef mean(values):\n"
    there, here = (complete(one, max_answer_tokens=16, answer_prefix=prefix) for one in (model, local))
    assert texts(there) == texts(here)
    assert there.prompt_tokens == here.prompt_tokens


def test_more_candidates_than_slots_come_whole_in_order_and_differ(model: OpenAIModel) -> None:
    told: list[int] = []
    request = CompletionRequest(ASK, n=6, max_answer_tokens=12, temperature=1.2)
    batch = model.complete(request, CancelToken(), on_completion=lambda index, _: told.append(index))
    assert sorted(told) == list(range(6))
    assert len(set(texts(batch))) > 2
    assert texts(batch)[0] == texts(complete(model, max_answer_tokens=12))[0]
    # The estimate by length of what the server tells for one answer of each request only.
    assert 6 * 12 * 0.6 < batch.generated_tokens < 6 * 12 * 1.4


def test_equal_seeds_sample_alike_and_others_do_not(model: OpenAIModel) -> None:
    first, again, other = (
        texts(complete(model, first_greedy=False, temperature=1.0, seed=seed, max_answer_tokens=16))
        for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


def test_a_stop_string_ends_the_answer_and_is_left_out(model: OpenAIModel) -> None:
    prefix = "```python\n"
    (one,) = complete(model, answer_prefix=prefix, stop=("return",), max_answer_tokens=120).completions
    assert one.finish == "stop"
    assert "return" not in one.answer
    assert one.answer.startswith(prefix)
    assert one.answer.count("```") == 1


def test_a_cap_cuts_the_answer_and_says_so(model: OpenAIModel) -> None:
    (one,) = complete(model, max_answer_tokens=5).completions
    assert one.finish == "length"
    assert one.tokens == 5


@pytest.mark.parametrize("prefix", ["```python\ndef mean(values):\n    ", "The function `mean", "```python\n"])
def test_the_answer_goes_on_from_its_forced_beginning(model: OpenAIModel, local: LocalModel, prefix: str) -> None:
    there, here = (texts(complete(one, max_answer_tokens=8, answer_prefix=prefix))[0] for one in (model, local))
    assert there.startswith(prefix)
    assert there == here


def test_a_grammar_of_names_lets_only_names_through(model: OpenAIModel) -> None:
    names = ("src/mean.py", "src/median.py", "tests/test_mean.py")
    question = (SYSTEM, Message("user", f"Which file holds this function?\n\n{CODE}"))
    batch = complete(model, question, n=3, temperature=1.5, choices=names, max_choices=1)
    assert {text.strip() for text in texts(batch)} <= set(names)


def test_verdicts_equal_those_of_the_same_weights_here(model: OpenAIModel, local: LocalModel) -> None:
    question = "\n\nDoes it return 0 for an empty list? Reply with one word, Yes or No."
    guarded = CODE.replace("    total = 0\n", "    if not values:\n        return 0\n    total = 0\n")
    requests = [JudgeRequest((SYSTEM, Message("user", code + question))) for code in (CODE, guarded, CODE)]
    there, here = (one.judge(requests, CancelToken()) for one in (model, local))
    for a, b in zip(there, here, strict=True):
        assert a.probability == pytest.approx(b.probability, abs=0.05)
    assert there[0].probability == pytest.approx(there[2].probability, abs=0.02)
    assert there[2].cached_tokens > there[2].prompt_tokens // 2


def test_a_prompt_seen_before_is_not_computed_again(model: OpenAIModel) -> None:
    complete(model, LONG, max_answer_tokens=1)
    again = complete(model, LONG, max_answer_tokens=1)
    assert again.prompt_tokens > 500
    assert again.cached_tokens > again.prompt_tokens * 0.9


def test_candidates_share_one_prefill(server: Serving, model: OpenAIModel) -> None:
    messages = (SYSTEM, Message("user", "Explain every function.\n\n" + CODE * 12))
    before = computed_prompt_tokens(server)
    batch = complete(model, messages, n=4, first_greedy=False, max_answer_tokens=4)
    assert computed_prompt_tokens(server) - before < 1.2 * batch.prompt_tokens


def computed_prompt_tokens(server: Serving) -> int:
    """All prompt tokens the server ever computed."""
    for line in httpx.get(f"{server.root}/metrics", trust_env=False).text.splitlines():
        if line.startswith("llamacpp:prompt_tokens_total "):
            return int(float(line.split()[1]))
    raise AssertionError("the server has no metrics")


def cancel_soon(model: OpenAIModel, server: Serving, request: CompletionRequest) -> float:
    """Cancel once the server works on `request`; returns seconds until the caller was free."""
    cancel = CancelToken()
    raised: list[float] = []

    def ask() -> None:
        with pytest.raises(Cancelled):
            model.complete(request, cancel)
        raised.append(time.monotonic())

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + 60
    while not busy_slots(server):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    asked = time.monotonic()
    cancel.cancel()
    thread.join(60)
    return raised[0] - asked


def test_a_cancel_frees_every_slot_while_answers_are_written(server: Serving, model: OpenAIModel) -> None:
    model.connect(CancelToken())
    waited = cancel_soon(model, server, CompletionRequest(ASK, n=4, max_answer_tokens=700))
    assert waited < 0.5
    wait_until_idle(server, 10)


def test_a_cancel_frees_the_slot_while_the_prompt_is_computed(server: Serving, model: OpenAIModel) -> None:
    model.connect(CancelToken())
    fresh = (SYSTEM, Message("user", "Is this code right?\n\n" + CODE.replace("mean", f"mean_{time.time_ns()}") * 20))
    waited = cancel_soon(model, server, CompletionRequest(fresh, max_answer_tokens=8))
    assert waited < 0.5
    wait_until_idle(server, 10)


def test_a_prompt_beyond_the_context_is_refused_with_numbers_and_a_cure(model: OpenAIModel) -> None:
    huge = (SYSTEM, Message("user", CODE * 60))
    with pytest.raises(BadInput, match=r"\(1024 tokens\)") as error:
        complete(model, huge)
    assert "-c" in error.value.cure
    assert "{" not in error.value.message


def test_a_server_that_dies_is_named(small_model_path: Path, server: Serving) -> None:
    with serve(server_path(), small_model_path, slots=1, context=512, threads=1, extra=("--no-warmup",)) as dying:
        model = OpenAIModel(dying.url)
        model.connect(CancelToken())
        kill = threading.Timer(0.5, os.kill, (dying.pid, 9))
        kill.start()
        with pytest.raises((ModelHostLost, ModelUnavailable), match=dying.root):
            complete(model, max_answer_tokens=400)


R1 = Path(__file__).parent / "chat_templates" / "deepseek_r1_distill.jinja"
NAMES = ("stats/mean.py", "stats/median.py")


def test_a_model_whose_template_opens_a_thought_still_answers(
    small_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 0.5B under the template of R1's distills: it never learned to close a thought, so the cap has to."""
    monkeypatch.setattr("patchwright_engine.model.openai.UNASKED_TOKENS", 40)
    binary = server_path()
    if not binary.is_file():
        pytest.skip("llama-server is not built")  # `server` says how, and fails where it has to be there
    options = ("--jinja", "--chat-template-file", str(R1))
    with serve(binary, small_model_path, slots=2, context=2048, threads=default_threads(), extra=options) as serving:
        model = OpenAIModel(serving.url)
        ask = (Message("user", "Which file holds `mean`? Say its name.\n" + "\n".join(NAMES)),)
        names = complete(model, ask, n=2, choices=NAMES)
        assert all(one.answer.strip() in NAMES and not one.think for one in names.completions)
        thought = complete(model, ASK, n=2, max_think_tokens=30, answer_prefix="```python\n", stop=("\n```",))
        (verdict,) = model.judge(
            [JudgeRequest((*ASK, Message("assistant", CODE), Message("user", "Yes or No?")))], CancelToken()
        )
    for one in thought.completions:
        assert one.answer.startswith("```python\n")
        assert one.answer.removeprefix("```python\n").strip()
        assert one.think
        assert 0 < one.think_tokens < one.tokens
    assert verdict.probability is not None
