"""A trace becomes a report: steps in, the tree of the search out.

Invariant: whatever a file holds, as much of it as can be understood is told, and what is missing is said.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from patchwright_engine.report.costs import Costs, cost_of
from patchwright_engine.report.fields import (
    DamagedError,
    Step,
    length,
    maybe_number,
    maybe_rows,
    maybe_text,
    maybe_texts,
    maybe_whole,
    number,
    rows,
    scored,
    text,
    texts,
    truth,
    whole,
)
from patchwright_engine.report.gaps import missing
from patchwright_engine.report.journal import describe, groups_of, unknown
from patchwright_engine.report.values import (
    Candidate,
    Choice,
    Fix,
    Report,
    Reproduction,
    Round,
    Run,
    Tests,
    Workspace,
)
from patchwright_engine.report.words import count, strongest
from patchwright_engine.search.trace import Scanned, scan_trace
from patchwright_engine.types import Evidence, Issue

IN_ROUNDS = frozenset({"reproduction", "narrowed", "plan", "widened", "belief", "candidate", "round"})
TOLD_ELSEWHERE = frozenset({"judge", "nearby_tests", "walks", "drawn"})


def read_report(path: Path) -> Report:
    """Read the last search of a trace file.

    Raises:
        BadInput: the file cannot be read or is no trace.
    """
    return build_report(scan_trace(path))


def build_report(scanned: Scanned) -> Report:
    """The last search among the steps of a file, with what is missing of it."""
    starts = [place for place, (_, step) in enumerate(scanned.steps) if step["kind"] == "start"]
    first = starts[-1] if starts else 0
    builder = _Builder()
    damaged = []
    for line, step in scanned.steps[first:]:
        try:
            builder.add(step)
        except DamagedError as error:
            damaged.append(f"line {line} ({step['kind']}: no usable '{error}')")
    report = builder.finish()
    report.gaps = tuple(missing(scanned, report, damaged, searches=len(starts)))
    return report


class _Builder:
    """Takes the steps of one search in order."""

    def __init__(self) -> None:
        self.report = Report()
        self.costs = Costs()
        self._round = Round(1)
        self._by_patch: dict[str, Candidate] = {}
        self._result: Step = {}
        self._readers: dict[str, Callable[[Step], None]] = {
            "start": self._start,
            "index": self._index,
            "model": self._model,
            "file_sets": self._file_sets,
            "locations": self._locations,
            "environment": self._environment,
            "baseline": self._baseline,
            "execution": self._execution,
            "complete": self._complete,
            "reproduction": self._reproduction,
            "narrowed": self._narrowed,
            "candidate": self._candidate,
            "plan": self._plan,
            "widened": self._widened,
            "belief": self._belief,
            "round": self._end_of_round,
            "stop": self._stop,
            "behaviour": self._behaviour,
            "contradicted": self._contradicted,
            "test": self._test,
            "dropped": self._dropped,
            "note": self._note,
            "end": self._end,
        }

    def add(self, step: Step) -> None:
        """Take one step. Raises DamagedError; what the step had before its damage is kept."""
        passed = self.costs.add(step)
        kind = str(step["kind"])
        if kind in IN_ROUNDS or step.get("stage") in ("reproduce", "repair"):
            self._round.seconds += passed
        label, details = describe(step)
        self.report.journal.append((number(step, "at"), label, details))
        reader = self._readers.get(kind)
        if reader is not None:
            reader(step)
        elif kind not in TOLD_ELSEWHERE:
            self._round.remarks.append(unknown(step))

    def finish(self) -> Report:
        report = self.report
        last = self._round
        last.finished = report.stopped is not None  # A strategy may have no rounds.
        if last.candidates or not report.rounds:
            report.rounds += [last] if last.candidates or last.reproductions or last.remarks else []
        else:  # What came after the last round was about it.
            report.rounds[-1].reproductions += last.reproductions
            report.rounds[-1].remarks += [*last.thoughts, *last.remarks]
            report.rounds[-1].tokens += last.tokens
            report.rounds[-1].seconds += last.seconds
        report.stages = self.costs.stages()
        if report.stopped is None:
            report.cost = self.costs.total()
        report.fixes = self._fixes()
        return report

    def _start(self, step: Step) -> None:
        report = self.report
        report.issue = text(step, "issue").strip("\n")
        report.title = Issue(report.issue).title or "An empty issue"
        report.budget, report.seed, report.root = text(step, "budget"), whole(step, "seed"), text(step, "root")
        report.rollouts_allowed, report.strategy = maybe_whole(step, "rollouts"), maybe_text(step, "strategy")
        report.started, report.resumed = maybe_text(step, "time"), maybe_text(step, "resumed")

    def _index(self, step: Step) -> None:
        self.report.workspace = Workspace(whole(step, "files"), whole(step, "symbols"), scored(step, "ranking"))

    def _model(self, step: Step) -> None:
        self.report.model = text(step, "name")

    def _file_sets(self, step: Step) -> None:
        kept = set(texts(step, "kept"))
        self.report.file_sets = tuple(
            Choice(paths, whole(row, "votes"), maybe_number(row, "prm"), kept=kept.issuperset(paths))
            for row in rows(step, "candidates")
            for paths in (texts(row, "paths"),)
        )

    def _locations(self, step: Step) -> None:
        kept = whole(step, "kept")
        self.report.locations = tuple(
            Choice(
                texts(row, "symbols"),
                whole(row, "votes"),
                maybe_number(row, "prm"),
                maybe_number(row, "prior"),
                number(row, "score"),
                kept=place < kept,
            )
            for place, row in enumerate(rows(step, "candidates"))
        )

    def _environment(self, step: Step) -> None:
        self.report.tests = Tests(
            text(step, "runner"),
            text(step, "python"),
            maybe_text(step, "sandbox"),
            text(step, "reason"),
            texts(step, "tests"),
            maybe_whole(step, "other_tests") or 0,
        )

    def _baseline(self, step: Step) -> None:
        known, user = self.report.tests, step.get("user_test")
        if known is None:
            raise DamagedError("environment")
        told: Step = user if isinstance(user, dict) else {}
        status = maybe_whole(told, "exit")
        user_before = f"exit {status}" if status is not None else maybe_text(told, "outcome")
        self.report.tests = Tests(
            known.runner,
            known.python,
            known.sandbox,
            known.reason,
            known.files,
            known.other_files,
            maybe_text(step, "tests"),
            user_before,
        )

    def _execution(self, step: Step) -> None:
        self.report.followed = describe(step)[0]

    def _complete(self, step: Step) -> None:
        if text(step, "stage") in ("reproduce", "repair") and not truth(step, "replayed"):
            self._round.tokens += whole(step, "generated_tokens")

    def _reproduction(self, step: Step) -> None:
        source, votes = text(step, "source").strip("\n"), whole(step, "votes")
        written = [test for one in (*self.report.rounds, self._round) for test in one.reproductions]
        known = next((test for test in written if test.source == source), None)
        if known is not None:  # More samples wrote it, and it was not run again.
            known.votes = votes
            return
        failure = maybe_text(step, "failure") or ""
        test = Reproduction(source, votes, truth(step, "valid"), text(step, "reason"), failure)
        self._round.reproductions.append(test)

    def _narrowed(self, step: Step) -> None:
        self._round.narrowed = tuple(dict.fromkeys(texts(step, "kept")))

    def _candidate(self, step: Step) -> None:
        rollout, patch = whole(step, "rollout"), maybe_text(step, "patch")
        known = self._by_patch.get(patch) if patch is not None else None
        if known is not None and "diff" in step:  # Judged again: by new reproductions, or by the other tests.
            self._judge(known, step)
            return
        revised = maybe_text(step, "revised")
        candidate = Candidate(
            rollout,
            maybe_texts(step, "location"),
            patch,
            refused=maybe_text(step, "refused"),
            hint=maybe_text(step, "hint") or "",
            revises=self._by_patch[revised].number if revised in self._by_patch else None,
            chance=maybe_number(step, "chance"),
            tokens=maybe_whole(step, "tokens"),
        )
        if candidate.refused is None and patch is None:
            raise DamagedError("patch")
        if known is not None:
            known.votes = whole(step, "votes")
            candidate.same_as = known.number
        elif patch is not None and "diff" in step:
            self._judge(candidate, step)
            self._by_patch[patch] = candidate
        elif patch is not None:
            raise DamagedError("diff")
        self._round.candidates.append(candidate)

    def _judge(self, candidate: Candidate, step: Step) -> None:
        evidence = maybe_text(step, "evidence")
        if evidence is not None and evidence not in list(Evidence):
            raise DamagedError("evidence")
        candidate.diff = text(step, "diff")
        candidate.runs = tuple(_run(row) for row in rows(step, "runs"))
        candidate.seconds = _seconds(candidate.runs)
        candidate.agreement = maybe_number(step, "agreement")
        candidate.feedback, candidate.flags = maybe_text(step, "feedback") or "", maybe_texts(step, "flags")
        candidate.evidence = Evidence(evidence) if evidence is not None else None

    def _plan(self, step: Step) -> None:
        self._round.beliefs = {texts(row, "symbols"): number(row, "belief") for row in rows(step, "places")}
        elsewhere = number(step, "elsewhere")
        self._round.thoughts.append(f"Belief that the fault is at none of the known locations: {elsewhere:.2f}.")

    def _widened(self, step: Step) -> None:
        further = ", ".join(texts(step, "locations")) or "nothing new"
        elsewhere = number(step, "elsewhere")
        self._round.thoughts.append(
            f"The fault is probably elsewhere ({elsewhere:.2f}): looked further, found {further}."
        )

    def _belief(self, step: Step) -> None:
        told = f"Belief that {self._called(text(step, 'patch'))} is right: {number(step, 'confidence'):.2f}."
        of_last = self.report.rounds and not self._round.candidates
        (self.report.rounds[-1] if of_last else self._round).remarks.append(told)

    def _stop(self, step: Step) -> None:
        self.report.reason = text(step, "reason")

    def _end_of_round(self, step: Step) -> None:
        self._round.number, self._round.finished = whole(step, "number") + 1, True
        self.report.rounds.append(self._round)
        self._round = Round(self._round.number + 1)

    def _behaviour(self, step: Step) -> None:
        inputs = count(length(step, "probes"), "input")
        groups = [" = ".join(self._called(patch) for patch in group) for group in groups_of(step)]
        told = f"Compared on {inputs}: {count(len(groups), 'kind')} of behaviour"
        self.report.ranking.append(f"{told} ({'; '.join(groups)})." if groups else f"{told}.")

    def _contradicted(self, step: Step) -> None:
        against = count(len(texts(step, "reproductions")), "reproduction")
        self.report.ranking.append(f"{against} did not count: they contradict what most candidates agree on.")

    def _test(self, step: Step) -> None:
        verdict = "fails before the fix and passes after"
        told = verdict if truth(step, "offered") else f"is not offered: {text(step, 'reason')}"
        self.report.ranking.append(f"The regression test {text(step, 'path')} {told}.")

    def _rank(self, step: Step) -> None:
        for rank, row in enumerate(maybe_rows(step, "ranking"), start=1):
            candidate = self._by_patch.get(text(row, "patch"))
            if candidate is not None:
                candidate.rank, candidate.votes = rank, whole(row, "votes")
                candidate.peers, candidate.orm = maybe_whole(row, "peers"), maybe_number(row, "orm")
                candidate.agreement = maybe_number(row, "agreement")

    def _dropped(self, step: Step) -> None:
        self.report.dropped.setdefault(text(step, "stage"), []).extend(texts(step, "what"))

    def _note(self, step: Step) -> None:
        if text(step, "text") not in self.report.notes:
            self.report.notes.append(text(step, "text"))

    def _end(self, step: Step) -> None:
        result: Any = step.get("result")
        ended: Step = result if isinstance(result, dict) else step
        self.report.stopped = text(ended, "stopped")
        self.report.notes += [note for note in maybe_texts(ended, "notes") if note not in self.report.notes]
        self.report.cost = cost_of(ended) if "cost" in ended else self.costs.total()
        self._result = ended
        self._rank(step)

    def _fixes(self) -> tuple[Fix, ...]:
        """As the end tells them; without one, what may be offered so far."""
        try:
            told = maybe_rows(self._result, "fixes")
            fixes = [self._fix(row) for row in told]
        except DamagedError:
            fixes = []
        if fixes:
            for rank, fix in enumerate(fixes, start=1):
                fix.candidate.rank = rank
            return tuple(fixes)
        return tuple(Fix(candidate, "") for candidate in strongest(self.report.candidates))

    def _fix(self, row: Step) -> Fix:
        candidate = self._by_patch.get(text(row, "id")) or _lost_candidate(row)
        test = row.get("test")
        with_test = (text(test, "path"), text(test, "source")) if isinstance(test, dict) else None
        return Fix(candidate, maybe_text(row, "explanation") or "", maybe_texts(row, "differences"), with_test)

    def _called(self, patch: str) -> str:
        known = self._by_patch.get(patch)
        return f"#{known.number}" if known else patch


def _run(row: Step) -> Run:
    return Run(
        text(row, "kind"),
        text(row, "command"),
        maybe_whole(row, "exit"),
        text(row, "before"),
        text(row, "after"),
        maybe_number(row, "seconds"),
        maybe_text(row, "output") or "",
    )


def _seconds(runs: tuple[Run, ...]) -> float:
    """Of the clock: reproductions run together, so each tells the same time."""
    together = max((run.seconds or 0.0 for run in runs if run.kind == "reproduction"), default=0.0)
    return together + sum(run.seconds or 0.0 for run in runs if run.kind != "reproduction")


def _lost_candidate(row: Step) -> Candidate:
    """A fix that the end tells of and whose own step is damaged."""
    evidence = text(row, "evidence")
    if evidence not in list(Evidence):
        raise DamagedError("evidence")
    return Candidate(
        0,
        patch=text(row, "id"),
        diff=text(row, "diff"),
        evidence=Evidence(evidence),
        flags=maybe_texts(row, "flags"),
        runs=tuple(_run(run) for run in maybe_rows(row, "runs")),
    )
