"""`patchwright trace show`: a search as a readable tree. (The HTML report comes with the Dev-Search issue.)"""

import argparse
from pathlib import Path
from typing import Any

from rich.text import Text
from rich.tree import Tree

from patchwright_engine.cli.display import ResultConsole
from patchwright_engine.search.trace import read_trace


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `trace show`."""
    parser = subparsers.add_parser("trace", help="look into a recorded search")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = commands.add_parser("show", help="print a search as a tree: candidates, scores, costs, verdicts")
    show.add_argument("file", type=Path, metavar="FILE")
    show.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the tree. Raises BadInput for a file that is no trace."""
    tree = Tree(Text(str(arguments.file), style="bold"))
    for step in read_trace(arguments.file):
        for label, children in _described(step):
            branch = tree.add(Text(label))
            for child in children:
                branch.add(Text(child))
    ResultConsole().print(tree)
    return 0


def _described(step: dict[str, Any]) -> list[tuple[str, list[str]]]:
    try:
        return _describe(step)
    except (KeyError, TypeError, ValueError, AttributeError):  # A file from elsewhere: the rest may still be read.
        return [(f"a damaged step: {step['kind']}", [])]


def _describe(step: dict[str, Any]) -> list[tuple[str, list[str]]]:
    at = f"{step['at']:7.1f}s "
    match step["kind"]:
        case "start":
            return [
                (f"{at}issue, budget {step['budget']}, seed {step['seed']}", step["issue"].strip().splitlines()[:6])
            ]
        case "index":
            ranked = [f"{score:8.3f}  {path}" for path, score in step["ranking"]]
            return [(f"{at}index: {step['files']} files, {step['symbols']} symbols", ranked)]
        case "model":
            return [(f"{at}model: {step['name']}", [])]
        case "complete":
            paid = "from the recording" if step["replayed"] else f"{step['seconds']:.1f} s"
            cost = f"{step['prompt_tokens']} prompt ({step['cached_tokens']} cached), {step['generated_tokens']} new"
            cost += f" ({step['thought_tokens']} thought)" if step.get("thought_tokens") else ""
            return [(f"{at}{step['stage']}: {len(step['answers'])} answers, {cost} tokens, {paid}", [])]
        case "file_sets":
            rows = [f"votes {c['votes']}  prm {_number(c['prm'])}  {', '.join(c['paths'])}" for c in step["candidates"]]
            return [(f"{at}files kept: {', '.join(step['kept'])}", rows)]
        case "locations":
            rows = [
                f"score {c['score']:.2f}  votes {c['votes']}  prm {_number(c['prm'])}  {', '.join(c['symbols'])}"
                for c in step["candidates"]
            ]
            return [(f"{at}locations (best {step['kept']} kept)", rows)]
        case "nearby_tests":
            shown = "" if step["text"] or not step["path"] else ", not shown at first"
            return [(f"{at}nearest tests: {step['path'] or 'none'}{shown}", step["text"].splitlines())]
        case "reproduction":
            verdict = "valid" if step["valid"] else f"not used: {step['reason']}"
            return [(f"{at}reproduction, {step['votes']} votes, {verdict}", step["source"].strip().splitlines())]
        case "candidate":
            return [_candidate(at, step)]
        case "judge":
            paid = ", from the recording" if step["replayed"] else ""
            return [(f"{at}{step['stage']}: judged, P(yes) {_number(step['probability'])}{paid}", [])]
        case "environment":
            where = f"{step['runner']} with {step['python']}, sandbox {step['sandbox'] or 'none'}"
            return [(f"{at}environment: {where}; {step['reason']}", [f"runs {test}" for test in step["tests"]])]
        case "execution":
            if "problem" in step:
                return [(f"{at}no failing test followed: {step['problem']}", [])]
            tests = f"{len(step['failed'])} failing tests followed, beside {step['passed']} that pass"
            return [(f"{at}{tests}, {step['seconds']:.1f} s", [f"suspected {path}" for path, _ in step["ranking"]])]
        case "narrowed":
            return [(f"{at}entered by the reproductions: {len(step['entered'])}", [f"kept {k}" for k in step["kept"]])]
        case "behaviour":
            rows = [f"alike: {', '.join(group)}" for group in step["groups"]]
            return [(f"{at}behaviour on {len(step['probes'])} inputs: {len(step['groups'])} kinds", rows)]
        case "contradicted":
            return [(f"{at}reproductions that contradict the majority", step["reproductions"])]
        case "test":
            verdict = "fails before, passes after" if step["offered"] else f"not offered: {step['reason']}"
            return [(f"{at}regression test {step['path']}: {verdict}", [])]
        case "round":
            return [(f"{at}round {step['number'] + 1}: {step['rollouts']} rollouts, {step['alive']} alive", [])]
        case "dropped":
            return [(f"{at}{step['stage']}: {len(step['what'])} pieces did not fit the prompt", step["what"])]
        case "note":
            return [(f"{at}note: {step['text']}", [])]
        case "end":
            stopped = step.get("stopped") or step["result"]["stopped"]
            thought = step["result"]["cost"].get("thought_tokens") if "result" in step else 0
            return [(f"{at}end: {stopped}" + (f", {thought} tokens of thoughts" if thought else ""), [])]
    return []


def _candidate(at: str, step: dict[str, Any]) -> tuple[str, list[str]]:
    head = f"{at}rollout {step['rollout']}: "
    if "refused" in step:
        return head + f"refused, {step['refused']}", []
    if "diff" not in step:
        return head + f"same as {step['patch']} ({step['votes']} votes)", []
    verdict = step["evidence"] or "rejected"
    runs = [f"{r['kind']}: before {r['before']}, after {r['after']}" for r in step["runs"]]
    return head + f"{step['patch']} {verdict}", [*runs, *step["diff"].splitlines()]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
