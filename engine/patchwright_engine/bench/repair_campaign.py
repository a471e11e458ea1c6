"""Searches over many instances, resumable: OUT holds what is finished, and the files that others read.

    OUT/outcomes.jsonl            one line a search that was judged; what the rest is made from
    OUT/results.json              the report, renewed after every instance
    OUT/predictions[-CELL].jsonl  what was offered, as SWE-bench's own harness reads it
    OUT/traces/INSTANCE/          one trace a search        OUT/judged/    what the hidden tests said of each patch

Invariant: whatever is killed whenever, no line is lost, and no answer of the model is paid for twice.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from patchwright_engine.bench.instances import Instance
from patchwright_engine.bench.outcomes import Cell, Outcome, append_outcome, make_out, read_outcomes, write_whole
from patchwright_engine.bench.repair import RepairBench, Watch, repair_instance
from patchwright_engine.bench.repair_summary import summarize_repair
from patchwright_engine.control import Progress, ProgressSink
from patchwright_engine.errors import BadInput, Cancelled

_SHOWN_EVERY = 15.0
"""Seconds between two lines about one search."""
Key = tuple[str, Cell, int]
Say = Callable[[str], None]


def run_repair(
    instances: Sequence[Instance], bench: RepairBench, *, model: str, jobs: int, say: Say
) -> tuple[Outcome, ...]:
    """Find out whatever `bench.options` asks for and OUT does not hold; returns all that OUT then holds.

    `model` is the name that predictions carry. A cancel is not an error: what was finished is returned.

    Raises:
        BadInput: OUT holds something else, is of another model or other options, or is in use.
        EnvironmentProblem: OUT cannot be written.
        ModelUnavailable: there is no model.
    """
    out, options = bench.out, bench.options
    make_out(out)
    with _alone(out):
        _check_settings(out, {"model": model, "seed": options.seed, "timeout": options.timeout_seconds})
        campaign = _Campaign(bench, model, say, read_outcomes(out))
        todo = [(one, missing) for one in instances if (missing := campaign.missing(one))]
        if len(todo) < len(instances):
            say(f"{len(instances) - len(todo)} of {len(instances)} instances were finished before, in {out}")
        with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="bench") as pool:
            futures = [
                pool.submit(campaign.search, f"[{number}/{len(todo)}]", one, missing)
                for number, (one, missing) in enumerate(todo, start=1)
            ]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                bench.cancel.cancel()  # The others end; what they began is kept.
                raise
        campaign.write()
        return tuple(campaign.outcomes.values())


class _Campaign:
    """What is known so far, and how it gets there from several threads."""

    def __init__(self, bench: RepairBench, model: str, say: Say, outcomes: dict[Key, Outcome]) -> None:
        self.outcomes = outcomes
        self._bench = bench
        self._model = model
        self._say = say
        self._lock = threading.Lock()

    def missing(self, instance: Instance) -> list[tuple[Cell, int]]:
        """What is asked for and not known."""
        options = self._bench.options
        return [
            (cell, repetition)
            for repetition in range(options.repetitions)
            for cell in options.cells
            if not self._is_final((instance.instance_id, cell, repetition))
        ]

    def _is_final(self, key: Key) -> bool:
        outcome = self.outcomes.get(key)
        return outcome is not None and outcome.final

    def search(self, place: str, instance: Instance, missing: Sequence[tuple[Cell, int]]) -> None:
        """Everything about one instance. A cancel is not an error here."""
        begin = time.monotonic()

        def say(message: str) -> None:
            self._say(f"{place} {instance.instance_id}: {message}")

        try:
            self._bench.cancel.check()
            repair_instance(
                instance, self._bench, missing, Watch(say, lambda title: _throttled(say, title), self._keep)
            )
        except Cancelled:
            return
        with self._lock:
            self.write()
            done = [self.outcomes[(instance.instance_id, *one)] for one in missing]
        resolved = sum(outcome.resolved for outcome in done)
        say(f"{resolved} of {len(done)} searches resolved it; {time.monotonic() - begin:.0f} s")

    def _keep(self, outcome: Outcome) -> None:
        with self._lock:
            append_outcome(self._bench.out, outcome)
            self.outcomes[outcome.key] = outcome

    def write(self) -> None:
        """The files that others read, of all that there is."""
        out, outcomes = self._bench.out, [self.outcomes[key] for key in sorted(self.outcomes)]
        write_whole(out / "results.json", json.dumps(summarize_repair(outcomes, self._model), indent=1) + "\n")
        files: dict[str, list[str]] = {}
        single = len({(one.cell, one.repetition) for one in outcomes}) == 1
        repeated = any(one.repetition for one in outcomes)
        for one in outcomes:
            number = f"-r{one.repetition}" if repeated else ""
            name = "" if single else f"-{one.cell.name}{number}"
            row = {
                "instance_id": one.instance_id,
                "model_name_or_path": f"patchwright-{one.cell.name}-{self._model}",
                "model_patch": one.patch,
            }
            files.setdefault(f"predictions{name}.jsonl", []).append(json.dumps(row) + "\n")
        for name, lines in files.items():
            write_whole(out / name, "".join(lines))
        for stale in set(out.glob("predictions*.jsonl")) - {out / name for name in files}:
            stale.unlink()  # Of when there was one way to search only.


def _throttled(say: Say, title: str) -> ProgressSink:
    """Tells of one search now and then."""
    last = [time.monotonic()]

    def show(progress: Progress) -> None:
        if time.monotonic() - last[0] < _SHOWN_EVERY:
            return
        last[0] = time.monotonic()
        say(f"{title}: rollout {progress.rollouts} of {progress.budget}, {progress.stage}: {progress.message}")

    return show


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Two at once would search for the same things."""
    import fcntl

    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(f"another benchmark works in {out}", "Wait for its end, or name another --out.") from error
        yield


def _check_settings(out: Path, settings: dict[str, object]) -> None:
    """Results of one folder are comparable: same model, seed and time limit."""
    path = out / "settings.json"
    try:
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {path}: {error}", "Name another folder with --out.") from error
    if before is None:
        if (out / "results.jsonl").exists():
            raise BadInput(f"{out} holds results of --gold", "Name another folder with --out.")
        write_whole(path, json.dumps({"schema": 1, **settings}, indent=1) + "\n")
        return
    for name, value in settings.items():
        known = before.get(name) if isinstance(before, dict) else None
        # A server goes by its address, which may move between two runs.
        if known != value and not (name == "model" and "://" in str(known) and "://" in str(value)):
            raise BadInput(
                f"{out} holds results with {name} {known}, not {value}",
                f"Give the same --{name}, or name another folder with --out.",
            )
