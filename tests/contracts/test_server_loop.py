"""The server's event loop never computes: no single turn of it costs more than 5 ms of processor time (DESIGN §6)."""

import asyncio
import gc
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from patchwright_server.app import create_server
from patchwright_server.language_server import PatchwrightServer

LIMIT_SECONDS = 0.005
HOST = Path(__file__).parents[1] / "server" / "scripted_host.py"
TEXT = "# 😀 é\ndef add(a, b):\n    return '😀', a - b\n" + "x = 'some text of usual length'  # é\n" * 3000


class Session:
    """A server on an event loop of its own, in a thread of its own: every turn of that loop is the server's."""

    def __init__(self, root: Path) -> None:
        self.server: PatchwrightServer = create_server(lambda _: (sys.executable, str(HOST), "--root", str(root)))
        self.server.protocol.set_writer(self, include_headers=False)
        self.sent: list[bytes] = []
        self.number = 0
        self.seen = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        """The writer's part of pygls's interface; nothing to do."""

    def end(self) -> None:
        """Shut the server down and stop its loop."""
        self.ask("shutdown", None)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def give(self, method: str | None, number: int | str | None = None, **body: Any) -> None:
        values = {"jsonrpc": "2.0", "id": number, "method": method, **body}
        text = json.dumps({key: value for key, value in values.items() if value is not None})

        def handle() -> None:
            protocol = self.server.protocol
            protocol.handle_message(json.loads(text, object_hook=protocol.structure_message))

        self.loop.call_soon_threadsafe(handle)

    def ask(self, method: str, params: Any) -> Any:
        self.number += 1
        number = self.number
        self.give(method, number, params=params)
        return self.until(lambda m: m.get("id") == number and "method" not in m)

    def until(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        for _ in range(3000):
            while self.seen < len(self.sent):
                message = json.loads(self.sent[self.seen])
                self.seen += 1
                if message.get("method") == "window/workDoneProgress/create":
                    self.give(None, message["id"], result=0)
                elif wanted(message):
                    return dict(message)
            time.sleep(0.01)
        raise AssertionError("timeout")


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[float, str]]]:
    """Processor time of every turn of the loop; a busy machine does not change it."""
    seen: list[tuple[float, str]] = []
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> Any:
        started = time.thread_time()
        try:
            return run(handle)
        finally:
            seen.append((time.thread_time() - started, repr(handle)))

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    gc.freeze()  # what pytest holds is not the server's to collect
    yield seen
    gc.unfreeze()


def _work(session: Session, root: Path, version: int) -> None:
    """What an editor does around one job: open, type, start, list and resolve actions, close."""
    uri = (root / "calc.py").as_uri()
    place = {"line": 2, "character": 4}
    where = {"start": place, "end": place}
    document = {"uri": uri, "languageId": "python", "version": version, "text": TEXT}
    session.give("textDocument/didOpen", params={"textDocument": document})
    for number in range(20):
        session.give(
            "textDocument/didChange",
            params={
                "textDocument": {"uri": uri, "version": version + number + 1},
                "contentChanges": [
                    {"range": {"start": {"line": 0, "character": 3}, "end": {"line": 0, "character": 3}}, "text": "ä"}
                ],
            },
        )
    answer = session.ask(
        "workspace/executeCommand", {"command": "patchwright.fix", "arguments": [{"text": "fix it", "uri": uri}]}
    )
    job = answer["result"]["job"]
    session.until(lambda m: m.get("params", {}).get("job") == job and m["params"]["state"] == "done")
    listed = session.ask(
        "textDocument/codeAction",
        {"textDocument": {"uri": uri}, "range": where, "context": {"diagnostics": []}},
    )
    resolved = session.ask("codeAction/resolve", listed["result"][0])
    assert resolved["result"]["edit"]["documentChanges"]
    session.give("textDocument/didClose", params={"textDocument": {"uri": uri}})


def test_no_turn_of_the_loop_takes_long_while_a_job_runs(
    tmp_path: Path, turns: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    root = tmp_path / "project"
    root.mkdir()
    (root / "calc.py").write_text(TEXT, encoding="utf-8")
    session = Session(root)
    session.ask(
        "initialize",
        {
            "processId": None,
            "rootUri": root.as_uri(),
            "capabilities": {
                "window": {"workDoneProgress": True},
                "workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True}},
                "textDocument": {
                    "codeAction": {
                        "codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["quickfix"]}},
                        "dataSupport": True,
                        "resolveSupport": {"properties": ["edit"]},
                    }
                },
            },
        },
    )
    session.give("initialized", params={})
    _work(session, root, 1)  # the first of each message makes lsprotocol write its converters, once a process
    turns.clear()
    _work(session, root, 100)
    slow = [(seconds, what) for seconds, what in turns if seconds > LIMIT_SECONDS]
    session.end()
    assert len(turns) > 50
    assert slow == []


def test_the_monitor_sees_a_handler_that_computes(tmp_path: Path, turns: list[tuple[float, str]]) -> None:
    session = Session(tmp_path)

    @session.server.feature("test/compute")
    def compute(ls: PatchwrightServer, params: Any) -> int:
        return sum(range(3_000_000))

    session.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
    turns.clear()
    session.ask("test/compute", {})
    session.end()
    assert max(seconds for seconds, _ in turns) > LIMIT_SECONDS
