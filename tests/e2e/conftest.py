"""The demo project, its model on a socket, and a home of its own for every end-to-end test."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_project import RULES, write_project
from scripted_model import ScriptedServer, serve_scripted


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder; tests check that nobody but the client writes there."""
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    root = (tmp_path / "project").resolve()
    root.mkdir()
    write_project(root)
    return root


@pytest.fixture
def model() -> Iterator[ScriptedServer]:
    """A model that answers every stage of the demo issue rightly, on a real socket."""
    with serve_scripted(*RULES) as server:
        yield server


@pytest.fixture
def settings(model: ScriptedServer) -> dict[str, Any]:
    """What the user would set in the editor to use that model."""
    return {"model": model.url, "python": sys.executable, "budget": "quick"}
