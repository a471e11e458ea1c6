"""Many instances, several at a time, resumable: every finished one is a line of OUT/results.jsonl.

Invariant: a line is written whole or not at all; of the instances under way an interrupted campaign loses one step.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from patchwright_engine.bench.environments import locked
from patchwright_engine.bench.gold import Bench, check_instance
from patchwright_engine.bench.instances import Instance
from patchwright_engine.bench.outcomes import make_out
from patchwright_engine.bench.partial import Partial
from patchwright_engine.bench.reports import GoldOptions, InstanceReport, report_from_json
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled, EnvironmentProblem

_FINAL = "judged"
"""What a later run need not try again: what stood in the way of the others may have been mended."""


def run_gold(
    instances: Sequence[Instance],
    bench: Bench,
    *,
    out: Path,
    say: Callable[[str], None],
) -> tuple[InstanceReport, ...]:
    """Check every instance that `out` does not hold yet; returns all reports that there are, in order of `instances`.

    `bench.jobs` are checked at a time. A cancel is not an error: what was finished is returned.

    Raises:
        BadInput: `out` holds something that is no result.
        EnvironmentProblem: `out` cannot be written.
    """
    results = out / "results.jsonl"
    make_out(out)
    reports = _read(results, bench.options)
    todo = [one for one in instances if reports.get(one.instance_id) is None]
    if len(todo) < len(instances):
        say(f"{len(instances) - len(todo)} of {len(instances)} instances were finished before, in {results}")
    lock = threading.Lock()

    def check(number: int, instance: Instance) -> None:
        def tell(message: str) -> None:
            say(f"[{number}/{len(todo)}] {instance.instance_id}: {message}")

        try:
            bench.cancel.check()
            partial = _partial(instance, bench, out)
            report = check_instance(instance, bench, partial, tell)
        except Cancelled:
            return
        with lock:
            _append(results, report, bench.options)
            reports[instance.instance_id] = report
        if report.status in (_FINAL, "unsound"):  # Hidden tests that told nothing are run anew.
            partial.clear()
        tell(f"{report.status} in {report.seconds:.0f} s{': ' + report.reason if report.reason else ''}")

    with ThreadPoolExecutor(max_workers=bench.jobs, thread_name_prefix="bench") as pool:
        for future in [pool.submit(check, number, one) for number, one in enumerate(todo, start=1)]:
            future.result()
    return tuple(reports[one.instance_id] for one in instances if one.instance_id in reports)


def _partial(instance: Instance, bench: Bench, out: Path) -> Partial:
    """Of this very instance under these very options."""
    key = json.dumps([asdict(instance), asdict(bench.options), bench.sandbox.level], sort_keys=True)
    return Partial(out / "partial" / f"{instance.instance_id}-{hashlib.sha256(key.encode()).hexdigest()[:10]}")


def _append(results: Path, report: InstanceReport, options: GoldOptions) -> None:
    line = json.dumps({"schema": 1, "options": asdict(options), **asdict(report)}) + "\n"
    try:
        with locked(results.parent, results.name, CancelToken()), results.open("a+b") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)  # What an earlier run was writing when the machine went down.
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {results}: {error.strerror}", "Free disk space.") from error


def _read(results: Path, options: GoldOptions) -> dict[str, InstanceReport]:
    """Final reports made with these options, by instance; the last line of one counts."""
    try:
        lines = results.read_text(encoding="utf-8").split("\n") if results.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {results}: {error}", "Name another folder with --out.") from error
    found: dict[str, InstanceReport] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            row = json.loads(line)
            if row.pop("schema") == 1 and row.pop("options") == asdict(options) and row["status"] == _FINAL:
                found[row["instance_id"]] = report_from_json(row)
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):  # Cut off when the machine went down.
                continue
            raise BadInput(f"{results}, line {number} is no result of this benchmark", "Name another --out.") from error
    return found
