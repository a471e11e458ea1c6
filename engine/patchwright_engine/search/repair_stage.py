"""Repair (paper §3.3): one location → N answers → patches or refusals.

Short definitions are rewritten whole, and the candidates are made to leave the original where the model most wants
to (`model/diverge.py`); long ones are edited by SEARCH/REPLACE (DESIGN §5). When a reproduction is at hand, its
failure stands in the prompt; when an earlier patch failed, a revision shows what its run printed.
"""

import ast
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from patchwright_engine.model.backend import Completion, CompletionRequest, Message
from patchwright_engine.model.prompting import render
from patchwright_engine.repair.apply import Refusal, build_patch
from patchwright_engine.search.job import ANSWER_SHARE, CODE_SHARE, FENCE_CLOSE, Job, stage_prompt
from patchwright_engine.search.strategies import DIVERGENT
from patchwright_engine.syntax.languages import language_of
from patchwright_engine.syntax.parse import parse_symbols
from patchwright_engine.types import Location, Patch, RepoPath, Symbol

REWRITE_MAX_LINES = 120
CONTEXT_LINES = 12
CONTEXT_LINE_CHARS = 240
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
    tokens: int = 0
    """Generated for it, thoughts included."""
    chance: float = 0.0
    """That it is right, before it was judged: what its rollout was given for (see `policy`)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed attempt with what its run printed: the start of a revision."""

    attempt: Attempt
    patch_id: str
    feedback: str
    worth: float
    """How near it came, 0-1: the nearest is revised first."""


OnAttempt = Callable[[Attempt], None]


def repair(
    job: Job,
    location: Location,
    shown: Shown | None,
    on_attempt: OnAttempt,
    *,
    gains: Sequence[float],
    seed: int,
    earlier: int,
    sampling: str = DIVERGENT,
) -> None:
    """Fresh attempts at one location, at which `earlier` ones were made; the very first is greedy.

    `on_attempt` hears of each in the order of the answers, as soon as it and those before it are written.
    `gains`: the chance of a right fix that each is made for. `sampling`: one of `SAMPLINGS`.
    """
    n = len(gains)
    job.report("repair", f"writing {n} candidate{'s' if n > 1 else ''} for {location.symbols[0].name}")
    prompt = repair_prompt(job, location, shown)
    asked = _Asked(location, prompt, seed, earlier, diverging=sampling == DIVERGENT)
    _attempts(job, asked, gains, on_attempt)


def revise(job: Job, failed: Failed, on_attempt: OnAttempt, *, gains: Sequence[float], seed: int) -> None:
    """Attempts that continue a failed one, told what its run printed; its thoughts are not repeated."""
    job.report("repair", f"revising a candidate for {failed.attempt.location.symbols[0].name}")
    feedback = failed.feedback[-FEEDBACK_CHARS:]
    messages = (
        *failed.attempt.messages,
        Message("assistant", failed.attempt.answer),
        Message("user", render("revise", feedback=feedback)),
    )
    prompt = RepairPrompt(messages, None)
    if job.room(messages) < job.tokens(ANSWER_SHARE):
        job.note_dropped("repair", [f"a revision of {failed.patch_id}: it does not fit the context"])
        return
    _attempts(job, _Asked(failed.attempt.location, prompt, seed, 1, failed.patch_id), gains, on_attempt)


@dataclass(frozen=True, slots=True)
class RepairPrompt:
    """A conversation that asks for a repair; `original` is the code to rewrite, None for SEARCH/REPLACE."""

    messages: tuple[Message, ...]
    original: str | None
    cut: bool = False
    """Whether some of the code did not fit and was left out."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One prompt and how it is sampled."""

    location: Location
    prompt: RepairPrompt
    seed: int
    earlier: int
    revised: str | None = None
    diverging: bool = True


