"""`patchwright bench repair` without --gold: search for fixes of real bugs, and judge them by the hidden tests."""

import argparse
import sys
import threading

from patchwright_engine.bench.instances import Instance
from patchwright_engine.bench.quixbugs_issue import is_quixbugs
from patchwright_engine.bench.repair import RepairBench, RepairOptions
from patchwright_engine.bench.repair_campaign import run_repair
from patchwright_engine.bench.repair_summary import summarize_repair
from patchwright_engine.bench.repair_table import repair_in_words
from patchwright_engine.cli.bench_common import above_zero, interruptible, teller, write_report
from patchwright_engine.config import folders, load_settings
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.model.backend import LanguageModel
from patchwright_engine.model.catalog import ResolvedModel, resolve_model
from patchwright_engine.sandbox.output import one_line, visible
from patchwright_engine.sandbox.select import select_sandbox
from patchwright_engine.search.budget import parse_budget
from patchwright_engine.search.strategies import DEV_SEARCH, DIVERGENT, SAMPLINGS, STRATEGIES, check_strategy

ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a search."""
    group = parser.add_argument_group("searching (without --gold)")
    group.add_argument(
        "--strategy",
        default=DEV_SEARCH,
        metavar="S,S,…",
        help=f"{', '.join(STRATEGIES)}, or {ALL} (default: {DEV_SEARCH})",
    )
    group.add_argument("--budget", default="8", metavar="N,N,…", help="rollouts, or quick, standard, deep (default: 8)")
    group.add_argument(
        "--sampling",
        default=DIVERGENT,
        metavar="M,M",
        help=f"how fixed strategies sample repairs: {', '.join(SAMPLINGS)} (default: {DIVERGENT})",
    )
    group.add_argument("--model", metavar="M", help="catalog name, GGUF file, or URL of an OpenAI-compatible server")
    group.add_argument(
        "--repetitions", type=int, default=1, metavar="R", help="searches of each kind, with other seeds (default: 1)"
    )
    group.add_argument(
        "--judge",
        choices=("all", "offered"),
        help="which candidates the hidden tests judge; only 'all' tells whether a right one was passed over "
        "(default: all for QuixBugs, else offered)",
    )


def run(arguments: argparse.Namespace, instances: tuple[Instance, ...]) -> int:
    """Run the searches; returns the exit code. Raises the PatchwrightError tree."""
    above_zero("repetitions", arguments.repetitions)
    judge = arguments.judge or ("all" if all(map(is_quixbugs, instances)) else "offered")
    options = RepairOptions(
        strategies=STRATEGIES if arguments.strategy == ALL else tuple(map(check_strategy, _listed(arguments.strategy))),
        budgets=tuple(parse_budget(text).rollouts for text in _listed(arguments.budget)),
        samplings=_samplings(arguments.sampling),
        repetitions=arguments.repetitions,
        seed=arguments.seed,
        timeout_seconds=arguments.timeout,
        judge_all=judge == "all",
    )
    resolved = resolve_model(arguments.model, load_settings())
    cancel = CancelToken()
    models = _Models(resolved, cancel)
    bench = RepairBench(
        repos=arguments.repos.absolute(),
        cache=folders().cache / "bench",
        out=(arguments.out or folders().state / "bench" / "repair").absolute(),
        sandbox=select_sandbox(),
        options=options,
        cancel=cancel,
        model=models.of_this_thread,
    )
    try:
        with interruptible(cancel):
            outcomes = run_repair(instances, bench, model=resolved.name, jobs=arguments.jobs, say=teller())
    finally:
        models.close()
    summary = summarize_repair(outcomes, resolved.name)
    write_report(arguments.json, summary)
    sys.stdout.write(visible(repair_in_words(summary)))
    sys.stderr.write(f"Kept in {one_line(str(bench.out))}: the same command goes on from there.\n")
    if cancel.cancelled:
        sys.stderr.write("patchwright: interrupted\n")
        return 130
    chosen = {instance.instance_id for instance in instances}
    return 0 if any(one.final and one.instance_id in chosen for one in outcomes) else 1


class _Models:
    """One open model a thread: they all speak to the same weights. `close` ends them all."""

    def __init__(self, resolved: ResolvedModel, cancel: CancelToken) -> None:
        self._resolved = resolved
        self._cancel = cancel
        self._own = threading.local()
        self._lock = threading.Lock()
        self._opened: list[LanguageModel] = []

    def of_this_thread(self) -> LanguageModel:
        """Raises: as `open_model`."""
        from patchwright_engine.model.connect import open_model

        model: LanguageModel | None = getattr(self._own, "model", None)
        if model is None:
            model = self._own.model = open_model(self._resolved, cancel=self._cancel)
            with self._lock:
                self._opened.append(model)
        return model

    def close(self) -> None:
        for model in self._opened:
            model.close()


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _samplings(text: str) -> tuple[str, ...]:
    for name in _listed(text):
        if name not in SAMPLINGS:
            raise BadInput(f"unknown sampling '{name}'", f"Use {' or '.join(SAMPLINGS)}.")
    return tuple(dict.fromkeys(_listed(text)))
