"""A report in the terminal: the search as a tree by rounds and locations, then what each stage cost."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from patchwright_engine.report import words
from patchwright_engine.report.diffs import read_diff
from patchwright_engine.report.values import Candidate, Choice, Report, Reproduction, Round

STYLES = {
    "failing_test": "bold green",
    "reproduced": "green",
    "regression_only": "yellow",
    "parses": "blue",
    "rejected": "red",
    "refused": "dim",
    "repeated": "dim",
}
LEVELS = {"proven": "bold green", "unproven": "bold yellow", "none": "bold red", "open": "bold blue"}
DIFF_STYLES = {"file": "bold", "place": "cyan", "added": "green", "removed": "red", "note": "dim"}
RANKED = 5
OUTPUT_LINES = 12


def shown(report: Report, trace: str) -> RenderableType:
    """The whole report."""
    return Group(_head(report), _tree(report, trace), Text(), _costs(report), *_tail(report))


def _head(report: Report) -> Text:
    level, headline = words.headline(report)
    head = Text(f"{report.title or 'A search without its beginning'}\n", style="bold")
    head.append(f"{headline}. ", style=LEVELS[level])
    head.append(f"{words.proof(report)} {words.why_stopped(report)}", style="not bold")
    for gap in report.gaps:
        head.append(f"\nNot whole: {gap}", style="not bold yellow")
    return head


def _tree(report: Report, trace: str) -> Tree:
    about = [f"budget {report.budget}" if report.budget else "", f"seed {report.seed}" if report.budget else ""]
    root = Tree(Text(", ".join(filter(None, [trace, report.model or "", *about])), style="dim"))
    root.add(Text("Issue", style="bold")).add(Text(report.issue))
    if report.workspace is not None:
        held = f"{words.count(report.workspace.files, 'file')}, {words.count(report.workspace.symbols, 'symbol')}"
        branch = root.add(_stage("index", held))
        for path, score in report.workspace.ranking[:RANKED]:
            branch.add(Text(f"{score:.3f}  {path}"))
    _add_choices(root, "understand", report.file_sets, report.dropped)
    _add_choices(root, "locate", report.locations, report.dropped)
    if report.followed is not None:
        root.add(Text(report.followed))
    if report.tests is not None:
        tests = report.tests
        how = f"{tests.runner}, sandbox {tests.sandbox or 'none'}, {words.count(len(tests.files), 'test file')}"
        before = tests.before or tests.user_before
        root.add(_stage("baseline", f"{before}; {how}" if before else how))
    for one in report.rounds:
        _add_round(root, one, report)
    if report.ranking or len(report.fixes) > 1:
        ranked = root.add(_stage("rank", f"{words.count(len(report.fixes), 'candidate')} may be offered"))
        for line in report.ranking:
            ranked.add(Text(line))
        for fix in report.fixes:
            ranked.add(_rollout(fix.candidate, report))
    return root


def _stage(stage: str, told: str) -> Text:
    return Text.assemble((words.STAGE_NAMES[stage], "bold"), f": {told}")


def _add_choices(root: Tree, stage: str, choices: Sequence[Choice], dropped: dict[str, list[str]]) -> None:
    if not choices:
        return
    branch = root.add(_stage(stage, f"{len(choices)} considered, {sum(one.kept for one in choices)} kept"))
    for one in choices:
        measures = [words.count(one.votes, "vote"), f"PRM {_share(one.prm)}"]
        measures += [f"prior {_share(one.prior)}"] if one.prior is not None else []
        measures += [f"score {_share(one.score)}"] if one.score is not None else []
        label = f"{', '.join(one.names)}  ({', '.join(measures)})"
        branch.add(Text(label if one.kept else f"{label}, not kept", style="" if one.kept else "dim"))
    if dropped.get(stage):
        branch.add(Text(f"{words.count(len(dropped[stage]), 'piece')} did not fit the prompt", style="dim"))


def _add_round(root: Tree, one: Round, report: Report) -> None:
    told = [words.count(len(one.candidates), "rollout"), words.clock(one.seconds)]
    told += [words.count(one.tokens, "token")] if one.tokens else []
    told += [] if one.finished else ["not finished"]
    branch = root.add(Text.assemble((f"Round {one.number}", "bold"), f": {', '.join(told)}"))
    for thought in one.thoughts:
        branch.add(Text(thought, style="dim"))
    for test in one.reproductions:
        _add_reproduction(branch, test)
    if one.narrowed is not None:
        branch.add(Text(f"Candidates change only what they run from here on: {', '.join(one.narrowed)}"))
    for location, candidates in one.by_location:
        belief = one.beliefs.get(location)
        held = f"  (belief {belief:.2f})" if belief is not None else ""
        place = branch.add(Text.assemble((", ".join(location) or "candidates", "cyan"), (held, "dim")))
        for candidate in candidates:
            _add_rollout(place, candidate, report)
    for remark in one.remarks:
        branch.add(Text(remark, style="dim"))


def _add_reproduction(branch: Tree, test: Reproduction) -> None:
    verdict = ("shows the issue", "green") if test.valid else ("not used", "dim")
    shown = branch.add(Text.assemble(f"Test, {words.count(test.votes, 'vote')}, ", verdict, f": {test.reason}"))
    if test.valid:
        shown.add(Text(test.source))


def _rollout(candidate: Candidate, report: Report) -> Text:
    judged = any(test.valid for one in report.rounds for test in one.reproductions)
    verdict = words.VERDICTS[candidate.verdict]
    name = f"#{candidate.number} {candidate.patch} " if candidate.patch else f"#{candidate.number} "
    label = Text.assemble(name, (verdict, STYLES[candidate.verdict]))
    if candidate.same_as is not None:
        label.append(f" as #{candidate.same_as}")
    if candidate.revises is not None:
        label.append(f", revises #{candidate.revises}")
    facts = words.facts(candidate, satisfied=judged)
    label.append(f" ({', '.join(facts)})" if facts else "", style="dim")
    if candidate.rank is not None:
        label.append(f"  fix {candidate.rank}", style="bold")
    return label


def _add_rollout(branch: Tree, candidate: Candidate, report: Report) -> None:
    shown = branch.add(_rollout(candidate, report))
    if candidate.refused is not None:
        shown.add(Text(candidate.refused))
    for flag in candidate.flags:
        shown.add(Text(f"Look closely: the patch {flag}", style="yellow"))
    for run in candidate.runs:
        good = words.held(run, candidate)
        mark = ("ok ", "green") if good else ("no ", "red")
        kind = words.RUN_KINDS.get(run.kind, run.kind)
        turn = f": before {run.before}, after {run.after}"
        line = shown.add(Text.assemble(mark, kind, turn, (f"  $ {run.command}", "dim")))
        if run.output and not good:
            line.add(Text("\n".join(run.output.split("\n")[-OUTPUT_LINES:]), style="dim"))
    if candidate.diff:
        lines = read_diff(candidate.diff)
        shown.add(Text("\n").join(Text(line.text, style=DIFF_STYLES.get(line.kind, "")) for line in lines))


def _costs(report: Report) -> Table:
    table = Table(title="What it cost", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("stage", "samples", "written", "read", "cached", "judged", "time"):
        table.add_column(name, justify="left" if name == "stage" else "right", header_style="dim")
    for one in report.stages:
        numbers = (one.samples, one.generated, one.prompt - one.cached, one.cached, one.judged)
        cells = [f"{number:,}" if number else "" for number in numbers]
        table.add_row(words.STAGE_NAMES[one.stage], *cells, words.clock(one.seconds))
    cost = report.cost
    table.add_row(
        f"all, {words.count(cost.rollouts, 'rollout')}",
        "",
        f"{cost.generated_tokens:,}",
        f"{cost.prompt_tokens - cost.cached_tokens:,}",
        f"{cost.cached_tokens:,}",
        f"{cost.judge_tokens:,}",
        words.clock(cost.seconds),
        style="bold",
    )
    return table


def _tail(report: Report) -> list[Text]:
    return [Text(f"Note: {note}", style="yellow") for note in report.notes]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
