"""The words that both reports use for what a trace writes short."""

from collections.abc import Sequence

from patchwright_engine.report.values import Candidate, Report, Run
from patchwright_engine.types import Evidence

STAGE_NAMES = {
    "index": "Read the workspace",
    "model": "Start the model",
    "understand": "Choose files",
    "locate": "Choose locations",
    "baseline": "Run the tests as they are",
    "reproduce": "Reproduce the issue",
    "repair": "Write candidates",
    "verify": "Run candidates",
    "rank": "Rank",
}
STOPPED = {
    "verified": "a fix is verified",
    "budget": "the budget is spent",
    "cancelled": "it was cancelled",
    "no_candidates": "no candidate survived",
}
VERDICTS = {
    "failing_test": "failing test passes",
    "reproduced": "reproduced and fixed",
    "regression_only": "breaks nothing, unproven",
    "parses": "parses, not run",
    "rejected": "rejected",
    "refused": "no usable patch",
    "repeated": "same patch again",
}
RUN_KINDS = {"reproduction": "Reproduction", "regression": "Project's tests", "user_test": "Your test command"}


def headline(report: Report) -> tuple[str, str]:
    """How the search ended: a level ('proven', 'unproven', 'none' or 'open') and a few words."""
    best = report.best.candidate.evidence if report.best else None
    if best is not None and best.verified:
        return "proven", "Verified fix found"
    if best is not None:
        return "unproven", "Fix found, not verified"
    if report.stopped is None:
        return "open", "No fix so far"
    return ("open", "Cancelled before a fix was found") if report.stopped == "cancelled" else ("none", "No fix found")


def proof(report: Report) -> str:
    """What proves the best fix, as a sentence."""
    evidence = report.best.candidate.evidence if report.best else None
    if evidence is None:
        tried = len({candidate.patch for candidate in report.candidates if candidate.patch is not None})
        return (
            f"{count(tried, 'patch', 'patches')} tried, and none of them may be offered."
            if tried
            else "No patch was tried."
        )
    return f"{sentence(evidence.words)}."


def why_stopped(report: Report) -> str:
    """Why the search ended, as a sentence."""
    if report.stopped is None:
        return "No end is recorded."
    if report.reason and report.stopped != "cancelled":
        return f"Stopped because {report.reason}."
    return f"Stopped because {STOPPED.get(report.stopped, report.stopped)}."


def sentence(text: str) -> str:
    """`text` with a capital letter."""
    return text[:1].upper() + text[1:]


def clock(seconds: float) -> str:
    """A duration, e.g. '0.4 s', '46.9 s', '3 min 05 s', '1 h 02 min'."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: int, noun: str, nouns: str | None = None) -> str:
    """E.g. '1 vote', '1,396 tokens'; `nouns` when it is not `noun` and an s."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def places(names: Sequence[str]) -> list[tuple[str, str]]:
    """`path::name` locations as (path, its names), each path once and in order."""
    by_path: dict[str, list[str]] = {}
    for name in names:
        path, _, symbol = name.partition("::")
        by_path.setdefault(path, []).append(symbol)
    return [(path, ", ".join(dict.fromkeys(filter(None, symbols)))) for path, symbols in by_path.items()]


def held(run: Run, candidate: Candidate) -> bool:
    """Whether a run says nothing against a candidate: the project's tests may have failed before it."""
    if run.kind != "regression":
        return run.exit == 0
    return run.exit == 0 or candidate.evidence is not None or run.before == run.after


def facts(candidate: Candidate, *, satisfied: bool) -> list[str]:
    """What ordered a candidate and what it cost, in a few words each.

    `satisfied`: there were reproductions to satisfy.
    """
    told = []
    if candidate.agreement is not None and satisfied:
        told.append(f"agreement {candidate.agreement:.0%}")
    if candidate.patch is not None and candidate.same_as is None:
        told.append(count(candidate.votes, "vote"))
    if candidate.peers is not None:
        told.append(f"{count(candidate.peers, 'vote')} for its behaviour")
    if candidate.orm is not None:
        told.append(f"ORM {candidate.orm:.2f}")
    if candidate.chance:
        told.append(f"expected {candidate.chance:.0%}")
    if candidate.tokens:
        told.append(count(candidate.tokens, "token"))
    if candidate.seconds:
        told.append(clock(candidate.seconds))
    return told


def strongest(candidates: list[Candidate]) -> list[Candidate]:
    """Candidates that may be offered, best first, by what a trace without an end tells of them."""
    alive = [candidate for candidate in candidates if candidate.evidence is not None]

    def key(candidate: Candidate) -> tuple[int, float, int, int]:
        evidence: Evidence | None = candidate.evidence
        return (
            -(evidence.strength if evidence else -1),
            -(candidate.agreement or 0.0),
            len(candidate.flags),
            -candidate.votes,
        )

    return sorted(alive, key=key)
