"""Every level that works on this machine, and a throw-away workspace."""

from pathlib import Path

import pytest

from patchwright_engine.errors import SandboxUnavailable
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.select import LEVELS, select_sandbox


@pytest.fixture(params=LEVELS)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    try:
        return select_sandbox(request.param)
    except SandboxUnavailable as error:
        pytest.skip(f"{request.param} does not work on this machine: {error.message}")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "inside.txt").write_text("before")
    return folder
