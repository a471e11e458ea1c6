"""The language server over real pipes, with engine hosts whose jobs are scripted (scripted_host.py)."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_editor import REAL, SCRIPTED, Editor, editor, stop, untouched_project
from patchwright_engine.search.budget import MAX_ROLLOUTS

CALC = "# 😀 é\ndef add(a, b):\n    return '😀é', a - b\n"
FIXED = CALC.replace("a - b", "a + b")

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with untouched_project(tmp_path, monkeypatch, {"calc.py": CALC, "other.py": "x = 1\n"}) as root:
        yield root


def names_llm_tag(capabilities: types.ClientCapabilities) -> None:
    assert capabilities.text_document is not None
    assert capabilities.text_document.code_action is not None
    capabilities.text_document.code_action.tag_support = types.CodeActionTagOptions([types.CodeActionTag.LlmGenerated])


async def engine_pid(session: Editor) -> int:
    """The process id of the engine host below the server."""
    return int((await session.until(lambda: psutil.Process(session.server_pid).children(), "an engine host"))[0].pid)


@pytest.mark.parametrize("client_name", ["visual-studio-code", "neovim"])
async def test_a_fix_is_offered_resolved_and_applied_on_unsaved_text(project: Path, client_name: str) -> None:
    async with editor(project, client_name=client_name) as session:
        assert session.encoding == {"visual-studio-code": "utf-16", "neovim": "utf-8"}[client_name]
        session.open("calc.py")
        session.edit("calc.py", "# 😀 é", "# 😀 é ünsaved 漢字")
        job = await session.fix("fix the sum")
        end = await session.end_of(job)
        assert (end["state"], end["bestEvidence"], end["fixes"][0]["verified"]) == ("done", "failing_test", True)
        session.edit("calc.py", "# 😀", "# 😀 another 😀 line\n# 😀")
        (action,) = await session.actions("calc.py", 3)
        assert action.title == "Apply verified fix 1 of 1: reproduction passes, 42 tests pass"
        assert (action.kind, action.is_preferred, action.edit) == ("quickfix.patchwright", None, None)
        assert set(action.data) == {"fix", "revision"}
        resolved = await session.resolve(action)
        (change,) = resolved.edit.document_changes
        assert change.text_document.version == 3
        assert session.take(resolved.edit)
        assert session.text("calc.py") == (FIXED.replace("# 😀 é", "# 😀 another 😀 line\n# 😀 é ünsaved 漢字"))


async def test_progress_runs_from_begin_to_end_and_can_be_cancelled(project: Path) -> None:
    async with editor(project) as session:
        job = await session.fix("slow")
        token = f"patchwright/{job}"
        reports = await session.until(lambda: session.client.progress_reports.get(token), "progress")
        await session.until(lambda: any(getattr(r, "percentage", 0) == 50 for r in reports), "half of the budget")
        assert isinstance(reports[0], types.WorkDoneProgressBegin)
        assert reports[0].cancellable
        started = time.monotonic()
        session.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token))
        end = await session.end_of(job)
        assert end["state"] == "cancelled"
        assert time.monotonic() - started < 0.5
        await session.until(lambda: isinstance(reports[-1], types.WorkDoneProgressEnd), "the end of the bar")
        assert [type(r) for r in reports].count(types.WorkDoneProgressEnd) == 1
        percentages = [r.percentage for r in reports[1:-1] if r.percentage is not None]
        assert percentages == sorted(percentages)


async def test_a_cancel_is_felt_though_the_engine_is_slow_to_stop(project: Path) -> None:
    async with editor(project) as session:
        job = await session.fix("stubborn")
        await session.until(lambda: session.jobs.get(job, {}).get("stage") == "understand", "the job to run")
        started = time.monotonic()
        assert await session.command("cancel", {"job": job}) == {"jobs": [job]}
        assert (await session.end_of(job))["state"] == "cancelled"
        assert time.monotonic() - started < 0.55


async def test_a_missing_model_is_told_with_its_cure(project: Path) -> None:
    async with editor(project) as session:
        end = await session.end_of(await session.fix("no-model"))
        assert end["state"] == "failed"
        assert "no model is installed" in end["message"]
        assert "patchwright models pull" in end["cure"]
        shown = await session.until(lambda: session.client.messages, "the message")
        assert shown[-1].type == types.MessageType.Error
        assert "patchwright models pull" in shown[-1].message


async def test_an_engine_crash_loses_the_job_says_so_and_the_next_one_works(project: Path) -> None:
    async with editor(project) as session:
        end = await session.end_of(await session.fix("die"))
        assert end["state"] == "failed"
        assert "stopped unexpectedly (signal 9)" in end["message"]
        assert await session.until(lambda: [s for s in session.statuses if s["health"] == "warning"], "the status")
        assert (await session.end_of(await session.fix("fix")))["state"] == "done"
        await session.until(lambda: session.statuses[-1]["health"] == "ok", "health again")


async def test_a_killed_engine_loses_running_jobs_only(project: Path) -> None:
    async with editor(project) as session:
        session.open("calc.py")
        done, slow = await session.fix("fix"), await session.fix("slow")
        await session.end_of(done)
        await session.until(lambda: session.jobs.get(slow, {}).get("stage") == "repair", "the slow job to run")
        os.kill(await engine_pid(session), signal.SIGKILL)
        assert (await session.end_of(slow))["state"] == "failed"
        (action,) = await session.actions("calc.py", 2)
        assert session.take((await session.resolve(action)).edit)
        assert session.text("calc.py") == FIXED


async def test_an_engine_that_keeps_crashing_is_left_alone_after_a_while(project: Path) -> None:
    async with editor(project) as session:
        for _ in range(3):
            await session.end_of(await session.fix("die"))
        end = await session.end_of(await session.fix("fix"))
        assert end["state"] == "failed"
        assert "3 times" in end["message"]
        assert "patchwright doctor" in end["message"]


async def test_a_fix_whose_lines_were_edited_is_withdrawn_with_the_reason(project: Path) -> None:
    async with editor(project) as session:
        session.open("calc.py")
        job = await session.fix("fix")
        await session.end_of(job)
        (action,) = await session.actions("calc.py", 2)
        session.edit("calc.py", "a - b", "a * b")
        with pytest.raises(JsonRpcException, match=r"withdrawn: .*edited since") as refused:
            await session.resolve(action)
        assert refused.value.code == types.LSPErrorCodes.RequestFailed
        (listed,) = await session.actions("calc.py", 2)
        assert "edited since" in listed.disabled.reason
        assert "edited since" in session.jobs[job]["fixes"][0]["withdrawn"]
        session.edit("calc.py", "a * b", "a - b")
        (again,) = await session.actions("calc.py", 2)
        assert again.disabled is None


async def test_a_file_changed_on_disk_after_the_fix_is_rebased_when_it_is_not_open(project: Path) -> None:
    async with editor(project) as session:
        job = await session.fix("two")
        end = await session.end_of(job)
        session.open("calc.py")
        (project / "other.py").write_text("# moved\nx = 1\n")
        try:
            result = await session.command("applyFix", {"fix": end["fixes"][0]["id"]})
            assert result == {"applied": True, "reason": None}
            assert session.text("other.py") == "# moved\nx = 2\n"
            assert session.text("calc.py") == FIXED
            versions = [change.text_document.version for change in session.edits[0].edit.document_changes]
            assert versions == [1, None]
            assert session.edits[0].label == "Patchwright: calc.py +1 -1, other.py +1 -1"
        finally:
            (project / "other.py").write_text("x = 1\n")


async def test_applying_tells_when_the_editor_refuses(project: Path) -> None:
    async with editor(project) as session:
        session.open("calc.py")
        end = await session.end_of(await session.fix("fix"))
        session.take = lambda edit: False  # type: ignore[method-assign]
        result = await session.command("applyFix", {"fix": end["fixes"][0]["id"]})
        assert result == {"applied": False, "reason": "the editor refused the edit"}
        assert len(session.edits) == 2


async def test_applying_tells_when_the_editor_says_yes_but_changes_nothing(project: Path) -> None:
    async with editor(project) as session:
        session.open("calc.py")
        end = await session.end_of(await session.fix("fix"))
        session.take = lambda edit: True  # type: ignore[method-assign]
        result = await session.command("applyFix", {"fix": end["fixes"][0]["id"]})
        assert result["applied"] is False
        assert "left the edit out" in result["reason"]


async def test_an_applied_fix_is_not_offered_again(project: Path) -> None:
    async with editor(project) as session:
        session.open("calc.py")
        end = await session.end_of(await session.fix("fix"))
        assert (await session.command("applyFix", end["fixes"][0]["id"]))["applied"]
        assert session.text("calc.py") == FIXED
        assert list(await session.actions("calc.py", 2)) == []
        await session.until(lambda: session.jobs[end["job"]]["fixes"][0]["applied"], "the fix to be marked")


async def test_a_fix_that_was_not_run_is_listed_but_never_called_verified(project: Path) -> None:
    async with editor(project) as session:
        session.open("calc.py")
        end = await session.end_of(await session.fix("weak"))
        assert (end["fixes"][0]["evidence"], end["fixes"][0]["verified"]) == ("parses", False)
        assert list(await session.actions("calc.py", 2)) == []
        assert (await session.command("applyFix", end["fixes"][0]["id"]))["applied"]


async def test_a_new_file_is_created_by_the_edit(project: Path) -> None:
    async with editor(project, client_name="neovim") as session:
        end = await session.end_of(await session.fix("new"))
        assert (await session.command("applyFix", end["fixes"][0]["id"]))["applied"]
        assert session.text("new_file.py") == "x = 1\n"


async def test_actions_start_a_fix_on_a_diagnostic_a_todo_and_a_selection(project: Path) -> None:
    async with editor(project) as session:
        session.open("other.py", "x = 1\n# TODO: wrong for 0\n")
        place = types.Range(types.Position(0, 0), types.Position(0, 1))
        problem = types.Diagnostic(place, "bad x", code="E1", source="lint")
        (action,) = await session.actions("other.py", 0, problem)
        assert (action.title, action.kind, action.is_preferred) == ("Fix this issue…", "quickfix.patchwright", None)
        assert action.diagnostics[0].message == "bad x"
        assert action.command.command == "patchwright.fix"
        assert action.command.arguments[0]["diagnostic"]["message"] == "bad x"
        started = await session.command("fix", *action.command.arguments)
        assert "bad x" in (await session.end_of(started["job"]))["title"]
        assert [one.title for one in await session.actions("other.py", 1)] == ["Fix this issue…"]
        assert list(await session.actions("other.py", 0)) == []
        assert list(await session.actions("other.py", 1, only=["refactor"])) == []
        assert len(await session.actions("other.py", 1, only=["quickfix"])) == 1


async def test_the_llm_tag_is_set_for_clients_that_know_it(project: Path) -> None:
    async with editor(project, change=names_llm_tag) as session:
        session.open("calc.py")
        await session.end_of(await session.fix("fix"))
        (action,) = await session.actions("calc.py", 2)
        assert list(action.tags) == [types.CodeActionTag.LlmGenerated]


async def test_settings_are_pulled_used_and_pulled_again(project: Path) -> None:
    settings = {"model": "http://127.0.0.1:9/v1", "budget": 4, "python": "/py", "testTimeout": 30}
    async with editor(project, settings=settings) as session:
        end = await session.end_of(await session.fix("weak"))
        assert end["notes"] == ["model=http://127.0.0.1:9/v1 budget=4 python=/py timeout=30 resume=None"]
        session.client.set_configuration({"patchwright": {"budget": "enormous"}})
        session.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings=None))
        shown = await session.until(lambda: session.client.messages[1:], "a warning")
        assert shown[0].type == types.MessageType.Warning
        assert "patchwright.budget" in shown[0].message
        end = await session.end_of(await session.fix("weak"))
        assert end["notes"] == ["model=None budget=standard python=None timeout=120 resume=None"]


async def test_initialization_options_count_when_nothing_is_configured(project: Path) -> None:
    async with editor(project, options={"model": "from-options"}) as session:
        assert "model=from-options" in (await session.end_of(await session.fix("weak")))["notes"][0]


async def test_deepening_resumes_the_search_with_the_next_budget(project: Path) -> None:
    async with editor(project) as session:
        first = await session.fix("weak", budget="quick")
        await session.end_of(first)
        trace = (await session.command("showTrace", {"job": first, "open": False, "page": False}))["path"]
        second = (await session.command("fixDeeper", {"job": first}))["job"]
        assert second != first
        notes = (await session.end_of(second))["notes"][0]
        assert f"budget=standard python=None timeout=120 resume={trace}" in notes


async def test_at_the_largest_budget_there_is_no_deeper(project: Path) -> None:
    async with editor(project) as session:
        first = await session.fix("weak", budget=MAX_ROLLOUTS)
        await session.end_of(first)
        with pytest.raises(
            JsonRpcException, match=f"no deeper search than one of {MAX_ROLLOUTS} attempts.*start a new"
        ):
            await session.command("fixDeeper", {"job": first})
        assert [job["job"] for job in session.jobs.values() if job["kind"] == "fix"] == [first]


async def test_a_report_that_cannot_be_written_says_why(project: Path) -> None:
    async with editor(project) as session:
        job = await session.fix("weak")
        await session.end_of(job)
        with pytest.raises(JsonRpcException, match=r"cannot read the trace .* Give the path"):
            await session.command("showTrace", {"job": job})
        assert session.client.shown_documents == []


async def test_a_fix_is_shown_with_its_proof_as_a_document(project: Path) -> None:
    async with editor(project) as session:
        end = await session.end_of(await session.fix("fix"))
        report = await session.command("showFix", {"fix": end["fixes"][0]["id"]})
        assert "+    return '😀é', a + b" in report["diff"]
        assert report["words"].startswith("a test that failed before now passes")
        assert [run["kind"] for run in report["runs"]] == ["reproduction", "regression"]
        shown = Path(session.client.shown_documents[0].uri.removeprefix("file://"))
        assert "+    return '😀é', a + b" in shown.read_text(encoding="utf-8")
        assert not shown.is_relative_to(project)
    assert not shown.exists()


async def test_every_folder_has_an_engine_of_its_own(project: Path, tmp_path: Path) -> None:
    second = (tmp_path / "second").resolve()
    second.mkdir()
    (second / "calc.py").write_text("def add(a, b):\n    return 2, a - b\n")
    async with editor(project, folders=[project, second]) as session:
        with pytest.raises(JsonRpcException, match="Several folders are open"):
            await session.fix("fix")
        for named in (second, second / "calc.py", second / "not_there_yet.py"):
            assert session.jobs[await session.fix("fix", uri=named.as_uri())]["folder"] == second.as_uri()
            await session.command("cancel", {})
        session.root = second
        uri = session.open("calc.py")
        end = await session.end_of(await session.fix("fix", uri=uri))
        assert end["folder"] == second.as_uri()
        action, *_ = await session.actions("calc.py", 1)  # A job may have found its fix before its cancel came.
        assert session.take((await session.resolve(action)).edit)
        assert session.text("calc.py") == "def add(a, b):\n    return 2, a + b\n"
        await session.until(lambda: len(psutil.Process(session.server_pid).children()) == 2, "two engine hosts")
        session.client.workspace_did_change_workspace_folders(
            types.DidChangeWorkspaceFoldersParams(
                types.WorkspaceFoldersChangeEvent([], [types.WorkspaceFolder(second.as_uri(), "second")])
            )
        )
        await session.until(lambda: len(psutil.Process(session.server_pid).children()) == 1, "one to leave")


async def test_what_cannot_be_done_is_an_error_with_a_reason(project: Path) -> None:
    async with editor(project) as session:
        for command, argument, message in (
            ("fix", {}, "Nothing to fix was named"),
            ("fix", {"text": "fix", "budget": "huge"}, "budget must be"),
            ("fix", 7, "takes one object"),
            ("applyFix", {"fix": "none"}, "There is no fix 'none'"),
            ("showTrace", {"job": "none"}, "There is no job 'none'"),
            ("fixDeeper", {"job": "none"}, "There is no job 'none'"),
        ):
            with pytest.raises(JsonRpcException, match=message):
                await session.command(command, argument)


async def test_without_a_folder_the_error_says_to_open_one(project: Path) -> None:
    async with editor(project, folders=[]) as session:
        with pytest.raises(JsonRpcException, match="Open the project's folder"):
            await session.fix("fix")


async def test_reindexing_is_a_job_and_status_tells_of_it(project: Path) -> None:
    async with editor(project) as session:
        answer = await session.command("reindex")
        end = await session.end_of(answer["job"])
        assert (end["kind"], end["message"]) == ("index", "2 files and 3 symbols indexed in 0.0 s.")
        await session.until(lambda: session.statuses[-1]["quiescent"], "quiet")
        assert session.statuses[-1] == {"health": "ok", "phase": "idle", "message": "Ready", "quiescent": True}
        assert [
            job["job"] for job in (await session.client.protocol.send_request_async("patchwright/jobs", {}))["jobs"]
        ]


async def test_nothing_is_started_before_initialized(project: Path) -> None:
    import pytest_lsp

    client = pytest_lsp.LanguageClient()
    client.capabilities = types.ClientCapabilities()
    await client.start_io(*SCRIPTED)
    try:
        params = types.InitializeParams(types.ClientCapabilities(), root_uri=project.as_uri(), process_id=os.getpid())
        await client.initialize_async(params)
        await asyncio.sleep(0.3)
        assert client._server is not None
        assert psutil.Process(client._server.pid).children() == []
    finally:
        await stop(client)


async def test_engines_and_server_leave_at_shutdown_though_jobs_run(project: Path) -> None:
    async with editor(project) as session:
        job = await session.fix("slow")
        await session.until(lambda: session.jobs.get(job, {}).get("stage") == "repair", "the job to run")
        server = psutil.Process(session.server_pid)
        engine = psutil.Process(await engine_pid(session))
    _, alive = psutil.wait_procs([server, engine], timeout=5)
    assert alive == []


@pytest.mark.parametrize("how", ["stdin ends", "client dies"])
async def test_nothing_is_left_behind_when_the_client_just_goes(project: Path, how: str) -> None:
    """A client of its own process, so that it can die without a word."""
    script = f"""
