"""The real server killed in the middle of a real search: the next one goes on, and the model is asked nothing twice."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from demo_project import CALC, FILES, FIXED, ISSUE, JUDGE, PIECES, REPAIR, REPRODUCTION, check_untouched
from lsp_editor import REAL, Editor, editor
from scripted_model import Rule, ScriptedServer, serve_scripted

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(180)]

SLOW_REPAIR = Rule(REPAIR.answers, match=REPAIR.match, delay=3.0)


@pytest.fixture
def model() -> Iterator[ScriptedServer]:
    """A model that takes three seconds for a patch."""
    with serve_scripted(FILES, PIECES, REPRODUCTION, SLOW_REPAIR, JUDGE) as server:
        yield server


async def kill_while_it_waits_for_a_patch(session: Editor, job: str, model: ScriptedServer) -> None:
    await session.until(lambda: any("rewriting" in str(body["messages"]) for body in model.bodies), "repair", 60)
    family = psutil.Process(session.server_pid).children()
    await session.kill()
    assert psutil.wait_procs(family, timeout=15)[1] == []


async def go_on(session: Editor, job: str) -> dict[str, Any]:
    await session.until(lambda: session.asked, "the question", 60)
    session.answer("Continue")
    await session.until(lambda: session.jobs[job]["state"] == "done", "the end of the job", 90)
    return session.jobs[job]


async def test_a_search_goes_on_after_a_kill_and_pays_for_no_answer_again(
    project: Path, settings: dict[str, Any], model: ScriptedServer
) -> None:
    async with editor(project, REAL, settings=settings) as session:
        job = await session.fix(ISSUE)
        await kill_while_it_waits_for_a_patch(session, job, model)
    async with editor(project, REAL, settings=settings) as session:
        end = await go_on(session, job)
        assert (end["stopped"], end["bestEvidence"]) == ("verified", "reproduced")
        asked = Counter(json.dumps(body, sort_keys=True) for body in model.bodies)
        again = [body for body, times in asked.items() if times > 1]
        assert all("rewriting" in body for body in again), again  # only what was never answered
        assert sum("rewriting" not in body for body in asked) >= 2
        assert (await session.command("applyFix", {"fix": end["fixes"][0]["id"]}))["applied"]
        assert session.text("calc.py") == FIXED


async def test_a_search_that_goes_on_works_on_what_is_there_now(
    project: Path, settings: dict[str, Any], model: ScriptedServer
) -> None:
    async with editor(project, REAL, settings=settings) as session:
        session.open("calc.py")
        job = await session.fix(ISSUE)
        await kill_while_it_waits_for_a_patch(session, job, model)
    async with editor(project, REAL, settings=settings) as session:
        unsaved = "# Größen, noch ungespeichert 漢字 😀:\n"
        session.open("calc.py", unsaved + CALC)
        end = await go_on(session, job)
        assert end["bestEvidence"] == "reproduced"
        assert (await session.command("applyFix", {"fix": end["fixes"][0]["id"]}))["applied"]
        assert session.text("calc.py") == unsaved + FIXED
        check_untouched(project)
