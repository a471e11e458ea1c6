"""The memory plan: its arithmetic, its order of giving up, and what it never does."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwright_engine.errors import BadInput
from patchwright_engine.model.catalog import load_catalog
from patchwright_engine.model.gguf import ModelShape
from patchwright_engine.model.ladder import least_memory, less_memory
from patchwright_engine.model.parameters import LoadParameters
from patchwright_engine.model.plan import MemoryPlan, memory_need, plan_memory
from patchwright_engine.model.probe import Gpu, Hardware

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True)
class Model:
    size: int
    shape: ModelShape | None


MODEL_32B = load_catalog().get("32b")
SHAPE = ModelShape(layers=10, embedding=64, heads=4, kv_heads=2, head_dim=16, vocabulary=1000)


def machine(card_gib: float, memory_gib: float = 64) -> Hardware:
    memory, room = int(memory_gib * GIB), int(card_gib * GIB)
    return Hardware(8, 8, memory, memory, (Gpu("card", room, room, "cuda"),) if card_gib else ())


def test_a_24_gb_card_takes_the_32b_whole() -> None:
    plan = plan_memory(MODEL_32B, machine(24))
    assert plan.fits
    assert (plan.n_gpu_layers, plan.n_ctx, plan.kv_type, plan.n_seq, plan.gave_up) == (65, 16_384, "f16", 8, ())
    # 2 (K and V) * 64 layers * 8 heads * 128 * 2 bytes * 16,384 tokens
    assert plan.kv_bytes == 4 * GIB
    # 4 bytes * (512 tokens of 152,064 logits and 2 * 5,120 states on the card, and 512 rows of logits in memory)
    assert plan.compute_bytes == 4 * (512 * (152_064 + 10_240) + 512 * 152_064)
    # All but the embeddings and the rows of logits.
    assert plan.gpu_bytes == plan.weights_bytes - 437_944_320 + plan.kv_bytes + 4 * 512 * (152_064 + 10_240)
    assert plan.cache_bytes == plan.kv_bytes
    parts = (plan.weights_bytes, plan.kv_bytes, plan.compute_bytes, plan.cache_bytes)
    assert plan.total_bytes == sum(parts)


def test_compute_memory_is_what_llama_cpp_reports() -> None:
    """0.5B, batch 512: llama.cpp says 300.25 MiB; the rows of logits lie outside that."""
    need = memory_need(load_catalog().get("0.5b"), LoadParameters(n_ctx=8192, n_batch=512))
    assert need.compute - 512 * 4 * 151_936 == int(300.25 * MIB)
    assert need.kv == 96 * MIB


@pytest.mark.parametrize(("kv_type", "mib"), [("f16", 96), ("q8_0", 51), ("q4_0", 27)])
def test_precision_decides_what_a_context_takes(kv_type: str, mib: int) -> None:
    for n_ctx in (8192, 8192 - 255):  # llama.cpp pads to 256
        need = memory_need(load_catalog().get("0.5b"), LoadParameters(n_ctx=n_ctx, kv_type=kv_type))
        assert need.kv == mib * MIB


def test_without_a_card_the_processor_has_12k() -> None:
    plan = plan_memory(load_catalog().get("1.5b"), machine(0, 23))
    assert (plan.n_gpu_layers, plan.n_ctx, plan.kv_type, plan.fits, plan.gave_up) == (0, 12_288, "f16", True, ())
    assert (plan.context_tokens, plan.n_batch) == (8192, 256)


def test_what_is_planned_is_what_is_loaded() -> None:
    plan = plan_memory(MODEL_32B, machine(12))
    need = memory_need(MODEL_32B, plan.parameters)
    assert (plan.weights_bytes, plan.kv_bytes, plan.compute_bytes) == (need.weights, need.kv, need.compute)
    for name in ("n_ctx", "context_tokens", "n_seq", "n_batch", "n_gpu_layers", "kv_type", "threads", "cache_bytes"):
        assert getattr(plan.parameters, name) == getattr(plan, name)


def test_precision_of_the_context_goes_before_its_length() -> None:
    plans = [plan_memory(MODEL_32B, machine(0, gib)) for gib in (24, 22, 20.9, 20.25)]
    assert [(plan.kv_type, plan.n_ctx) for plan in plans] == [
        ("f16", 12_288),
        ("q8_0", 12_288),
        ("q8_0", 6144),
        ("q8_0", 4096),
    ]
    assert [len(plan.gave_up) for plan in plans] == [0, 1, 2, 3]
    assert "context 4,096 tokens instead of 12,288" in plans[3].gave_up
    assert "4 candidates at a time instead of 8" in plans[3].gave_up
    assert plans[3].n_batch == 128


def test_the_ladder_ends_at_the_least_that_works() -> None:
    step, words = LoadParameters(n_ctx=20_000, context_tokens=15_000, n_gpu_layers=8), []
    while lower := less_memory(step):
        assert lower[0] != step
        step = lower[0]
        words.append(lower[1])
    assert step == replace(
        LoadParameters(), n_ctx=4096, context_tokens=4096, kv_type="q8_0", n_seq=4, n_batch=128, n_gpu_layers=0
    )
    assert words[:2] == ["context kept in q8_0 instead of f16", "context 10,000 tokens instead of 20,000"]
    assert words[-1] == "only 0 layers on the GPU"


def test_every_rung_takes_less_than_the_one_above() -> None:
    step = LoadParameters(n_ctx=32_768, context_tokens=20_000, n_gpu_layers=65, n_batch=512)
    while lower := less_memory(step):
        above, below = memory_need(MODEL_32B, step), memory_need(MODEL_32B, lower[0])
        assert (below.on_gpu, below.in_memory) < (above.on_gpu, above.in_memory)
        step = lower[0]


def test_heads_that_are_no_whole_blocks_keep_their_precision() -> None:
    """llama.cpp refuses q8_0 for them."""
    model = Model(MODEL_32B.size, replace(MODEL_32B.shape or SHAPE, head_dim=80))
    plans = [plan_memory(model, machine(0, gib)) for gib in (24, 20.8)]
    assert [(plan.kv_type, plan.n_ctx) for plan in plans] == [("f16", 12_288), ("f16", 6144)]


def test_after_a_death_by_memory_the_prompts_still_fit() -> None:
    parameters = LoadParameters(n_ctx=12_288, context_tokens=8192, n_gpu_layers=40)
    lower = least_memory(parameters)
    assert lower
    least, words = lower
    assert (least.n_ctx, least.context_tokens, least.kv_type, least.n_seq) == (8192, 8192, "q8_0", 4)
    assert (least.n_gpu_layers, least.cache_bytes) == (35, 64 * MIB)
    assert words == "4 candidates at a time, a context of 8,192 tokens kept in q8_0"
    assert least_memory(replace(least, n_gpu_layers=0)) is None


def test_a_prompt_cache_never_makes_a_plan_fail() -> None:
    tight = plan_memory(MODEL_32B, machine(0, 20.25))
    assert tight.fits
    assert 0 <= tight.cache_bytes < 512 * MIB
    assert tight.total_bytes <= 19.25 * GIB


def test_what_the_card_cannot_hold_runs_on_the_processor() -> None:
    plan = plan_memory(MODEL_32B, machine(12))
    assert plan.fits
    assert 25 < plan.n_gpu_layers < 45
    assert f"{plan.n_gpu_layers} of 65 layers on the GPU, the rest on the CPU" in plan.gave_up


def test_the_output_layer_is_the_first_on_the_card() -> None:
    """llama.cpp offloads it before any other, and it is twice as large as one."""
    one, two = (memory_need(MODEL_32B, LoadParameters(n_gpu_layers=count)) for count in (1, 2))
    work = 4 * 256 * (152_064 + 2 * 5120)
    assert one.on_gpu == 638_668_800 + work
    assert two.on_gpu - one.on_gpu == pytest.approx(293_261_312 + two.kv / 64, rel=0.001)
    assert one.on_gpu + one.in_memory == one.weights + one.kv + one.compute


def test_a_tied_output_layer_is_there_twice_with_a_card() -> None:
    tied = Model(1000 * MIB, replace(SHAPE, input_bytes=100 * MIB, output_bytes=100 * MIB, tied=True))
    assert memory_need(tied, LoadParameters()).weights == 1000 * MIB
    whole = memory_need(tied, LoadParameters(n_gpu_layers=-1))
    assert whole.weights == 1100 * MIB
    assert whole.in_memory == 100 * MIB + 4 * 256 * 1000


def test_a_shape_without_details_counts_the_output_layer_as_any_other() -> None:
    plain = Model(1100 * MIB, SHAPE)
    assert memory_need(plain, LoadParameters(n_gpu_layers=1)).on_gpu == 100 * MIB + 4 * 256 * (1000 + 128)


def test_a_card_too_small_for_a_layer_is_given_up_in_words() -> None:
    plan = plan_memory(MODEL_32B, machine(1))
    assert (plan.n_gpu_layers, plan.n_ctx, plan.fits) == (0, 12_288, True)
    assert plan.gave_up == ("the GPU, which has no room for any layer",)


def test_what_fits_nowhere_says_so() -> None:
    plan = plan_memory(MODEL_32B, machine(0, 8))
    assert not plan.fits
    assert plan.n_ctx == 4096


def test_shared_memory_is_not_counted_twice() -> None:
    mac = Hardware(8, 8, 24 * GIB, 22 * GIB, (Gpu("M", 18 * GIB, 18 * GIB, "metal"),), unified=True)
    split = plan_memory(MODEL_32B, mac)
    assert split.fits
    assert split.total_bytes <= 21 * GIB < split.weights_bytes + 18 * GIB
    assert not plan_memory(MODEL_32B, replace(mac, memory_available=20 * GIB)).fits
    assert plan_memory(load_catalog().get("14b"), mac).n_gpu_layers == 49


def test_two_cards_hold_what_one_cannot() -> None:
    two = Hardware(8, 8, 64 * GIB, 64 * GIB, (Gpu("a", 12 * GIB, 12 * GIB, "cuda"),) * 2)
    assert plan_memory(MODEL_32B, two).n_gpu_layers == 65


def test_a_model_without_a_shape_cannot_be_planned() -> None:
    with pytest.raises(BadInput, match="shape"):
        plan_memory(Model(1, None), machine(8))


@given(
    card=st.floats(0, 80),
    memory=st.floats(0.5, 256),
    name=st.sampled_from(["0.5b", "1.5b", "7b", "14b", "32b"]),
    sequences=st.integers(1, 64),
    context=st.none() | st.integers(1, 65_536),
)
def test_a_plan_that_fits_keeps_the_reserve_and_never_goes_below_4096(
    card: float, memory: float, name: str, sequences: int, context: int | None
) -> None:
    entry = load_catalog().get(name)
    plan = plan_memory(entry, machine(card, memory), sequences=sequences, context=context)
    check_invariants(plan, entry.size, card, memory)
    roomier = plan_memory(entry, machine(card * 2, memory * 2), sequences=sequences, context=context)
    assert roomier.fits or not plan.fits
    if plan.fits:
        assert roomier.n_ctx >= plan.n_ctx or roomier.n_gpu_layers > plan.n_gpu_layers


def check_invariants(plan: MemoryPlan, size: int, card: float, memory: float) -> None:
    assert plan.n_ctx >= 4096
    assert plan.n_seq >= 1
    assert plan.weights_bytes == size
    if plan.fits:
        assert plan.total_bytes <= card * GIB + memory * GIB
        if not plan.n_gpu_layers:
            assert plan.total_bytes <= (memory - 1) * GIB + 1
        assert plan.gpu_bytes <= max(0, card * GIB - 640 * MIB)
        assert plan.total_bytes - plan.gpu_bytes <= (memory - 1) * GIB + 1
