"""Fault localization (paper §3.2): symbols with their code → N answers → the beam of locations.

Scores add what the index believes, what the samples agree on, and the PRM's P(correct), each in 0-1.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from patchwright_engine.localize.spectrum import with_spectrum
from patchwright_engine.localize.weights import standing
from patchwright_engine.model.backend import Completion, CompletionRequest, Message
from patchwright_engine.model.grammar import as_choices
from patchwright_engine.repair.guards import is_judging_file
from patchwright_engine.search.job import CODE_SHARE, Job, stage_prompt
from patchwright_engine.search.ran import spectrum_in
from patchwright_engine.types import Location, RankedSymbol, RepoPath, Symbol
from patchwright_engine.verify.execution import Ran
from patchwright_engine.verify.reproduction import Reproduction

CANDIDATES = 4
SHOWN_SYMBOLS = 8
BEAM = 3
JUDGED = 4
MAX_NAMED = 3
ANSWER_TOKENS = 120
# A symbol whose file understanding picked is worth about one rank step more than one whose file it did not.
FILE_BONUS = 1.5
SHORT_CLASS_LINES = 40


@dataclass(frozen=True, slots=True)
class ScoredLocation:
    """A location with its score and the parts it is made of."""

    location: Location
    score: float
    prior: float
    prm: float | None


@dataclass(frozen=True, slots=True)
class FaultQuestion:
    """The prompt that shows suspected code and asks which piece is at fault."""

    asked: tuple[Message, ...]
    choices: tuple[str, ...]
    shown: tuple[RankedSymbol, ...]
    """The suspects, likeliest first."""

    @property
    def suspects(self) -> tuple[Symbol, ...]:
        return tuple(ranked.symbol for ranked in self.shown)


def fault_question(job: Job, files: Sequence[RepoPath], page: int = 0) -> FaultQuestion | None:
    """What to ask when `files` were understood to matter. None when the repository has no (more) symbols.

    `page`: how many times further code was shown before, when the fault was at none of the locations so far.
    """
    job.report("locate", "reading further code" if page else "reading suspected code")
    shown = _suspects(job, files, page)
    if not shown:
        return None
    suspects = [s.symbol for s in shown]
    code = job.excerpts(suspects, CODE_SHARE)
    job.note_dropped("locate", code.dropped)
    choices = as_choices(heading(symbol) for symbol in suspects if f"### {heading(symbol)} (" in code.text)
    return FaultQuestion(stage_prompt(job, "locate", code=code.text), choices, tuple(shown))


def ask_for_fault(job: Job, question: FaultQuestion, n: int) -> tuple[Completion, ...]:
    """N answers, to be read with `parse_symbols_named`."""
    return job.ask(
        "locate",
        CompletionRequest(
            question.asked,
            n=n,
            seed=job.seed,
            max_answer_tokens=ANSWER_TOKENS,
            choices=question.choices,
            max_choices=MAX_NAMED,
        ),
    )


def locate_fault(job: Job, files: Sequence[RepoPath], *, page: int = 0) -> tuple[ScoredLocation, ...]:
    """The beam: locations to repair, best first. Empty when the repository has no (more) symbols; `page` as above."""
    question = fault_question(job, files, page)
    if question is None:
        return ()
    asked, shown, suspects = question.asked, question.shown, question.suspects
    answers = ask_for_fault(job, question, CANDIDATES)
    named = [parse_symbols_named(answer.answer, suspects) for answer in answers]
    votes: Counter[tuple[Symbol, ...]] = Counter()
    for symbols in named:
        # The first name is the vote; the ones after it are weaker votes of their own, not a joint change.
        for place, symbol in enumerate(symbols[:MAX_NAMED]):
            votes[(symbol,)] += 1 if place == 0 else 0.5  # type: ignore[assignment]  # half votes
    joint = Counter(symbols for symbols in named if len(symbols) in (2, 3))
    votes.update({symbols: count for symbols, count in joint.items() if count >= 2})
    top = max(s.score for s in shown) or 1.0
    prior = {s.symbol: standing(s.score, top) for s in shown}
    for s in shown[:BEAM]:  # the index's own favourites stay in the race without a vote
        votes.setdefault((s.symbol,), 0)
    said = {symbols: answer.answer for symbols, answer in zip(reversed(named), reversed(answers), strict=True)}
    texts = {symbols: said.get(symbols) or "\n".join(map(heading, symbols)) for symbols in votes}
    scored = _score(
        votes, prior, len(answers), lambda chosen: job.judge_answers("locate", asked, [texts[c] for c in chosen])
    )
    job.trace.step(
        "locations",
        candidates=[
            {
                "symbols": [heading(s) for s in c.location.symbols],
                "votes": c.location.votes,
                "prior": round(c.prior, 4),
                "prm": c.prm,
                "score": round(c.score, 4),
            }
            for c in scored
        ],
        kept=min(BEAM, len(scored)),
    )
    return tuple(scored[:BEAM])


def heading(symbol: Symbol) -> str:
    """How prompts and traces name a definition."""
    return f"{symbol.path}::{symbol.name}"


def _suspects(job: Job, files: Sequence[RepoPath], page: int = 0) -> list[RankedSymbol]:
    """Symbols to show: the index's order, those in the understood files first, no code twice, nor on two pages."""
    chosen = set(files)
    ranked = sorted(
        (s for s in job.ranking.symbols if s.symbol.kind != "variable"),
        key=lambda s: standing(s.score, 1.0) * (FILE_BONUS if s.symbol.path in chosen else 1.0),
        reverse=True,
    )
    kept: list[RankedSymbol] = []
    for candidate in ranked:
        symbol = candidate.symbol
        if is_judging_file(symbol.path) or _is_replaced(job, symbol):
            continue
        if any(heading(symbol) == heading(other.symbol) for other in kept):
            continue  # an overload: the headings of answers cannot tell it from the better one
        if symbol.kind == "class" and symbol.end_line - symbol.start_line >= SHORT_CLASS_LINES:
            continue
        if any(_overlap(symbol, other.symbol) for other in kept):
            continue
        kept.append(candidate)
        if len(kept) == SHOWN_SYMBOLS * (page + 1):
            break
    return kept[SHOWN_SYMBOLS * page :]


