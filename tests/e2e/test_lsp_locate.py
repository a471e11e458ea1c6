"""Suspected locations of a failing test, through the real server, engine host and sandbox: it is run and followed."""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from pygls.exceptions import JsonRpcException

from lsp_editor import REAL, Editor, editor

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(180)]

FAULT = "nothing_to_pay"
FILES = {
    "shop/__init__.py": "",
    "shop/cart.py": f"""\
def total(items):
    if not items:
        return {FAULT}()
    return sum(items)


def {FAULT}():
    return None


def empty_total():
    return 0
""",
    "tests/test_cart.py": """\
import unittest

from shop.cart import total


class CartTest(unittest.TestCase):
    def test_two(self):
        self.assertEqual(total([1, 2]), 3)

    def test_empty_total(self):
        self.assertEqual(total([]), 0)
""",
    "tests/test_slow.py": "import time\n\n\ndef test_slow():\n    time.sleep(500)\n",
}
SEEN = "runs in the failing test, rarely in passing ones"
SETTINGS = {"python": sys.executable}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    root = (tmp_path / "project").resolve()
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def here(session: Editor, name: str, words: str) -> dict[str, Any]:
    """The test at the line of `words`, as an editor's command asks for it."""
    text = session.buffers[session.uri(name)][1] if session.uri(name) in session.buffers else FILES[name]
    place = {"line": text[: text.index(words)].count("\n"), "character": 0}
    return {"uri": session.uri(name), "range": {"start": place, "end": place}, "test": True}


async def located(session: Editor, issue: dict[str, Any]) -> Any:
    return await asyncio.wait_for(session.client.protocol.send_request_async("patchwright/locate", issue), 90)


async def test_the_failing_test_at_the_cursor_is_run_and_followed(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    async with editor(project, REAL, settings=SETTINGS) as session:
        session.open("tests/test_cart.py", "# unsaved\n" + FILES["tests/test_cart.py"])
        answer = await located(session, here(session, "tests/test_cart.py", "total([]), 0"))
        assert "problem" not in answer
        seen = {one["name"]: one["uri"] for one in answer["locations"][:2] if SEEN in one["reasons"]}
        assert seen[FAULT] == session.uri("shop/cart.py")
        told = [update["message"] for update in session.updates if update["kind"] == "locate"]
        assert "following the failing test" in told
        # Without the test the words alone point elsewhere.
        words = await located(session, {"text": "test_empty_total fails", "uri": session.uri("shop/cart.py")})
        assert FAULT not in [one["name"] for one in words["locations"][:2]]
        assert not any(SEEN in one["reasons"] for one in words["locations"])
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "named",
    ["test_cart.py::CartTest::test_empty_total", "python -m unittest tests.test_cart.CartTest.test_empty_total"],
)
async def test_a_test_is_named_as_seen_from_the_folder_that_is_open(project: Path, named: str) -> None:
    subprocess.run(["git", "init", "-q", project], check=True)
    async with editor(project / "tests", REAL, settings=SETTINGS, folders=[project / "tests"]) as session:
        answer = await located(session, {"text": "An empty cart has no total.", "test": named})
        assert "problem" not in answer
        assert FAULT in [one["name"] for one in answer["locations"] if SEEN in one["reasons"]]


async def test_a_test_that_cannot_be_followed_is_said_beside_what_the_index_knows(project: Path) -> None:
    async with editor(project, REAL, settings=SETTINGS) as session:
        answer = await located(session, here(session, "tests/test_cart.py", "total([1, 2])"))
        assert "The test was not followed: the named tests do not fail here" in answer["problem"]
        assert "Name a test that fails" in answer["problem"]
        assert {one["name"] for one in answer["locations"]} >= {"total"}
        assert await session.command("locate", {"text": "`total` is wrong", "test": "make test"}) == {
            **await located(session, {"text": "`total` is wrong"}),
            "problem": _names_no_test("make test"),
            "seconds": pytest.approx(0, abs=60),
        }


def _names_no_test(command: str) -> str:
    return (
        f"The test was not followed: `{command}` names no test of this project. Name a test that fails because of the "
        "issue: tests/test_x.py::test_it, or the command that runs it."
    )


async def test_where_no_test_is_the_cure_is_told(project: Path) -> None:
    async with editor(project, REAL, settings=SETTINGS) as session:
        with pytest.raises(
            JsonRpcException, match=r"no test is at line 1 of shop/cart\.py.*Put the cursor into a test"
        ):
            await located(session, here(session, "shop/cart.py", "def total"))
        with pytest.raises(JsonRpcException, match="test must be a command"):
            await session.command("fix", here(session, "tests/test_cart.py", "total([]), 0"))


async def test_a_cancel_ends_the_test_that_is_followed(project: Path) -> None:
    async with editor(project, REAL, settings=SETTINGS) as session:
        asked = asyncio.create_task(located(session, {"text": "slow", "test": "tests/test_slow.py::test_slow"}))

        def runs() -> list[int]:
            found = []
            for one in psutil.Process(session.server_pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    found += [one.pid for word in one.cmdline() if "test_slow.py" in word]
            return found

        await session.until(runs, "the test running", 60)
        await session.command("cancel")
        with pytest.raises(JsonRpcException, match="Cancelled"):
            await asked
        await session.until(lambda: not runs(), "the end of the test")
