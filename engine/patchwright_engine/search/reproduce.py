"""Reproduction tests: written by the model, run by us, kept only when they fail before for the issue's reason.

A valid reproduction is evidence, and its failure is the best hint the repair prompt can hold.
"""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from patchwright_engine.index import Index
from patchwright_engine.model.backend import CompletionRequest, Message
from patchwright_engine.model.prompting import load_examples, render
from patchwright_engine.repair.answers import read_answer
from patchwright_engine.search.job import FENCE_CLOSE, FENCE_OPEN, Job
from patchwright_engine.search.locate import ScoredLocation
from patchwright_engine.search.split_tests import split_claims
from patchwright_engine.types import RepoPath, Symbol
from patchwright_engine.verify.context import VerificationContext, try_reproduction
from patchwright_engine.verify.reproduction import Reproduction

TRIED = 10
KEPT = 6
MINORITY = 0.34
"""A claim with fewer votes than this share of the leading claim's is not used."""
ANSWER_TOKENS = 220
# Half of the samples are led to assert a value: where an issue reports an exception, small models else expect that
# very exception, which the bug satisfies. The other half is free to expect one. (benchmarks/LOG.md)
OPENINGS = (
    ("import pytest\n{imports}\n\n\ndef test_issue():\n", 3),
    (
        "import pytest\n{imports}\n\n\ndef test_issue():\n"
        "    # the correct result, which the code does not give yet\n    assert ",
        4,
    ),
)


_IMPORT = re.compile(
    r"^\s*(?:>>> ?)?((?:from ([\w.]+) import [\w, ]+)|(?:import ([\w.]+)(?: as \w+)?))\s*$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Reproduced:
    """What one round of writing reproductions gave."""

    valid: tuple[Reproduction, ...]
    """Most agreed on first."""
    votes: dict[RepoPath, int]
    """How many samples made the same claim, by the reproduction's path."""
    feedback: str
    """Why the tests that are not valid are not, for the next try."""


def reproduce(
    job: Job, locations: Sequence[ScoredLocation], context: VerificationContext, *, seed: int, feedback: str = ""
) -> Reproduced:
    """Write tests for the issue and keep the valid ones. `feedback` says why earlier ones were no use."""
    if context.environment.language != "python":  # Only tests in Python can be judged so far.
        return Reproduced((), {}, "")
    job.report("reproduce", "writing reproduction tests")
    imports = import_lines(job.issue.text, [s for scored in locations for s in scored.location.symbols], job.index)
    messages = reproduction_prompt(job.issue_text, imports, feedback)
    claims: Counter[str] = Counter()
    for opening, count in OPENINGS:
        request = CompletionRequest(
            messages,
            n=count,
            seed=seed,
            max_answer_tokens=ANSWER_TOKENS,
            answer_prefix=FENCE_OPEN + opening.format(imports=imports),
            stop=(FENCE_CLOSE,),
        )
        for answer in job.ask("reproduce", request):
            fences = read_answer(answer.answer + FENCE_CLOSE if answer.finish == "stop" else answer.answer).fences
            claims.update(claim for fence in fences[:1] for claim in split_claims(fence.code))
    valid: list[Reproduction] = []
    votes: dict[RepoPath, int] = {}
    reasons: list[str] = []
    for number, (claim, count) in enumerate(claims.most_common(TRIED), start=1):
        if valid and count < MINORITY * votes[valid[0].path]:
            break
        job.report("reproduce", f"running reproduction {number} of {min(len(claims), TRIED)}")
        reproduction = try_reproduction(claim, context, job.cancel)
        job.trace.step("reproduction", source=claim, votes=count, valid=reproduction.valid, reason=reproduction.reason)
        if reproduction.valid:
            valid.append(reproduction)
            votes[reproduction.path] = count
        else:
            reasons.append(reproduction.reason)
        if len(valid) == KEPT:
            break
    return Reproduced(tuple(valid), votes, "\n".join(dict.fromkeys(reasons[:3])))


def reproduction_prompt(issue: str, imports: str, feedback: str) -> tuple[Message, ...]:
    """Worked examples as earlier turns, then the issue. The examples' files look as the openings do."""
    turns = [Message("system", render("reproduce_system"))]
    for example in load_examples():
        turns.append(Message("user", render("reproduce", issue=example.issue, imports=example.imports, again="")))
        turns.append(
            Message("assistant", f"{FENCE_OPEN}import pytest\n{example.imports}\n\n\n{example.test}{FENCE_CLOSE}")
        )
    again = "\n\n" + render("reproduce_again", feedback=feedback) if feedback else ""
    return (*turns, Message("user", render("reproduce", issue=issue, imports=imports, again=again)))


def import_lines(issue: str, symbols: Sequence[Symbol], index: Index) -> str:
    """How to import what the test needs: as the issue itself does, the standard library included; where the issue
    imports nothing of the project, the outermost name of each suspect."""
    own = {module_name(path).partition(".")[0] for path in index.files()}
    lines = {line: (source or plain).partition(".")[0] for line, source, plain in _IMPORT.findall(issue)}
    kept = [line for line, top in lines.items() if top in own or top in sys.stdlib_module_names]
    if not own.intersection(lines.values()):
        suspects = (f"from {module_name(s.path)} import {s.name.partition('.')[0]}" for s in symbols)
        kept += dict.fromkeys(suspects)
    return "\n".join(kept)


def module_name(path: RepoPath) -> str:
    """Dotted module of a file as the project's own tests import it: `src/` and `lib/` roots are dropped."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if parts and parts[0] in ("src", "lib"):
        parts = parts[1:]
    if parts and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts)
