"""The memory plan: its arithmetic, its order of giving up, and what it never does."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwright_engine.errors import BadInput
from patchwright_engine.model.catalog import load_catalog
from patchwright_engine.model.gguf import ModelShape
from patchwright_engine.model.plan import MemoryPlan, plan_memory
from patchwright_engine.model.probe import Gpu, Hardware

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True)
class Model:
    size: int
    shape: ModelShape | None


SHAPE_32B = ModelShape(layers=64, embedding=5120, heads=40, kv_heads=8, head_dim=128, vocabulary=152_064)
MODEL_32B = Model(19_851_335_872, SHAPE_32B)


def machine(card_gib: float, memory_gib: float = 64) -> Hardware:
    memory, room = int(memory_gib * GIB), int(card_gib * GIB)
    return Hardware(8, 8, memory, memory, (Gpu("card", room, room, "cuda"),) if card_gib else ())


def test_a_24_gb_card_takes_the_32b_whole() -> None:
    plan = plan_memory(MODEL_32B, machine(24))
    assert plan.fits
    assert (plan.n_gpu_layers, plan.n_ctx, plan.kv_type, plan.n_seq, plan.gave_up) == (65, 16_384, "f16", 8, ())
    # 2 (K and V) * 64 layers * 8 heads * 128 * 2 bytes * 16,384 tokens
    assert plan.kv_bytes == 4 * GIB
    # 4 bytes * (512 tokens of 152,064 logits and 2 * 5,120 states, and 8 rows of logits)
    assert plan.compute_bytes == 4 * (512 * (152_064 + 10_240) + 8 * 152_064)
    assert plan.total_bytes == plan.weights_bytes + plan.kv_bytes + plan.compute_bytes


def test_compute_memory_is_what_llama_cpp_reports() -> None:
    """0.5B, batch 512, 8 sequences: llama.cpp says 300.25 MiB; a row of logits a sequence lies outside that."""
    plan = plan_memory(load_catalog().get("0.5b"), machine(0))
    assert plan.compute_bytes - 8 * 4 * 151_936 == int(300.25 * MIB)
    assert plan.kv_bytes == 96 * MIB


def test_without_a_card_the_processor_has_8k() -> None:
    plan = plan_memory(load_catalog().get("1.5b"), machine(0, 23))
    assert (plan.n_gpu_layers, plan.n_ctx, plan.kv_type, plan.fits, plan.gave_up) == (0, 8192, "f16", True, ())


def test_precision_of_the_context_goes_before_its_length() -> None:
    plans = [plan_memory(MODEL_32B, machine(0, gib)) for gib in (24, 21.2, 20.6)]
    assert [(plan.kv_type, plan.n_ctx) for plan in plans] == [("f16", 8192), ("q8_0", 8192), ("q8_0", 4096)]
    assert [len(plan.gave_up) for plan in plans] == [0, 1, 3]
    assert "context 4,096 tokens instead of 8,192" in plans[2].gave_up
    assert "4 candidates at a time instead of 8" in plans[2].gave_up
    assert plans[2].n_batch == 256


def test_what_the_card_cannot_hold_runs_on_the_processor() -> None:
    plan = plan_memory(MODEL_32B, machine(12))
    assert plan.fits
    assert 25 < plan.n_gpu_layers < 45
    assert f"{plan.n_gpu_layers} of 65 layers on the GPU, the rest on the CPU" in plan.gave_up


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
        if plan.n_gpu_layers > 64:
            assert plan.total_bytes <= card * GIB - 640 * MIB
