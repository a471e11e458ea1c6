"""How a patched copy behaves on probes, and where two patches differ.

Every probe is evaluated in the sandbox like any other generated code. Invariant: an outcome is the text our own runner
wrote; a probe without one did not run, and never counts as equal to anything that was seen.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.output import sanitize_output
from patchwright_engine.types import Command
from patchwright_engine.verify.answer_file import answer_file
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.probes import Probe

RUNNER = Path(__file__).parent / "runners" / "patchwright_probe.py"
OUTCOMES_BYTES = 1 << 20
NOT_RUN = "did not run"

Behaviour = tuple[str, ...]
"""One outcome for each probe, in their order: 'returns …', 'raises …', 'does not end' or `NOT_RUN`."""


def observe(
    sandbox: Sandbox,
    workspace: Path,
    environment: TestEnvironment,
    probes: Sequence[Probe],
    cancel: CancelToken,
    *,
    timeout_seconds: float,
) -> Behaviour:
    """Evaluate all probes, in one process, over the copy as it is now.

    Raises: as `Sandbox.run`.
    """
    workspace = workspace.resolve()
    sandbox.prepare(workspace)
    with answer_file(workspace, "outcomes.jsonl") as (answers, descriptor):
        questions = answers.with_name("probes.json")
        questions.write_text(json.dumps([[probe.setup, probe.expression] for probe in probes]), encoding="utf-8")
        argv = (str(environment.python), str(RUNNER), str(questions), str(answers))
        command = Command(argv, env=environment.variables(workspace), timeout_seconds=timeout_seconds)
        sandbox.run(command, workspace, cancel, (*environment.readable, RUNNER.parent))
        content = os.pread(descriptor, OUTCOMES_BYTES, 0)
    outcomes = [_outcome(line, workspace) for line in content.splitlines()[: len(probes)]]
    return (*outcomes, *(NOT_RUN for _ in range(len(probes) - len(outcomes))))


def differing(one: Behaviour, other: Behaviour, stable: Sequence[bool]) -> tuple[int, ...]:
    """Probes on which two patches were seen to behave differently."""
    pairs = enumerate(zip(one, other, stable, strict=True))
    return tuple(index for index, (a, b, same) in pairs if same and NOT_RUN not in (a, b) and a != b)


def _outcome(line: bytes, workspace: Path) -> str:
    try:
        text = json.loads(line)
    except ValueError:
        return NOT_RUN
    return sanitize_output(text).replace(f"{workspace}/", "") if isinstance(text, str) else NOT_RUN
