"""How fast are N answers to one prompt and N verdicts on them, against llama-cpp-python's loop and llama-server?

    python benchmarks/inference.py [--model NAME|PATH] [--prompts 1k,4k,8k] [--n 1,2,4,8,16] [--tokens 256]
                                   [--engines ours,loop,server,server-best,server-slots] [--no-judge] [--busy]
                                   [--passive] [--threads N] [--gpu-layers N] [--repeat N] [--quick] [--json OUT]

Engines, each in a fresh process for each cell, one at a time, with the same weights and threads:
ours          Patchwright's model as the model host runs it
loop          llama-cpp-python's create_chat_completion, answer by answer, its prefix kept
server        llama-server with N slots: N chat requests at once, then N verdicts at once
server-best   llama-server: one request with n_cmpl, verdicts pinned to the slot that keeps the prompt
server-slots  llama-server: the prompt's state saved and restored into N slots, answers and verdicts pinned to them
Ratios are an engine's seconds over ours; OUT's `ratios` are those at N = 8 of the shortest prompt (see `goals`).
llama-server is built when it is not there yet, once, as by `benchmarks/llama_server.py`; --quick, which measures that
one cell within 5 minutes on 2 cores, leaves it out instead. Run it on a quiet machine; --busy keeps one core busy with
another process. Threads wait as each engine has them wait: ours spin for microseconds and sleep then, the others spin;
--passive lets all of them wait as ours do. --repeat measures every engine of a cell several times in turn and keeps
each one's fastest, for machines whose speed comes and goes.
"""

import argparse
import dataclasses
import json
import os
import platform
import signal
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from inference_engines import KINDS, Result, Work, run
from llama_server import ServerProblem, build, server_path
from patchwright_engine.config import load_settings
from patchwright_engine.errors import BadInput, PatchwrightError
from patchwright_engine.model.build_flags import VERSION, cmake_args
from patchwright_engine.model.catalog import resolve_model
from patchwright_engine.model.llama import quiet_environment
from patchwright_engine.model.parameters import default_threads

SYSTEM = "You are a careful programmer."
TASK = "Rewrite this code so that it is easier to read, function by function.\n\n"
SOURCE = "argparse.py"
"""From Python's own library: real code, long enough for the longest prompt, on every machine."""
GOAL_N = 8
QUICK_TOKENS = 192
"""Tokens of an answer with --quick: all four engines within 5 minutes on 2 cores, also on a slow day."""


