"""`patchwright bench localize`: how near to the top of our ranking the developer's fix is, on real issues."""

import argparse
import sys
import tempfile
from pathlib import Path

from patchwright_engine.bench.instances import read_localization_instances
from patchwright_engine.bench.localization import Located, Work, locate_instance
from patchwright_engine.bench.localization_summary import in_words, summarize
from patchwright_engine.bench.workers import Died, in_processes
from patchwright_engine.cli import bench_with_tests
from patchwright_engine.cli.bench_common import above_zero, choose, interruptible, teller, write_report
from patchwright_engine.config import folders, load_settings
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput, Cancelled
from patchwright_engine.localize.rerank import reranking_model
from patchwright_engine.model.catalog import resolve_model
from patchwright_engine.sandbox.output import visible
from patchwright_engine.verify.execution import EXECUTION_SECONDS


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `bench localize`."""
    parser = kinds.add_parser(
        "localize",
        help="the ranking of files and symbols, without a model unless --rerank names one",
        description="Where does the developer's fix stand in the ranking of files and symbols for each issue? Only the "
        "base commit and the history before it are looked at; nothing of the project is run, but with --with-tests.",
        epilog="Exit status: 0 done; 1 no instance could be located; 2 bad input; 130 interrupted (what was done is "
        "reported).",
    )
    parser.add_argument("--instances", required=True, type=Path, metavar="F", help="JSON lines in SWE-bench form")
    parser.add_argument("--repos", required=True, type=Path, metavar="DIR", help="bare mirrors, as DIR/OWNER+NAME/repo")
    parser.add_argument("--only", nargs="+", action="extend", metavar="ID", help="only these instances")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N instances")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="instances at a time (default: 1)")
    parser.add_argument("--rerank", metavar="MODEL", help="let this model reorder the best files: NAME or PATH")
    parser.add_argument(
        "--packed",
        type=_budgets,
        default=(),
        metavar="N,N,…",
        help="also pack the context of prompts to N tokens each and tell how much of the fix is in it",
    )
    parser.add_argument("--model", metavar="NAME|PATH", help="whose tokenizer counts (default: the installed one)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the report to this file too")
    parser.add_argument(
        "--signals",
        type=Path,
        metavar="DIR",
        help="also write the signals of each instance's candidates into this folder",
    )
    parser.add_argument(
        "--with-tests",
        action="store_true",
        help="rank each issue again with its failing tests followed: runs the instances' install commands on this "
        "machine, with the network, and their tests inside the sandbox",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=EXECUTION_SECONDS,
        metavar="S",
        help=f"with --with-tests: seconds for each run of tests (default: {EXECUTION_SECONDS:g})",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `bench localize`; returns its exit code. Raises the PatchwrightError tree."""
    above_zero("jobs", arguments.jobs)
    above_zero("limit", arguments.limit)
    above_zero("timeout", arguments.timeout)
    if arguments.with_tests:
        return bench_with_tests.run(arguments)
    instances = choose(read_localization_instances(arguments.instances), arguments.only, arguments.limit)
    if arguments.rerank is not None:
        reranking_model(arguments.rerank)  # tells now what each instance would tell
    cache = folders().cache / "bench" / "index"
    signals = _folder(arguments.signals)
    model = _model(arguments.model) if arguments.packed else None
    cancel, say = CancelToken(), teller()
    done: dict[str, Located] = {}
    with tempfile.TemporaryDirectory(prefix="patchwright-bench-") as scratch, interruptible(cancel):
        works = [
            Work(
                instance,
                arguments.repos.absolute(),
                cache,
                Path(scratch),
                signals=signals,
                rerank=arguments.rerank,
                budgets=arguments.packed,
                model=model,
            )
            for instance in instances
        ]
        try:
            for work, result in in_processes(locate_instance, works, arguments.jobs, cancel):
                located = _died(work, result) if isinstance(result, Died) else result
                done[located.instance_id] = located
                say(f"[{len(done)}/{len(works)}] {located.instance_id}: {_told(located)}")
        except Cancelled:
            sys.stderr.write(f"patchwright: interrupted; {len(works) - len(done)} instances are left\n")
    ordered = [done[instance.instance_id] for instance in instances if instance.instance_id in done]
    write_report(arguments.json, summarize(ordered))
    sys.stdout.write(visible(in_words(ordered)))
    if cancel.cancelled:
        return 130
    return 0 if any(not one.problem for one in ordered) else 1


def _budgets(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(number.isascii() and number.isdigit() and int(number) > 0 for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers above 0, such as 2048,4096")
    return tuple(map(int, numbers))


def _model(name: str | None) -> Path:
    """The file whose tokenizer counts."""
    resolved = resolve_model(name, load_settings())
    if resolved.path is None:
        raise BadInput(f"{resolved.name} is a server, whose tokenizer is out of reach", "Name an installed model.")
    return resolved.path


def _died(work: Work, died: Died) -> Located:
    reason = f"its process ended with exit code {died.exit_code}; with fewer --jobs there is more memory for each"
    return Located(work.instance.instance_id, work.instance.repo, problem=reason)


def _told(located: Located) -> str:
    if located.problem:
        return f"not located: {located.problem}"
    places = ", ".join(str(rank) if rank else "-" for rank in located.file_ranks)
    return f"fix at {places} of {located.indexed} files, indexed in {located.index_seconds:.1f} s"


def _folder(path: Path | None) -> Path | None:
    """The folder of `--signals`, made where it is missing."""
    if path is None:
        return None
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{path} cannot be made a folder: {error.strerror}. Give --signals another one.") from error
    return path.absolute()
