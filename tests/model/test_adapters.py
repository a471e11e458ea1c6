"""LoRA adapters beside one base: refused when they do not fit, switched per request, activated for verdicts."""

import contextlib
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lora_file import attention_shapes, write_gguf, write_lora
from patchwright_engine.config import Settings, load_settings
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, ModelUnavailable
from patchwright_engine.model.activation import activation_start
from patchwright_engine.model.adapters import INVOCATION, check_adapters, identity
from patchwright_engine.model.backend import CompletionRequest, JudgeRequest, Message
from patchwright_engine.model.catalog import ResolvedModel, find_adapters
from patchwright_engine.model.chat import tokens_of
from patchwright_engine.model.client import HostedModel
from patchwright_engine.model.connect import load_parameters, open_model
from patchwright_engine.model.llama import LlamaContext, Row, quiet_environment
from patchwright_engine.model.local import LocalModel
from patchwright_engine.model.parameters import AdapterFile, LoadParameters
from patchwright_engine.model.verdict import first_tokens, probability

PARAMETERS = LoadParameters(n_ctx=2048, context_tokens=1024, n_seq=4)
CODE = Path(check_adapters.__code__.co_filename).read_text()[:1200]
TALK = (Message("system", "You are a careful programmer."), Message("user", CODE + "\nWhat is this for? Be brief."))
QUESTIONS = tuple(
    (*TALK, Message("assistant", text), Message("user", "Is that right? Answer Yes or No."))
    for text in ("It checks adapters.", "It cooks soup, and it serves it with bread.")
)
ASSISTANT = "<|im_start|>assistant\n"
TOLERANCE = 0.03
"""Rows decoded in other company round differently, and random adapters magnify that."""
SHAPES = {"blk.0.attn_q.weight": (8, 16)}