def main() -> int:
    """Measure, print a table, and write OUT when asked."""
    arguments = parse()
    binary = server_path()
    try:
        engines = available(arguments.engines, binary, arguments.quick)
        model = resolve_model(arguments.model, load_settings()).path
        if model is None:
            raise BadInput("a server's speed is its own", "Give the name or path of a GGUF model.")
    except PatchwrightError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except ServerProblem as error:
        print(error, file=sys.stderr)
        return 3
    if arguments.passive:
        os.environ.update(quiet_environment())
    rows: list[dict[str, Any]] = []
    turns: dict[str, list[dict[str, Any]]] = {}
    cells = [(prompt, n) for prompt in arguments.prompts for n in arguments.n]
    code = {prompt: cut_code(model, prompt) for prompt in arguments.prompts}
    try:
        for number, (prompt, n) in enumerate(cells):
            work = Work(
                str(model),
                SYSTEM,
                code[prompt],
                prompt,
                n,
                arguments.tokens,
                arguments.judge,
                arguments.threads,
                arguments.gpu_layers,
            )
            turns = {kind: [] for kind in engines}
            for kind in engines * arguments.repeat:
                print(f"cell {number + 1} of {len(cells)}: {prompt} tokens, N = {n}, {kind}", file=sys.stderr)
                turns[kind].append(measure(kind, work, arguments.busy, binary))
            rows += [fastest(turns.pop(kind)) for kind in engines]
    except KeyboardInterrupt:
        rows += [fastest(done) for done in turns.values() if done]
        print("interrupted; what was measured:", file=sys.stderr)
        show(rows, arguments)
        return 130
    show(rows, arguments)
    reached = goals(rows)
    sys.stdout.write("".join(f"{name}: {value:.2f}\n" for name, value in reached.items()))
    if arguments.json:
        out = {"machine": machine(model, arguments), "rows": rows, "ratios": reached}
        arguments.json.write_text(json.dumps(out, indent=1) + "\n")
    return 1 if any("error" in row for row in rows) else 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; --quick is a grid of seconds that proves nothing but that everything works."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b", metavar="NAME|PATH")
    parser.add_argument("--prompts", type=sizes, default=sizes("1k,4k,8k"), metavar="TOKENS,…")
    parser.add_argument("--n", type=sizes, default=sizes("1,2,4,8,16"), metavar="N,…")
    parser.add_argument("--tokens", type=int, default=256, help="tokens of an answer (default: 256)")
    parser.add_argument("--engines", type=kinds, default=list(KINDS), metavar="ENGINE,…")
    parser.add_argument("--judge", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--gpu-layers", type=int, default=0, metavar="N", help="layers on the GPU (default: 0)")
    parser.add_argument("--busy", action="store_true", help="keep one core busy with another process")
    parser.add_argument("--passive", action="store_true", help="no engine's threads spin while they wait")
    parser.add_argument("--repeat", type=turns_of_each, default=1, metavar="N", help="turns; the fastest counts")
    parser.add_argument("--quick", action="store_true", help=f"1k, N = {GOAL_N}, answers of {QUICK_TOKENS} tokens only")
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.prompts, arguments.n, arguments.tokens = [1024], [GOAL_N], QUICK_TOKENS
        arguments.engines = [kind for kind in arguments.engines if kind != "server-slots"]
    return arguments


def available(engines: Sequence[str], binary: Path, quick: bool) -> list[str]:
    """The engines that can be measured, llama-server built first; with `quick` left out. Raises ServerProblem."""
    served = [kind for kind in engines if kind.startswith("server")]
    if not served or binary.is_file():
        return list(engines)
    if not quick:
        print("building llama-server, once, a quarter of an hour on 2 cores", file=sys.stderr)
        build()
        return list(engines)
    cure = "Cure: python benchmarks/llama_server.py"
    print(f"llama-server is not built, so {', '.join(served)} are left out. {cure}", file=sys.stderr)
    return [kind for kind in engines if kind not in served]


def turns_of_each(text: str) -> int:
    """At least one. Raises ValueError."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def sizes(text: str) -> list[int]:
    """'1k,512' is [1024, 512]. Raises ValueError."""
    found = [int(part[:-1]) * 1024 if part.endswith("k") else int(part) for part in text.split(",")]
    if min(found) < 1:
        raise ValueError(text)
    return found


def kinds(text: str) -> list[str]:
    """Names of engines. Raises ValueError."""
    found = text.split(",")
    if not set(found) <= set(KINDS):
        raise ValueError(text)
    return found


def cut_code(model: Path, tokens: int) -> str:
    """A request about so much code that the whole prompt has `tokens` tokens."""
    import llama_cpp

    from patchwright_engine.model.chat import chatml

    llm = llama_cpp.Llama(str(model), vocab_only=True, verbose=False)
    try:
        around = chatml([("system", SYSTEM), ("user", TASK)])
        room = tokens - len(llm.tokenize(around.encode(), add_bos=False, special=True))
        source = (Path(sysconfig.get_path("stdlib")) / SOURCE).read_bytes()
        code = llm.tokenize(source, add_bos=False)[: max(1, room)]
        return TASK + llm.detokenize(code).decode("utf-8", "ignore")
    finally:
        llm.close()


def measure(kind: str, work: Work, busy: bool, binary: Path) -> dict[str, Any]:
    """One row of the result; an engine that fails has an 'error' instead of numbers."""
    row: dict[str, Any] = {"prompt": work.prompt_tokens, "n": work.n, "engine": kind}
    started = time.perf_counter()
    try:
        result = run(kind, work, busy, binary)
    except (RuntimeError, ServerProblem, OSError) as error:
        print(f"  {kind}: {error}", file=sys.stderr)
        return {**row, "error": str(error)}
    wanted = work.n * work.tokens
    total = result.generate_seconds + result.judge_seconds
    print(f"  {total:.2f} s, with loading {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return {
        **row,
        **{name: value for name, value in dataclasses.asdict(result).items() if name != "peak_bytes"},
        "peak_mib": round(result.peak_bytes / (1 << 20)),
        "total_seconds": total,
        # As if every answer had its full length; equal to what was measured when it has.
        "even_seconds": even_seconds(result, wanted),
        "even_generate_seconds": even_seconds(result, wanted) - result.judge_seconds,
        "tokens_per_second": result.tokens / result.generate_seconds,
    }


def fastest(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of the fastest turn, with the seconds of all; one that failed speaks for all."""
    failed = [row for row in turns if "error" in row]
    if failed:
        return failed[0]
    best = min(turns, key=lambda row: float(row["even_seconds"]))
    return {**best, "turns": [row["even_seconds"] for row in turns]}


def even_seconds(result: Result, wanted: int) -> float:
    """Seconds for generating and judging, the first scaled to `wanted` tokens."""
    return result.generate_seconds * wanted / max(1, result.tokens) + result.judge_seconds


def ratio(rows: Sequence[dict[str, Any]], row: dict[str, Any]) -> float | None:
    """How many times the seconds of ours in the same cell; None without ours."""
    ours = [
        one
        for one in rows
        if (one["prompt"], one["n"], one["engine"]) == (row["prompt"], row["n"], "ours") and "error" not in one
    ]
    return row["even_seconds"] / ours[0]["even_seconds"] if ours and "error" not in row else None


def goals(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Other engines' seconds over ours at N = 8 of the shortest prompt; one that was not measured is missing.

    `vs_loop` and `vs_server_usual` generate and judge, `judging_vs_server_best` too; `vs_server_best` generates alone.
    """
    done = [row for row in rows if row["n"] == GOAL_N and "error" not in row]
    prompt = min((row["prompt"] for row in done), default=0)
    cell = {row["engine"]: row for row in done if row["prompt"] == prompt}
    wanted = {
        "vs_loop": ("loop", "even_seconds"),
        "vs_server_usual": ("server", "even_seconds"),
        "vs_server_best": ("server-best", "even_generate_seconds"),
        "judging_vs_server_best": ("server-best", "even_seconds"),
    }
    if "ours" not in cell:
        return {}
    return {name: cell[kind][key] / cell["ours"][key] for name, (kind, key) in wanted.items() if kind in cell}


def show(rows: Sequence[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Print the table; adds 'ratio' to the rows."""
    title = f"{arguments.model}, {arguments.threads} threads{', one core busy' if arguments.busy else ''}"
    table = Table(title=title)
    heads = ("prompt", "N", "engine", "generate s", "judge s", "total s", "tok/s", "prefill", "judged", "MiB", "ratio")
    for head in heads:
        table.add_column(head, justify="left" if head == "engine" else "right")
    for row in rows:
        first = (str(row["prompt"]), str(row["n"]), row["engine"])
        if "error" in row:
            table.add_row(*first, "failed")
            continue
        row["ratio"] = ratio(rows, row)
        seconds = (row[name] for name in ("generate_seconds", "judge_seconds", "total_seconds"))
        counts = (row[name] for name in ("prefill", "judge_prefill", "peak_mib"))
        table.add_row(
            *first,
            *(f"{value:.2f}" for value in seconds),
            f"{row['tokens_per_second']:.1f}",
            *map(str, counts),
            f"{row['ratio']:.2f}" if row["ratio"] else "–",
        )
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)


def machine(model: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "llama_cpp_python": VERSION,
        "cmake": cmake_args(),
        "model": model.name,
        "threads": arguments.threads,
        "gpu_layers": arguments.gpu_layers,
        "tokens": arguments.tokens,
        "busy": arguments.busy,
        "passive": arguments.passive,
        "repeat": arguments.repeat,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


if __name__ == "__main__":
    # A termination ends the engines too, as an interrupt does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    raise SystemExit(main())
