"""The curves of `benchmarks/search.py`, drawn with matplotlib, which is not one of our dependencies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, PercentFormatter, ScalarFormatter

COLOURS = {
    "dev-search": "#c0392b",
    "single": "#7f8c8d",
    "voting": "#8e6bbf",
    "exec": "#2471a3",
    "orm-exec": "#1e8449",
}
"""By strategy; one with another sampling is dashed."""


def draw_curves(summary: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """Resolved issues over the budget, and over generated tokens, with 95 % intervals; a PNG and an SVG."""
    curves: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for cell in sorted(summary["cells"], key=lambda cell: cell["budget"]):
        curves.setdefault((cell["strategy"], cell["sampling"]), []).append(cell)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True, layout="constrained")
    for (strategy, sampling), cells in curves.items():
        look = {
            "color": COLOURS[strategy],
            "linestyle": "--" if sampling == "free" else "-",
            "linewidth": 2.4 if strategy == "dev-search" else 1.6,
            "label": f"{strategy} ({sampling})" if sampling == "free" else strategy,
        }
        shares = [cell["resolved"] for cell in cells]
        for axes, x in ((left, [cell["budget"] for cell in cells]), (right, [c["tokens_per_issue"] for c in cells])):
            axes.plot(x, shares, marker="o", markersize=4, **look)
        band = {"color": COLOURS[strategy], "alpha": 0.10, "linewidth": 0}
        if strategy in ("dev-search", "exec") and sampling != "free":  # All of them together would show none.
            lows, highs = zip(*(cell["interval"] for cell in cells), strict=True)
            left.fill_between([cell["budget"] for cell in cells], lows, highs, **band)
    left.set_xscale("log", base=2)
    left.xaxis.set_major_locator(FixedLocator(sorted({cell["budget"] for cell in summary["cells"]})))
    left.set_ylim(bottom=0)
    _finish(left, "budget: rollouts")
    right.set_xscale("log")
    right.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    _finish(right, "generated tokens an issue")
    left.set_ylabel("resolved, by the hidden tests")
    left.yaxis.set_major_formatter(PercentFormatter(1.0))
    left.legend(frameon=False, fontsize=9)
    overall = summary["overall"]
    figure.suptitle(
        f"{summary['model']}: {overall['instances']} issues; bands: 95 % of Dev-Search and exec", fontsize=10
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = (folder / "curves.png", folder / "curves.svg")
    for path in paths:
        figure.savefig(path, dpi=150)
    plt.close(figure)
    return paths


def _finish(axes: Any, label: str) -> None:
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel(label)
    axes.grid(alpha=0.25)
