"""What a trace lacks, in sentences: lines that cannot be read, damaged steps, a missing beginning or end."""

from collections.abc import Sequence

from patchwright_engine.report.values import Report
from patchwright_engine.report.words import clock, count
from patchwright_engine.search.trace import Scanned

NAMED_LINES = 5


def missing(scanned: Scanned, report: Report, damaged: Sequence[str], *, searches: int) -> list[str]:
    """`damaged`: the steps of which not all could be told; `searches`: how many the file holds."""
    gaps = []
    if not searches:
        gaps.append("The beginning is missing, and with it the issue.")
    if searches > 1:
        gaps.append(f"The file holds {searches} searches one after another; this is the last.")
    cut = scanned.cut and bool(scanned.unreadable)
    unreadable = scanned.unreadable[:-1] if cut else scanned.unreadable
    if unreadable:
        named = ", ".join(str(line) for line in unreadable[:NAMED_LINES])
        more = f" and {len(unreadable) - NAMED_LINES} more" if len(unreadable) > NAMED_LINES else ""
        gaps.append(f"Of the file, {count(len(unreadable), 'line')} could not be read: {named}{more}.")
    if damaged:
        more = f" and {len(damaged) - NAMED_LINES} more" if len(damaged) > NAMED_LINES else ""
        gaps.append(f"Damaged and told in part at most: {'; '.join(damaged[:NAMED_LINES])}{more}.")
    if cut:
        gaps.append("The last line is cut off in its middle.")
    if report.stopped is None:
        told = f" Told is what was written in its first {clock(report.cost.seconds)}."
        gaps.append("There is no end: the search still runs, or was killed, or the file was cut." + told)
    return gaps
