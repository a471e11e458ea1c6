"""What the surviving candidates do differently: same inputs to each, and those that behave alike count as one opinion.

Tests alone tie. Candidates that pass all of them may still disagree on inputs nobody wrote down; how many samples
stand behind a behaviour ranks it (AlphaCode's clustering, CodeT's agreement), and the user sees the disagreement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from patchwright_engine.search.candidates import Candidate, Pool, tied_leaders
from patchwright_engine.search.job import Job
from patchwright_engine.types import RepoPath
from patchwright_engine.verify.behaviour import NOT_RUN, Behaviour, differing
from patchwright_engine.verify.context import VerificationContext, run_probes
from patchwright_engine.verify.discovery import is_test_file
from patchwright_engine.verify.probes import Probe, derive_probes

PROBES = 64
COMPARED = 6
SHOWN_DIFFERENCES = 3
_INPUT_CHARS = 160
_OUTCOME_CHARS = 100


@dataclass(frozen=True, slots=True)
class Observed:
    """What candidates did on the same inputs."""

    probes: tuple[Probe, ...]
    before: Behaviour
    """Of the unpatched code."""
    stable: tuple[bool, ...]
    """Whether the unpatched code did the same twice."""
    behaviours: Mapping[str, Behaviour]
    """By the patch's id."""


def distinguish(job: Job, context: VerificationContext, pool: Pool) -> Observed | None:
    """Group the tied leaders by behaviour: sets their `peers`. None when there was nothing to compare.

    Raises: as `Sandbox.run`.
    """
    tied = tied_leaders(pool)[:COMPARED]
    if len(tied) < 2 or context.workspace is None or context.environment.language != "python":
        return None
    probes = _probes(job, context, tied)
    if not probes:
        return None
    job.report("rank", f"comparing how {len(tied)} candidates behave")
    before = run_probes(context, None, probes, job.cancel)
    again = run_probes(context, None, probes, job.cancel)
    stable = tuple(a == b for a, b in zip(before, again, strict=True))
    behaviours = [run_probes(context, candidate.patch, probes, job.cancel) for candidate in tied]
    groups: list[list[int]] = []
    for number, behaviour in enumerate(behaviours):
        alike = next((g for g in groups if not differing(behaviours[g[0]], behaviour, stable)), None)
        groups.append([number]) if alike is None else alike.append(number)
    for group in groups:
        votes = sum(tied[number].votes for number in group)
        for number in group:
            tied[number].peers = votes
    job.trace.step(
        "behaviour",
        probes=[[probe.shown, outcome] for probe, outcome in zip(probes, before, strict=True)],
        groups=[[tied[number].patch.id for number in group] for group in groups],
    )
    ids = (candidate.patch.id for candidate in tied)
    return Observed(probes, before, stable, dict(zip(ids, behaviours, strict=True)))


def tell_differences(pool: Pool, observed: Observed) -> None:
    """Set the `differences` of the compared candidates, once their ranks are settled: the words name others by rank."""
    ranked = [(rank, c) for rank, c in enumerate(pool.alive(), start=1) if c.patch.id in observed.behaviours]
    for rank, candidate in ranked:
        others = [(other, observed.behaviours[c.patch.id]) for other, c in ranked if other != rank]
        candidate.differences = _words(observed, observed.behaviours[candidate.patch.id], others)


def _probes(job: Job, context: VerificationContext, tied: Sequence[Candidate]) -> tuple[Probe, ...]:
    """From the reproductions, then from the project's own tests of what the candidates change."""
    parts = (part for c in tied for symbol in c.attempt.location.symbols for part in symbol.name.split("."))
    about = frozenset(part for part in parts if not part.startswith("__"))
    own = [job.snapshot.read_text(path) for path in map(RepoPath, context.own_tests) if is_test_file(path)]
    found = derive_probes([reproduction.source for reproduction in context.reproductions], PROBES // 2)
    return tuple(dict.fromkeys([*found, *derive_probes(own, PROBES - len(found), about)]))


def _words(observed: Observed, mine: Behaviour, others: Sequence[tuple[int, Behaviour]]) -> tuple[str, ...]:
    """The shortest inputs that tell this candidate from each of the others, with what everyone does there."""
    probes, before = observed.probes, observed.before
    open_ranks = {rank: set(differing(mine, theirs, observed.stable)) for rank, theirs in others}
    lines: list[str] = []
    for index in sorted(range(len(probes)), key=lambda i: (len(probes[i].shown), i)):
        told = [rank for rank, where in open_ranks.items() if index in where]
        if not told:
            continue
        for rank in told:
            del open_ranks[rank]
        theirs = "; ".join(f"fix {rank} {_cut(b[index])}" for rank, b in others if rank in told)
        was = "" if before[index] == NOT_RUN else f"; before {_cut(before[index])}"
        lines.append(f"{_cut(probes[index].shown, _INPUT_CHARS)}: this fix {_cut(mine[index])}; {theirs}{was}")
        if len(lines) == SHOWN_DIFFERENCES:
            break
    return tuple(lines)


def _cut(text: str, chars: int = _OUTCOME_CHARS) -> str:
    text = " ".join(text.split())
    return text if len(text) <= chars else text[: chars - 1] + "…"
