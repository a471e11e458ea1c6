"""What a person sees: live progress on a terminal, plain lines elsewhere, and the fixes with their proof."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.segment import Segment
from rich.spinner import Spinner
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from patchwright_engine.control import Progress, ProgressSink
from patchwright_engine.sandbox.output import visible
from patchwright_engine.types import Evidence, Fix, FixResult

STAGES = ("index", "model", "understand", "locate", "reproduce", "repair", "verify", "rank")
STOPPED = {
    "verified": "a fix is verified",
    "budget": "the budget is spent",
    "cancelled": "cancelled",
    "no_candidates": "no candidate survived",
}


@contextmanager
def progress_display(console: Console) -> Iterator[ProgressSink]:
    """A sink that shows progress on `console`: a live panel on a terminal, one line a change of stage elsewhere."""
    # FORCE_COLOR makes rich take any stream for a terminal; a live view needs a real one.
    if console.is_terminal and console.file.isatty():
        panel = _Panel()
        with Live(panel, console=console, refresh_per_second=8, transient=True):
            yield panel.update
    else:
        yield _Lines(console).update


class SafeConsole(Console):
    """A console on which nothing from a repository, a model or a run acts: what would is shown as its escape."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            safe = segment.control or segment.text.isprintable()
            yield segment if safe else Segment(visible(segment.text), segment.style)


class ResultConsole(SafeConsole):
    """Standard output for results. A reader that goes away (`| head`) is the caller's to handle."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        """Rich would end the process here, before the exit status and --apply are settled."""
        raise BrokenPipeError


class _Lines:
    """Plain progress for logs: a line when the stage or the best evidence changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[str, int, str | None] | None = None
        self._started = time.monotonic()

    def update(self, progress: Progress, /) -> None:
        key = (progress.stage, progress.rollouts, progress.best_evidence)
        if key == self._last:
            return
        self._last = key
        parts = [f"[{time.monotonic() - self._started:6.1f}s]", f"{progress.stage}:", progress.message]
        if progress.rollouts:
            parts.append(f"(rollout {progress.rollouts}/{progress.budget})")
        if progress.best_evidence:
            parts.append(f"best so far: {progress.best_evidence}")
        self._console.print(" ".join(parts), markup=False, soft_wrap=True)


class _Panel:
    """The live view; rich asks it to draw itself a few times a second, from its own thread."""

    def __init__(self) -> None:
        self._progress = Progress("index", "starting")
        self._spinner = Spinner("dots")
        self._started = time.monotonic()
        self._rate: float | None = None

    def update(self, progress: Progress, /) -> None:
        self._progress = progress
        if progress.tokens_per_second:
            self._rate = progress.tokens_per_second

    def __rich__(self) -> RenderableType:
        now = self._progress
        stages = Text(" ")
        current = STAGES.index(now.stage) if now.stage in STAGES else len(STAGES)
        for place, stage in enumerate(STAGES):
            stages.append(stage, style="bold cyan" if place == current else "green" if place < current else "dim")
            stages.append(" › " if place < len(STAGES) - 1 else "", style="dim")
        facts = [f"rollouts {now.rollouts}/{now.budget}", f"{now.tokens} tokens"]
        if self._rate:
            facts.append(f"{self._rate:.1f} tok/s")
        facts.append(f"{time.monotonic() - self._started:.0f} s")
        facts.append(f"best: {now.best_evidence or '–'}")
        self._spinner.update(text=Text(f" {now.message}"))
        return Group(stages, self._spinner, Text("  " + " · ".join(facts), style="dim"))


def show_result(result: FixResult, console: Console) -> None:
    """Print the fixes, strongest first, with what was run and what it printed."""
    for fix in result.fixes:
        _show_fix(fix, len(result.fixes), console)
    for note in result.notes:
        console.print(f"Note: {note}", style="yellow", markup=False, soft_wrap=True)
    cost = result.cost
    if not result.fixes:
        cancelled = result.stopped == "cancelled"
        console.print("Cancelled before a fix was found." if cancelled else "No fix found.", style="bold")
        if not cancelled:
            console.print("Try a larger --budget, a --test command that fails, or a more exact description.")
    thoughts = f" ({cost.thought_tokens} of them thoughts)" if cost.thought_tokens else ""
    console.print(
        f"Stopped because {STOPPED.get(result.stopped, result.stopped)}: {cost.rollouts} rollouts, "
        f"{cost.prompt_tokens} prompt tokens ({cost.cached_tokens} cached), "
        f"{cost.generated_tokens} generated{thoughts}, {cost.seconds:.0f} s.",
        markup=False,
    )
    console.print(f"Trace: {result.trace}", markup=False, soft_wrap=True)


def _show_fix(fix: Fix, total: int, console: Console) -> None:
    style = {Evidence.FAILING_TEST: "green", Evidence.REPRODUCED: "green"}.get(fix.evidence, "yellow")
    label = "verified" if fix.evidence.verified else "NOT verified"
    runs = Table.grid(padding=(0, 2))
    for run in fix.runs:
        runs.add_row(Text(run.kind), Text(f"before: {run.before}"), Text(f"after: {run.after}"))
        runs.add_row("", Text(f"$ {run.command}", style="dim"), Text(f"{run.seconds:.1f} s", style="dim"))
    body = Group(
        Text(fix.explanation),
        Text(f"Evidence: {fix.evidence.words}."),
        *(Text(f"Look closely: the patch {flag}", style="yellow") for flag in fix.flags),
        runs,
        Syntax(fix.patch.diff.rstrip(), "diff", background_color="default"),
        *_extras(fix),
    )
    title = f"Fix {fix.rank} of {total} · {label} ({fix.evidence.value}) · {fix.id}"
    console.print(Panel(body, title=title, title_align="left", border_style=style))


def _extras(fix: Fix) -> list[RenderableType]:
    """What tells it from the other fixes, and the test that can go with it."""
    shown: list[RenderableType] = []
    if fix.differences:
        shown.append(Text("Where the fixes differ:", style="bold"))
        shown += [Text(f"  {line}") for line in fix.differences]
    if fix.test:
        shown.append(Text(f"Regression test: {fix.test.path}; --apply --with-test adds it.", style="bold"))
        shown.append(Syntax(fix.test.after.rstrip(), "python", background_color="default"))
    return shown
