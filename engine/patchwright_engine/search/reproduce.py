"""Reproduction tests: written by the model, run by us, kept only when they fail before for the issue's reason.

A valid reproduction is evidence, and its failure is the best hint the repair prompt can hold.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from patchwright_engine.model.backend import CompletionRequest
from patchwright_engine.model.prompting import render
from patchwright_engine.repair.answers import read_answer
from patchwright_engine.search.job import Job, stage_prompt
from patchwright_engine.search.locate import ScoredLocation
from patchwright_engine.search.split_tests import split_claims
from patchwright_engine.types import RepoPath, Symbol
from patchwright_engine.verify.context import VerificationContext, try_reproduction
from patchwright_engine.verify.reproduction import Reproduction

CANDIDATES = 6
TRIED = 10
KEPT = 6
ANSWER_TOKENS = 320


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
    job.report("reproduce", "writing reproduction tests")
    imports = import_lines([s for scored in locations for s in scored.location.symbols])
    again = render("reproduce_again", feedback=feedback) + "\n\n" if feedback else ""
    answers = job.ask(
        "reproduce",
        CompletionRequest(
            stage_prompt(job, "reproduce", imports=imports, again=again),
            n=CANDIDATES,
            seed=seed,
            max_answer_tokens=ANSWER_TOKENS,
        ),
    )
    claims = Counter(
        claim
        for answer in answers
        for fence in read_answer(answer.answer).fences[:1]
        if fence.closed or answer.finish == "stop"
        for claim in split_claims(fence.code)
    )
    valid: list[Reproduction] = []
    votes: dict[RepoPath, int] = {}
    reasons: list[str] = []
    for number, (claim, count) in enumerate(claims.most_common(TRIED), start=1):
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


def import_lines(symbols: Sequence[Symbol]) -> str:
    """How to import each symbol's outermost name, one line a module."""
    by_module: dict[str, list[str]] = {}
    for symbol in symbols:
        by_module.setdefault(module_name(symbol.path), []).append(symbol.name.split(".")[0])
    return "\n".join(
        f"from {module} import {', '.join(dict.fromkeys(names))}" for module, names in by_module.items() if module
    )


def module_name(path: RepoPath) -> str:
    """Dotted module of a file as the project's own tests import it: `src/` and `lib/` roots are dropped."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if parts and parts[0] in ("src", "lib"):
        parts = parts[1:]
    if parts and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts)
