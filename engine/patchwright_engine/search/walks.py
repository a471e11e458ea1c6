"""Where independent walks lead: each takes the files of its own understanding answer and the symbol of its own
localization answer. Walks that share a prompt share its prefill.

Invariant: where walk i leads does not depend on how many walks there are.
"""

from dataclasses import dataclass

from patchwright_engine.model.backend import Message
from patchwright_engine.search.job import Job
from patchwright_engine.search.locate import (
    FaultQuestion,
    ask_for_fault,
    fault_question,
    heading,
    parse_symbols_named,
)
from patchwright_engine.search.understand import ask_for_files
from patchwright_engine.types import Location, RepoPath, Symbol


@dataclass(frozen=True, slots=True)
class Walk:
    """One walk up to the place it is to repair."""

    number: int
    """From 1; the first is greedy."""
    location: Location
    tokens: int
    """Generated for its understanding and localization answers."""
    suspects: tuple[Symbol, ...]
    """What its prompt showed, likeliest first."""


def walk(job: Job, count: int) -> tuple[Walk, ...]:
    """`count` independent walks to a location each; none when the repository has no symbols at all."""
    given = ask_for_files(job, count)
    questions: dict[frozenset[RepoPath], FaultQuestion | None] = {}
    groups: dict[tuple[Message, ...], tuple[FaultQuestion, list[int]]] = {}
    for index, files in enumerate(given.named):
        chosen = frozenset(files)  # the question depends on which files were understood to matter, not on their order
        if chosen not in questions:
            questions[chosen] = fault_question(job, files)
        question = questions[chosen]
        if question is None:
            return ()
        groups.setdefault(question.asked, (question, []))[1].append(index)
    walks: dict[int, Walk] = {}
    for question, members in groups.values():
        suspects = question.suspects
        for index, answer in zip(members, ask_for_fault(job, question, len(members)), strict=True):
            # Names after the first are second thoughts, not a joint change; without any the index decides.
            symbol = next(iter(parse_symbols_named(answer.answer, suspects)), suspects[0])
            tokens = given.answers[index].tokens + answer.tokens
            walks[index] = Walk(index + 1, Location((symbol,)), tokens, suspects)
    found = tuple(walks[index] for index in range(count))
    job.trace.step(
        "walks",
        walks=[
            {"number": one.number, "files": list(files), "location": [heading(s) for s in one.location.symbols]}
            for one, files in zip(found, given.named, strict=True)
        ],
    )
    return found
