"""Repair (paper §3.3): one location → N answers → patches or refusals.

Short definitions are rewritten whole; long ones are edited by SEARCH/REPLACE (DESIGN §5). When a reproduction
is at hand, its failure stands in the prompt; when an earlier patch failed, a revision shows what its run printed.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from patchwright_engine.localize.context import symbol_code
from patchwright_engine.model.backend import Message
from patchwright_engine.model.prompting import render
from patchwright_engine.repair.apply import Refusal, build_patch
from patchwright_engine.search.job import CODE_SHARE, Job, stage_prompt
from patchwright_engine.types import Location, Patch, Symbol

REWRITE_MAX_LINES = 120
CONTEXT_LINES = 12
FEEDBACK_CHARS = 1_200
ANSWER_MARGIN_TOKENS = 160


@dataclass(frozen=True, slots=True)
class Shown:
    """The failing reproduction shown to the model: its source and how it fails today."""

    test: str
    failure: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One rollout's answer and what came of it."""

    location: Location
    answer: str
    result: Patch | Refusal
    messages: tuple[Message, ...]
    revised: str | None = None
    """Id of the candidate this one revises."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed attempt with what its run printed: the start of a revision."""

    attempt: Attempt
    patch_id: str
    feedback: str
    worth: float
    """How near it came, 0-1: the nearest is revised first."""


def repair(
    job: Job, location: Location, shown: Shown | None, *, n: int, seed: int, first_greedy: bool
) -> list[Attempt]:
    """N fresh attempts at one location."""
    job.report("repair", f"writing {n} candidate{'s' if n > 1 else ''} for {location.symbols[0].name}")
    messages = repair_prompt(job, location, shown)
    return _attempts(job, location, messages, n=n, seed=seed, first_greedy=first_greedy)


def revise(job: Job, failed: Failed, *, n: int, seed: int) -> list[Attempt]:
    """N attempts that continue a failed one, told what its run printed; its thoughts are not repeated."""
    job.report("repair", f"revising a candidate for {failed.attempt.location.symbols[0].name}")
    feedback = failed.feedback[-FEEDBACK_CHARS:]
    messages = (
        *failed.attempt.messages,
        Message("assistant", failed.attempt.answer),
        Message("user", render("revise", feedback=feedback)),
    )
    return _attempts(
        job, failed.attempt.location, messages, n=n, seed=seed, first_greedy=False, revised=failed.patch_id
    )


def _attempts(
    job: Job,
    location: Location,
    messages: tuple[Message, ...],
    *,
    n: int,
    seed: int,
    first_greedy: bool,
    revised: str | None = None,
) -> list[Attempt]:
    size = sum(job.model.count_tokens(_source(job, symbol)) for symbol in location.symbols)
    answers = job.ask(
        "repair",
        messages,
        n=n,
        seed=seed,
        max_answer_tokens=min(size * 3 // 2 + ANSWER_MARGIN_TOKENS, job.tokens(CODE_SHARE)),
        first_greedy=first_greedy,
    )
    attempts = []
    for answer in answers:
        result = build_patch(
            answer.answer,
            snapshot_text=job.snapshot.read_text,
            symbols=location.symbols,
            allowed=None,
            finish=answer.finish,
        )
        attempts.append(Attempt(location, answer.answer, result, messages, revised))
    return attempts


def repair_prompt(job: Job, location: Location, shown: Shown | None) -> tuple[Message, ...]:
    """The conversation that asks for a repair at one location."""
    symbols = location.symbols
    code = symbol_code(symbols, job.snapshot, job.model.count_tokens, job.tokens(CODE_SHARE))
    job.note_dropped("repair", code.dropped)
    long = any(s.end_line - s.start_line >= REWRITE_MAX_LINES for s in symbols)
    failing = render("failing_test", test=shown.test.strip(), failure=shown.failure.strip()) + "\n\n" if shown else ""
    return stage_prompt(
        job,
        "repair_search_replace" if long else "repair_rewrite",
        context=failing + _surroundings(job, symbols),
        path=", ".join(dict.fromkeys(s.path for s in symbols)),
        code="\n\n".join(_source(job, s) for s in symbols),
        names=" and ".join(f"`{s.name}`" for s in symbols),
    )


def _source(job: Job, symbol: Symbol) -> str:
    lines = job.snapshot.read_text(symbol.path).replace("\r\n", "\n").split("\n")
    return "\n".join(lines[symbol.start_line - 1 : symbol.end_line])


def _surroundings(job: Job, symbols: Sequence[Symbol]) -> str:
    """Module-level names the code uses (imports, constants): short, and often where a limit or table stands."""
    symbol = symbols[0]
    source = _source(job, symbol)
    names = set(re.findall(r"[A-Za-z_]\w*", source))
    try:
        module = ast.parse(job.snapshot.read_text(symbol.path))
    except (SyntaxError, ValueError):
        return ""
    lines: list[str] = []
    for node in module.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            used = [a for a in node.names if (a.asname or a.name).split(".")[0] in names]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            used = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in names and n.col_offset == 0]
        else:
            continue
        text = ast.unparse(node)
        if used and len(text) < 240:
            lines.append(text)
    if not lines:
        return ""
    return "The module has these names (do not repeat them):\n\n```python\n" + "\n".join(lines[:CONTEXT_LINES]) + "\n```\n\n"
