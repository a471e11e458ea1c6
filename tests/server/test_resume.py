"""Jobs outlive their server: killed or told to leave, it is asked about them by the next one, and they go on.

Real servers and real kills; what the jobs do is scripted (scripted_host.py).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_editor import Editor, editor, untouched_project
from patchwright_server.jobs import CLOSED, Folder, IssueRequest, Job
from patchwright_server.kept_jobs import KeptJobs

CALC = "def add(a, b):\n    return a - b\n"
ISSUE = "cut off: the sum is wrong"

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with untouched_project(tmp_path, monkeypatch, {"calc.py": CALC}) as root:
        yield root


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "home" / "state" / "jobs"


async def begin(session: Editor, text: str = ISSUE, stage: str = "repair", **more: Any) -> str:
    job = await session.fix(text, **more)
    await session.until(lambda: session.jobs.get(job, {}).get("stage") == stage, f"job {job} to be at {stage}")
    return job


async def cut_off(project: Path, text: str = ISSUE, **more: Any) -> str:
    """A job whose server is killed while it runs."""
    async with editor(project) as session:
        job = await begin(session, text, **more)
        await session.kill()
    return job


async def question(session: Editor) -> types.ShowMessageRequestParams:
    asked: types.ShowMessageRequestParams = (await session.until(lambda: session.asked, "the question"))[0]
    return asked


def change_folders(session: Editor, added: Path | None = None, removed: Path | None = None) -> None:
    more, less = ([types.WorkspaceFolder(one.as_uri(), one.name)] if one else [] for one in (added, removed))
    session.client.workspace_did_change_workspace_folders(
        types.DidChangeWorkspaceFoldersParams(types.WorkspaceFoldersChangeEvent(more, less))
    )


async def quiet(session: Editor) -> None:
    """Wait until the server has nothing left to do; what it wanted to ask it has asked."""
    await session.end_of((await session.command("reindex"))["job"])
    await session.until(lambda: session.statuses and session.statuses[-1]["quiescent"], "quiet")


async def test_a_job_goes_on_after_the_server_was_killed(project: Path) -> None:
    async with editor(project) as session:
        session.open("calc.py", "# unsaved then\n" + CALC)
        job = await begin(session, budget="quick")
        before = session.jobs[job]
        trace = (await session.command("showTrace", {"job": job, "open": False, "page": False}))["path"]
        await session.kill()
    async with editor(project) as session:
        asked = await question(session)
        assert asked.message == "Patchwright stopped while it was fixing “cut off: the sum is wrong”. Continue?"
        assert [action.title for action in asked.actions or ()] == ["Continue", "Discard"]
        shown = session.jobs[job]
        assert (shown["state"], shown["stopped"], shown["title"]) == ("failed", "interrupted", before["title"])
        session.open("calc.py", "# unsaved now\n" + CALC)
        session.answer("Continue")
        await session.until(lambda: session.jobs[job]["state"] == "done", "the end of the job")
        assert f"budget=quick python=None timeout=120 resume={trace}" in session.jobs[job]["notes"][0]
        assert (await session.command("applyFix", session.jobs[job]["fixes"][0]["id"]))["applied"]
        assert session.text("calc.py") == "# unsaved now\n" + CALC.replace("-", "+")
        assert [message.type for message in session.client.messages] == [types.MessageType.Info]
    async with editor(project) as session:
        await quiet(session)
        assert (session.asked, [one for one in session.jobs.values() if one["kind"] == "fix"]) == ([], [])


@pytest.mark.parametrize("text", [ISSUE, "stubborn"])
async def test_the_engine_does_not_outlive_a_killed_server(project: Path, text: str) -> None:
    async with editor(project) as session:
        await begin(session, text, "repair" if text == ISSUE else "understand")
        family = psutil.Process(session.server_pid).children(recursive=True)
        assert family
        await session.kill()
        assert psutil.wait_procs(family, timeout=15)[1] == []


async def test_a_job_is_offered_again_when_that_server_is_killed_too(project: Path) -> None:
    job = await cut_off(project)
    async with editor(project) as session:
        await question(session)
        await session.kill()
    async with editor(project) as session:
        await question(session)
        session.answer("Continue")
        await session.until(lambda: session.jobs[job]["state"] == "done", "the end of the job")


async def test_a_job_that_left_no_trace_starts_anew(project: Path) -> None:
    (project / "hold").touch()
    job = await cut_off(project, "early it has written nothing", budget=4)
    (project / "hold").unlink()
    async with editor(project) as session:
        session.answer("Continue")
        await session.until(lambda: session.jobs.get(job, {}).get("state") == "done", "the end of the job")
        assert "budget=4 python=None timeout=120 resume=None" in session.jobs[job]["notes"][0]


async def test_of_two_windows_one_is_asked_and_the_other_when_that_one_is_gone(project: Path) -> None:
    job = await cut_off(project)
    async with editor(project) as second, editor(project) as first:
        await first.until(lambda: first.asked or second.asked, "one of them to be asked")
        asked, other = (first, second) if first.asked else (second, first)
        await quiet(other)
        assert (job in asked.jobs, job in other.jobs, other.asked) == (True, False, [])
        with pytest.raises(JsonRpcException, match="No job was interrupted"):
            await other.command("resume")
        asked.answer("Continue")
        await asked.until(lambda: asked.jobs[job]["state"] == "done", "the end of the job")
        assert job not in other.jobs


async def test_only_windows_that_have_its_folder_open_are_asked(project: Path, tmp_path: Path) -> None:
    elsewhere = (tmp_path / "elsewhere").resolve()
    elsewhere.mkdir()
    job = await cut_off(project)
    async with editor(elsewhere) as session:
        await quiet(session)
        assert session.asked == []
        change_folders(session, added=project)
        await question(session)
        assert session.jobs[job]["folder"] == project.as_uri()
        change_folders(session, removed=project)
        with pytest.raises(JsonRpcException, match="its folder is not open"):
            await session.command("resume", {"job": job})
        async with editor(project) as other:
            other.answer("Continue")
            await other.until(lambda: other.jobs.get(job, {}).get("state") == "done", "the end of the job")


async def test_a_job_whose_folder_was_closed_is_offered_when_it_is_opened_again(project: Path, tmp_path: Path) -> None:
    elsewhere = (tmp_path / "elsewhere").resolve()
    elsewhere.mkdir()
    async with editor(project, folders=[elsewhere, project]) as session:
        job = await begin(session, uri=project.as_uri())
        change_folders(session, removed=project)
        assert (await session.end_of(job))["message"] == "its folder was closed"
        change_folders(session, added=project)
        await question(session)
        session.answer("Continue")
        await session.until(lambda: session.jobs[job]["state"] == "done", "the end of the job")


async def test_closing_the_editor_is_no_crash_and_the_job_is_offered_all_the_same(project: Path) -> None:
    async with editor(project) as session:
        jobs = [await begin(session, f"cut {number}") for number in (1, 2)]
    async with editor(project) as session:
        asked = await question(session)
        told = "The editor was closed while Patchwright was fixing 2 issues: “cut 1”, “cut 2”. Continue?"
        assert asked.message == told
        session.answer("Continue")
        for job in jobs:
            await session.until(lambda job=job: session.jobs[job]["state"] == "done", "the end of the job")


async def test_a_question_that_is_closed_comes_once_but_the_job_can_still_go_on(project: Path) -> None:
    job = await cut_off(project)
    async with editor(project) as session:
        session.answer(None)
        await question(session)
        await quiet(session)
    async with editor(project) as session:
        await session.until(lambda: job in session.jobs, "the job to be listed")
        await quiet(session)
        assert session.asked == []
        assert session.jobs[job]["stopped"] == "interrupted"
        assert await session.command("resume", job) == {"jobs": [job]}
        await session.until(lambda: session.jobs[job]["state"] == "done", "the end of the job")


async def test_a_discarded_job_is_gone_for_good(project: Path, journal: Path) -> None:
    job = await cut_off(project)
    assert [path.stem for path in journal.iterdir()] == [job]
    async with editor(project) as session:
        session.answer("Discard")
        await session.until(lambda: session.jobs.get(job, {}).get("message") == "Discarded", "the end of the job")
        assert session.jobs[job]["state"] == "cancelled"
        with pytest.raises(JsonRpcException, match=r"cannot go on.*Start the fix again"):
            await session.command("resume", {"job": job})
    assert list(journal.iterdir()) == []


async def test_jobs_that_ended_are_not_kept(project: Path, journal: Path) -> None:
    async with editor(project) as session:
        for text in ("fix", "no-model", "bug"):
            await session.end_of(await session.fix(text))
        await session.command("cancel", {"job": await begin(session)})
        running = await begin(session)
        await session.until(
            lambda: [path.name for path in journal.iterdir()] == [f"{running}.json"], "their entries to go"
        )
        await session.command("cancel", {})
        await session.end_of(running)
    assert list(journal.iterdir()) == []


async def test_a_job_that_is_being_cancelled_is_not_kept_even_if_it_is_slow_to_stop(
    project: Path, journal: Path
) -> None:
    """The session, without a client: what was offered after a kill at this very moment."""
    kept = KeptJobs()
    folder = Folder(project.as_uri(), project)
    jobs = [Job(name, "fix", folder, IssueRequest(folder, ISSUE), state="running") for name in ("a1", "b2")]
    for job in jobs:
        kept.follow(job)
    jobs[0].cancelling = True
    kept.follow(jobs[0])
    for job in jobs:
        job.state, job.stopped = "cancelled", CLOSED
        kept.follow(job)
    await kept.close()
    assert [path.name for path in journal.iterdir()] == ["b2.json"]


async def test_a_client_that_cannot_ask_is_told_how_to_go_on_by_hand(project: Path) -> None:
    job = await cut_off(project)
    async with editor(project) as session:
        del session.client.protocol.fm._features[types.WINDOW_SHOW_MESSAGE_REQUEST]
        (said,) = await session.until(
            lambda: [one.message for one in session.client.log_messages if "patchwright.resume" in one.message], "word"
        )
        assert said.startswith("Patchwright stopped while it was fixing “cut off: the sum is wrong”.")
        assert await session.command("resume") == {"jobs": [job]}
        await session.until(lambda: session.jobs[job]["state"] == "done", "the end of the job")


async def test_a_job_goes_on_after_its_engine_alone_was_killed(project: Path) -> None:
    async with editor(project) as session:
        job = await begin(session)
        (engine,) = psutil.Process(session.server_pid).children()
        engine.kill()
        end = await session.end_of(job)
        assert (end["state"], end["stopped"]) == ("failed", "interrupted")
        assert await session.command("resume", {"job": job}) == {"jobs": [job]}
        await session.until(lambda: session.jobs[job]["state"] == "done", "the end of the job")
        assert ".jsonl" in session.jobs[job]["notes"][0]


async def test_a_journal_that_cannot_be_written_costs_only_the_offer(project: Path, journal: Path) -> None:
    journal.parent.mkdir(parents=True)
    journal.write_text("a file where the folder should be")
    async with editor(project) as session:
        assert (await session.end_of(await session.fix("fix")))["state"] == "done"
