"""The real language server, engine host, pipeline and sandbox, driven as VS Code and as Neovim would.

The model is scripted (a real HTTP server) but for the last tests, which run the real 0.5B.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from demo_project import CALC, FILES, FIXED, ISSUE, JUDGE, PIECES, REPAIR, REPRODUCTION, check_untouched
from lsp_editor import REAL, Editor, editor
from scripted_model import Rule, serve_scripted

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(180)]

SLOW_REPAIR = Rule(REPAIR.answers, match=REPAIR.match, delay=3.0)
HANGING_REPAIR = Rule(REPAIR.answers, match=REPAIR.match, fault="hang")


@pytest.fixture
def slow_settings(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """As `settings`, with a model that takes three seconds for a patch."""
    with serve_scripted(FILES, PIECES, REPRODUCTION, SLOW_REPAIR, JUDGE) as server:
        yield {**settings, "model": server.url}


async def reach(session: Editor, job: str, stage: str) -> None:
    await session.until(
        lambda: any(u["job"] == job and u["stage"] == stage for u in session.updates), f"stage {stage}", 60
    )


@pytest.mark.parametrize("client_name", ["visual-studio-code", "neovim"])
async def test_an_issue_is_fixed_verified_offered_and_applied_over_unsaved_text(
    project: Path, settings: dict[str, Any], client_name: str
) -> None:
    async with editor(project, REAL, client_name=client_name, settings=settings) as session:
        assert session.encoding == ("utf-8" if client_name == "neovim" else "utf-16")
        uri = session.open("calc.py")
        session.edit("calc.py", "# Größen:", "# Größen, noch ungespeichert 漢字 😀:\n#")
        job = await session.fix(ISSUE, uri=uri)
        end = await session.end_of(job, 90)
        assert (end["state"], end["stopped"], end["bestEvidence"]) == ("done", "verified", "reproduced")
        stages = [update["stage"] for update in session.updates if update["job"] == job]
        for stage in ("understand", "locate", "reproduce", "repair", "verify"):
            assert stage in stages
        session.edit("calc.py", "# Größen", "# é😀 more\n# Größen")
        now = session.text("calc.py")
        action, with_test = await session.actions("calc.py", now[: now.index("a - b")].count("\n"))
        assert action.title == "Apply verified fix 1 of 1: reproduction passes, 1 test passes"
        assert with_test.title.startswith("Apply verified fix 1 of 1 and add its regression test: ")
        _, made, written = (await session.resolve(with_test)).edit.document_changes
        assert (made.kind, made.uri == written.text_document.uri) == ("create", True)
        assert "def test_" in written.edits[0].new_text
        resolved = await session.resolve(action)
        (change,) = resolved.edit.document_changes
        assert change.text_document.version == 3
        assert session.take(resolved.edit)
        assert session.text("calc.py") == now.replace("a - b", "a + b")
        check_untouched(project)


async def test_a_failing_test_the_user_names_gives_the_strongest_evidence(
    project: Path, settings: dict[str, Any]
) -> None:
    (project / "test_add.py").write_text("from calc import add\n\n\ndef test_add():\n    assert add(2, 3)[0] == 5\n")
    async with editor(project, REAL, settings=settings) as session:
        command = f"{sys.executable} -m pytest -q test_add.py"
        end = await session.end_of(await session.fix(ISSUE, test=command), 90)
        assert end["bestEvidence"] == "failing_test"
        report = await session.command("showFix", {"fix": end["fixes"][0]["id"], "open": False})
        assert "user_test" in [run["kind"] for run in report["runs"]]
        assert (await session.command("applyFix", {"fix": end["fixes"][0]["id"]}))["applied"]
        assert session.text("calc.py") == FIXED
        versions = [change.text_document.version for change in session.edits[0].edit.document_changes]
        assert versions == [None]


async def test_a_diagnostic_is_fixed_through_its_code_action(project: Path, settings: dict[str, Any]) -> None:
    async with editor(project, REAL, settings=settings) as session:
        session.open("calc.py")
        where = types.Range(types.Position(4, 4), types.Position(4, 10))
        problem = types.Diagnostic(where, "add(2, 3)[0] returns -1, expected 5", source="review", code="R1")
        (action,) = await session.actions("calc.py", 4, problem)
        started = await session.command("fix", *action.command.arguments)
        end = await session.end_of(started["job"], 90)
        assert end["state"] == "done"
        assert end["fixes"][0]["files"] == ["calc.py"]
        check_untouched(project)


async def test_the_lines_change_under_a_running_job_and_the_fix_is_withdrawn(
    project: Path, slow_settings: dict[str, Any]
) -> None:
    async with editor(project, REAL, settings=slow_settings) as session:
        session.open("calc.py")
        job = await session.fix(ISSUE)
        await reach(session, job, "repair")
        session.edit("calc.py", "return a - b", "return b - a")
        end = await session.end_of(job, 90)
        assert end["state"] == "done"
        (action,) = await session.actions("calc.py", 4)
        assert "edited since" in action.disabled.reason
        with pytest.raises(JsonRpcException, match="withdrawn"):
            await session.resolve(action)
        with pytest.raises(JsonRpcException, match="withdrawn"):
            await session.command("applyFix", {"fix": end["fixes"][0]["id"]})


@pytest.mark.parametrize("changed", ["# a new first line\n" + CALC, CALC + "# a new last line\n"])
async def test_a_file_changed_on_disk_under_a_running_job_is_said_and_asks_for_a_new_start(
    project: Path, slow_settings: dict[str, Any], changed: str
) -> None:
    async with editor(project, REAL, settings=slow_settings) as session:
        job = await session.fix(ISSUE)
        await reach(session, job, "repair")
        (project / "calc.py").write_text(changed, encoding="utf-8")
        end = await session.end_of(job, 90)
        assert (end["state"], end["fixes"]) == ("failed", [])
        assert end["message"].startswith("calc.py ")
        assert "again" in end["cure"]


async def test_a_file_changed_on_disk_after_the_job_takes_the_fix_where_it_now_belongs(
    project: Path, settings: dict[str, Any]
) -> None:
    async with editor(project, REAL, settings=settings) as session:
        end = await session.end_of(await session.fix(ISSUE), 90)
        (project / "calc.py").write_text("# a new first line\n" + CALC, encoding="utf-8")
        assert (await session.command("applyFix", {"fix": end["fixes"][0]["id"]}))["applied"]
        assert session.text("calc.py") == "# a new first line\n" + FIXED


async def test_a_cancel_is_felt_within_half_a_second_and_reaches_the_model(
    project: Path, settings: dict[str, Any]
) -> None:
    with serve_scripted(FILES, PIECES, REPRODUCTION, HANGING_REPAIR, JUDGE) as server:
        async with editor(project, REAL, settings={**settings, "model": server.url}) as session:
            job = await session.fix(ISSUE)
            await session.until(lambda: any("rewriting" in str(b["messages"]) for b in server.bodies), "repair", 60)
            started = time.monotonic()
            session.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(f"patchwright/{job}"))
            end = await session.end_of(job)
            assert end["state"] == "cancelled"
            assert time.monotonic() - started < 0.5
            await session.until(lambda: server.hang_ups, "the engine to hang up on the model", 5)
            check_untouched(project)


async def test_without_a_model_the_error_names_the_cure(project: Path) -> None:
    async with editor(project, REAL) as session:
        end = await session.end_of(await session.fix(ISSUE), 60)
        assert end["state"] == "failed"
        shown = await session.until(
            lambda: [m for m in session.client.messages if m.type == types.MessageType.Error], "the message"
        )
        assert "patchwright models pull" in shown[0].message


async def test_a_killed_engine_loses_the_job_and_the_next_one_succeeds(
    project: Path, slow_settings: dict[str, Any]
) -> None:
    async with editor(project, REAL, settings=slow_settings) as session:
        job = await session.fix(ISSUE)
        await reach(session, job, "repair")
        engine = next(
            child
            for child in psutil.Process(session.server_pid).children()
            if "patchwright_engine.host" in child.cmdline()
        )
        os.kill(engine.pid, signal.SIGKILL)
        end = await session.end_of(job, 30)
        assert (end["state"], "stopped unexpectedly" in end["message"]) == ("failed", True)
        assert (await session.end_of(await session.fix(ISSUE), 90))["state"] == "done"
        check_untouched(project)


async def test_a_search_is_deepened_from_its_trace(project: Path, settings: dict[str, Any], model: Any) -> None:
    async with editor(project, REAL, settings=settings) as session:
        first = await session.fix(ISSUE)
        await session.end_of(first, 90)
        asked = len(model.bodies)
        second = (await session.command("fixDeeper", {"job": first}))["job"]
        end = await session.end_of(second, 90)
        assert (end["state"], end["budget"]) == ("done", 8)
        assert len(model.bodies) == asked  # everything it needed was in the trace


async def test_the_report_of_a_job_is_opened_outside_the_editor(project: Path, settings: dict[str, Any]) -> None:
    async with editor(project, REAL, settings=settings) as session:
        job = await session.fix(ISSUE)
        await session.end_of(job, 90)
        told = await session.command("showTrace", {"job": job})
        page = Path(told["page"])
        assert page == Path(told["path"]).with_suffix(".html")
        assert "Verified fix found" in page.read_text(encoding="utf-8")
        assert page.stat().st_mode & 0o077 == 0
        [shown] = session.client.shown_documents
        assert (shown.external, shown.uri) == (True, page.as_uri())
        raw = await session.command("showTrace", {"job": job, "page": False})
        assert (raw["path"], raw["page"]) == (told["path"], None)
        assert session.client.shown_documents[-1].uri == Path(told["path"]).as_uri()
        check_untouched(project)


@pytest.fixture
def real_settings(small_model_path: Path, settings: dict[str, Any], tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The real 0.5B; its host outlives a session by design, but not the test."""
    yield {**settings, "model": str(small_model_path)}
    for process in psutil.process_iter(["cmdline"]):
        try:
            if "patchwright_engine.model.host" not in (process.info["cmdline"] or ()):
                continue
            if process.environ().get("PATCHWRIGHT_HOME") == str(tmp_path / "home"):
                process.kill()
        except psutil.Error:
            continue


