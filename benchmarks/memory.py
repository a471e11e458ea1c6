"""Does the memory plan say what llama.cpp really allocates?

    python benchmarks/memory.py [--model FILE.gguf ...] [--quick] [--json OUT]

Every configuration is loaded in a process of its own, the way the model host loads it. Real are the buffers llama.cpp
logs (weights, KV cache, compute) and the bytes of its output rows; planned is what `plan.memory_need` says for the
same load parameters. Exits 1 when any differs by more than 5 %. Without --model: the installed models of the catalog.

Weights count each tensor once, as long as one is needed. On a CPU llama.cpp may repack tensors into a second copy
(CPU_REPACK) beside the mapped file; the mapped pages of those are never read again and go when memory is needed, so
they are printed ("mapped twice") and not counted. `anonymous` is what the kernel cannot take back, after a prefill.
"""

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from patchwright_engine.model.catalog import load_catalog
from patchwright_engine.model.gguf import read_gguf
from patchwright_engine.model.llama import quiet_environment
from patchwright_engine.model.parameters import LoadParameters
from patchwright_engine.model.plan import memory_need

LIMIT = 0.05
_MIB = 1 << 20
_BUFFER = re.compile(r"(\S+)\s+(model|KV|compute|output) buffer size = +([\d.]+) MiB")


@dataclass(frozen=True, slots=True)
class Real:
    """What one load took, in bytes."""

    weights: int
    kv: int
    compute: int
    mapped_twice: int
    """Pages of the file whose tensors live in a repacked copy."""
    anonymous: int
    """Resident memory the kernel cannot drop, after a prefill of one batch; the interpreter's included."""
    buffers: tuple[tuple[str, str, int], ...]
    """As logged: device, kind, bytes."""


def main() -> int:
    """Measure, print a table, and write OUT when asked; 1 when the plan is wrong by more than `LIMIT`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, action="append", help="GGUF file (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="two configurations a model instead of twelve")
    parser.add_argument("--gpu-layers", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="OUT")
    args = parser.parse_args()
    paths = args.model or [entry.installed_path for entry in load_catalog().entries if entry.installed]
    rows = []
    for path, wanted in product(paths, configurations(quick=args.quick)):
        parameters = dataclasses.replace(wanted, n_gpu_layers=args.gpu_layers)
        rows.append(compare(path, parameters, measure(path, parameters)))
    Console(width=160).print(_table(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return int(not rows or any(abs(row["error"]) > LIMIT for row in rows))


def configurations(*, quick: bool) -> list[LoadParameters]:
    """What is loaded: contexts, KV types, batches and sequences, each seen with several of the others."""
    if quick:
        return [_parameters(8192, "f16", 256, 8), _parameters(4096, "q8_0", 512, 4)]
    return [
        _parameters(n_ctx, kv_type, n_batch, n_seq)
        for n_ctx, kv_type in product((4096, 8192, 16_384), ("f16", "q8_0"))
        for n_batch, n_seq in ((256, 8), (512, 4))
    ] + [_parameters(8192, "q4_0", 256, 8), _parameters(32_768, "f16", 512, 8)]


def _parameters(n_ctx: int, kv_type: str, n_batch: int, n_seq: int) -> LoadParameters:
    return LoadParameters(n_ctx=n_ctx, context_tokens=n_ctx, kv_type=kv_type, n_batch=n_batch, n_seq=n_seq)


def measure(path: Path, parameters: LoadParameters) -> Real:
    """Load `path` in a child process and read what it took. Raises CalledProcessError."""
    argv = [sys.executable, "-P", __file__, "--child", str(path), json.dumps(dataclasses.asdict(parameters))]
    environment = os.environ | quiet_environment()
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, env=environment, timeout=600)
    document = json.loads(done.stdout.splitlines()[-1])
    document["buffers"] = tuple(tuple(buffer) for buffer in document["buffers"])
    return Real(**document)


def compare(path: Path, parameters: LoadParameters, real: Real) -> dict[str, Any]:
    """One row: planned and real, part by part, and the error of the sum and of the worst part."""
    need = memory_need(read_gguf(path), parameters)
    planned = {"weights": need.weights, "kv": need.kv, "compute": need.compute}
    found = {"weights": real.weights, "kv": real.kv, "compute": real.compute}
    errors = {part: planned[part] / found[part] - 1 for part in planned}
    return {
        "model": path.stem,
        "parameters": dataclasses.asdict(parameters),
        "planned": planned,
        "real": found,
        "errors": errors,
        "error": max([*errors.values(), sum(planned.values()) / sum(found.values()) - 1], key=abs),
        "mapped_twice": real.mapped_twice,
        "anonymous": real.anonymous,
        "buffers": real.buffers,
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="planned / real, MiB")
    for name in ("model", "context", "KV", "batch", "seqs", "weights", "KV cache", "compute", "worst error"):
        table.add_column(name, justify="left" if name in ("model", "KV") else "right")
    table.add_column("mapped twice", justify="right")
    table.add_column("anonymous", justify="right")
    for row in rows:
        wanted = row["parameters"]
        cells = [f"{row['planned'][part] / _MIB:.1f} / {row['real'][part] / _MIB:.1f}" for part in row["planned"]]
        table.add_row(
            row["model"].removesuffix("-instruct-q4_k_m"),
            *(str(wanted[key]) for key in ("n_ctx", "kv_type", "n_batch", "n_seq")),
            *cells,
            f"{row['error']:+.1%}",
            *(f"{row[key] / _MIB:.0f}" for key in ("mapped_twice", "anonymous")),
        )
    return table


def _child(path: Path, parameters: LoadParameters) -> None:
    """Load, decode one batch whose every row wants logits, and print what that took as JSON."""
    from patchwright_engine.model import llama
    from patchwright_engine.model.library import error_log, library

    lines: list[str] = []
    # The context would set a hook of its own; it does so once a process.
    error_log()
    lib = library()
    hook = lib.llama_log_callback(lambda _level, text, _data: lines.append(text.decode("utf-8", "replace")))
    lib.llama_log_set(hook, None)
    context = llama.LlamaContext(path, parameters)
    count = min(parameters.n_batch, parameters.n_ctx)
    context.decode([llama.Row(token % 1000, token, 0, True) for token in range(count)])
    buffers = [(where, kind, round(float(size) * _MIB)) for where, kind, size in _BUFFER.findall("".join(lines))]
    tensors = int(lib.llama_model_size(context._model))
    of = {kind: sum(size for _, other, size in buffers if other == kind) for _, kind, _ in buffers}
    document = {
        "weights": tensors,
        "kv": of["KV"],
        # llama.cpp reserves rows for the sequences at first, and grows the buffer when a batch asks for more.
        "compute": of["compute"] + max(of["output"], 4 * count * context.n_vocab),
        "mapped_twice": max(0, of["model"] - tensors),
        "anonymous": _anonymous(),
        "buffers": buffers,
    }
    context.close()
    sys.stdout.write(json.dumps(document) + "\n")


def _anonymous() -> int:
    status = Path("/proc/self/status")
    found = re.search(r"^RssAnon:\s+(\d+) kB$", status.read_text(), re.MULTILINE) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(Path(sys.argv[2]), LoadParameters(**json.loads(sys.argv[3])))
    else:
        sys.exit(main())
