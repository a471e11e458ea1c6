"""The seam between verification and isolation."""

from pathlib import Path
from typing import Protocol

from patchwright_engine.control import CancelToken
from patchwright_engine.types import Command, RunReport


class Sandbox(Protocol):
    """Runs commands over throw-away copies of the workspace: from any thread, one at a time over each copy."""

    @property
    def level(self) -> str:
        """'bubblewrap', 'landlock', 'docker', ...: shown in every result."""
        ...

    @property
    def promises(self) -> str:
        """One sentence: what this level stops and what it does not."""
        ...

    def prepare(self, workspace: Path) -> None:
        """Make `workspace` one that runs can write, which may change owners. `run` does so itself.

        For those who compare the copy's files before and after a run: call it before the first look.
        """
        ...

    def run(self, command: Command, workspace: Path, cancel: CancelToken, readable: tuple[Path, ...] = ()) -> RunReport:
        """Run `command` with `workspace` as its only writable folder (mounted at its own path).

        `readable` lists further folders the command may read (the interpreter, a virtual environment).
        A command that fails, hangs, floods or is killed is a value; raises Cancelled when the token is
        cancelled (after the whole process group is dead), SandboxUnavailable when isolation itself broke.
        """
        ...
