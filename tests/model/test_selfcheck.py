"""The decode check: every way in which the child can end is a value with a cure."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from patchwright_engine.model.build_flags import VERSION
from patchwright_engine.model.selfcheck import check_decoding, judge_child


def end_of(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_an_illegal_instruction_names_the_rebuild() -> None:
    done = end_of("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    assert done.returncode == -signal.SIGILL
    check = judge_child(done.returncode, done.stdout, done.stderr)
    assert not check.ok
    assert "illegal instruction" in check.detail
    assert "CMAKE_ARGS='-DGGML_NATIVE=OFF" in check.cure
    assert f"llama-cpp-python=={VERSION}" in check.cure


@pytest.mark.parametrize(
    ("code", "output", "errors", "detail", "cure"),
    [
        (-signal.SIGKILL, "", "", "lack of memory", "models plan"),
        (-signal.SIGSEGV, "", "", "SIGSEGV", "Rebuild"),
        (3, "", "No module named 'llama_cpp'", "cannot be imported", "Install"),
        (1, "", "Traceback\nValueError: Failed to load model", "Failed to load", "models verify"),
        (0, '{"nats": 11.8, "tokens": 70, "seconds": 1}', "", "garbage", "Rebuild"),
        (0, '{"nats": NaN, "tokens": 70, "seconds": 1}', "", "garbage", "Rebuild"),
        (0, "", "", "nonsense", "Rebuild"),
    ],
)
def test_each_failure_has_its_cure(code: int, output: str, errors: str, detail: str, cure: str) -> None:
    check = judge_child(code, output, errors)
    assert not check.ok
    assert detail in check.detail
    assert cure in check.cure


def test_a_sane_answer_is_ok() -> None:
    check = judge_child(0, '{"nats": 0.7, "tokens": 70, "seconds": 1.5, "gpu_offload": true}', "")
    assert check.ok
    assert check.cure == ""
    assert check.gpu_offload


def test_a_child_that_hangs_is_ended(make_gguf: Callable[..., Path]) -> None:
    check = check_decoding(make_gguf(), timeout_seconds=0.01)
    assert not check.ok
    assert "took more than" in check.detail


def test_a_file_that_is_no_model_fails_as_a_value(make_gguf: Callable[..., Path]) -> None:
    check = check_decoding(make_gguf(), timeout_seconds=60)
    assert not check.ok
    assert check.cure


@pytest.mark.model
def test_an_installed_model_decodes(small_model_path: Path) -> None:
    check = check_decoding(small_model_path, timeout_seconds=180)
    assert check.ok, check.detail
