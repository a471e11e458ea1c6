"""`patchwright doctor`: what works here, and the cure for what does not. Exit 0 when a fix could run, else 3."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from rich.console import Console

from patchwright_engine.config import Settings, folders, load_settings
from patchwright_engine.errors import PatchwrightError, SandboxUnavailable
from patchwright_engine.model.adapters import check_adapters
from patchwright_engine.model.build_flags import VERSION, install_command
from patchwright_engine.model.catalog import resolve_model
from patchwright_engine.model.gguf import read_gguf
from patchwright_engine.model.parameters import AdapterFile
from patchwright_engine.model.plan import plan_memory
from patchwright_engine.model.probe import Hardware, library_offloads, probe_hardware
from patchwright_engine.model.selfcheck import check_decoding
from patchwright_engine.sandbox.output import one_line
from patchwright_engine.syntax.languages import languages, missing_grammars

_DECODE_SECONDS = 180.0
_MARKS = {"ok": "ok  ", "warn": "note", "fail": "FAIL"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. A 'fail' keeps fixes from running; a 'warn' makes them slower or weaker."""

    name: str
    status: str
    """'ok', 'warn' or 'fail'."""
    detail: str
    cure: str = ""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the subcommand."""
    parser = subparsers.add_parser("doctor", help="check what works here; each failure with its cure")
    parser.add_argument(
        "--repo", type=Path, default=Path(), metavar="DIR", help="project whose tests matter (default: .)"
    )
    parser.add_argument("--model", metavar="NAME|PATH|URL", help="model to check (default: the one a fix would use)")
    parser.add_argument("--no-decode", action="store_true", help="do not load the model")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look at everything, then say it."""
    console = Console(stderr=True)
    hardware = probe_hardware()
    checks: list[Check] = []
    steps: list[Callable[[], list[Check]]] = [
        _python,
        _git,
        _languages,
        _folders,
        _llama,
        lambda: _model(args, hardware),
        lambda: _test_runner(args.repo.absolute()),
        _sandbox,
    ]
    with console.status("looking around"):
        for step in steps:
            checks += step()
    ready = all(check.status != "fail" for check in checks)
    if args.json:
        document = {"schema": 1, "ready": ready, "checks": [asdict(c) for c in checks], "machine": asdict(hardware)}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        sys.stdout.write("".join(_in_words(check) for check in checks))
        sys.stdout.write("\nReady: fixes can run.\n" if ready else "\nNot ready: mend what is marked FAIL.\n")
    return 0 if ready else 3


def _in_words(check: Check) -> str:
    cure = "".join(f"\n                    {one_line(line.strip())}" for line in check.cure.split("\n") if line.strip())
    return f"{_MARKS[check.status]}  {check.name:<13} {one_line(check.detail)}{cure}\n"


def _python() -> list[Check]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return [Check("python", "ok", f"{found} ({sys.executable})")]


def _git() -> list[Check]:
    path = shutil.which("git")
    cure = "Install git: `apt install git`, `brew install git`, or from git-scm.com."
    if path is None:
        return [Check("git", "fail", "not found", cure)]
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return [Check("git", "fail", f"does not run: {error}", cure)]
    return [Check("git", "ok", f"{done.stdout.strip().removeprefix('git version ')} ({path})")]


def _languages() -> list[Check]:
    """Every grammar must be there: an upgrade of the sources alone does not install new ones."""
    missing = missing_grammars()
    if missing:
        pinned = [line for line in requires("patchwright") or () if line.partition("==")[0] in missing]
        cure = f"Install what is missing: {sys.executable} -m pip install {' '.join(pinned or missing)}"
        return [Check("languages", "warn", f"read as text only, without symbols: {', '.join(missing)}", cure)]
    return [Check("languages", "ok", f"symbols of {', '.join(entry.name for entry in languages())}")]


def _folders() -> list[Check]:
    """Every folder that is written to must take a file."""
    ours = folders()
    for folder in (ours.models, ours.cache, ours.traces, ours.runtime):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"x")
        except OSError as error:
            cure = "Mend its permissions, or set PATCHWRIGHT_HOME to a folder of yours."
            return [Check("folders", "fail", f"{folder} cannot be written: {error.strerror}", cure)]
    free = shutil.disk_usage(ours.models).free
    return [Check("folders", "ok", f"{ours.data} and others can be written ({free / 1e9:.0f} GB free)")]


def _llama() -> list[Check]:
    try:
        found = version("llama-cpp-python")
    except PackageNotFoundError:
        cure = f"Install it with flags that are safe here:\n{install_command()}\nOr use a server: `--model URL`."
        return [Check("llama.cpp", "warn", "llama-cpp-python is not installed; local models cannot run", cure)]
    if found != VERSION:
        cure = f"If something fails, install the tested one:\n{install_command()}"
        return [Check("llama.cpp", "warn", f"llama-cpp-python {found}; {VERSION} is tested", cure)]
    return [Check("llama.cpp", "ok", f"llama-cpp-python {found}")]


