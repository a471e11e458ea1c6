"""Checks that a model really decodes here: in a child process, because a broken build dies instead of raising.

Run by `doctor`, and after an install by `python -m patchwright_engine.model.selfcheck --check NAME`. The child reads
a few lines of plain Python and measures how surprised the model is. An illegal instruction, a kill for memory or
numbers that make no sense come back as values with a cure; `check_decoding` itself does not raise.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.model.build_flags import VERSION, install_command
from patchwright_engine.model.llama import quiet_environment

# Long enough for every matrix kernel of a prefill to run (32 tokens and more take other paths than single ones).
_TEXT = """def factorial(n: int) -> int:
    if n == 0:
        return 1
    return n * factorial(n - 1)


def is_even(n: int) -> bool:
    return n % 2 == 0


for i in range(10):
    print(i, factorial(i), is_even(i))
"""
# Guessing among 152,000 tokens costs 11.9 nats; a 135M model reads this text at about 2, wrong kernels at 9 and more.
_MOST_NATS = 6.0
_CONTEXT = 256
_MISSING = 3
_CHECK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class DecodeCheck:
    """Whether the model decodes. `cure` is '' when it does."""

    ok: bool
    detail: str
    cure: str = ""
    gpu_offload: bool = False
    """Whether the installed llama.cpp can use a GPU at all."""


def check_decoding(model_path: Path, *, timeout_seconds: float) -> DecodeCheck:
    """Decode a few lines with `model_path` in a child process."""
    argv = [sys.executable, "-P", "-m", "patchwright_engine.model.selfcheck", str(model_path)]
    environment = os.environ | quiet_environment()
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return DecodeCheck(
            False,
            f"decoding a few lines took more than {timeout_seconds:.0f} s",
            "Close other programs or choose a smaller model; `patchwright models plan` shows what fits.",
        )
    except OSError as error:
        return DecodeCheck(False, f"the check could not be started: {error}", "Reinstall Patchwright.")
    return judge_child(done.returncode, done.stdout, done.stderr)


def judge_child(code: int, output: str, errors: str) -> DecodeCheck:
    """What the end of the child means. `code` is negative for a signal, as in `subprocess`."""
    if code == 0:
        try:
            answer = json.loads(output.splitlines()[-1])
            nats = float(answer["nats"])
        except (ValueError, LookupError, TypeError):
            return DecodeCheck(False, f"the check printed nonsense: {output[-200:]!r}", _rebuild())
        offload = bool(answer.get("gpu_offload"))
        if not math.isfinite(nats) or nats > _MOST_NATS:
            detail = f"the model loads, but its answers are garbage ({nats:.1f} nats a token on plain code)"
            return DecodeCheck(False, detail, f"The file or the build is broken. {_rebuild()}", offload)
        detail = f"read {answer['tokens']} tokens in {answer['seconds']:.1f} s ({nats:.1f} nats a token)"
        return DecodeCheck(True, detail, gpu_offload=offload)
    if code == _MISSING:
        return DecodeCheck(
            False,
            f"llama-cpp-python cannot be imported: {_last_line(errors)}",
            f"Install it with flags that are safe here:\n  {install_command()}",
        )
    if code == -signal.SIGILL:
        detail = "llama.cpp died with an illegal instruction: it was built for another processor than this one shows"
        return DecodeCheck(False, detail, _rebuild())
    if code == -signal.SIGKILL:
        return DecodeCheck(
            False,
            "the system killed the model, most likely for lack of memory",
            "Close other programs or choose a smaller model; `patchwright models plan` shows what fits.",
        )
    if code < 0:
        return DecodeCheck(False, f"llama.cpp died with {_signal_name(-code)}", _rebuild())
    return DecodeCheck(
        False,
        f"the model cannot be loaded: {_last_line(errors)}",
        f"Run `patchwright models verify`. If the file is whole, llama-cpp-python may be too old for it "
        f"({VERSION} is tested).",
    )


def _rebuild() -> str:
    return f"Rebuild llama-cpp-python with flags that are safe here:\n  {install_command()}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"


def _decode(path: str) -> int:
    """The child: print one JSON line about reading the text, or exit with `_MISSING` when llama.cpp is not there."""
    try:
        import llama_cpp
        import numpy as np
    except (ImportError, OSError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return _MISSING
    started = time.monotonic()
    model = llama_cpp.Llama(path, n_ctx=_CONTEXT, n_batch=_CONTEXT, logits_all=True, verbose=False, n_gpu_layers=-1)
    tokens = model.tokenize(_TEXT.encode(), add_bos=False)[: _CONTEXT - 8]
    model.eval(tokens)
    scores = np.array(model.scores[: len(tokens) - 1], dtype=np.float64)
    # One more token alone: single-token decoding runs other kernels than a prefill.
    model.eval([int(np.argmax(model.scores[len(tokens) - 1]))])
    scores -= scores.max(axis=1, keepdims=True)
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(tokens) - 1), tokens[1:]]
    single = model.scores[len(tokens)]
    nats = float(losses.mean()) if np.isfinite(single).all() and np.ptp(single) > 0 else math.inf
    answer = {
        "tokens": len(tokens),
        "nats": nats,
        "seconds": time.monotonic() - started,
        "gpu_offload": bool(llama_cpp.llama_supports_gpu_offload()),
    }
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    model.close()
    return 0


def _check(spec: str) -> int:
    """The parent, for an install script: check the model `spec` names, print what came of it and the cure."""
    from patchwright_engine.config import Settings
    from patchwright_engine.model.catalog import resolve_model

    resolved = resolve_model(spec, Settings())
    if resolved.path is None:
        return _MISSING
    check = check_decoding(resolved.path, timeout_seconds=_CHECK_SECONDS)
    sys.stdout.write(f"{resolved.name} {'decodes' if check.ok else 'does not decode'}: {check.detail}\n")
    if check.cure:
        sys.stdout.write(f"  {check.cure}\n")
    return 0 if check.ok else _MISSING


if __name__ == "__main__":
    raise SystemExit(_check(sys.argv[2]) if sys.argv[1] == "--check" else _decode(sys.argv[1]))
