"""Reproduction tests: written by the model or shown in the issue, run by us, kept if they fail for the issue's reason.

They are written as the project's own tests are: in their framework, with their imports, run where the nearest of them
lie. The model sees these when its first attempts were no use. A valid reproduction is evidence, and its failure is the
best hint the repair prompt can hold.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from patchwright_engine.index import Index
from patchwright_engine.model.backend import CompletionRequest, Message
from patchwright_engine.model.prompting import load_examples, render
from patchwright_engine.repair.answers import read_answer
from patchwright_engine.search.frameworks import PYTEST, Framework, framework_of
from patchwright_engine.search.issue_code import NOT_THIS, VOTES, issue_tests, shows_complaint
from patchwright_engine.search.job import FENCE_CLOSE, FENCE_OPEN, Job
from patchwright_engine.search.locate import ScoredLocation
from patchwright_engine.search.nearby_tests import Excerpt, nearby_tests
from patchwright_engine.search.split_tests import split_claims
from patchwright_engine.types import RepoPath, Symbol
from patchwright_engine.verify.context import VerificationContext, try_reproduction
from patchwright_engine.verify.reproduction import Reproduction
from patchwright_engine.verify.statements import binds

TRIED = 10
KEPT = 6
MINORITY = 0.34
"""A claim with fewer votes than this share of the leading claim's is not used."""
ANSWER_TOKENS = 220
# Half of the samples are led to assert a value: where an issue reports an exception, small models else expect that
# very exception, which the bug satisfies. The other half is free to expect one. (benchmarks/LOG.md)
FIRST = ((False, 3),)
FURTHER = ((True, 4),)
"""(led to assert a value, samples): the first ones, and those that are written when these do not do."""


_IMPORT = re.compile(
    r"^\s*(?:>>> ?)?((?:from ([\w.]+) import [\w, ]+)|(?:import ([\w.]+)(?: as \w+)?))\s*$", re.MULTILINE
)


@dataclass(slots=True)
class Claims:
    """What samples claimed about the issue so far, and what running each claim gave."""

    votes: Counter[str] = field(default_factory=Counter)
    judged: dict[str, Reproduction] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)
    """Those that are code of the issue itself."""


@dataclass(frozen=True, slots=True)
class Reproduced:
    """All valid reproductions after one more round of writing some."""

    valid: tuple[Reproduction, ...]
    """Most agreed on first."""
    votes: dict[RepoPath, int]
    """How many samples made the same claim, by the reproduction's path."""
    feedback: str
    """Why the tests that are not valid are not, for the next try."""


def reproduce(
    job: Job,
    locations: Sequence[ScoredLocation],
    context: VerificationContext,
    *,
    claims: Claims,
    openings: Sequence[tuple[bool, int]],
    seed: int,
    feedback: str | None = None,
) -> Reproduced:
    """Write tests for the issue and keep the valid ones; `claims` gathers what they say.

    `feedback`: earlier ones were no use, and why.
    """
    if context.environment.language != "python":  # Only tests in Python can be judged so far.
        return Reproduced((), {}, "")
    job.report("reproduce", "writing reproduction tests")
    symbols = [symbol for scored in locations for symbol in scored.location.symbols]
    near = nearby_tests(job, symbols, context)
    # Small models copy the tests' calls in place of the one that fails: at first they write better without. (LOG.md)
    shown = near if feedback is not None else None
    job.trace.step("nearby_tests", path=near.path if near else "", text=shown.text if shown else "")
    framework = framework_of(context.environment.runner, job.snapshot, context.own_tests, near, shown=shown is not None)
    imports = import_lines(
        job.issue.text, symbols, job.index, near, shown=shown is not None, entry=context.environment.entry
    )
    messages = reproduction_prompt(job.issue_text, imports, feedback or "", framework, shown)
    folder = PurePosixPath(near.path).parent.as_posix() if near is not None else None
    if not claims.votes:
        for test in issue_tests(job.issue.text):
            for claim in split_claims(test, framework.base, framework.header):
                claims.shown.add(claim)
                claims.votes[claim] = VOTES
    for asserting, count in openings:
        request = CompletionRequest(
            messages,
            n=count,
            seed=seed,
            max_answer_tokens=ANSWER_TOKENS,
            answer_prefix=FENCE_OPEN + framework.opening(imports, asserting=asserting),
            stop=(FENCE_CLOSE,),
        )
        for answer in job.ask("reproduce", request):
            fences = read_answer(answer.answer + FENCE_CLOSE if answer.finish == "stop" else answer.answer).fences
            for fence in fences[:1]:
                claims.votes.update(split_claims(fence.code, framework.base, framework.header))
    valid: list[Reproduction] = []
    votes: dict[RepoPath, int] = {}
    reasons: list[str] = []
    for number, (claim, count) in enumerate(claims.votes.most_common(TRIED), start=1):
        if valid and count < MINORITY * votes[valid[0].path]:
            break
        reproduction = claims.judged.get(claim)
        if reproduction is None:
            job.report("reproduce", f"running reproduction {number} of {min(len(claims.votes), TRIED)}")
            reproduction = try_reproduction(claim, context, job.cancel, folder)
            if claim in claims.shown and reproduction.valid and not shows_complaint(reproduction, job.issue.text):
                reproduction = replace(reproduction, valid=False, reason=NOT_THIS)
            claims.judged[claim] = reproduction
        job.trace.step(
            "reproduction",
            path=reproduction.path,
            source=claim,
            votes=count,
            valid=reproduction.valid,
            reason=reproduction.reason,
            failure=reproduction.failure,
        )
        if reproduction.valid:
            valid.append(reproduction)
            votes[reproduction.path] = count
        else:
            reasons.append(reproduction.reason)
        if len(valid) == KEPT:
            break
    return Reproduced(tuple(valid), votes, "\n".join(dict.fromkeys(reasons[:3])))


