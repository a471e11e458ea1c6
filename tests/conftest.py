"""What tests of every package share."""

import os
from pathlib import Path

import pytest

from patchwright_engine.config import folders

SMALL_MODEL = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
DEMO_MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"


@pytest.fixture(scope="session")
def small_model_path() -> Path:
    """The installed 0.5B model; tests that ask for it are marked `model`."""
    return _installed("PATCHWRIGHT_TEST_MODEL_05B", SMALL_MODEL, "qwen2.5-coder-0.5b")


@pytest.fixture(scope="session")
def demo_model_path() -> Path:
    """The installed 1.5B model, the smallest that fixes real bugs; tests that ask for it are marked `model`."""
    return _installed("PATCHWRIGHT_TEST_MODEL_15B", DEMO_MODEL, "qwen2.5-coder-1.5b")


def _installed(variable: str, file: str, name: str) -> Path:
    """A model's file. Its absence skips on a developer's machine and fails where models are pulled before."""
    given = os.environ.get(variable)
    path = Path(given) if given else folders().models / file
    if not path.is_file():
        message = f"the model is not installed at {path}; run `patchwright models pull {name}`"
        if os.environ.get("CI") or os.environ.get("PATCHWRIGHT_REQUIRE_MODELS"):
            pytest.fail(message)
        pytest.skip(message)
    return path
