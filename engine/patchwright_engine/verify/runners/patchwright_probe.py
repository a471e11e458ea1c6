"""Evaluates probes inside the sandbox: `patchwright_probe.py PROBES OUTCOMES [ENTRY]`, from the project's root.

PROBES is a JSON list of (setup, expression, file); OUTCOMES gets a line of JSON for each, its number and its outcome as
text, at once, so that a probe that ends the process costs only those after it. Runs under the project's own
interpreter, so it is plain Python 3.8 and imports nothing but the standard library. Every probe has a fresh namespace,
in which imports and `__file__` are as in its file, and bounded time. With ENTRY (see `patchwright_django`) each is a
test of Django's: the project's settings, an empty database, rolled back.
"""

from __future__ import annotations

import importlib
import itertools
import json
import re
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

PROBE_SECONDS = 2.0
ITEMS = 30
CHARS = 300


class _Overtime(BaseException):
    """The probe's time is up."""


def main(probes_path: str, outcomes_path: str, entry: str = "") -> None:
    probes = json.loads(Path(probes_path).read_text(encoding="utf-8"))
    django = importlib.import_module("patchwright_django") if entry else None
    # The folder of this file is ours; a project's module must not be found there.
    del sys.path[0]
    signal.signal(signal.SIGALRM, _overtime)
    root = Path.cwd()
    told = set()
    with Path(outcomes_path).open("a", encoding="utf-8") as out:

        def tell(number: int) -> None:
            told.add(number)
            out.write(json.dumps([number, _outcome(root, *probes[number])]) + "\n")
            out.flush()

        if django is not None:
            files = [file for _, _, file in probes if file]
            django.in_tests(entry, files, [partial(tell, number) for number in range(len(probes))])
        for number in range(len(probes)):
            if number not in told:  # Without Django, or where it could not be started: not every probe needs it.
                tell(number)


def _overtime(number: int, frame: object) -> None:  # noqa: ARG001 - as signal handlers are called
    raise _Overtime


def _outcome(root: Path, setup: str, expression: str, file: str) -> str:
    base, package = _home(root, file)
    namespace: dict[str, Any] = {"__name__": "probe", "__package__": package}
    if file:
        namespace["__file__"] = str(root / file)
    before = list(sys.path)
    if base not in before:
        sys.path.insert(0, base)
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
        sys.path[:] = before
    return re.sub(r"0x[0-9a-fA-F]{6,}", "0x…", text)[:CHARS]


def _home(root: Path, file: str) -> tuple[str, str]:
    """The folder that pytest would put on the path for a test file, and the package the file is in, dotted."""
    folder = (root / file).parent if file else root
    names: list[str] = []
    while folder != root and (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return str(folder), ".".join(names)


def _shown(value: Any) -> str:
    """An iterator is used up, since two of them always look different."""
    if hasattr(value, "__next__"):
        items = list(itertools.islice(value, ITEMS + 1))
        more = ", …" if len(items) > ITEMS else ""
        return "an iterator over [" + ", ".join(map(repr, items[:ITEMS])) + more + "]"
    return repr(value)


if __name__ == "__main__":
    main(*sys.argv[1:])