def reproduction_prompt(
    issue: str, imports: str, feedback: str, framework: Framework = PYTEST, excerpt: Excerpt | None = None
) -> tuple[Message, ...]:
    """Worked examples as earlier turns, then the issue, then the nearest tests: what changes least comes first.

    The examples' files look as the openings do.
    """
    turns = [Message("system", render("reproduce_system", framework=framework.name))]
    for example in load_examples():
        asked = render("reproduce", issue=example.issue, tests="", imports=example.imports, again="")
        written = framework.written(example.imports, example.test)
        turns += [Message("user", asked), Message("assistant", f"{FENCE_OPEN}{written}{FENCE_CLOSE}")]
    tests = render("reproduce_tests", path=excerpt.path, code=excerpt.text) + "\n\n" if excerpt is not None else ""
    again = "\n\n" + render("reproduce_again", feedback=feedback) if feedback else ""
    return (*turns, Message("user", render("reproduce", issue=issue, tests=tests, imports=imports, again=again)))


def import_lines(
    issue: str,
    symbols: Sequence[Symbol],
    index: Index,
    near: Excerpt | None = None,
    *,
    shown: bool = True,
    entry: str = "",
) -> str:
    """How to import what the test needs: as the issue itself does, the standard library included; where that imports
    nothing of the project, as its nearest tests import the suspects; what these lack by the name of its module.

    Args:
        issue: its text.
        symbols: the suspects, likeliest first.
        index: of the project.
        near: the nearest tests.
        shown: whether the model sees them: it then needs all that they import the suspects by, aliases too.
        entry: Django's, from whose folder modules are named.
    """
    own = {module_name(path).partition(".")[0] for path in index.files()}
    lines = {line: (source or plain).partition(".")[0] for line, source, plain in _IMPORT.findall(issue)}
    kept = [line for line, top in lines.items() if top in own or top in sys.stdlib_module_names]
    told = bool(own.intersection(lines.values()))
    base = entry.rpartition("/")[0] + "/"
    names = [(module_name(RepoPath(s.path.removeprefix(base))), s.name.partition(".")[0]) for s in symbols]
    reached: frozenset[str] = frozenset()
    if near is not None and shown and near.imports:
        kept += near.imports
        reached = near.names
    elif near is not None and not told:
        brought = {line: binds(ast.parse(line).body[0]) for line in near.imports}
        kept += [line for line, bound in brought.items() if bound.intersection(name for _, name in names)]
        reached = frozenset().union(*brought.values())
    if not told:
        kept += [f"from {module} import {name}" for module, name in names if name not in reached]
    return "\n".join(dict.fromkeys(kept))


def module_name(path: RepoPath) -> str:
    """Dotted module of a file as the project's own tests import it: `src/` and `lib/` roots are dropped."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if parts and parts[0] in ("src", "lib"):
        parts = parts[1:]
    if parts and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts)
