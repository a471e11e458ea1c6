"""What the surviving candidates do differently: same inputs to each, and those that behave alike count as one opinion.

Tests alone tie. Candidates that pass all of them may still disagree on inputs nobody wrote down; how many samples
stand behind a behaviour ranks it (AlphaCode's clustering, CodeT's agreement), and the user sees the disagreement.
Inputs are made from tests; only where these leave all candidates alike is the model asked for some.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from patchwright_engine.search.candidates import Candidate, Pool, tied_leaders
from patchwright_engine.search.job import Job
from patchwright_engine.search.written_inputs import written_inputs
from patchwright_engine.verify.behaviour import NOT_RUN, Behaviour, differing
from patchwright_engine.verify.context import VerificationContext, run_probes
from patchwright_engine.verify.discovery import tests_among
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
    observed = _observe(job, context, tied, _probes(job, context, tied))
    written: tuple[Probe, ...] = ()
    if len(_groups(observed, tied)) == 1:
        written = written_inputs(job, tied, observed.probes, context.environment.entry)
        observed = _joined(observed, _observe(job, context, tied, written))
    if not observed.probes:
        return None
    groups = _groups(observed, tied)
    for group in groups:
        votes = sum(candidate.votes for candidate in group)
        for candidate in group:
            candidate.peers = votes
    job.trace.step(
        "behaviour",
        probes=[[probe.shown, outcome] for probe, outcome in zip(observed.probes, observed.before, strict=True)],
        written=len(written),
        groups=[[candidate.patch.id for candidate in group] for group in groups],
    )
    return observed


def _observe(job: Job, context: VerificationContext, tied: Sequence[Candidate], probes: tuple[Probe, ...]) -> Observed:
    """What the unpatched code does on `probes`, twice, and every candidate. Raises: as `Sandbox.run`."""
    if not probes:
        return Observed((), (), (), {candidate.patch.id: () for candidate in tied})
    job.report("rank", f"comparing how {len(tied)} candidates behave")
    before = run_probes(context, None, probes, job.cancel)
    again = run_probes(context, None, probes, job.cancel)
    stable = tuple(a == b for a, b in zip(before, again, strict=True))
    behaviours = {c.patch.id: run_probes(context, c.patch, probes, job.cancel) for c in tied}
    return Observed(probes, before, stable, behaviours)


def _joined(one: Observed, other: Observed) -> Observed:
    """Of the same candidates."""
    return Observed(
        one.probes + other.probes,
        one.before + other.before,
        one.stable + other.stable,
        {name: behaviour + other.behaviours[name] for name, behaviour in one.behaviours.items()},
    )


def _groups(observed: Observed, tied: Sequence[Candidate]) -> list[list[Candidate]]:
    """The candidates, those that behave alike together."""
    groups: list[list[Candidate]] = []
    for candidate in tied:
        mine = observed.behaviours[candidate.patch.id]
        firsts = ((group, observed.behaviours[group[0].patch.id]) for group in groups)
        alike = next((group for group, theirs in firsts if not differing(theirs, mine, observed.stable)), None)
        groups.append([candidate]) if alike is None else alike.append(candidate)
    return groups


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
    own = {path: job.snapshot.read_text(path) for path in tests_among(context.own_tests, job.snapshot)}
    reproductions = {reproduction.path: reproduction.source for reproduction in context.reproductions}
    found = derive_probes(reproductions, PROBES // 2)
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
