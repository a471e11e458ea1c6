"""A real process that uses the index of a folder as it is told, and dies where it is told.

Run as a program it reads one command a line and answers with one line, both JSON. Imports and grammars are loaded
once; what is to be killed is a fork of it.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import patchwright_engine

SEARCHED = (Path(__file__).parent, Path(patchwright_engine.__file__).parents[1])
FILES = 60
"""Three batches of the index."""


def texts(seed: int) -> dict[str, str]:
    """Unsaved texts of `FILES` files: about half of them are in the texts of the next seed too."""
    chosen = random.Random(seed)
    found = {}
    for number in range(FILES):
        version = seed - chosen.randrange(2)
        found[f"m{number}.py"] = (
            f"import m{(number + version) % FILES}\nLIMIT = {version}\n\n\nclass Thing:\n    '''Word {version}.'''\n\n"
            f"    def second(self):\n        return first(m{number}, {version})\n"
            "\n\ndef first(value):\n    return value\n"
        )
    return found


class IndexProcess:
    """Another process on the index of `root`; a context manager."""

    def __init__(self, root: Path, cache: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(root), str(cache)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, SEARCHED))},
        )

    def __enter__(self) -> "IndexProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()

    def tell(self, command: str, **values: Any) -> None:
        """Give a command without waiting for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **values}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """The answer to the oldest command not answered yet."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process died"
        return json.loads(line)

    def ask(self, command: str, **values: Any) -> Any:
        self.tell(command, **values)
        return self.answer()


def main(root: Path, cache: Path) -> None:
    """Answer commands until standard input ends."""
    from index_answers import said
    from patchwright_engine.control import CancelToken
    from patchwright_engine.index import Index, open_index, store
    from patchwright_engine.index import refresh as refreshing
    from patchwright_engine.syntax.parse import parse_symbols
    from patchwright_engine.types import RepoPath
    from patchwright_engine.workspace.snapshot import take_snapshot

    store.KEEP_AT_LEAST, store.KEEP_STALE = 0, 1  # So that something is forgotten all the time.
    refreshing.STORED_TOGETHER = 25  # Several transactions a refresh.
    parse_symbols(RepoPath("m.py"), b"")  # Loads the grammar, once for all forks.
    connect = store._connect
    index: Index | None = None

    def refresh(index: Index, seed: int) -> None:
        overlays = {RepoPath(path): text for path, text in texts(seed).items()}
        index.refresh(take_snapshot(root, overlays), CancelToken())

    def be_killed(seed: int, at: Mapping[str, Any]) -> None:
        def watched(location: Path | None) -> sqlite3.Connection:
            connection = connect(location)
            if "statement" in at:
                connection.set_trace_callback(_dies_at(at["statement"], at["number"]))
            if "steps" in at:
                connection.set_progress_handler(_dies_after(at["steps"]), 10)
            return connection

        store._connect = watched
        with open_index(root, cache) as own:
            refresh(own, seed)

    for line in sys.stdin:
        order = json.loads(line)
        answer: Any = None
        if order["command"] == "die":
            answer = _ends(partial(be_killed, order["seed"], order["at"]), order["at"].get("seconds"))
        elif order["command"] == "close":
            index = index and index.close()
        else:
            index = index or open_index(root, cache)
            if order["command"] == "refresh":
                refresh(index, order["seed"])
            elif order["command"] == "said":
                answer = said(index)
            elif order["command"] == "rounds":
                answer = []
                for seed in order["seeds"]:
                    refresh(index, seed)
                    answer.append(said(index))
        print(json.dumps(answer), flush=True)  # noqa: T201 - the answer
    if index is not None:
        index.close()


def _ends(work: Callable[[], None], seconds: float | None) -> int:
    """The signal that ended a fork of this process that did `work`; 0 when it came to its end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the work itself failed"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _dies_at(beginning: str, number: int) -> Callable[[str], None]:
    """Kills this process as the statement begins that is the `number`th to begin so."""
    left = [number]

    def look(statement: str) -> None:
        if statement.lstrip().startswith(beginning):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return look


def _dies_after(steps: int) -> Callable[[], int]:
    """Kills this process in the middle of a statement, after so many tens of steps of SQLite's machine."""
    left = [steps]

    def count() -> int:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    return count


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
