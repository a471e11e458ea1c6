"""Shares of issues whose fix is near the top of the ranking, with their uncertainty; literature calls all@k Acc@k."""

import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from patchwright_engine.bench.localization import Located
from patchwright_engine.bench.packing import packed_shares, packed_table

FILE_DEPTHS = (1, 3, 5, 10)
SYMBOL_DEPTHS = (5, 10)
_RESAMPLES = 1_000
_SEED = 0
_TABLE = ("file_any@1", "file_any@5", "file_all@1", "file_all@5", "file_all@10", "symbol_any@10", "mrr")
_Enough = Callable[[Iterable[bool]], bool]
_Score = Callable[[Located], float | None]
"""One instance's part of a mean; None where it has none, as the symbols of a fix outside functions."""


def summarize(located: Sequence[Located]) -> dict[str, Any]:
    """The object that `bench localize --json` writes (DESIGN §3); shares are 0-1, intervals 95 %."""
    done = [one for one in located if not one.problem]
    repos: defaultdict[str, list[Located]] = defaultdict(list)
    for one in done:
        repos[one.repo].append(one)
    return {
        "schema": 1,
        "overall": {
            **_shares(done),
            "intervals": _intervals(done),
            "failed": len(located) - len(done),
            "packed": packed_shares([one.packed for one in done]),
        },
        "by_repo": {repo: _shares(ones) for repo, ones in sorted(repos.items())},
        "instances": [asdict(one) for one in located],
    }


def in_words(located: Sequence[Located]) -> str:
    """The table that a person reads: percent (but for the mean reciprocal rank), a line a repository."""
    summary = summarize(located)
    rows = [["", "n", *_TABLE, "seconds"]]
    for name, shares in [*summary["by_repo"].items(), ("together", summary["overall"])]:
        cells = [_shown(key, shares[key]) for key in _TABLE]
        rows.append([name, str(shares["instances"]), *cells, _seconds(shares["seconds_median"])])
    intervals = summary["overall"]["intervals"]
    spans = ["-".join(_shown(key, end) for end in intervals.get(key, ())) for key in _TABLE]
    rows.append(["95 % interval", "", *spans, ""])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += packed_table(summary["overall"]["packed"])
    lines += [f"{one.instance_id}: not located: {one.problem}" for one in located if one.problem]
    return "\n".join(lines) + "\n"


def _scores() -> Mapping[str, _Score]:
    scores: dict[str, _Score] = {}
    for name, enough in (("any", any), ("all", all)):
        scores |= {f"file_{name}@{depth}": partial(_files_within, depth, enough) for depth in FILE_DEPTHS}
        scores |= {f"symbol_{name}@{depth}": partial(_symbols_within, depth, enough) for depth in SYMBOL_DEPTHS}
    scores["mrr"] = _reciprocal
    return scores


def _files_within(depth: int, enough: _Enough, one: Located) -> float | None:
    return _within(one.file_ranks, depth, enough)


def _symbols_within(depth: int, enough: _Enough, one: Located) -> float | None:
    return _within(one.symbol_ranks, depth, enough)


def _within(ranks: Sequence[int | None], depth: int, enough: _Enough) -> float | None:
    return float(enough(rank is not None and rank <= depth for rank in ranks)) if ranks else None


def _reciprocal(one: Located) -> float:
    return max((1 / rank for rank in one.file_ranks if rank), default=0.0)


def _shares(located: Sequence[Located]) -> dict[str, float | None]:
    means = {name: _mean([score(one) for one in located]) for name, score in _scores().items()}
    seconds = [one.seconds for one in located]
    return {
        "instances": len(located),
        **means,
        "seconds_median": statistics.median(seconds) if seconds else None,
        "seconds_max": max(seconds, default=None),
        "index_seconds_median": statistics.median(one.index_seconds for one in located) if located else None,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known else None


def _intervals(located: Sequence[Located]) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap over instances (Efron 1979): the 95 % interval of every share."""
    drawing = random.Random(_SEED)
    intervals: dict[str, tuple[float, float]] = {}
    for name, score in _scores().items():
        values = [value for value in map(score, located) if value is not None]
        if values:
            means = sorted(sum(drawing.choices(values, k=len(values))) / len(values) for _ in range(_RESAMPLES))
            intervals[name] = (round(means[int(0.025 * _RESAMPLES)], 4), round(means[int(0.975 * _RESAMPLES) - 1], 4))
    return intervals


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if name == "mrr" else f"{100 * value:.1f}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3f}"