def _attempts(job: Job, asked: _Asked, gains: Sequence[float], on_attempt: OnAttempt) -> None:
    location, prompt = asked.location, asked.prompt
    size = sum(job.model.count_tokens(shown_source(job, symbol)) for symbol in location.symbols)
    request = CompletionRequest(
        prompt.messages,
        n=len(gains),
        max_answer_tokens=min(size * 3 // 2 + ANSWER_MARGIN_TOKENS, job.tokens(ANSWER_SHARE)),
        seed=asked.seed,
        first_greedy=asked.earlier == 0,
    )
    if prompt.original is not None:
        request = replace(
            request,
            answer_prefix=f"```{_language(location.symbols[0].path)}\n",
            stop=(FENCE_CLOSE,),
            reference=prompt.original + FENCE_CLOSE if asked.diverging else "",
            skip_divergences=asked.earlier if asked.diverging else 0,
        )
    ended: dict[int, Completion] = {}
    told = 0

    def tell() -> None:
        nonlocal told
        while told in ended:
            on_attempt(replace(_attempt(job, asked, ended[told]), chance=gains[told]))
            told += 1

    def end(index: int, completion: Completion) -> None:
        ended[index] = completion
        tell()

    answers = job.ask("repair", request, end)
    ended.update((index, answer) for index, answer in enumerate(answers) if index >= told)
    tell()  # for a backend that tells nothing before the end


def _attempt(job: Job, asked: _Asked, completion: Completion) -> Attempt:
    closed = completion.finish == "stop" and asked.prompt.original is not None
    answer = completion.answer + FENCE_CLOSE if closed else completion.answer
    result = build_patch(
        answer,
        snapshot_text=job.snapshot.read_text,
        # A definition that the model never saw whole may be edited in part, never replaced as a whole.
        symbols=() if asked.prompt.cut else asked.location.symbols,
        finish=completion.finish,
    )
    return Attempt(asked.location, answer, result, asked.prompt.messages, asked.revised, completion.tokens)


def repair_prompt(job: Job, location: Location, shown: Shown | None) -> RepairPrompt:
    """The conversation that asks for a repair at one location."""
    symbols = location.symbols
    long = any(s.end_line - s.start_line >= REWRITE_MAX_LINES for s in symbols)
    failing = render("failing_test", test=shown.test.strip(), failure=shown.failure.strip()) + "\n\n" if shown else ""
    sources = [_source(job, symbol) if long else shown_source(job, symbol) for symbol in symbols]
    code = "\n\n".join(sources)
    cut = job.model.count_tokens(code) > job.tokens(CODE_SHARE)
    if cut:
        fitted = job.excerpts(symbols, CODE_SHARE, headed=False)
        job.note_dropped("repair", fitted.dropped)
        code = fitted.text.rstrip("\n")
    messages = stage_prompt(
        job,
        "repair_search_replace" if long or cut else "repair_rewrite",
        context=failing + _surroundings(job, symbols),
        path=", ".join(dict.fromkeys(s.path for s in symbols)),
        code=code,
        language=_language(symbols[0].path),
        names=" and ".join(f"`{s.name}`" for s in symbols),
    )
    return RepairPrompt(messages, None if long or cut else code, cut)


def shown_source(job: Job, symbol: Symbol) -> str:
    """A definition as the model sees and rewrites it: dedented, its own docstring left out (`build_patch` keeps it).

    Docstrings are the longest thing a model would copy and the last place where a bug sits.
    """
    source = textwrap.dedent(_source(job, symbol))
    try:
        node = ast.parse(source).body[0]
    except (SyntaxError, ValueError, IndexError):
        return source
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or len(node.body) < 2:
        return source
    first = node.body[0]
    if first.lineno == node.lineno or node.body[1].lineno == first.end_lineno:
        return source
    if not (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    ):
        return source
    lines = source.split("\n")
    return "\n".join([*lines[: first.lineno - 1], *lines[first.end_lineno or first.lineno :]])


def _source(job: Job, symbol: Symbol) -> str:
    lines = job.snapshot.read_text(symbol.path).replace("\r\n", "\n").split("\n")
    return "\n".join(lines[symbol.start_line - 1 : symbol.end_line])


def _surroundings(job: Job, symbols: Sequence[Symbol]) -> str:
    """Module-level names the code uses (imports, constants): short, and often where a limit or table stands."""
    symbol = symbols[0]
    source = _source(job, symbol)
    names = set(re.findall(r"[A-Za-z_]\w*", source))
    text = job.snapshot.read_text(symbol.path)
    language = _language(symbol.path)
    lines = _lines_of_module(text, names) if language == "python" else _lines_of_file(symbol.path, text, names)
    if not lines:
        return ""
    shown = "\n".join(lines[:CONTEXT_LINES])
    return f"The module has these names (do not repeat them):\n\n```{language}\n{shown}\n```\n\n"


def _lines_of_module(text: str, names: set[str]) -> list[str]:
    """The imports and assignments of a Python module that bind any of `names`."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    lines: list[str] = []
    for node in module.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound = {(a.asname or a.name).split(".")[0] for a in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            bound = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        else:
            continue
        text = ast.unparse(node)
        if bound & names and len(text) < CONTEXT_LINE_CHARS:
            lines.append(text)
    return lines


def _lines_of_file(path: RepoPath, text: str, names: set[str]) -> list[str]:
    """The first lines of the imports and module-level assignments, in any language, that bind any of `names`."""
    syntax = parse_symbols(path, text.encode("utf-8", "surrogateescape"))
    bound = [(item.line, {*item.names, *re.findall(r"\w+", item.module)[-1:]}) for item in syntax.imports]
    bound += [(symbol.start_line, {symbol.name}) for symbol in syntax.symbols if symbol.kind == "variable"]
    source = text.replace("\r\n", "\n").split("\n")
    lines = [source[line - 1].strip() for line in sorted({line for line, words in bound if words & names})]
    return [line for line in lines if len(line) < CONTEXT_LINE_CHARS]


def _language(path: RepoPath) -> str:
    """What stands behind the backquotes of code from a file."""
    entry = language_of(path)
    return entry.fences[0] if entry is not None else ""
