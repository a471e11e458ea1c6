"""What does more search buy? The curves of strategies over budgets, from the results of `patchwright bench repair`.

    python benchmarks/search.py --results DIR [--results DIR …] [--plots DIR] [--json OUT]
    python benchmarks/search.py --quick [--repos DIR] [--json OUT]

DIR is what `bench repair --out DIR` has made, finished or not; several are shown one after the other. Of a share the
interval is told too (95 %; over issues, repetitions are no further ones). With matplotlib installed, curves.png and
curves.svg are drawn into the folder of --plots (default: DIR): resolved issues over the budget, and over the tokens.
--quick searches first, for three small QuixBugs programs with the 0.5B model at budgets 1 and 2, at most 4 minutes;
the mirror of QuixBugs is cloned where --repos has none. Three programs show that it runs, not what is better.

Ratios, where there are both: at budget N, `dev_search_vs_exec_N` is resolved issues over resolved issues,
`dev_search_tokens_vs_exec_N` tokens over tokens; `dev_search_tokens_to_reach_exec_8` is what the smallest budget that
resolves at least as many issues as `exec` at 8 takes, over what that takes. Of several samplings of `exec` the better
counts. Precision is the share of fixes offered as `reproduced` or better that the hidden tests call right.
"""

import argparse
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from patchwright_engine.bench.quixbugs import MIRROR
from patchwright_engine.bench.repair_table import repair_in_words
from patchwright_engine.config import folders

QUIXBUGS = "https://github.com/jkoppel/QuixBugs"
QUICK = ("quixbugs-gcd", "quixbugs-get_factors", "quixbugs-to_base")
QUICK_MODEL = "qwen2.5-coder-0.5b"
QUICK_SECONDS = 240

Summary = Mapping[str, Any]


def main() -> int:
    """Search when asked, print the tables, draw, write OUT; 1 when there is nothing to show, 2 for a bad option."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="search for three small programs first")
    parser.add_argument("--results", type=Path, action="append", metavar="DIR", help="an --out of `bench repair`")
    parser.add_argument("--repos", type=Path, metavar="DIR", help="with --quick: where the mirror of QuixBugs lies")
    parser.add_argument(
        "--plots", type=Path, metavar="DIR", help="where curves are drawn (default: beside the results)"
    )
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    if arguments.quick == bool(arguments.results):
        parser.error("give --results DIR, or --quick")
    with tempfile.TemporaryDirectory(prefix="patchwright-search-") as scratch:
        results = arguments.results or [search_quickly(arguments.repos, Path(scratch))]
        summaries = [(folder, summary) for folder in results if (summary := load(folder)) is not None]
        for folder, summary in summaries:
            sys.stdout.write(repair_in_words(summary) + "\n")
            if not arguments.quick or arguments.plots:
                sys.stdout.write(draw(summary, arguments.plots or folder) + "\n")
    ratios = {name: value for _, summary in summaries for name, value in ratios_of(summary).items()}
    sys.stdout.write("".join(f"{name}: {value:.2f}\n" for name, value in ratios.items()))
    if arguments.json:
        machine = {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
        rows = [{"model": summary["model"], **cell} for _, summary in summaries for cell in summary["cells"]]
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows, "ratios": ratios}, indent=1))
    return 0 if any(summary["cells"] for _, summary in summaries) else 1


def search_quickly(repos: Path | None, scratch: Path) -> Path:
    """A folder of results, as many as there were in time: interrupted, the benchmark keeps what is finished."""
    repos = repos or folders().cache / "bench" / "mirrors"
    mirror = repos / MIRROR / "repo"
    if not mirror.exists():
        mirror.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "--quiet", "--mirror", QUIXBUGS, mirror], check=True)
    out = scratch / "out"
    command = [sys.executable, "-P", "-m", "patchwright_engine", "bench", "repair", "--instances", "quixbugs"]
    command += ["--repos", str(repos), "--out", str(out), "--model", QUICK_MODEL, "--only", *QUICK]
    command += ["--strategy", "dev-search,single,voting,exec", "--budget", "1,2", "--timeout", "20"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        process.wait(QUICK_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
        sys.stderr.write(f"Ended after {QUICK_SECONDS} s; what was done by then is shown. A quiet machine does more.\n")
    return out


def load(folder: Path) -> Summary | None:
    """The report in a folder of results; what is wrong with it is told."""
    path = folder / "results.json"
    try:
        summary: Summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"no results in {folder}: {error}. Give the folder of `patchwright bench repair --out`.\n")
        return None
    return summary


def ratios_of(summary: Summary) -> dict[str, float]:
    """What is said above of Dev-Search against `exec`, and the precision of what was offered as verified."""
    ours = {cell["budget"]: cell for cell in summary["cells"] if cell["strategy"] == "dev-search"}
    fixed = [cell for cell in summary["cells"] if cell["strategy"] == "exec"]
    others = {cell["budget"]: cell for cell in sorted(fixed, key=lambda cell: float(cell["resolved"]))}
    ratios: dict[str, float] = {}
    for budget in sorted(ours.keys() & others.keys()):
        mine, theirs = ours[budget], others[budget]
        if theirs["resolved"]:
            ratios[f"dev_search_vs_exec_{budget}"] = mine["resolved"] / theirs["resolved"]
        if theirs["tokens_per_issue"]:
            ratios[f"dev_search_tokens_vs_exec_{budget}"] = mine["tokens_per_issue"] / theirs["tokens_per_issue"]
    if goal := others.get(8):
        enough = [cell for cell in ours.values() if cell["resolved"] >= goal["resolved"]]
        if enough and goal["tokens_per_issue"]:
            least = min(cell["tokens_per_issue"] for cell in enough)
            ratios["dev_search_tokens_to_reach_exec_8"] = least / goal["tokens_per_issue"]
    levels = summary["overall"]["by_evidence"]
    verified = [levels[level] for level in ("failing_test", "reproduced") if level in levels]
    if verified:
        ratios["precision"] = sum(one["right"] for one in verified) / sum(one["offered"] for one in verified)
    return ratios


def draw(summary: Summary, folder: Path) -> str:
    """Draw the curves when matplotlib is there; tells where they are, or how to get them."""
    if importlib.util.find_spec("matplotlib") is None:
        return "No curves: matplotlib is not installed (python -m pip install matplotlib)."
    from search_plots import draw_curves

    return f"Curves: {', '.join(str(path) for path in draw_curves(summary, folder))}"


if __name__ == "__main__":
    raise SystemExit(main())
