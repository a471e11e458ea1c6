"""Build flags: never native, never AMX, never an instruction set that some core lacks."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from patchwright_engine.model import build_flags
from patchwright_engine.model.build_flags import (
    Machine,
    cmake_args,
    features_of_cpuinfo,
    flags,
    install_command,
    wheel_key,
)

ROOT = Path(__file__).parents[2]
AVX2 = {"sse4_2", "avx", "avx2", "fma", "f16c", "bmi2"}
AVX512 = {"avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"}
MORE = {"avx512vbmi", "avx512_vnni", "avx512_bf16"}
AMX = {"amx_tile", "amx_int8", "amx_bf16"}
TAKEN = ["-mavx512vbmi", "-mavx512vnni", "-mavx512bf16", "-mavxvnni"]


def on(features: set[str], accepted: list[str] | None = None, processor: str = "x86_64") -> set[str]:
    """The options that are on for such a machine."""
    found = flags(Machine("Linux", processor, frozenset(features)), TAKEN if accepted is None else accepted)
    return {flag[2:-3] for flag in found if flag.endswith("=ON")}


EXPECTED_AVX2 = {"GGML_SSE42", "GGML_AVX", "GGML_AVX2", "GGML_FMA", "GGML_F16C", "GGML_BMI2"}


def test_a_virtual_machine_with_amx_gets_avx512_without_amx() -> None:
    found = on(AVX2 | AVX512 | MORE | AMX)
    assert found == EXPECTED_AVX2 | {f"GGML_AVX512{part}" for part in ("", "_VBMI", "_VNNI", "_BF16")}
    said = flags(Machine("Linux", "x86_64", frozenset(AVX2 | AMX)), TAKEN)
    assert {"-DGGML_NATIVE=OFF", "-DGGML_AMX_TILE=OFF", "-DGGML_AMX_INT8=OFF", "-DGGML_AMX_BF16=OFF"} <= set(said)


@pytest.mark.parametrize("lacking", sorted(AVX512))
def test_avx512_needs_all_that_it_is_compiled_with(lacking: str) -> None:
    assert on((AVX2 | AVX512 | MORE) - {lacking}) == EXPECTED_AVX2


@pytest.mark.parametrize("lacking", ["avx2", "fma", "f16c", "bmi2"])
def test_a_processor_that_hides_one_of_the_avx2_family_gets_plain_avx(lacking: str) -> None:
    assert on((AVX2 | AVX512) - {lacking}) == {"GGML_SSE42", "GGML_AVX"}


def test_an_old_processor_gets_what_it_has() -> None:
    assert on({"sse4_2"}) == {"GGML_SSE42"}
    assert on(set()) == set()


def test_every_option_is_said_so_that_no_default_of_ggml_slips_in() -> None:
    said = {flag[2:].split("=")[0] for flag in flags(Machine("Linux", "x86_64", frozenset()), TAKEN)}
    assert said >= EXPECTED_AVX2 | {"GGML_NATIVE", "GGML_AVX512", "GGML_AVX512_VBMI", "GGML_AVX_VNNI"}


def test_an_old_compiler_is_not_asked_for_what_it_does_not_know() -> None:
    assert "GGML_AVX512_BF16" not in on(AVX2 | AVX512 | MORE, accepted=["-mavx512vbmi", "-mavx512vnni"])
    assert "GGML_AVX_VNNI" in on(AVX2 | {"avx_vnni"})
    assert "GGML_AVX_VNNI" not in on(AVX2 | {"avx_vnni"}, accepted=[])


@pytest.mark.parametrize(
    ("features", "arch"),
    [
        ("fp asimd evtstrm", None),
        ("fp asimd fphp asimdhp asimddp", "armv8.2-a+fp16+dotprod"),
        ("fp asimd fphp asimddp i8mm sve sve2 sme", "armv8.2-a+fp16+dotprod+i8mm"),
    ],
)
def test_arm_gets_dot_products_and_never_sve(features: str, arch: str | None) -> None:
    found = flags(Machine("Linux", "aarch64", frozenset(features.split())))
    assert found == ["-DGGML_NATIVE=OFF", *([f"-DGGML_CPU_ARM_ARCH={arch}"] if arch else [])]


def test_a_mac_uses_metal() -> None:
    assert "-DGGML_METAL=ON" in flags(Machine("Darwin", "arm64", frozenset({"asimddp", "fphp"})))


def test_a_feature_counts_only_when_every_core_has_it() -> None:
    text = "processor : 0\nflags\t\t: avx avx2 avx512f\n\nprocessor : 1\nflags\t\t: avx avx2\n"
    assert features_of_cpuinfo(text) == {"avx", "avx2"}
    assert features_of_cpuinfo("Features\t: fp asimddp\n") == {"fp", "asimddp"}
    assert features_of_cpuinfo("") == frozenset()


def test_the_users_own_flags_come_last_and_win() -> None:
    args = cmake_args({"CMAKE_ARGS": " -DGGML_CUDA=ON -DGGML_AVX512=OFF "})
    assert args.startswith("-DGGML_NATIVE=")
    assert args.endswith(" -DGGML_CUDA=ON -DGGML_AVX512=OFF")
    assert "-DGGML_CUDA=ON" in install_command({"CMAKE_ARGS": "-DGGML_CUDA=ON"})


def test_other_flags_make_another_wheel() -> None:
    assert wheel_key({}) == wheel_key({"CMAKE_ARGS": ""})
    assert wheel_key({}) != wheel_key({"CMAKE_ARGS": "-DGGML_CUDA=ON"})
    assert wheel_key({}).startswith(build_flags.VERSION)


def test_the_version_is_the_one_that_is_required() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["llama"] == [f"llama-cpp-python=={build_flags.VERSION}"]


def test_it_runs_before_anything_is_installed() -> None:
    """`make` asks for the flags when there is an interpreter and nothing else."""
    environment = {"PATH": os.environ["PATH"], "CMAKE_ARGS": "-DMINE=1"}
    argv = [sys.executable, "-I", "-S", str(build_flags.__file__), "--cmake-args"]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == cmake_args({"CMAKE_ARGS": "-DMINE=1"})
    assert done.stdout.strip().endswith("-DMINE=1")
