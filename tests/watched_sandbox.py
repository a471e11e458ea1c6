"""A real sandbox that notes what lay in the copy of the toy bug at each run."""

from dataclasses import dataclass, field
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Command, RunReport


@dataclass
class Watched:
    """The real sandbox `inner`, and what it was given."""

    inner: Sandbox
    hidden: list[bool] = field(default_factory=list)
    """Whether a hidden test was to be seen."""
    commands: list[str] = field(default_factory=list)
    cancel_at: int = 0
    """Number of the run at which the user loses patience."""

    @property
    def level(self) -> str:
        return self.inner.level

    @property
    def promises(self) -> str:
        return self.inner.promises

    def prepare(self, workspace: Path) -> None:
        self.inner.prepare(workspace)

    def run(self, command: Command, workspace: Path, cancel: CancelToken, readable: tuple[Path, ...] = ()) -> RunReport:
        texts = [path.read_bytes() for path in workspace.rglob("*") if path.is_file()]
        assert not list(workspace.rglob(".git"))
        self.hidden.append(any(b"test_high" in text for text in texts))
        self.commands.append(command.argv[-1])
        if len(self.commands) == self.cancel_at:
            cancel.cancel()
        return self.inner.run(command, workspace, cancel, readable)
