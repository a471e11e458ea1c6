"""Jobs that a server before this one left unfinished: offered once, continued or discarded by a command at any time.

A server that was killed leaves its jobs in the journal, and so does one that was told to leave while they ran: closing
a window is no word against them. The client is asked (LSP `window/showMessageRequest`); one that cannot ask, or whose
user says nothing, still has them in `patchwright/jobs` as `failed`, `stopped` being "interrupted".
"""

from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from patchwright_server.features.commands import argument_of, possible
from patchwright_server.features.errors import refuse
from patchwright_server.jobs import Folder, Job
from patchwright_server.language_server import PatchwrightServer

CONTINUE, DISCARD = "Continue", "Discard"


def register(server: PatchwrightServer) -> None:
    """Register the commands of this area."""
    server.command("patchwright.resume")(resume)
    server.command("patchwright.discard")(discard)


async def resume(ls: PatchwrightServer, *arguments: Any) -> dict[str, Any]:
    """{job?} → {"jobs": [ids of the jobs that go on]}; without a job, all that were interrupted."""
    jobs = _meant(ls, arguments)
    for job in jobs:
        await _go_on(ls, job)
    return {"jobs": [job.id for job in jobs]}


def discard(ls: PatchwrightServer, *arguments: Any) -> dict[str, Any]:
    """{job?} → {"jobs": [ids of the jobs that were given up]}; without a job, all that were interrupted."""
    jobs = _meant(ls, arguments)
    for job in jobs:
        ls.session.discard(job)
    return {"jobs": [job.id for job in jobs]}


async def offer_left(ls: PatchwrightServer, folder: Folder) -> None:
    """Show what was left unfinished in a folder, and ask once whether to go on."""
    left = await ls.session.kept.left_in(folder)
    for job in left:
        ls.session.show_left(job)
    asked = [job for job in left if not ls.session.kept.was_dismissed(job)]
    if not asked:
        return
    words = _words(ls, asked)
    by_hand = "The command patchwright.resume continues what was interrupted, patchwright.discard gives it up."
    ls.window_log_message(types.LogMessageParams(types.MessageType.Info, f"{words} {by_hand}"))
    actions = [types.MessageActionItem(CONTINUE), types.MessageActionItem(DISCARD)]
    question = types.ShowMessageRequestParams(types.MessageType.Info, f"{words} Continue?", actions)
    try:
        answer = await ls.window_show_message_request_async(question)
    except JsonRpcException:
        return  # the log says how to go on by hand
    for job in asked:
        if not _can_go_on(ls, job):
            continue  # decided by a command meanwhile, or its folder was closed
        if answer is None:
            ls.session.kept.dismiss(job)
        elif answer.title == CONTINUE:
            await _go_on(ls, job)
        else:
            ls.session.discard(job)


async def _go_on(ls: PatchwrightServer, job: Job) -> None:
    request = await ls.session.kept.request_to_go_on(job)
    if request is not None and _can_go_on(ls, job):
        ls.session.start_fix(request, job.id)


def _can_go_on(ls: PatchwrightServer, job: Job) -> bool:
    return job.interrupted and ls.session.jobs.get(job.id) is job and job.folder.uri in ls.session.folders


def _meant(ls: PatchwrightServer, arguments: tuple[Any, ...]) -> list[Job]:
    values = argument_of(arguments, "job")
    if values.get("job") is None:
        jobs = [job for job in ls.session.jobs.values() if _can_go_on(ls, job)]
        if not jobs:
            raise refuse("No job was interrupted. `patchwright/jobs` lists all of them.")
        return jobs
    job: Job = possible(lambda: ls.session.job(values["job"]))
    if not _can_go_on(ls, job):
        raise refuse("This job cannot go on: it was not interrupted, or its folder is not open. Start the fix again.")
    return [job]


def _words(ls: PatchwrightServer, jobs: list[Job]) -> str:
    titles = ", ".join(f"“{job.title}”" for job in jobs)
    what = titles if len(jobs) == 1 else f"{len(jobs)} issues: {titles}"
    if all(ls.session.kept.was_closed(job) for job in jobs):
        return f"The editor was closed while Patchwright was fixing {what}."
    return f"Patchwright stopped while it was fixing {what}."
