"""A report as one HTML page that needs nothing else: no network, no script, no other file.

Invariants: every text of the trace is escaped, and what a terminal or a reader would not see is shown as its escape;
the page's policy forbids every request and every script, and allows the one style sheet by its hash.
"""

import base64
import hashlib
import importlib.resources
from collections.abc import Iterator
from typing import Any

from patchwright_engine.report import words
from patchwright_engine.report.diffs import DiffLine, read_diff
from patchwright_engine.report.values import Report, StageCost
from patchwright_engine.sandbox.output import visible

DIFF_LINES = 1_500
"""Of one diff; a patch that replaces a whole file would fill the page."""
TEXT_CHARS = 20_000
"""Of one issue, test or output."""


def render_page(report: Report, trace: str) -> str:
    """The page, as text that UTF-8 can hold. `trace` is where the search was read from."""
    import jinja2
    from markupsafe import Markup

    style = _data("page.css")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_harmless, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(clock=words.clock, count=words.count, short=shortened, ticks=_in_ticks)
    template = environment.from_string(_data("page.html"))
    level, headline = words.headline(report)
    page = template.render(
        report=report,
        trace=trace,
        style=Markup(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        level=level,
        headline=headline,
        words=words,
        diff=diff_lines,
        shares=list(_shares(report.stages)),
    )
    return page.strip() + "\n"


def diff_lines(diff: str) -> list[DiffLine]:
    """The lines of a unified diff with what each is; the old names, which say nothing more, are left out."""
    lines = list(read_diff(diff))
    shown = [line for line in lines[:DIFF_LINES] if not (line.kind == "file" and line.text.startswith("--- "))]
    if len(lines) > DIFF_LINES:
        shown.append(DiffLine("note", f"… {len(lines) - DIFF_LINES} more lines; the trace has them all"))
    return shown


def shortened(text: str) -> str:
    """A long text without its middle."""
    if len(text) <= TEXT_CHARS:
        return text
    half = TEXT_CHARS // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def _shares(stages: tuple[StageCost, ...]) -> Iterator[tuple[StageCost, float, float]]:
    """Each stage with where its part of a bar of 100 begins and how long it is."""
    total = sum(stage.seconds for stage in stages) or 1.0
    begin = 0.0
    for stage in stages:
        length = 100 * stage.seconds / total
        yield stage, round(begin, 2), round(length, 2)
        begin += length


def _in_ticks(text: str) -> list[tuple[bool, str]]:
    """A line in pieces: whether each stood between backquotes."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return [(False, text)]
    return [(place % 2 == 1, piece) for place, piece in enumerate(pieces) if piece]


def _harmless(value: Any) -> Any:
    """What is about to be shown; what the template itself made, and our style sheet, is markup already."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _data(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