# Refusing, without a real model


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A model that is only a head, with one weight of 8 inputs and 16 outputs."""
    values = {
        "general.architecture": "qwen2",
        "general.name": "Tiny Coder 0.1B Instruct AWQ",
        "tokenizer.ggml.tokens": ["a", "b", "c"],
    }
    weight = ((8, 16), bytes(4 * 8 * 16))
    return write_gguf(tmp_path / "model-q4_k_m.gguf", values, {"blk.0.attn_q.weight": weight})


def check(base: Path, adapter: Path, role: str = "prm") -> Any:
    return check_adapters((AdapterFile(role, adapter),), base)[0]


def test_an_adapter_of_the_right_shape_and_base_passes(base: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("Tiny Coder 0.1B Instruct", "tiny-coder-0.1b-instruct", "Model")):
        more = {"general.base_model.count": 1, "general.base_model.0.name": name}
        adapter = check(base, write_lora(tmp_path / f"{number}.gguf", SHAPES, more=more))
        assert not adapter.activated
    url = {
        "general.base_model.count": 1,
        "general.base_model.0.name": "T",
        "general.base_model.0.repo_url": "https://hub.example/tiny/Tiny-Coder-0.1B-Instruct",
    }
    assert check(base, write_lora(tmp_path / "url.gguf", SHAPES, more=url)).role == "prm"
    assert check(base, write_lora(tmp_path / "silent.gguf", SHAPES, invocation=[1, 2])).invocation == (1, 2)


@pytest.mark.parametrize(
    ("shapes", "more", "why"),
    [
        (SHAPES, {"general.architecture": "llama"}, "kind 'llama', this one is 'qwen2'"),
        (SHAPES, {"general.base_model.0.name": "Tiny Coder 0.1B"}, "made for Tiny Coder 0.1B"),
        (SHAPES, {"general.base_model.0.name": "Tiny Coder 0.2B Instruct"}, "made for Tiny Coder 0.2B Instruct"),
        ({"blk.0.attn_q.weight": (9, 16)}, {}, "9 x 4 and 4 x 16 for blk.0.attn_q.weight, which is 8 x 16"),
        ({"blk.0.attn_q.weight": (8, 15)}, {}, "8 x 4 and 4 x 15"),
        ({"blk.1.attn_q.weight": (8, 16)}, {}, "blk.1.attn_q.weight, which this model does not have"),
        (SHAPES, {INVOCATION: [1, 3]}, "another vocabulary"),
    ],
)
def test_an_adapter_of_another_base_is_refused_with_both_names(
    base: Path, tmp_path: Path, shapes: Any, more: Any, why: str
) -> None:
    adapter = write_lora(tmp_path / "other.gguf", shapes, more=more)
    with pytest.raises(ModelUnavailable, match="does not fit the model") as caught:
        check(base, adapter)
    for part in (why, str(adapter), str(base)):
        assert part in caught.value.message
    assert "[adapters]" in caught.value.cure


@pytest.mark.parametrize(
    ("role", "more", "why"),
    [
        ("prm", {"general.type": "model"}, "no LoRA adapter"),
        ("prm", {"adapter.type": "control_vector"}, "no LoRA adapter.*control_vector"),
        # Each of these would end the process inside llama.cpp, or be refused there without a word why.
        ("prm", {"general.architecture": 7}, "wrong type"),
        ("prm", {"general.type": 7}, "no LoRA adapter"),
        ("prm", {"adapter.lora.alpha": "4"}, "wrong type"),
        ("prm", {INVOCATION: 3}, "invocation tokens cannot be read"),
        ("prm", {INVOCATION: ["a"]}, "invocation tokens cannot be read"),
        ("reasoner", {INVOCATION: [1]}, "can only judge"),
    ],
)
def test_what_is_no_usable_adapter_is_refused(base: Path, tmp_path: Path, role: str, more: Any, why: str) -> None:
    with pytest.raises(ModelUnavailable, match=why):
        check(base, write_lora(tmp_path / "odd.gguf", SHAPES, more=more), role)


def test_broken_files_are_refused(base: Path, tmp_path: Path) -> None:
    whole = write_lora(tmp_path / "whole.gguf", SHAPES).read_bytes()
    kind = whole.index(b".lora_a") + len(".lora_a") + struct.calcsize("<IQQ")
    broken = {
        "cut in the data": (whole[:-1], "ends early"),
        "cut in the head": (whole[:100], "ends early"),
        "no GGUF": (b"PK\x03\x04" + whole, "zip archive"),
        "empty": (b"", "empty"),
        "another type of tensor": (
            whole[:kind] + b"\x1a" + whole[kind + 1 :],
            "neither f32",
        ),
        "a missing half": (whole.replace(b"lora_b", b"lora_a", 1), "half of the pair"),
    }
    for name, (data, why) in broken.items():
        path = tmp_path / "broken.gguf"
        path.write_bytes(data)
        with pytest.raises(ModelUnavailable, match=why) as caught:
            check(base, path)
        assert str(path) in caught.value.message, name
    with pytest.raises(ModelUnavailable, match=r"the orm adapter .* No such file"):
        identity(AdapterFile("orm", tmp_path / "none.gguf"))


def test_every_byte_cut_or_changed_in_the_head_is_survived(base: Path, tmp_path: Path) -> None:
    whole = write_lora(tmp_path / "whole.gguf", SHAPES, invocation=[1, 2]).read_bytes()
    path = tmp_path / "broken.gguf"
    for at in range(0, 400, 3):
        for data in (whole[:at], whole[:at] + b"\xff" + whole[at + 1 :]):
            path.write_bytes(data)
            with contextlib.suppress(ModelUnavailable):
                check(base, path)


# Settings


def test_adapters_are_named_in_the_settings_or_lie_beside_the_model(tmp_path: Path) -> None:
    model = tmp_path / "coder-q4_k_m.gguf"
    assert find_adapters(model, Settings()) == ()
    beside = {role: tmp_path / f"coder-q4_k_m.{role}.gguf" for role in ("prm", "orm")}
    for path in beside.values():
        path.touch()
    config = tmp_path / "config.toml"
    config.write_text('[adapters]\norm = "mine/orm.gguf"\nreasoner = "/elsewhere/r.gguf"\n')
    settings = load_settings(config)
    assert find_adapters(model, settings) == (
        AdapterFile("reasoner", Path("/elsewhere/r.gguf")),
        AdapterFile("prm", beside["prm"]),
        AdapterFile("orm", tmp_path / "mine/orm.gguf"),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [('[adapters]\njudge = "x"', "unknown adapter role 'judge'"), ("adapters = 'x'", "must be a table"),
     ("[adapters]\nprm = 3", "must be the path"), ('[adapters]\nprm = ""', "must be the path")],
)  # fmt: skip
def test_wrong_adapter_settings_are_named(tmp_path: Path, text: str, why: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    with pytest.raises(BadInput, match=why):
        load_settings(config)


# The real 0.5B


@pytest.fixture(scope="module")
def files(small_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AdapterFile, ...]:
    """Plain adapters for two roles and an activated one for the third."""
    folder = tmp_path_factory.mktemp("adapters")
    shapes = attention_shapes(small_model_path)
    os.environ.update(quiet_environment())
    with LlamaContext(small_model_path, PARAMETERS) as context:
        invocation = context.tokenize(ASSISTANT, special=True)
    return (
        AdapterFile("reasoner", write_lora(folder / "reasoner.gguf", shapes, seed=1)),
        AdapterFile("prm", write_lora(folder / "prm.gguf", shapes, seed=2)),
        AdapterFile("orm", write_lora(folder / "orm.gguf", shapes, seed=3, invocation=invocation)),
    )


@pytest.fixture(scope="module")
def model(small_model_path: Path, files: tuple[AdapterFile, ...]) -> Iterator[LocalModel]:
    loaded = LocalModel(small_model_path, replace(PARAMETERS, adapters=files))
    yield loaded
    loaded.close()


@pytest.fixture
def context(model: LocalModel) -> LlamaContext:
    return model._session.context


def scores(model: LocalModel, adapter: str, talks: Sequence[tuple[Message, ...]] = QUESTIONS) -> list[float]:
    verdicts = model.judge([JudgeRequest(talk, adapter=adapter) for talk in talks], CancelToken())
    return [verdict.probability or 0.0 for verdict in verdicts]


def prompt(model: LocalModel, talk: tuple[Message, ...] = TALK) -> list[int]:
    return tokens_of(model._session.chat.pieces(talk, think=False), model._session.context)


def forget(model: LocalModel) -> None:
    model._session.drop_forks()
    model._session.cache.clear()


def logits(model: LocalModel, tokens: list[int], adapter: str = "") -> Any:
    """After `tokens`, read by `adapter` from nothing."""
    forget(model)
    model._session.cache.prefill(tokens, adapter=adapter)
    return model._session.context.logits(model._session.cache.last_row).copy()


@pytest.mark.model
def test_the_base_is_bit_identical_beside_and_after_adapters(model: LocalModel, small_model_path: Path) -> None:
    tokens = prompt(model)
    for role in ("prm", "orm", "reasoner"):
        scores(model, role, QUESTIONS[:1])
    beside = logits(model, tokens)
    alone = LocalModel(small_model_path, PARAMETERS)
    try:
        assert (logits(alone, tokens) == beside).all()
    finally:
        alone.close()


@pytest.mark.model
def test_each_adapter_reads_differently(model: LocalModel) -> None:
    tokens = prompt(model)
    by_role = {role: logits(model, tokens, role) for role in ("", "reasoner", "prm")}
    for one, other in (("", "prm"), ("", "reasoner"), ("prm", "reasoner")):
        assert abs(by_role[one] - by_role[other]).max() > 1


@pytest.mark.model
def test_requests_switch_adapters_and_no_prompt_read_by_another_is_reused(model: LocalModel) -> None:
    wanted = {}
    for role in ("", "prm", "reasoner"):
        forget(model)
        wanted[role] = scores(model, role, QUESTIONS[:1])
    assert len({round(score, 2) for (score,) in wanted.values()}) == 3
    for role in ("prm", "reasoner", "prm", ""):
        assert scores(model, role, QUESTIONS[:1]) == wanted[role], "alone, each is the same to the last bit"
    request = CompletionRequest(TALK, n=2, max_answer_tokens=8)
    forget(model)
    plain = model.complete(request, CancelToken())
    adapted = model.complete(replace(request, adapter="reasoner"), CancelToken())
    assert adapted.cached_tokens == 0
    assert adapted.completions != plain.completions
    again = model.complete(request, CancelToken())
    assert again.completions == plain.completions
    assert again.cached_tokens > 0, "the base's prompt was kept meanwhile"


@pytest.mark.model
def test_a_role_without_an_adapter_is_the_base(model: LocalModel) -> None:
    forget(model)
    wanted = scores(model, "")
    assert scores(model, "nobody") == wanted


def activated_score(model: LocalModel, talk: tuple[Message, ...], adapter: str) -> float:
    """From nothing: the base reads all before the invocation, the adapter the rest."""
    forget(model)
    context = model._session.context
    tokens = prompt(model, talk)
    start = activation_start(context, adapter, tokens)
    assert 0 < start < len(tokens)
    model._session.cache.prefill(tokens[:start])
    context.use_adapter(adapter)
    rest = range(start, len(tokens))
    context.decode([Row(tokens[i], i, 0, i == rest[-1]) for i in rest])
    found = probability(context.logits(len(rest) - 1), *first_tokens(context, "Yes", "No"))
    context.use_adapter("")
    forget(model)
    return found


@pytest.mark.model
@pytest.mark.parametrize("talks", [QUESTIONS, QUESTIONS[:1]], ids=["side by side", "alone"])
def test_activated_verdicts_equal_a_full_recomputation(model: LocalModel, talks: Any) -> None:
    wanted = [activated_score(model, talk, "orm") for talk in talks]
    zero_shot = scores(model, "", talks)
    forget(model)
    verdicts = model.judge([JudgeRequest(talk, adapter="orm") for talk in talks], CancelToken())
    assert [verdict.probability for verdict in verdicts] == pytest.approx(wanted, abs=TOLERANCE)
    assert wanted != pytest.approx(zero_shot, abs=TOLERANCE), "the adapter did nothing"
    # What the base read is the base's again: nothing of the adapter stayed behind.
    assert scores(model, "", talks) == pytest.approx(zero_shot, abs=TOLERANCE)
    assert model._session.context.adapter_in_use == ""


@pytest.mark.model
def test_an_activated_judge_goes_on_from_the_answer_just_generated(model: LocalModel) -> None:
    forget(model)
    batch = model.complete(CompletionRequest(TALK, n=3, max_answer_tokens=24), CancelToken())
    texts = dict.fromkeys(one.answer for one in batch.completions)
    talks = [(*TALK, Message("assistant", text), QUESTIONS[0][-1]) for text in texts]
    verdicts = model.judge([JudgeRequest(talk, adapter="orm") for talk in talks], CancelToken())
    assert all(verdict.prompt_tokens - verdict.cached_tokens < 40 for verdict in verdicts)
    plain = scores(model, "", talks)
    for verdict, talk, base in zip(verdicts, talks, plain, strict=True):
        wanted = activated_score(model, talk, "orm")
        assert verdict.probability == pytest.approx(wanted, abs=TOLERANCE)
        assert wanted != pytest.approx(base, abs=TOLERANCE / 10)


@pytest.mark.model
def test_a_judge_with_a_plain_adapter_reads_answers_of_the_base_anew(model: LocalModel) -> None:
    forget(model)
    batch = model.complete(CompletionRequest(TALK, n=2, max_answer_tokens=24), CancelToken())
    talks = [(*TALK, Message("assistant", one.answer), QUESTIONS[0][-1]) for one in batch.completions]
    now = scores(model, "prm", talks)
    forget(model)
    assert now == pytest.approx(scores(model, "prm", talks), abs=TOLERANCE)


@pytest.mark.model
def test_an_activated_adapter_whose_invocation_never_comes_is_named(
    small_model_path: Path, files: tuple[AdapterFile, ...], tmp_path: Path
) -> None:
    shapes = dict(list(attention_shapes(small_model_path).items())[:1])
    odd = AdapterFile("orm", write_lora(tmp_path / "odd.gguf", shapes, invocation=[5, 6, 7, 8]))
    loaded = LocalModel(small_model_path, replace(PARAMETERS, adapters=(odd,)))
    try:
        with pytest.raises(BadInput, match=r"acts after the tokens \[5, 6, 7, 8\]"):
            loaded.judge([JudgeRequest(TALK, adapter="orm")], CancelToken())
        assert loaded.judge([JudgeRequest(TALK, adapter="prm")], CancelToken())[0].probability is not None
    finally:
        loaded.close()


@pytest.mark.model
def test_installed_adapters_are_loaded_and_named(small_model_path: Path, files: tuple[AdapterFile, ...]) -> None:
    resolved = ResolvedModel("gguf", "small", small_model_path, adapters=files[1:])
    assert load_parameters(resolved).adapters == files[1:]
    # A trace of zero-shot verdicts is not resumed with adapters: the name differs.
    model = open_model(resolved)
    assert model.name == "small + prm adapter + orm adapter"
    model.close()


# Through the model host

Open = Callable[..., HostedModel]


@pytest.fixture
def open_hosted(small_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens clients with these adapters in a home of their own; the hosts are retired at the end."""
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path))
    opened: list[HostedModel] = []

    def open_one(*adapters: AdapterFile) -> HostedModel:
        parameters = replace(PARAMETERS, n_ctx=1024, adapters=adapters)
        opened.append(HostedModel(small_model_path, "small", parameters, idle_seconds=60.0))
        return opened[-1]

    yield open_one
    for model in opened:
        model.close()
    for model in opened:
        model.retire()


