"""The report of a campaign as a person reads it."""

from collections.abc import Mapping, Sequence
from typing import Any


def repair_in_words(summary: Mapping[str, Any]) -> str:
    """Tables of what `summarize_repair` gives."""
    overall = summary["overall"]
    lines = [f"{overall['instances']} issues, {overall['searches']} searches, model {summary['model']}", ""]
    if summary["cells"]:
        lines += _table(
            ("strategy", "budget", "resolved", "95 %", "found", "rollouts", "tokens", "s", "tokens/solved", "s/solved"),
            [_cell(cell) for cell in summary["cells"]],
        )
        lines += [
            "found: some candidate is right, offered or not. Rollouts, tokens (generated) and seconds are per issue.",
            "",
        ]
    if overall["by_evidence"]:
        rows: list[tuple[str, ...]] = [
            (level, *_counted(found), *_counted(overall["candidates_by_evidence"].get(level)))
            for level, found in _levels(overall)
        ]
        lines += _table(("evidence", "offered", "right", "95 %", "candidates", "right", "95 %"), rows)
    if summary["comparisons"]:
        rows = [_compared(one) for one in summary["comparisons"]]
        lines += _table(("compared", "budget", "issues", "difference", "95 %", "tokens"), rows)
    died = [(_name(cell), cell) for cell in summary["cells"] if cell["died_at"]]
    lines += [f"{name}, budget {cell['budget']}, not resolved: {_died(cell['died_at'])}" for name, cell in died]
    lines += [f"{name}: not searched: {reason.strip()}" for name, reason in overall["not_searched"].items()]
    return "\n".join(lines) + "\n"


def _cell(cell: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _name(cell),
        str(cell["budget"]),
        f"{cell['resolved_count']}/{cell['searches']} {cell['resolved']:.0%}",
        _range(cell["interval"]),
        "-" if cell["found"] is None else f"{cell['found']:.0%}",
        f"{cell['rollouts_per_issue']:.1f}",
        f"{cell['tokens_per_issue']:.0f}",
        f"{cell['seconds_per_issue']:.0f}",
        "-" if cell["tokens_per_resolved"] is None else f"{cell['tokens_per_resolved']}",
        "-" if cell["seconds_per_resolved"] is None else f"{cell['seconds_per_resolved']:.0f}",
    )


def _name(cell: Mapping[str, Any]) -> str:
    return f"{cell['strategy']} ({cell['sampling']})" if cell["sampling"] else str(cell["strategy"])


def _levels(overall: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any] | None]]:
    names = dict.fromkeys((*overall["by_evidence"], *overall["candidates_by_evidence"]))
    return [(level, overall["by_evidence"].get(level)) for level in names]


def _counted(found: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if found is None:
        return "-", "-", "-"
    return str(found["offered"]), f"{found['right']} {found['share']:.0%}", _range(found["interval"])


def _compared(one: Mapping[str, Any]) -> tuple[str, ...]:
    against = _name({"strategy": one["against"], "sampling": one["sampling"]})
    low, high = one["interval"]
    return (
        f"{one['strategy']} − {against}",
        str(one["budget"]),
        str(one["instances"]),
        f"{one['difference']:+.1%}",
        f"{low:+.1%} to {high:+.1%}",
        "-" if one["tokens_ratio"] is None else f"{one['tokens_ratio']:.0%}",
    )


def _died(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} at {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def _range(interval: Sequence[float]) -> str:
    return f"{interval[0]:.0%}-{interval[1]:.0%}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]
    return [*lines, ""]