import json, subprocess, sys, time
server = subprocess.Popen({list(SCRIPTED)!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
def say(**m):
    body = json.dumps(dict(m, jsonrpc="2.0")).encode()
    server.stdin.write(b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body); server.stdin.flush()
import os
say(id=1, method="initialize", params=dict(processId=os.getpid(), rootUri={project.as_uri()!r}, capabilities={{}}))
time.sleep(0.3)
say(method="initialized", params={{}})
print(server.pid, flush=True)
sys.stdin.readline()
if {how!r} == "stdin ends":
    server.stdin.close(); server.wait(); time.sleep(1)
os.kill(os.getpid(), 9)
"""
    client = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ.copy()
    )
    assert client.stdin is not None
    assert client.stdout is not None
    try:
        server = psutil.Process(int(client.stdout.readline()))
        end = time.monotonic() + 20
        while not server.children() and time.monotonic() < end:
            await asyncio.sleep(0.05)
        family = [server, *server.children()]
        assert len(family) == 2
        client.stdin.write(b"\n")
        client.stdin.flush()
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, 10)
        assert alive == []
    finally:
        client.kill()
        client.wait(10)
        client.stdin.close()
        client.stdout.close()


async def test_the_server_says_its_version() -> None:
    out = subprocess.run([*REAL, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out.startswith("patchwright ")


async def test_suspected_locations_come_with_ranges_and_reasons(project: Path) -> None:
    async with editor(project) as session:
        session.open("calc.py", "# one more line\n" + CALC)
        issue = {"text": "`add(1, 2)` gives -1", "uri": session.uri("calc.py")}
        asked = session.client.protocol.send_request_async("patchwright/locate", issue)
        answer = await asyncio.wait_for(asked, 30)
        best = answer["locations"][0]
        assert (best["uri"], best["name"], best["kind"]) == (session.uri("calc.py"), "add", "function")
        assert best["range"] == {"start": {"line": 2, "character": 0}, "end": {"line": 4, "character": 0}}
        assert "defines a name that the issue mentions" in best["reasons"]
        assert answer["files"][0]["uri"] == session.uri("calc.py")
        assert await session.command("locate", {**issue, "top": 1}) == {
            **answer,
            "locations": answer["locations"][:1],
            "files": answer["files"][:1],
            "seconds": pytest.approx(answer["seconds"], abs=5),
        }


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ({}, "Nothing to fix was named"),
        ({"text": "x", "top": 0}, "top must be"),
        ({"text": "x", "top": "3"}, "top must"),
    ],
)
async def test_locating_nothing_is_refused(project: Path, argument: dict[str, object], told: str) -> None:
    async with editor(project) as session:
        with pytest.raises(JsonRpcException, match=told):
            await session.command("locate", argument)