def _is_replaced(job: Job, symbol: Symbol) -> bool:
    """Whether a later definition of the name is the one that counts, as in Python; elsewhere both are overloads."""
    if not symbol.path.endswith((".py", ".pyi")):
        return False
    return symbol != [other for other in job.index.symbols(symbol.path) if other.name == symbol.name][-1]


def _overlap(a: Symbol, b: Symbol) -> bool:
    return a.path == b.path and a.start_line <= b.end_line and b.start_line <= a.end_line


def _score(
    votes: "Counter[tuple[Symbol, ...]]",
    prior: dict[Symbol, float],
    answers: int,
    judge: Callable[[Sequence[tuple[Symbol, ...]]], Sequence[float | None]],
) -> list[ScoredLocation]:
    def base(symbols: tuple[Symbol, ...]) -> float:
        return votes[symbols] / answers + sum(prior.get(s, 0.0) for s in symbols) / len(symbols)

    ordered = sorted(votes, key=lambda symbols: (-base(symbols), symbols[0].path, symbols[0].start_line))[:JUDGED]
    verdicts = judge(ordered) if len(ordered) > 1 else (None,) * len(ordered)
    scored = [
        ScoredLocation(
            Location(symbols, int(votes[symbols])),
            base(symbols) + (0.5 if prm is None else prm),
            sum(prior.get(s, 0.0) for s in symbols) / len(symbols),
            prm,
        )
        for symbols, prm in zip(ordered, verdicts, strict=True)
    ]
    return sorted(scored, key=lambda c: c.score, reverse=True)


def narrow(
    job: Job,
    beam: Sequence[ScoredLocation],
    reproductions: Sequence[Reproduction],
    passing: Sequence[Ran] = (),
    *,
    size: int = BEAM,
) -> tuple[ScoredLocation, ...]:
    """The beam again, now that reproductions tell which functions the failing calls entered (spectrum-based).

    A location that none of them entered cannot be at fault; its place goes to the best-ranked entered symbols, those
    first that few of the `passing` tests enter. At most `size` are kept.
    """
    failing = [r.before.functions.get(test, {}) for r in reproductions if r.before for test in r.failing]
    spectrum = spectrum_in(job.index, failing, passing)
    entered = sorted(spectrum.symbols, key=lambda s: (-spectrum.symbols[s], s.path, s.start_line))
    if not entered:
        return tuple(beam)
    kept = [c for c in beam if any(_overlap(symbol, other) for symbol in c.location.symbols for other in entered)]
    ranked = with_spectrum(job.ranking, spectrum).symbols
    top = max((one.score for one in ranked), default=0.0) or 1.0
    have = {symbol for scored in kept for symbol in scored.location.symbols}
    for one in ranked:
        if len(kept) >= size:
            break
        if one.symbol in spectrum.symbols and one.symbol not in have and not is_judging_file(one.symbol.path):
            prior = standing(one.score, top)
            kept.append(ScoredLocation(Location((one.symbol,), 0), prior + 0.5, prior, None))
    narrowed = tuple(kept[:size]) or tuple(beam)
    job.trace.step(
        "narrowed",
        entered=[heading(s) for s in entered][:50],
        kept=[heading(s) for scored in narrowed for s in scored.location.symbols],
    )
    return narrowed


def parse_symbols_named(answer: str, suspects: Sequence[Symbol]) -> tuple[Symbol, ...]:
    """Suspects named in an answer, in order; `path::name`, a qualified name, or an unambiguous last name."""
    found: list[Symbol] = []
    headings = {heading(symbol): symbol for symbol in suspects}
    for line in answer.split("\n"):
        if line in headings:
            found.append(headings[line])
            continue
        text = re.sub(r"^(?:[-*•#\s]+|\d+[.)])*\s*", "", line).strip("` ")
        if not text:
            continue
        path, _, name = text.rpartition("::")
        name = re.split(r"[\s(`]", name.strip(), maxsplit=1)[0]
        matches = [s for s in suspects if (s.name == name or s.name.endswith("." + name)) and s.path.endswith(path)]
        if len(matches) == 1:
            found.append(matches[0])
    return tuple(dict.fromkeys(found))
