"""The memory plan and llama.cpp agree, for the real 0.5B and both precisions of its context."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.model.parameters import LoadParameters

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("memory_under_test", ROOT / "benchmarks" / "memory.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.model
@pytest.mark.parametrize(
    "parameters",
    [
        LoadParameters(n_ctx=8192, context_tokens=8192, kv_type="f16", n_batch=256, n_seq=8),
        LoadParameters(n_ctx=4096, context_tokens=4096, kv_type="q8_0", n_batch=128, n_seq=4),
    ],
    ids=["f16", "q8_0"],
)
def test_what_is_planned_is_what_llama_cpp_allocates(
    benchmark: Any, small_model_path: Path, parameters: LoadParameters
) -> None:
    real = benchmark.measure(small_model_path, parameters)
    row = benchmark.compare(small_model_path, parameters, real)
    assert abs(row["error"]) <= 0.05, row
    assert all(abs(error) <= 0.05 for error in row["errors"].values()), row
    # What the kernel cannot take back: the copies llama.cpp made, the context, its work, and the interpreter.
    counted = real.kv + real.compute + real.mapped_twice
    assert real.anonymous == 0 or counted * 0.95 <= real.anonymous <= counted + (200 << 20)


def test_contexts_precisions_and_batches_are_all_compared(benchmark: Any) -> None:
    wanted = benchmark.configurations(quick=False)
    assert {one.kv_type for one in wanted} == {"f16", "q8_0", "q4_0"}
    assert {4096, 8192, 16_384} <= {one.n_ctx for one in wanted}
    assert {(one.n_batch, one.n_seq) for one in wanted} >= {(256, 8), (512, 4)}
