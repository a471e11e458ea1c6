"""Search for fixes of one real bug in all the ways that are asked for, and judge them afterwards by its hidden tests.

    prepare → hidden tests without and with the developer's fix → issue → searches → what each offered, judged

Fixed strategies share one search at the largest budget, whose rollouts are then replayed for every strategy and budget
(`search/rollouts.py`); Dev-Search runs for each budget, the smallest first, and pays only for what is new.
Invariant: a search sees the base commit and the issue, never the hidden tests; it is over before they judge it.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

from patchwright_engine.bench.died import ENVIRONMENT, places_of, wanted_places
from patchwright_engine.bench.hidden import HiddenTests, Judge
from patchwright_engine.bench.instances import Instance
from patchwright_engine.bench.judging import Judging
from patchwright_engine.bench.outcomes import Cell, Outcome
from patchwright_engine.bench.partial import Partial
from patchwright_engine.bench.prepare import Prepared, prepare
from patchwright_engine.bench.quixbugs_issue import is_quixbugs, quixbugs_issue
from patchwright_engine.bench.searched import Searched, read_searched
from patchwright_engine.bench.searching import search_once
from patchwright_engine.bench.truth import form_of
from patchwright_engine.control import CancelToken, ProgressSink
from patchwright_engine.errors import Cancelled, EnvironmentProblem, ModelUnavailable, PatchwrightError
from patchwright_engine.model.backend import LanguageModel
from patchwright_engine.pipeline import FixRequest
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.search.rollouts import choose
from patchwright_engine.search.strategies import DEV_SEARCH, EXEC, ORM_EXEC, SINGLE, VOTING
from patchwright_engine.types import Evidence, Issue, Patch
from patchwright_engine.verify.environment import discover_environment

SEED_STEP = 1_000_000
"""Between repetitions: more than any search adds to its seed."""
TRUTH_SECONDS = 120.0
"""The least that a run of hidden tests may take: they judge, so they are not hurried as a search may be."""
_RUNS = (EXEC, ORM_EXEC)
"""Fixed strategies whose candidates are run; the others' are never called more than `parses`."""

_STRONGER = {VOTING: (VOTING, EXEC, ORM_EXEC), EXEC: (EXEC, ORM_EXEC), ORM_EXEC: (ORM_EXEC,)}


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """What is asked for."""

    strategies: tuple[str, ...]
    budgets: tuple[int, ...]
    samplings: tuple[str, ...]
    repetitions: int
    seed: int
    timeout_seconds: float
    judge_all: bool
    """Also judge what was not offered: whether a right patch was passed over is known only then."""

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every way to search."""
        budgets = sorted(set(self.budgets))
        fixed = [name for name in dict.fromkeys(self.strategies) if name != DEV_SEARCH]
        own = [Cell(DEV_SEARCH, "", budget) for budget in budgets if DEV_SEARCH in self.strategies]
        return *own, *(Cell(name, sampling, n) for name, sampling, n in product(fixed, self.samplings, budgets))


@dataclass(frozen=True, slots=True)
class RepairBench:
    """What every instance is searched and judged with."""

    repos: Path
    cache: Path
    out: Path
    sandbox: Sandbox
    options: RepairOptions
    cancel: CancelToken
    model: Callable[[], LanguageModel]
    """The model of the calling thread, started by the first call. Raises ModelUnavailable."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who hears of an instance under way."""

    say: Callable[[str], None]
    progress: Callable[[str], ProgressSink]
    """Gives the sink of one search, by its title."""
    keep: Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class _Case:
    """One instance, ready to be searched."""

    instance: Instance
    bench: RepairBench
    watch: Watch
    prepared: Prepared
    issue: str
    judging: Judging

    @property
    def traces(self) -> Path:
        return self.bench.out / "traces" / self.instance.instance_id

    def finished(self, repetition: int) -> list[Path]:
        """Traces of searches that have ended."""
        return sorted(self.traces.glob(f"r{repetition}-*.jsonl"))


