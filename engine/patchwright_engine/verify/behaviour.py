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
    """Evaluate all probes, in one process, over the copy as it is now; of a Django project as tests of it.

    Raises: as `Sandbox.run`.
    """
    workspace = workspace.resolve()
    sandbox.prepare(workspace)
    with answer_file(workspace, "outcomes.jsonl") as (answers, descriptor):
        questions = answers.with_name("probes.json")
        questions.write_text(json.dumps([[one.setup, one.expression, one.file] for one in probes]), encoding="utf-8")
        entry = (environment.entry,) if environment.runner == "django" else ()
        argv = (str(environment.python), str(RUNNER), str(questions), str(answers), *entry)
        command = Command(argv, env=environment.variables(workspace), timeout_seconds=timeout_seconds)
        sandbox.run(command, workspace, cancel, (*environment.readable, RUNNER.parent))
        content = os.pread(descriptor, OUTCOMES_BYTES, 0)
    outcomes = [NOT_RUN] * len(probes)
    for line in content.splitlines():
        answer = _read(line)
        if answer is not None and 0 <= answer[0] < len(probes) and outcomes[answer[0]] == NOT_RUN:
            outcomes[answer[0]] = sanitize_output(answer[1]).replace(f"{workspace}/", "")
    return tuple(outcomes)


def differing(one: Behaviour, other: Behaviour, stable: Sequence[bool]) -> tuple[int, ...]:
    """Probes on which two patches were seen to behave differently."""
    pairs = enumerate(zip(one, other, stable, strict=True))
    return tuple(index for index, (a, b, same) in pairs if same and NOT_RUN not in (a, b) and a != b)


def _read(line: bytes) -> tuple[int, str] | None:
    """Which probe and what it gave; None for a line that our runner did not write, or not to its end."""
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    match answer:
        case [int() as number, str() as text]:
            return number, text
    return None