@pytest.mark.model
@pytest.mark.timeout(600)
async def test_the_real_small_model_runs_every_stage_and_ends_properly(
    project: Path, real_settings: dict[str, Any]
) -> None:
    async with editor(project, REAL, settings=real_settings) as session:
        session.open("calc.py")
        job = await session.fix(ISSUE)
        end = await session.end_of(job, 500)
        assert end["state"] == "done"
        assert end["stopped"] in ("verified", "budget", "no_candidates")
        stages = {update["stage"] for update in session.updates if update["job"] == job}
        assert {"understand", "locate", "reproduce", "repair"} <= stages
        assert end["rollouts"] >= 1
        for fix in end["fixes"]:
            report = await session.command("showFix", {"fix": fix["id"], "open": False})
            assert report["diff"].startswith("--- a/")
        trace = (await session.command("showTrace", {"job": job, "open": False}))["path"]
        assert Path(trace).stat().st_size > 0
        check_untouched(project)


@pytest.mark.model
@pytest.mark.timeout(300)
async def test_the_real_small_model_is_cancelled_within_half_a_second(
    project: Path, real_settings: dict[str, Any]
) -> None:
    async with editor(project, REAL, settings={**real_settings, "budget": "deep"}) as session:
        job = await session.fix(ISSUE)
        await session.until(lambda: session.jobs[job]["stage"] in ("understand", "locate"), "decoding", 120)
        await asyncio.sleep(0.5)
        started = time.monotonic()
        await session.command("cancel", {"job": job})
        assert (await session.end_of(job))["state"] == "cancelled"
        assert time.monotonic() - started < 0.5
        check_untouched(project)