def repair_instance(instance: Instance, bench: RepairBench, wanted: Collection[tuple[Cell, int]], watch: Watch) -> None:
    """Find out what is `wanted` (cell, repetition); each is kept as soon as it is known.

    Raises:
        Cancelled: what was finished was kept, and what was begun is gone on with the next time.
        ModelUnavailable: there is no model. Whatever else goes wrong is an outcome.
    """
    known: set[tuple[Cell, int]] = set()

    def keep(outcome: Outcome) -> None:
        known.add((outcome.cell, outcome.repetition))
        watch.keep(outcome)

    try:
        _repair(instance, bench, wanted, replace(watch, keep=keep))
        return
    except (Cancelled, ModelUnavailable):
        raise
    except PatchwrightError as error:
        reason = str(error)
    watch.say(f"not searched: {reason}")
    for cell, repetition in wanted:
        if (cell, repetition) not in known:
            watch.keep(Outcome(instance.instance_id, cell, repetition, died_at=ENVIRONMENT, reason=reason))


def _repair(instance: Instance, bench: RepairBench, wanted: Collection[tuple[Cell, int]], watch: Watch) -> None:
    if form_of(instance) is None:
        raise EnvironmentProblem(f"the output of `{instance.test_command}` cannot be read here", "Use pytest.")
    prepared = prepare(instance, bench.repos, bench.cache, bench.cancel, watch.say)
    environment = discover_environment(prepared.base, prepared.python)
    options = bench.options
    seconds = max(TRUTH_SECONDS, options.timeout_seconds)
    judge = Judge(instance, prepared, environment, bench.sandbox, bench.cancel, seconds)
    partial = _partial(instance, bench, seconds)
    with HiddenTests(judge, partial) as hidden:
        watch.say("running the hidden tests without and with the developer's fix")
        truth = hidden.truth()
        if isinstance(truth, str):
            raise EnvironmentProblem(truth, "This instance tells nothing on this machine: leave it out.")
        gold = wanted_places(places_of(instance.patch, prepared.base))
        judging = Judging(
            instance.instance_id, prepared.base, hidden, truth, gold, judge_all=options.judge_all, say=watch.say
        )
        case = _Case(instance, bench, watch, prepared, _issue(judge, hidden, partial), judging)
        for repetition in sorted({repetition for _, repetition in wanted}):
            cells = sorted(cell for cell, number in wanted if number == repetition)
            for sampling in sorted({cell.sampling for cell in cells if cell.strategy != DEV_SEARCH}):
                _fixed(case, repetition, [cell for cell in cells if cell.sampling == sampling])
            _dev_search(case, repetition, [cell for cell in cells if cell.strategy == DEV_SEARCH])


def _partial(instance: Instance, bench: RepairBench, seconds: float) -> Partial:
    """What is known of this very instance, run in this way."""
    key = json.dumps([asdict(instance), seconds, bench.sandbox.level], sort_keys=True)
    return Partial(bench.out / "judged" / f"{instance.instance_id}-{hashlib.sha256(key.encode()).hexdigest()[:10]}")


def _issue(judge: Judge, hidden: HiddenTests, partial: Partial) -> str:
    """What the search is told. Raises EnvironmentProblem when there is nothing to tell."""
    if not is_quixbugs(judge.instance):
        return judge.instance.problem
    known = partial.recall("issue")
    if not isinstance(known, str):
        before, environment = hidden.run(Patch(())), judge.environment
        known = quixbugs_issue(
            judge.instance, before, hidden.tree(), sandbox=judge.sandbox, environment=environment, cancel=judge.cancel
        )
        partial.keep("issue", known)
    return known


def _fixed(case: _Case, repetition: int, cells: Sequence[Cell]) -> None:
    """Draw rollouts for the largest of the budgets, then choose for every cell. All cells have one sampling."""
    strategies = {cell.strategy for cell in cells}
    strongest = next((name for name in (ORM_EXEC, EXEC) if name in strategies), VOTING)
    drawing = Cell(strongest, cells[0].sampling, max(1 if cell.strategy == SINGLE else cell.budget for cell in cells))
    trace, searched = _search(case, repetition, _at_least(case, repetition, drawing))
    if searched.drawn is None:
        raise EnvironmentProblem(f"{trace} holds no rollouts", "Delete it, and they are drawn again.")
    for cell in cells:
        case.watch.keep(_chosen(case, repetition, cell, searched, trace))


