"""How fast a model really runs here: tokens per second of a prefill and of decoding, measured in a child process.

Run as `python -m patchwright_engine.model.measure MODEL N_GPU_LAYERS N_BATCH THREADS`. A child, because loading can die
(see `selfcheck`) and because the memory is given back when it ends. Numbers are of this minute and this load.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.errors import ModelUnavailable
from patchwright_engine.model.build_flags import install_command
from patchwright_engine.model.llama import quiet_environment
from patchwright_engine.model.plan import MemoryPlan

_PROMPT_TOKENS = 256
_DECODED_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second of one sequence; search decodes several together and gets more in sum."""

    prefill: float
    decode: float
    load_seconds: float


def measure_speed(model_path: Path, plan: MemoryPlan, *, timeout_seconds: float = 300.0) -> Speed:
    """Load `model_path` as planned and time it.

    Raises:
        ModelUnavailable: llama.cpp is missing, dies or takes too long; `doctor` tells more.
    """
    numbers = [str(plan.n_gpu_layers), str(plan.n_batch), str(plan.threads)]
    argv = [sys.executable, "-P", "-m", "patchwright_engine.model.measure", str(model_path), *numbers]
    environment = os.environ | quiet_environment()
    cure = f"Run `patchwright doctor`. A rebuild with safe flags:\n  {install_command()}"
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=timeout_seconds, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise ModelUnavailable(f"measuring took more than {timeout_seconds:.0f} s.", cure) from error
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise ModelUnavailable(f"the model could not be measured: {last[0]}", cure)
    return Speed(**json.loads(done.stdout.splitlines()[-1]))


def _measure(path: str, n_gpu_layers: int, n_batch: int, threads: int) -> int:
    import llama_cpp

    started = time.monotonic()
    model = llama_cpp.Llama(
        path,
        n_ctx=_PROMPT_TOKENS + _DECODED_TOKENS + 8,
        n_batch=n_batch,
        n_threads=threads,
        n_threads_batch=threads,
        n_gpu_layers=n_gpu_layers,
        verbose=False,
    )
    words = model.tokenize(b"def total(values):\n    return sum(value for value in values if value)\n", add_bos=False)
    prompt = (words * (_PROMPT_TOKENS // len(words) + 1))[:_PROMPT_TOKENS]
    # The first decode reads the weights from the disk; it is part of loading.
    model.eval(words[:1])
    model.reset()
    loaded = time.monotonic()
    model.eval(prompt)
    read = time.monotonic()
    for token in prompt[:_DECODED_TOKENS]:
        model.eval([token])
    written = time.monotonic()
    answer = {
        "prefill": round(len(prompt) / (read - loaded), 1),
        "decode": round(_DECODED_TOKENS / (written - read), 1),
        "load_seconds": round(loaded - started, 1),
    }
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(_measure(sys.argv[1], *(int(number) for number in sys.argv[2:5])))
