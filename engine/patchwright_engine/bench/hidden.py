"""The hidden tests of one instance: what they say of a patch, each patch run once and remembered.

Invariant: they are run here, over a throw-away copy of the tree that holds them, and nothing of them goes anywhere
else; what a patch writes into their files does not count, as with SWE-bench's own harness.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from patchwright_engine.bench.checkout import to_patch
from patchwright_engine.bench.instances import Instance
from patchwright_engine.bench.partial import Partial
from patchwright_engine.bench.prepare import Prepared
from patchwright_engine.bench.truth import (
    HiddenRun,
    Truth,
    establish,
    form_of,
    hidden_command,
    hidden_from_json,
    read_run,
)
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Patch
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.workspace import WorkspaceCopy
from patchwright_engine.workspace.snapshot import take_snapshot

_WRITTEN = re.compile(r"^\+\+\+ b/(.+?)\t?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Judge:
    """With what the hidden tests of an instance are run."""

    instance: Instance
    prepared: Prepared
    environment: TestEnvironment
    sandbox: Sandbox
    cancel: CancelToken
    timeout_seconds: float


class HiddenTests:
    """Owns the copy; a context manager. One run at a time."""

    def __init__(self, judge: Judge, partial: Partial) -> None:
        """`partial` holds the runs of earlier calls."""
        self._judge = judge
        self._partial = partial
        self._copy: WorkspaceCopy | None = None
        self._files = frozenset(_WRITTEN.findall(judge.instance.test_patch))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._copy is not None:
            self._copy.close()

    def truth(self) -> Truth | str:
        """The tests that tell right from wrong here, or why there are none. Raises: as `run`, and `to_patch`."""
        gold = to_patch(self._judge.prepared.base, self._judge.instance.patch)
        return establish(self._judge.instance, self.run(Patch(())), self.run(gold))

    def is_right(self, diff: str, truth: Truth) -> bool:
        """Whether a candidate is a fix. One that does not apply, or only writes into the hidden tests, is none."""
        try:
            patch = to_patch(self._judge.prepared.base, diff)
        except BadInput:
            return False
        kept = Patch(tuple(edit for edit in patch.edits if edit.path not in self._files))
        return bool(kept.edits) and truth.is_right(self.run(kept))

    def run(self, patch: Patch) -> HiddenRun:
        """One run over a patched copy, or what is known of it.

        Raises:
            Cancelled: in the middle of it.
            EnvironmentProblem: the copy cannot be made, or the sandbox broke.
        """
        known = self._partial.recall(f"hidden-{patch.id}")
        if known is not None:
            return hidden_from_json(known)
        judge = self._judge
        tree = self.tree()
        if patch.edits:
            assert self._copy is not None
            self._copy.apply(patch)
        command = hidden_command(judge.instance, judge.environment, tree, judge.timeout_seconds)
        form = form_of(judge.instance)
        assert form is not None
        done = read_run(judge.sandbox.run(command, tree, judge.cancel, judge.environment.readable), form)
        self._partial.keep(f"hidden-{patch.id}", asdict(done))
        return done

    def tree(self) -> Path:
        """The copy as it is without a fix; valid until the next run."""
        if self._copy is None:
            snapshot = take_snapshot(self._judge.prepared.tests, cancel=self._judge.cancel)
            self._copy = WorkspaceCopy(snapshot, cancel=self._judge.cancel)
        else:
            self._copy.reset()
        return self._copy.path