def _at_least(case: _Case, repetition: int, drawing: Cell) -> Cell:
    """A drawing that was made before and holds this one, or this one."""
    for strategy in _STRONGER[drawing.strategy]:
        for trace in case.finished(repetition):
            stem, _, budget = trace.stem.rpartition("-")
            if stem == f"r{repetition}-{strategy}-{drawing.sampling}" and int(budget) >= drawing.budget:
                return Cell(strategy, drawing.sampling, int(budget))
    return drawing


def _chosen(case: _Case, repetition: int, cell: Cell, searched: Searched, trace: Path) -> Outcome:
    """What a fixed strategy makes of the first rollouts of a search."""
    drawn = searched.drawn
    assert drawn is not None
    choice = choose(drawn, cell.budget, cell.strategy)
    seen = drawn.rollouts[: choice.rollouts]
    runs = cell.strategy in _RUNS
    ids = dict.fromkeys(one.patch_id for one in seen if one.patch_id is not None)
    levels = {one.patch_id: str(one.evidence) if one.evidence else None for one in seen if one.patch_id is not None}
    evidence = None
    if choice.patch_id is not None:
        evidence = levels[choice.patch_id] if runs else str(Evidence.PARSES)
    share = choice.tokens / max(1, searched.tokens)
    others = max(0.0, searched.seconds - searched.model_seconds) * len(seen) / max(1, len(drawn.rollouts))
    places = [place for one in seen for place in one.location]
    diffs = {one: searched.diffs[one] for one in ids}
    outcome = case.judging.outcome((cell, repetition), choice.patch_id, diffs, places)
    return replace(
        outcome,
        evidence=evidence,
        rollouts=choice.rollouts,
        tokens=choice.tokens,
        thought_tokens=round(searched.thought_tokens * share),
        seconds=round(searched.model_seconds * share + (others if runs else 0.0), 1),
        stopped="budget" if choice.patch_id is not None else "no_candidates",
        right_rollouts=case.judging.count_right([one.patch_id for one in seen]),
        levels=case.judging.levels({one: levels[one] for one in ids}) if runs else {},
        trace=_below(trace, case.bench.out),
    )


def _dev_search(case: _Case, repetition: int, cells: Sequence[Cell]) -> None:
    """Search for each budget, the smallest first."""
    known: tuple[Path, Searched] | None = None
    for cell in sorted(cells, key=lambda one: one.budget):
        if known is None or not known[1].same_for_more:
            known = _search(case, repetition, cell)
        trace, searched = known
        outcome = case.judging.outcome((cell, repetition), searched.offered, searched.diffs, searched.places)
        case.watch.keep(
            replace(
                outcome,
                evidence=searched.evidence[searched.offered] if searched.offered else None,
                rollouts=searched.rollouts,
                tokens=searched.tokens,
                thought_tokens=searched.thought_tokens,
                seconds=searched.seconds,
                stopped=searched.stopped,
                levels=case.judging.levels(searched.evidence),
                trace=_below(trace, case.bench.out),
            )
        )


def _search(case: _Case, repetition: int, cell: Cell) -> tuple[Path, Searched]:
    """The finished search of a cell, made now if it is not there. Raises: as `search_once`."""
    trace = case.traces / f"r{repetition}-{cell.name}.jsonl"
    if trace.exists():
        trace.with_suffix(".part").unlink(missing_ok=True)  # Left by a kill just behind the search.
        found = read_searched(trace)
        if found is not None:
            return trace, found
    options = case.bench.options
    title = f"{cell.name}" + (f", repetition {repetition + 1}" if options.repetitions > 1 else "")
    case.watch.say(f"searching: {title}")
    request = FixRequest(
        Issue(case.issue),
        case.prepared.base,
        budget=str(cell.budget),
        seed=options.seed + repetition * SEED_STEP,
        python=str(case.prepared.python),
        test_timeout=options.timeout_seconds,
        strategy=cell.strategy,
    )
    if cell.sampling:
        request = replace(request, sampling=cell.sampling)
    model, sink = case.bench.model(), case.watch.progress(title)
    search_once(request, trace, case.finished(repetition), model=model, cancel=case.bench.cancel, progress=sink)
    made = read_searched(trace)
    if made is None:
        raise EnvironmentProblem(f"{trace} has no end", "Delete it, and the search is made again.")
    return trace, made


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
