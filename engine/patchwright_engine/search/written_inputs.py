"""Inputs that the model writes, where those made from tests leave the candidates alike: one request, several samples.

The model sees two of the changes and goes on with a list of calls, in which even small models vary what they see. What
it writes is run in the sandbox as every probe is. Invariant: an input is only a place to look at; what candidates do
there is seen by us, orders what evidence leaves equal, and is shown. It is never evidence.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from patchwright_engine.model.backend import CompletionRequest
from patchwright_engine.repair.answers import read_answer
from patchwright_engine.search.candidates import Candidate
from patchwright_engine.search.job import CODE_SHARE, FENCE_CLOSE, FENCE_OPEN, Job, stage_prompt
from patchwright_engine.search.reproduce import import_lines
from patchwright_engine.types import RepoPath
from patchwright_engine.verify.probes import NOWHERE, Probe, written_probes
from patchwright_engine.verify.statements import binds

SAMPLES = 4
ANSWER_TOKENS = 96
WRITTEN = 32
"""Most inputs, variants of what was written included."""
LEAST_SECONDS = 60.0
"""With less time left a search does not ask: its ranking is what it has to end with."""
_TEMPERATURE = 1.0
"""The list wants variety; at 0.8 small models repeat a call."""
_LISTED = 4
_LISTED_CHARS = 200
_PROMPT = re.compile(r"^>>> ?", re.MULTILINE)


def written_inputs(job: Job, tied: Sequence[Candidate], known: Sequence[Probe], entry: str = "") -> tuple[Probe, ...]:
    """Inputs on which two of the `tied` may differ, none of them in `known`; () when there is no room to ask.

    `entry` is Django's, from whose folder modules are named.

    Raises: as `LanguageModel.complete`.
    """
    changes = [c for c in tied if job.model.count_tokens(c.patch.diff) <= job.tokens(CODE_SHARE) // 2][:2]
    short = job.generated_tokens >= job.budget.tokens or job.cancel.remaining(LEAST_SECONDS) < LEAST_SECONDS
    if len(changes) < 2 or short:
        return ()
    opening = _opening(job, changes[0], known, entry)
    diffs = [f"```diff\n{candidate.patch.diff.rstrip()}\n```" for candidate in changes]
    messages = stage_prompt(job, "inputs", changes="\n\n".join(diffs))
    if job.room(messages) < ANSWER_TOKENS + job.model.count_tokens(opening.text):
        return ()
    job.report("rank", f"asking for inputs that tell {len(tied)} candidates apart")
    request = CompletionRequest(
        messages,
        n=SAMPLES,
        max_answer_tokens=ANSWER_TOKENS,
        temperature=_TEMPERATURE,
        first_greedy=False,
        seed=job.seed,
        stop=(FENCE_CLOSE,),
        answer_prefix=FENCE_OPEN + opening.text,
    )
    answers = [a.answer + FENCE_CLOSE if a.finish == "stop" else a.answer for a in job.ask("rank", request)]
    scripts = [_PROMPT.sub("", fence.code) for answer in answers for fence in read_answer(answer).fences[:1]]
    old = {probe.shown for probe in known}
    found = written_probes(scripts, WRITTEN + 2 * _LISTED, opening.file)
    return tuple(probe for probe in found if probe.shown not in old)[:WRITTEN]


@dataclass(frozen=True, slots=True)
class _Opening:
    """How every answer begins: imports, some of the known inputs, or else the call of what was changed."""

    text: str
    file: RepoPath
    """As part of which the imports work."""


def _opening(job: Job, candidate: Candidate, known: Sequence[Probe], entry: str) -> _Opening:
    file = known[0].file if known else NOWHERE
    short = [p for p in known if p.file == file and len(p.setup) + len(p.expression) <= _LISTED_CHARS]
    # They stand in order of their making, originals first: some of each kind.
    chosen = short[:: max(1, len(short) // _LISTED)][:_LISTED]
    if chosen:
        imports: dict[str, None] = {}
        calls: dict[str, None] = {}
        for probe in chosen:
            nodes = ast.parse(probe.setup).body
            imports.update(dict.fromkeys(ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)))
            needed = [ast.unparse(n) for n in nodes if not isinstance(n, ast.Import | ast.ImportFrom)]
            calls["\n".join([*needed, probe.expression])] = None
        return _Opening("\n".join([*imports, "", *calls, ""]), file)
    symbols = candidate.attempt.location.symbols
    lines = import_lines(job.issue.text, symbols, job.index, entry=entry)
    name = symbols[0].name.partition(".")[0]
    brought = any(name in binds(ast.parse(line).body[0]) for line in lines.splitlines())
    return _Opening(f"{lines}\n\n{name}(" if brought else f"{lines}\n\n", NOWHERE)
