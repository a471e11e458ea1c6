"""From the user's choice to a model that can be asked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from patchwright_engine.config import Settings, folders
from patchwright_engine.control import CancelToken
from patchwright_engine.model.backend import CompletionRequest, Message
from patchwright_engine.model.catalog import ResolvedModel, resolve_model
from patchwright_engine.model.client import HostedModel
from patchwright_engine.model.connect import load_parameters, open_model
from patchwright_engine.model.gguf import read_gguf
from patchwright_engine.model.plan import plan_memory
from patchwright_engine.model.probe import usable_hardware
from scripted_model import Rule, serve_scripted


def test_a_url_opens_the_server_behind_it() -> None:
    with serve_scripted(Rule(("done",))) as server:
        model = open_model(ResolvedModel(kind="url", name=server.url, url=server.url))
        batch = model.complete(CompletionRequest((Message("user", "go"),)), CancelToken())
        model.close()
    assert batch.completions[0].answer == "done"


def test_what_is_planned_is_what_is_loaded(make_gguf: Callable[..., Path]) -> None:
    path = make_gguf()
    loaded = load_parameters(ResolvedModel(kind="gguf", name="tiny", path=path))
    plan = plan_memory(read_gguf(path), usable_hardware())
    # Free memory moves between the two looks; for so small a model it decides over nothing else.
    assert replace(loaded, cache_bytes=0) == replace(plan.parameters, cache_bytes=0)
    assert loaded.threads == plan.threads > 0


def test_a_model_that_the_catalog_says_thinks_is_loaded_as_one(make_gguf: Callable[..., Path]) -> None:
    path = make_gguf()
    for thinks in (True, False):
        user = folders().config / "models.toml"
        user.parent.mkdir(parents=True, exist_ok=True)
        entry = f'name = "mine"\npath = "{path}"\nparameters = 1\nlicence = "x"\nthinks = {str(thinks).lower()}\n'
        user.write_text(f"[[model]]\n{entry}")
        assert load_parameters(resolve_model("mine", Settings())).thinks is thinks


@pytest.mark.model
def test_a_file_is_loaded_as_the_memory_plan_says(small_model_path: Path) -> None:
    resolved = ResolvedModel(kind="gguf", name="small", path=small_model_path)
    parameters = load_parameters(resolved)
    assert 4096 <= parameters.context_tokens <= parameters.n_ctx
    assert parameters.n_seq >= 2
    assert parameters.disk_cache_bytes == 1 << 30
    settings = folders().config / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("disk_cache_bytes = 0\n")
    assert load_parameters(resolved).disk_cache_bytes == 0
    model = open_model(resolved)
    assert isinstance(model, HostedModel)
    assert model.host_pid is None
    model.close()
