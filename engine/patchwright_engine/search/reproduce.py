"""Reproduction tests: written by the model, run by us, kept only when they fail before for the issue's reason.

A valid reproduction is evidence, and its failure is the best hint the repair prompt can hold.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from patchwright_engine.repair.answers import python_blocks
from patchwright_engine.search.job import Job, stage_prompt
from patchwright_engine.search.locate import ScoredLocation
from patchwright_engine.types import RepoPath, Symbol
from patchwright_engine.verify.context import VerificationContext
from patchwright_engine.verify.reproduction import Reproduction, check_reproduction

CANDIDATES = 6
KEEP = 4
ANSWER_TOKENS = 320


def reproduce(
    job: Job, locations: Sequence[ScoredLocation], context: VerificationContext, *, seed: int, feedback: str = ""
) -> tuple[Reproduction, ...]:
    """Valid reproductions, most agreed on first. `feedback` says why an earlier round's tests were no use."""
    job.report("reproduce", "writing reproduction tests")
    imports = import_lines([s for scored in locations for s in scored.location.symbols])
    answers = job.ask(
        "reproduce",
        stage_prompt(job, "reproduce", imports=imports, feedback=feedback),
        n=CANDIDATES,
        seed=seed,
        max_answer_tokens=ANSWER_TOKENS,
    )
    sources = Counter(
        source for answer in answers if answer.finish == "stop" for source in python_blocks(answer.answer)[:1]
    )
    checked: list[Reproduction] = []
    for source, votes in sources.items():
        job.report("reproduce", f"running reproduction {len(checked) + 1} of {len(sources)}")
        reproduction = check_reproduction(source, context, job.cancel)
        checked.append(reproduction)
        job.trace.step(
            "reproduction", source=source, votes=votes, valid=reproduction.valid, reason=reproduction.reason
        )
    return tuple([r for r in checked if r.valid][:KEEP])


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