def _model(args: argparse.Namespace, hardware: Hardware) -> list[Check]:
    """Installed, whole, fitting, and decoding; then the GPU, whose use only the loaded library can tell."""
    try:
        settings: Settings = load_settings()
        model = resolve_model(args.model, settings)
    except PatchwrightError as error:
        return [Check("model", "fail", error.message, error.cure), _gpu(hardware, None)]
    if model.path is None:
        return [Check("model", "ok", f"the server {model.url} (not asked)"), _gpu(hardware, None)]
    plan = plan_memory(read_gguf(model.path), hardware if library_offloads() is not False else hardware.without_gpus())
    detail = f"{model.name}, {model.path.stat().st_size / 1e9:.2f} GB, {plan.n_ctx:,} tokens of context"
    checks = [Check("model", "ok", detail)]
    if not plan.fits:
        cure = "Close other programs, or pull a smaller model; `patchwright models plan` shows what fits."
        checks = [Check("model", "warn", f"{detail}, but memory is short", cure)]
    checks += _adapters(model.adapters, model.path)
    if args.no_decode:
        return [*checks, _gpu(hardware, None)]
    decode = check_decoding(model.path, timeout_seconds=_DECODE_SECONDS)
    checks.append(Check("decoding", "ok" if decode.ok else "fail", decode.detail, decode.cure))
    return [*checks, _gpu(hardware, decode.gpu_offload if decode.ok else None)]


def _adapters(files: tuple[AdapterFile, ...], base: Path) -> list[Check]:
    if not files:
        return []
    try:
        found = check_adapters(files, base)
    except PatchwrightError as error:
        return [Check("adapters", "fail", error.message, error.cure)]
    return [Check("adapters", "ok", "; ".join(f"{adapter.role}: {adapter.path}" for adapter in found))]


def _gpu(hardware: Hardware, offload: bool | None) -> Check:
    """`offload`: whether llama.cpp was built for a GPU; None when that is not known."""
    if not hardware.gpus:
        return Check("GPU", "ok", f"none found; {hardware.threads} processor threads are used")
    names = ", ".join(f"{gpu.name} ({gpu.memory_total / (1 << 30):.0f} GiB)" for gpu in hardware.gpus)
    if offload is False:
        flag = {"cuda": "-DGGML_CUDA=ON", "rocm": "-DGGML_HIP=ON", "metal": "-DGGML_METAL=ON"}[hardware.gpus[0].backend]
        cure = f"Rebuild with the GPU:\n{install_command({'CMAKE_ARGS': flag})}"
        return Check("GPU", "warn", f"{names} is there, but llama.cpp was built without it", cure)
    return Check("GPU", "ok", names)


def _sandbox() -> list[Check]:
    """The level that runs would use, then every other that could exist here: it works, or why not and the cure."""
    from patchwright_engine.sandbox.select import PREFERENCE_VARIABLE, levels_here, probe, select_sandbox

    chosen = None
    try:
        sandbox = select_sandbox()
        chosen = sandbox.level
        checks = [Check("sandbox", "ok", f"{sandbox.level}: {sandbox.promises}")]
    except PatchwrightError as error:
        checks = [Check("sandbox", "fail", error.message, error.cure)]
        if not isinstance(error, SandboxUnavailable):  # No level can be tried for want of room.
            return checks
    for level in (probe(name) for name in levels_here() if name != chosen):
        if level.sandbox is not None:
            detail = f"works too ({PREFERENCE_VARIABLE}={level.name} chooses it): {level.sandbox.promises}"
            checks.append(Check(level.name, "ok", detail))
        else:
            checks.append(Check(level.name, "warn", f"does not work: {level.failure}", level.cure))
    return checks


def _test_runner(root: Path) -> list[Check]:
    from patchwright_engine.verify.choose import choose_environment

    try:
        settings = load_settings()
        override = Path(settings.python) if settings.python else None
        found = choose_environment(root, python=override, runner=settings.runner)
    except PatchwrightError as error:
        return [Check("test runner", "fail", error.message, error.cure)]
    detail = f"{found.runner} with {found.executable} ({found.reason})"
    told = dict.fromkeys(f"{text.rstrip('.')}." for text in (*found.notes, *found.considered))
    if found.runner == "unittest":
        mend = f"For pytest: `{found.executable} -m pip install pytest`, or set `python` in the settings"
        told[f"{mend} ({folders().config / 'config.toml'})."] = None
    weaker = bool(found.notes) or found.runner == "unittest"
    return [Check("test runner", "warn" if weaker else "ok", detail, "\n".join(told))]
