"""Evaluates probes inside the sandbox: `patchwright_probe.py PROBES OUTCOMES`, both JSON files.

Runs under the project's own interpreter, so it is plain Python 3.8 and imports nothing but the standard library.
Every probe has a fresh namespace, bounded time, and its outcome as text; each outcome is written at once, so that a
probe that ends the process costs only those after it.
"""

from __future__ import annotations

import itertools
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

PROBE_SECONDS = 2.0
ITEMS = 30
CHARS = 300


class _Overtime(BaseException):
    """The probe's time is up."""


def main(probes_path: str, outcomes_path: str) -> None:
    # The folder of this file is ours; a project's module must not be found there.
    del sys.path[0]
    probes = json.loads(Path(probes_path).read_text(encoding="utf-8"))
    signal.signal(signal.SIGALRM, _overtime)
    with Path(outcomes_path).open("a", encoding="utf-8") as out:
        for setup, expression in probes:
            out.write(json.dumps(_outcome(setup, expression)) + "\n")
            out.flush()


def _overtime(number: int, frame: object) -> None:  # noqa: ARG001 - as signal handlers are called
    raise _Overtime


def _outcome(setup: str, expression: str) -> str:
    namespace: dict[str, Any] = {"__name__": "probe"}
    signal.setitimer(signal.ITIMER_REAL, PROBE_SECONDS)
    try:
        exec(compile(setup, "<setup>", "exec"), namespace)
        value = eval(compile(expression, "<probe>", "eval"), namespace)
        text = "returns " + _shown(value)
    except _Overtime:
        text = "does not end"
    except BaseException as error:  # noqa: BLE001 - whatever the code raises is its behaviour
        text = "raises " + " ".join((type(error).__name__ + ": " + str(error)).split())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return re.sub(r"0x[0-9a-fA-F]{6,}", "0x…", text)[:CHARS]


def _shown(value: Any) -> str:
    """An iterator is used up, since two of them always look different."""
    if hasattr(value, "__next__"):
        items = list(itertools.islice(value, ITEMS + 1))
        more = ", …" if len(items) > ITEMS else ""
        return "an iterator over [" + ", ".join(map(repr, items[:ITEMS])) + more + "]"
    return repr(value)


if __name__ == "__main__":
    main(*sys.argv[1:])
