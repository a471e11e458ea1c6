"""One whole search in process by a scripted model, and what was seen of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchwright_engine.control import CancelToken, Progress
from patchwright_engine.model.backend import CompletionRequest
from patchwright_engine.pipeline import FixRequest, run_fix
from patchwright_engine.search.rollouts import Drawn, drawn_from_json
from patchwright_engine.search.trace import read_trace
from patchwright_engine.types import Evidence, Fix, FixResult
from scripted_model import ScriptedModel


@dataclass
class Searched:
    """A finished search and what was heard from it."""

    result: FixResult
    model: ScriptedModel
    progress: list[Progress]
    heard: list[Fix]

    def steps(self, *kinds: str) -> list[dict[str, Any]]:
        return [step for step in read_trace(self.result.trace) if not kinds or step["kind"] in kinds]

    def asked(self, text: str) -> list[CompletionRequest]:
        return [request for request in self.model.requests if text in request.messages[-1].content]

    @property
    def drawn(self) -> Drawn:
        """What a fixed strategy drew."""
        (step,) = self.steps("drawn")
        return drawn_from_json(step)

    @property
    def evidence(self) -> list[Evidence]:
        return [fix.evidence for fix in self.result.fixes]


def run_search(
    request: FixRequest,
    model: ScriptedModel,
    cancel: CancelToken | None = None,
    on_fix: Callable[[Fix], None] | None = None,
) -> Searched:
    """Search, and check that nobody wrote to the repository."""
    before = _contents(request.root)
    progress: list[Progress] = []
    heard: list[Fix] = []

    def hear(fix: Fix) -> None:
        heard.append(fix)
        if on_fix:
            on_fix(fix)

    result = run_fix(request, cancel=cancel or CancelToken(), progress=progress.append, on_fix=hear, model=model)
    assert _contents(request.root) == before
    return Searched(result, model, progress, heard)


def _contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