def judged(model: HostedModel, adapter: str) -> float | None:
    return model.judge([JudgeRequest(QUESTIONS[0], adapter=adapter)], CancelToken())[0].probability


@pytest.mark.model
def test_a_host_without_our_adapters_is_replaced_and_one_with_more_will_do(
    open_hosted: Open, files: tuple[AdapterFile, ...]
) -> None:
    plain = open_hosted()
    zero_shot = judged(plain, "prm")
    first = plain.host_pid
    plain.close()
    adapted = open_hosted(*files)
    with_adapter = judged(adapted, "prm")
    assert adapted.host_pid != first
    assert with_adapter != pytest.approx(zero_shot, abs=0.01)
    # A client of no adapters gets the base from the same host, whatever its requests say. Alone each is bit-identical.
    assert judged(plain, "prm") == pytest.approx(zero_shot, abs=0.001)
    assert plain.host_pid == adapted.host_pid
    assert judged(adapted, "prm") == pytest.approx(with_adapter, abs=0.001)


@pytest.mark.model
def test_a_host_in_use_without_our_adapters_is_named_not_used(
    open_hosted: Open, files: tuple[AdapterFile, ...]
) -> None:
    plain = open_hosted()
    judged(plain, "")
    with pytest.raises(ModelUnavailable, match=r"runs without the adapter prm=.*others use it") as caught:
        judged(open_hosted(files[1]), "prm")
    assert "try again" in caught.value.cure


@pytest.mark.model
def test_adapters_that_do_not_fit_are_refused_through_the_host(open_hosted: Open, tmp_path: Path) -> None:
    other = write_lora(tmp_path / "other.gguf", {"blk.0.attn_q.weight": (1536, 1536)})
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(other.read_bytes()[:-7])
    no_adapter = write_gguf(tmp_path / "model.gguf", {"general.architecture": "qwen2"}, {})
    for path, why in ((other, "does not fit the model"), (cut, "ends early"), (no_adapter, "no LoRA adapter")):
        model = open_hosted(AdapterFile("prm", path))
        with pytest.raises(ModelUnavailable, match=why) as caught:
            judged(model, "prm")
        assert str(path) in caught.value.message
        assert "[adapters]" in caught.value.cure
    gone = open_hosted(AdapterFile("prm", tmp_path / "gone.gguf"))
    with pytest.raises(ModelUnavailable, match="No such file"):
        judged(gone, "prm")
