"""What the searches of a campaign come to: how many issues are resolved, by what, at which cost, and how sure that is.

Invariant: an issue that could not be searched is in no share, and is named.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from patchwright_engine.bench.intervals import paired_difference, share_interval
from patchwright_engine.bench.outcomes import Cell, Outcome, outcome_to_json
from patchwright_engine.bench.summary import wilson
from patchwright_engine.search.strategies import STRATEGIES
from patchwright_engine.types import Evidence

EASY, MEDIUM, HARD, UNKNOWN = "easy", "medium", "hard", "unknown"
_EASY_SHARE = 0.5


def summarize_repair(outcomes: Iterable[Outcome], model: str) -> dict[str, Any]:
    """The object that `results.json` holds; the order of `outcomes` does not matter."""
    outcomes = sorted(outcomes, key=lambda one: one.key)
    searched = [one for one in outcomes if one.final]
    levels = difficulties(searched)
    by_cell: defaultdict[Cell, list[Outcome]] = defaultdict(list)
    for one in searched:
        by_cell[one.cell].append(one)
    cells = sorted(by_cell, key=lambda cell: (STRATEGIES.index(cell.strategy), cell.sampling, cell.budget))
    return {
        "schema": 1,
        "model": model,
        "overall": {
            "instances": len({one.instance_id for one in searched}),
            "searches": len(searched),
            "not_searched": {one.instance_id: one.reason for one in outcomes if not one.final},
            "resolved": _share(one.resolved for one in searched),
            "by_evidence": calibration(_offers(searched)),
            "candidates_by_evidence": _candidates(searched),
            "by_difficulty": dict(Counter(levels.values())),
            "tokens": sum(one.tokens for one in searched),
            "seconds": round(sum(one.seconds for one in searched), 1),
        },
        "cells": [_cell(cell, by_cell[cell], levels) for cell in cells],
        "comparisons": _comparisons(cells, by_cell),
        "instances": [{**outcome_to_json(one), "difficulty": levels.get(one.instance_id, UNKNOWN)} for one in outcomes],
    }


def difficulties(outcomes: Iterable[Outcome]) -> dict[str, str]:
    """Instance → how hard it is for this model: by the share of independent rollouts that are right.

    After Snell et al. 2024, §3.2, who bin by pass@1: 'easy' from one half on, 'hard' where none is right, 'unknown'
    where no fixed strategy's rollouts were all judged.
    """
    names: dict[str, str] = {}
    most: dict[tuple[str, int], Outcome] = {}
    for one in outcomes:
        names.setdefault(one.instance_id, UNKNOWN)
        known = most.get((one.instance_id, one.repetition))
        if one.right_rollouts is not None and one.rollouts > (known.rollouts if known else 0):
            most[one.instance_id, one.repetition] = one
    shares: defaultdict[str, list[float]] = defaultdict(list)
    for one in most.values():
        shares[one.instance_id].append((one.right_rollouts or 0) / one.rollouts)
    for name, each in shares.items():
        names[name] = EASY if fmean(each) >= _EASY_SHARE else MEDIUM if any(each) else HARD
    return names


def calibration(offers: Iterable[tuple[str, bool]]) -> dict[str, dict[str, Any]]:
    """Evidence level → how many have it, and how many of them are truly right."""
    counted: defaultdict[str, list[bool]] = defaultdict(list)
    for level, right in offers:
        counted[level].append(right)
    order = [*map(str, Evidence), *sorted(counted)]
    return {
        level: {
            "offered": len(counted[level]),
            "right": sum(counted[level]),
            "share": _share(counted[level]),
            "interval": _rounded(wilson(sum(counted[level]), len(counted[level]))),
        }
        for level in dict.fromkeys(order)
        if level in counted
    }


def _offers(outcomes: Iterable[Outcome]) -> list[tuple[str, bool]]:
    """What was offered, each patch of an issue once at each level, however many budgets offer it."""
    distinct = {
        (one.instance_id, one.repetition, one.patch, one.evidence): one.resolved
        for one in outcomes
        if one.evidence is not None
    }
    return [(evidence, right) for (_, _, _, evidence), right in distinct.items() if evidence is not None]


def _candidates(outcomes: Iterable[Outcome]) -> dict[str, dict[str, Any]]:
    """As `calibration`, of all candidates, offered or not; each search once, at its largest budget."""
    largest: dict[tuple[str, int, str], Outcome] = {}
    for one in outcomes:
        key = (one.instance_id, one.repetition, one.trace)
        if one.levels and (key not in largest or largest[key].rollouts < one.rollouts):
            largest[key] = one
    counted: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for one in largest.values():
        for level, (count, good) in one.levels.items():
            counted[level] += count
            right[level] += good
    return calibration((level, n < right[level]) for level in counted for n in range(counted[level]))


def _cell(cell: Cell, outcomes: Sequence[Outcome], levels: Mapping[str, str]) -> dict[str, Any]:
    resolved = sum(one.resolved for one in outcomes)
    tokens, seconds = sum(one.tokens for one in outcomes), sum(one.seconds for one in outcomes)
    found = [one.found_right for one in outcomes if one.found_right is not None]
    verified = [one.resolved for one in outcomes if one.evidence is not None and Evidence(one.evidence).verified]
    return {
        "strategy": cell.strategy,
        "sampling": cell.sampling,
        "budget": cell.budget,
        "searches": len(outcomes),
        "resolved_count": resolved,
        "resolved": _share(one.resolved for one in outcomes),
        "interval": _rounded(share_interval(_by_instance(outcomes))),
        "found": _share(found) if len(found) == len(outcomes) else None,
        "rollouts_per_issue": _mean([one.rollouts for one in outcomes]),
        "tokens_per_issue": _mean([one.tokens for one in outcomes]),
        "thought_tokens_per_issue": _mean([one.thought_tokens for one in outcomes]),
        "seconds_per_issue": _mean([one.seconds for one in outcomes]),
        "tokens_per_resolved": round(tokens / resolved) if resolved else None,
        "seconds_per_resolved": round(seconds / resolved, 1) if resolved else None,
        "verified": len(verified),
        "verified_right": sum(verified),
        "by_evidence": calibration((one.evidence, one.resolved) for one in outcomes if one.evidence is not None),
        "died_at": dict(Counter(one.died_at for one in outcomes if one.died_at)),
        "by_difficulty": {
            level: {
                "searches": len(some),
                "resolved": _share(one.resolved for one in some),
                "tokens_per_issue": _mean([one.tokens for one in some]),
                "thought_tokens_per_issue": _mean([one.thought_tokens for one in some]),
            }
            for level in (EASY, MEDIUM, HARD, UNKNOWN)
            if (some := [one for one in outcomes if levels[one.instance_id] == level])
        },
    }


def _comparisons(cells: Sequence[Cell], by_cell: Mapping[Cell, Sequence[Outcome]]) -> list[dict[str, Any]]:
    """The first strategy (Dev-Search where it is there) against each other one, at each budget that both have."""
    rows = []
    for cell in cells:
        own = next((one for one in cells if one.budget == cell.budget), cell)
        if own.strategy == cell.strategy and own.sampling == cell.sampling:
            continue
        first, second = _by_instance(by_cell[own]), _by_instance(by_cell[cell])
        difference, interval, count = paired_difference(first, second)
        both = [(one.tokens, other.tokens) for one, other in _pairs(by_cell[own], by_cell[cell])]
        spent = sum(tokens for _, tokens in both)
        rows.append(
            {
                "strategy": own.strategy,
                "against": cell.strategy,
                "sampling": cell.sampling,
                "budget": cell.budget,
                "instances": count,
                "difference": round(difference, 4),
                "interval": _rounded(interval),
                "tokens_ratio": round(sum(tokens for tokens, _ in both) / spent, 3) if spent else None,
            }
        )
    return rows


def _pairs(first: Iterable[Outcome], second: Iterable[Outcome]) -> list[tuple[Outcome, Outcome]]:
    others = {(one.instance_id, one.repetition): one for one in second}
    return [(one, others[key]) for one in first if (key := (one.instance_id, one.repetition)) in others]


def _by_instance(outcomes: Iterable[Outcome]) -> dict[str, list[bool]]:
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for one in outcomes:
        found[one.instance_id].append(one.resolved)
    return dict(found)


def _share(values: Iterable[bool | None]) -> float | None:
    known = [bool(value) for value in values]
    return round(fmean(known), 4) if known else None


def _mean(values: Sequence[float]) -> float:
    return round(fmean(values), 1) if values else 0.0


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(bound, 3) for bound in interval]
