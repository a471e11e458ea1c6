"""`patchwright bench localize --with-tests`: the ranking from the issue alone, and with its failing tests followed."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

from patchwright_engine.bench.executed import Executed, ExecutedWork, execute_instance
from patchwright_engine.bench.instances import read_instances, read_localization_instances
from patchwright_engine.bench.localization import Located
from patchwright_engine.bench.localization_summary import in_words, summarize
from patchwright_engine.bench.workers import Died, in_processes
from patchwright_engine.cli.bench_common import choose, interruptible, teller, write_report
from patchwright_engine.config import folders
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled
from patchwright_engine.sandbox.output import visible
from patchwright_engine.sandbox.select import select_sandbox


def run(arguments: argparse.Namespace) -> int:
    """Run it; returns the exit code. Raises the PatchwrightError tree."""
    instances = choose(read_instances(arguments.instances), arguments.only, arguments.limit)
    golds = {gold.instance_id: gold for gold in read_localization_instances(arguments.instances)}
    select_sandbox()  # Without one nothing can be measured, and each instance would say so.
    cancel, say = CancelToken(), teller()
    cache = folders().cache / "bench"
    works = [
        ExecutedWork(one, golds[one.instance_id], arguments.repos.absolute(), cache, arguments.timeout)
        for one in instances
    ]
    done: dict[str, Executed] = {}
    with interruptible(cancel):
        try:
            for work, result in in_processes(execute_instance, works, arguments.jobs, cancel):
                executed = _died(work, result) if isinstance(result, Died) else result
                done[executed.instance_id] = executed
                say(f"[{len(done)}/{len(works)}] {executed.instance_id}: {_told(executed)}")
        except Cancelled:
            sys.stderr.write(f"patchwright: interrupted; {len(works) - len(done)} instances are left\n")
    ordered = [done[work.instance.instance_id] for work in works if work.instance.instance_id in done]
    write_report(arguments.json, as_json(ordered))
    sys.stdout.write(visible(as_words(ordered)))
    if cancel.cancelled:
        return 130
    return 0 if any(not one.problem for one in ordered) else 1


def as_json(executed: Sequence[Executed]) -> dict[str, object]:
    """Both summaries, each as `bench localize --json` writes it, and what was run."""
    runs = [
        {key: value for key, value in asdict(one).items() if key not in ("alone", "with_tests")} for one in executed
    ]
    alone, with_tests = (summarize([getattr(one, side) for one in executed]) for side in ("alone", "with_tests"))
    return {"schema": 1, "alone": alone, "with_tests": with_tests, "runs": runs}


def as_words(executed: Sequence[Executed]) -> str:
    """Both tables, and why tests could not be followed."""
    lines = [
        f"The issue alone\n{in_words([one.alone for one in executed])}",
        f"The issue and its failing tests\n{in_words([one.with_tests for one in executed])}",
    ]
    lines += [
        f"{one.instance_id}: tests not followed: {one.problem}\n"
        for one in executed
        if one.problem and not one.alone.problem
    ]
    return "\n".join(lines)


def _died(work: ExecutedWork, died: Died) -> Executed:
    reason = f"its process ended with exit code {died.exit_code}; with fewer --jobs there is more memory for each"
    located = Located(work.gold.instance_id, work.gold.repo, problem=reason)
    return Executed(work.gold.instance_id, located, located, problem=reason)


def _told(executed: Executed) -> str:
    if executed.alone.problem:
        return f"not located: {executed.alone.problem}"
    sides = (executed.alone, executed.with_tests)
    files, symbols = ([_places(getattr(side, kind)) for side in sides] for kind in ("file_ranks", "symbol_ranks"))
    how = (
        executed.problem or f"{executed.failing} failing and {executed.passing} passing tests, {executed.seconds:.0f} s"
    )
    return f"files {files[0]} -> {files[1]}, symbols {symbols[0]} -> {symbols[1]} ({how})"


def _places(ranks: Sequence[int | None]) -> str:
    return ", ".join(str(rank) if rank else "-" for rank in ranks) or "none"
