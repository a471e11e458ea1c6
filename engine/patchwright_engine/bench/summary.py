"""What the verdicts of many instances come to: shares with their uncertainty, and every false verdict by name."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from patchwright_engine.bench.gold import SETTINGS
from patchwright_engine.bench.reports import InstanceReport, Judged
from patchwright_engine.types import Evidence

_Z = 1.96
"""For 95 %."""


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927); (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    spread = _Z * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    centre = share + _Z**2 / (2 * trials)
    scale = 1 + _Z**2 / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def summarize(reports: Sequence[InstanceReport]) -> dict[str, Any]:
    """The object that `--json` writes."""
    return {
        "schema": 1,
        "overall": {
            "instances": len(reports),
            "status": dict(Counter(report.status for report in reports)),
            "seconds": round(sum(report.seconds for report in reports), 1),
            "settings": {setting: _setting(setting, reports) for setting in SETTINGS},
        },
        "instances": [asdict(report) for report in reports],
    }


def _setting(setting: str, reports: Sequence[InstanceReport]) -> dict[str, Any]:
    judged = _judged(setting, reports)
    accepted = sum(one.accepted for _, one in judged if one.truth == "gold")
    gold = sum(one.truth == "gold" for _, one in judged)
    rejected = {truth: sum(not one.accepted for _, one in judged if one.truth == truth) for truth in ("empty", "wrong")}
    return {
        "gold": gold,
        "gold_accepted": accepted,
        "gold_accepted_interval": [round(bound, 3) for bound in wilson(accepted, gold)],
        "empty_rejected": rejected["empty"],
        "wrong": sum(one.truth == "wrong" for _, one in judged),
        "wrong_rejected": rejected["wrong"],
        "wrong_per_instance": sorted(Counter(name for name, one in judged if one.truth == "wrong").values()),
        "levels": {truth: _levels(judged, truth) for truth in ("gold", "empty", "wrong")},
        "false_accepts": [
            {"instance_id": name, "patch": one.change or one.truth, "evidence": one.evidence}
            for name, one in judged
            if one.truth != "gold" and one.accepted
        ],
        "false_rejects": [
            {"instance_id": name, "evidence": one.evidence, "reason": one.feedback}
            for name, one in judged
            if one.truth == "gold" and not one.accepted
        ],
    }


def _judged(setting: str, reports: Sequence[InstanceReport]) -> list[tuple[str, Judged]]:
    return [
        (report.instance_id, one)
        for report in reports
        if report.status == "judged"
        for part in report.settings
        if part.setting == setting
        for one in part.judged
    ]


def _levels(judged: Sequence[tuple[str, Judged]], truth: str) -> dict[str, int]:
    counts = Counter(one.evidence or "rejected" for _, one in judged if one.truth == truth)
    return {level: counts[level] for level in (*map(str, Evidence), "rejected") if counts[level]}


def in_words(reports: Sequence[InstanceReport]) -> str:
    """The table that a person reads."""
    overall = summarize(reports)["overall"]
    status = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(overall["status"].items()))
    lines = [f"{overall['instances']} instances: {status or 'none'}; {overall['seconds']:.0f} s of work", ""]
    if "judged" in overall["status"]:
        lines += _table(overall["settings"])
    for setting, found in overall["settings"].items():
        for one in found["false_rejects"]:
            reason = one["reason"].strip().replace("\n", "\n      ") or f"only `{one['evidence']}`"
            lines.append(f"False reject ({setting}): {one['instance_id']}\n      {reason}")
        wrongly = [one for one in found["false_accepts"] if Evidence(one["evidence"]).verified]
        lines += [
            f"False accept ({setting}): {one['instance_id']} at {one['evidence']}, {one['patch']}" for one in wrongly
        ]
        unproven = len(found["false_accepts"]) - len(wrongly)
        if unproven:
            lines.append(
                f"Accepted though wrong at regression_only ({setting}): {unproven}; {Evidence.REGRESSION_ONLY.words}"
            )
    for report in reports:
        if report.status != "judged":
            lines.append(f"{report.instance_id}: {report.status.replace('_', ' ')}: {report.reason.strip()}")
    return "\n".join(lines) + "\n"


def _range(counts: Sequence[int]) -> str:
    return f"{min(counts)}-{max(counts)}" if counts else "0"


def _table(settings: dict[str, Any]) -> list[str]:
    rows = [("", *settings)]
    low_high = {
        name: "{:.0%}-{:.0%}".format(*wilson(found["gold_accepted"], found["gold"])) for name, found in settings.items()
    }
    rows.append(
        (
            "developer's fix accepted",
            *(f"{s['gold_accepted']}/{s['gold']} ({low_high[n]})" for n, s in settings.items()),
        )
    )
    rows.append(("empty patch rejected", *(f"{s['empty_rejected']}/{s['gold']}" for s in settings.values())))
    rows.append(("wrong patch rejected", *(f"{s['wrong_rejected']}/{s['wrong']}" for s in settings.values())))
    rows.append(("wrong patches an instance", *(_range(s["wrong_per_instance"]) for s in settings.values())))
    for truth, name in (("gold", "developer's fix"), ("empty", "empty patch"), ("wrong", "wrong patch")):
        for level in (*map(str, Evidence), "rejected"):
            counts = [s["levels"][truth].get(level, 0) for s in settings.values()]
            if any(counts):
                rows.append((f"  {name}: {level}", *map(str, counts)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows] + [
        ""
    ]
