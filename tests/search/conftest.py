"""A search's job over a small git repository, with a scripted model, for tests of single stages."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken, ignore_progress
from patchwright_engine.index import open_index
from patchwright_engine.localize.combine import locate
from patchwright_engine.search.budget import parse_budget
from patchwright_engine.search.job import Job
from patchwright_engine.search.policy import load_policy
from patchwright_engine.search.recorder import RecordedModel
from patchwright_engine.search.trace import Trace
from patchwright_engine.types import Issue
from patchwright_engine.workspace.snapshot import take_snapshot
from scripted_model import ScriptedModel

MakeRepository = Callable[[Mapping[str, str]], Path]
MakeJob = Callable[..., Job]


@pytest.fixture(autouse=True)
def patchwright_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(home))
    return home


@pytest.fixture
def unbelieving(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proof is enough: every search spends its budget."""
    policy = replace(load_policy(), confidence=1.0)
    monkeypatch.setattr("patchwright_engine.search.dev_search.load_policy", lambda: policy)


@pytest.fixture
def make_repository(tmp_path: Path) -> MakeRepository:
    """Writes files (path → text) below a fresh root that git knows."""

    def make(files: Mapping[str, str]) -> Path:
        root = (tmp_path / "project").resolve()
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(text.encode())
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        return root

    return make


@pytest.fixture
def make_job(make_repository: MakeRepository, tmp_path: Path) -> Iterator[MakeJob]:
    """Opens a job: `make_job(model, {'a.py': …}, issue)`; its trace is `tmp_path / 'trace.jsonl'`."""
    with ExitStack() as stack:

        def make(model: ScriptedModel, files: Mapping[str, str], issue: str, *, budget: str = "quick") -> Job:
            root = make_repository(files)
            cancel = CancelToken()
            snapshot = take_snapshot(root)
            index = stack.enter_context(open_index(root, tmp_path / "cache"))
            index.refresh(snapshot, cancel)
            trace = stack.enter_context(Trace(tmp_path / "trace.jsonl"))
            ranking = locate(Issue(issue), snapshot, index, 50, cancel=cancel)
            recorded = RecordedModel(model, trace)
            return Job(
                Issue(issue),
                snapshot,
                index,
                ranking,
                recorded,
                trace,
                parse_budget(budget),
                0,
                cancel,
                ignore_progress,
                issue_text=issue,
            )

        yield make
