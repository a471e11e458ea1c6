"""An engine host whose jobs do what the issue's first word says; the process around them is the real one.

Run: python scripted_host.py --root DIR
"""

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from patchwright_engine.control import CancelToken, Progress, ProgressSink, ignore_progress
from patchwright_engine.errors import ModelUnavailable
from patchwright_engine.host.__main__ import leave, main
from patchwright_engine.search.trace import Trace
from patchwright_engine.types import Cost, Evidence, FileEdit, Fix, FixResult, FixRun, Patch, RepoPath

if TYPE_CHECKING:
    from patchwright_engine.pipeline import FixRequest

CALC = RepoPath("calc.py")


def scripted_fix(request: "FixRequest", *, cancel: CancelToken, progress: ProgressSink = ignore_progress, on_fix=None):
    """fix, two, weak, new, slow, cut, early, stubborn, no-model, bug, die, print."""
    word = request.issue.text.split()[0]
    progress(Progress("understand", f"working on {word}", rollouts=1, budget=4))
    fixes: tuple[Fix, ...] = ()
    if word == "cut" and request.resume is None:  # its trace shows that it was there; it goes on when it is resumed
        assert request.trace is not None
        with Trace(request.trace) as trace:
            trace.step("start", issue=request.issue.text)
    held = (word == "cut" and request.resume is None) or (word == "early" and (request.root / "hold").exists())
    if word == "slow" or held:
        while not cancel.wait(0.05):
            progress(Progress("repair", "still working", rollouts=2, budget=4))
        cancel.check()
    elif word == "stubborn":
        time.sleep(3)
    elif word == "no-model":
        raise ModelUnavailable("no model is installed", "Pull one with `patchwright models pull`.")
    elif word == "bug":
        raise KeyError("a bug of ours")
    elif word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "print":
        os.write(1, b"native code prints\n")
        print("and Python too", flush=True)  # noqa: T201
    if word in ("fix", "two", "weak", "print", "moved", "cut", "early"):
        before = request.overlays.get(CALC) or (request.root / CALC).read_text(encoding="utf-8")
        after = before.replace("a - b", "a + b")
        edits = [FileEdit(CALC, before, after)]
        if word == "two":
            other = (request.root / "other.py").read_text(encoding="utf-8")
            edits.append(FileEdit(RepoPath("other.py"), other, other.replace("1", "2")))
        fixes = (_fix(tuple(edits), Evidence.PARSES if word == "weak" else Evidence.FAILING_TEST),)
    elif word == "new":
        fixes = (_fix((FileEdit(RepoPath("new_file.py"), "", "x = 1\n", created=True),), Evidence.REPRODUCED),)
    for fix in fixes:
        if on_fix is not None:
            on_fix(fix)
    progress(Progress("verify", "verified", rollouts=4, budget=4, best_evidence="failing_test"))
    stopped = "verified" if fixes else "no_candidates"
    asked = f"model={request.model} budget={request.budget} python={request.python}"
    notes = (f"{asked} timeout={request.test_timeout:g} resume={request.resume}",)
    return FixResult(request.issue, fixes, Cost(rollouts=4), stopped, request.trace or Path("none"), notes)


def _fix(edits: tuple[FileEdit, ...], evidence: Evidence) -> Fix:
    patch = Patch(edits)
    runs = (
        FixRun("reproduction", "pytest repro.py", 0, "1 failed", "1 passed", 0.1),
        FixRun("regression", "pytest", 0, "42 passed", "42 passed", 0.5),
    )
    return Fix(patch.id, 1, evidence, 0.9, patch, "the model's own words", runs if evidence.verified else ())


def scripted_index(root: Path, *, cancel: CancelToken, progress: ProgressSink) -> str:
    """Pretends to have indexed; takes half a second where the project asks for it."""
    progress(Progress("index", "reading"))
    if (root / "slow_index").exists():
        cancel.wait(0.5)
    return "2 files and 3 symbols indexed in 0.0 s."


if __name__ == "__main__":
    leave(main(scripted_fix, scripted_index))
