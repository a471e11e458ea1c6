"""`patchwright bench repair`: search for fixes of real bugs; with --gold, check the verifier on those that are known.

It runs the install commands of the instances on this machine, with the network: starting it is the consent.
"""

import argparse
import sys
from pathlib import Path

from patchwright_engine.bench.campaign import run_gold
from patchwright_engine.bench.gold import Bench
from patchwright_engine.bench.instances import Instance, read_instances
from patchwright_engine.bench.quixbugs import read_quixbugs
from patchwright_engine.bench.reports import GoldOptions
from patchwright_engine.bench.summary import in_words, summarize
from patchwright_engine.cli import bench_search
from patchwright_engine.cli.bench_common import above_zero, choose, interruptible, teller, write_report
from patchwright_engine.config import folders
from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.output import one_line, visible
from patchwright_engine.sandbox.select import select_sandbox

QUIXBUGS = "quixbugs"


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `bench repair`."""
    repair = kinds.add_parser(
        "repair",
        help="fixes for real bugs; with --gold, the verifier itself",
        description="Search for fixes of real bugs by one or more strategies and budgets, and judge what is offered by "
        "the bugs' hidden tests, which no search sees. With --gold: does the verifier accept the developer's fix, and "
        "reject the empty patch and wrong ones? The instances' install commands run on this machine, outside the "
        "sandbox and with the network; the tests run inside the sandbox. What is finished is kept in --out and not "
        "done again.",
        epilog="Exit status: 0 done; 1 no instance could be searched or judged; 2 bad input; 3 this machine lacks "
        "something; 130 interrupted (what is finished is kept).",
    )
    repair.add_argument("--gold", action="store_true", help="judge known right and wrong patches instead of searching")
    repair.add_argument(
        "--instances", required=True, metavar="F", help=f"JSON lines in SWE-bench form, or the word {QUIXBUGS}"
    )
    repair.add_argument("--repos", required=True, type=Path, metavar="DIR", help="bare mirrors, as DIR/OWNER+NAME/repo")
    repair.add_argument("--only", nargs="+", action="extend", metavar="ID", help="only these instances")
    repair.add_argument("--limit", type=int, metavar="N", help="only the first N instances")
    repair.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="instances at a time, which share the cores (default: 1)"
    )
    bench_search.add_arguments(repair)
    repair.add_argument(
        "--wrong", type=int, default=5, metavar="N", help="with --gold: wrong patches an instance (default: 5)"
    )
    repair.add_argument(
        "--test-files", type=int, default=8, metavar="N", help="with --gold: regression test files (default: 8)"
    )
    repair.add_argument(
        "--timeout", type=float, default=120.0, metavar="S", help="seconds for each run of tests (default: 120)"
    )
    repair.add_argument("--seed", type=int, default=0, metavar="N", help="equal seeds search alike (default: 0)")
    repair.add_argument("--out", type=Path, metavar="DIR", help="where results are kept (default: chosen)")
    repair.add_argument("--json", type=Path, metavar="OUT", help="write the report to this file too")
    repair.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `bench repair`; returns its exit code. Raises the PatchwrightError tree."""
    for name in ("limit", "jobs", "wrong", "test_files", "timeout"):
        above_zero(name, getattr(arguments, name))
    instances = choose(_instances(arguments), arguments.only, arguments.limit)
    if not arguments.gold:
        return bench_search.run(arguments, instances)
    return _check_verifier(arguments, instances)


def _check_verifier(arguments: argparse.Namespace, instances: tuple[Instance, ...]) -> int:
    cancel = CancelToken()
    bench = Bench(
        repos=arguments.repos.absolute(),
        cache=folders().cache / "bench",
        sandbox=select_sandbox(),
        options=GoldOptions(arguments.wrong, arguments.seed, arguments.test_files, arguments.timeout),
        cancel=cancel,
        jobs=arguments.jobs,
    )
    out = arguments.out or folders().state / "bench"
    with interruptible(cancel):
        reports = run_gold(instances, bench, out=out, say=teller())
    write_report(arguments.json, summarize(reports))
    sys.stdout.write(visible(in_words(reports)))
    sys.stderr.write(f"Kept in {one_line(str(out))}: the same command goes on from there.\n")
    if cancel.cancelled:
        sys.stderr.write(f"patchwright: interrupted; {len(instances) - len(reports)} instances are left\n")
        return 130
    return 0 if any(report.status == "judged" for report in reports) else 1


def _instances(arguments: argparse.Namespace) -> tuple[Instance, ...]:
    if arguments.instances == QUIXBUGS:
        return read_quixbugs(arguments.repos.absolute())
    return read_instances(Path(arguments.instances))
