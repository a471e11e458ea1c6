"""One test per fault of pygls 2.1 that the server mends (protocol.py, language_server.py, documents.py)."""

import asyncio
import json
from typing import Any

import pytest
from lsprotocol import types

from patchwright_server.app import create_server
from patchwright_server.language_server import PatchwrightServer

pytestmark = pytest.mark.asyncio


class Wire:
    """Takes what the server writes and hands it messages, without a process."""

    def __init__(self, server: PatchwrightServer) -> None:
        self.server = server
        self.sent: list[dict[str, Any]] = []
        self.closed = False
        server.protocol.set_writer(self, include_headers=False)

    def write(self, data: bytes) -> None:
        if self.closed:
            raise BrokenPipeError
        self.sent.append(json.loads(data))

    def close(self) -> None:
        self.closed = True

    def give(self, **message: Any) -> None:
        text = json.dumps({"jsonrpc": "2.0", **message})
        self.server.protocol.handle_message(json.loads(text, object_hook=self.server.protocol.structure_message))

    def answer(self, number: int | str) -> dict[str, Any] | None:
        return next((one for one in self.sent if one.get("id") == number and "method" not in one), None)

    def requests(self, method: str) -> list[dict[str, Any]]:
        return [one for one in self.sent if one.get("method") == method and "id" in one]

    def start(self) -> None:
        self.give(id=1, method="initialize", params={"processId": None, "rootUri": None, "capabilities": {}})


@pytest.fixture
def wire() -> Wire:
    return Wire(create_server(lambda root: ("false",)))


def entries(wire: Wire) -> int:
    return len(wire.server.protocol._request_futures) + len(wire.server.protocol._result_types)


def open_document(wire: Wire, text: str) -> None:
    item = {"uri": "file:///r/a.py", "languageId": "python", "version": 1, "text": text}
    wire.give(method="textDocument/didOpen", params={"textDocument": item})


def change_document(wire: Wire, version: int, line: int, character: int, text: str) -> None:
    place = {"line": line, "character": character}
    wire.give(
        method="textDocument/didChange",
        params={
            "textDocument": {"uri": "file:///r/a.py", "version": version},
            "contentChanges": [{"range": {"start": place, "end": place}, "text": text}],
        },
    )


async def test_keystrokes_leave_nothing_behind(wire: Wire) -> None:
    wire.start()
    open_document(wire, "")
    before = entries(wire)
    for version in range(2, 102):
        change_document(wire, version, 0, 0, "x")
    await asyncio.sleep(0)
    assert wire.server.session.documents.get("file:///r/a.py").text == "x" * 100  # type: ignore[union-attr]
    assert entries(wire) == before


async def test_an_asynchronous_notification_handler_leaves_nothing_behind(wire: Wire) -> None:
    wire.start()
    before = entries(wire)
    for _ in range(20):
        wire.give(method="workspace/didChangeConfiguration", params={"settings": {}})
    for _ in range(5):
        await asyncio.sleep(0)
    assert entries(wire) == before


async def test_cancelling_a_command_stops_its_coroutine(wire: Wire) -> None:
    log: list[str] = []

    @wire.server.command("test.wait")
    async def wait(ls: PatchwrightServer, *arguments: Any) -> None:
        log.append("started")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    wire.start()
    wire.give(id=2, method="workspace/executeCommand", params={"command": "test.wait", "arguments": []})
    await asyncio.sleep(0.01)
    wire.give(method="$/cancelRequest", params={"id": 2})
    await asyncio.sleep(0.01)
    assert log == ["started", "cancelled"]
    assert (wire.answer(2) or {})["error"]["code"] == -32800


async def test_a_late_reply_to_a_cancelled_wait_is_ignored_and_not_shown(wire: Wire) -> None:
    wire.start()
    waiting = asyncio.ensure_future(wire.server.workspace_configuration_async(types.ConfigurationParams([])))
    await asyncio.sleep(0)
    asked = wire.requests("workspace/configuration")[-1]
    waiting.cancel()
    await asyncio.sleep(0)
    before = len(wire.sent)
    wire.give(id=asked["id"], result=[])
    await asyncio.sleep(0)
    assert wire.sent[before:] == []
    assert entries(wire) == 0


async def test_an_unanswered_request_leaves_no_result_type_once_given_up(wire: Wire) -> None:
    wire.start()
    waiting = asyncio.ensure_future(wire.server.workspace_configuration_async(types.ConfigurationParams([])))
    await asyncio.sleep(0)
    assert entries(wire) == 2
    waiting.cancel()
    await asyncio.sleep(0)
    assert entries(wire) == 0


async def test_shutdown_cancels_waiting_requests_and_answers(wire: Wire) -> None:
    @wire.server.feature("test/wait")
    async def wait(ls: PatchwrightServer, params: Any) -> None:
        await asyncio.sleep(30)

    wire.start()
    asked = asyncio.ensure_future(wire.server.workspace_configuration_async(types.ConfigurationParams([])))
    wire.give(id=2, method="test/wait", params={})
    await asyncio.sleep(0)
    wire.give(id=3, method="shutdown")
    await asyncio.sleep(0.05)
    assert wire.answer(3) is not None
    assert "error" not in (wire.answer(3) or {})
    assert (wire.answer(2) or {})["error"]["code"] == -32800
    assert asked.cancelled()


async def test_an_error_after_shutdown_is_not_reported_to_the_client(wire: Wire) -> None:
    wire.start()
    wire.give(id=3, method="shutdown")
    await asyncio.sleep(0.05)
    before = len(wire.sent)
    wire.close()
    wire.server.report_server_error(RuntimeError("late"), RuntimeError)
    assert wire.sent[before:] == []


async def test_exit_tells_whether_shutdown_came_first(wire: Wire) -> None:
    loop = asyncio.get_running_loop()
    wire.start()
    wire.server.protocol.exit_code = first = loop.create_future()
    wire.give(method="exit")
    assert first.result() == 1
    wire.give(id=3, method="shutdown")
    await asyncio.sleep(0.05)
    wire.server.protocol.exit_code = second = loop.create_future()
    wire.give(method="exit")
    assert second.result() == 0


@pytest.mark.parametrize("odd", ["\x0c", "\x0b", "\x1c", "\x85", "\u2028", "\u2029"])
async def test_positions_do_not_drift_behind_characters_lsp_does_not_count_as_line_ends(wire: Wire, odd: str) -> None:
    wire.start()
    open_document(wire, f"a{odd}b\nc\n")
    change_document(wire, 2, 1, 1, "!")
    assert wire.server.session.documents.get("file:///r/a.py").text == f"a{odd}b\nc!\n"  # type: ignore[union-attr]


async def test_parameters_of_custom_methods_keep_every_key(wire: Wire) -> None:
    seen: list[Any] = []

    @wire.server.feature("test/echo")
    def echo(ls: PatchwrightServer, params: Any) -> None:
        seen.append(params)

    wire.start()
    values = {"class": 1, "_private": {"type_name": "kept"}, "a-b": [{"x": None}]}
    wire.give(id=2, method="test/echo", params=values)
    assert seen == [values]
