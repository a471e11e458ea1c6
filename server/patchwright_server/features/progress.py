"""Work done progress: one cancellable bar a job, its percentage the share of the budget spent (LSP §3.15).

A client without bars gets a message when a job reaches a stage for the first time, and one when it was cancelled.
"""

import asyncio

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from patchwright_server.jobs import Job
from patchwright_server.language_server import PatchwrightServer

TOKEN = "patchwright/"


def register(server: PatchwrightServer) -> None:
    """Register the handlers of this area and listen to the session."""
    watched: dict[str, asyncio.Event] = {}
    told: dict[str, set[str]] = {}

    def follow(job: Job) -> None:
        if server.protocol.shutting_down:
            return
        if not server.shows_progress:
            _tell(server, job, told)
        elif job.id in watched:
            watched[job.id].set()
        elif not job.ended:
            watched[job.id] = asyncio.Event()
            server.session.spawn(_show(server, job, watched))

    server.session.on_job.append(follow)

    @server.feature(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def cancel(ls: PatchwrightServer, params: types.WorkDoneProgressCancelParams) -> None:
        job = ls.session.jobs.get(str(params.token).removeprefix(TOKEN))
        if job is not None:
            ls.session.cancel(job)


def _tell(ls: PatchwrightServer, job: Job, told: dict[str, set[str]]) -> None:
    if job.quiet or (job.ended and told.pop(job.id, None) is None):
        return
    if not job.ended:
        stages = told.setdefault(job.id, set())
        if job.stage not in stages and job.stage != "done":
            stages.add(job.stage)
            ls.show(types.MessageType.Info, f"Patchwright: {job.message if len(stages) > 1 else job.title}")
    elif job.state == "cancelled" or job.kind == "index":  # the ends of others are told to everyone, or are answers
        ls.show(types.MessageType.Info, f"Patchwright: {job.message}")


async def _show(ls: PatchwrightServer, job: Job, watched: dict[str, asyncio.Event]) -> None:
    token, news = TOKEN + job.id, watched[job.id]
    try:
        await ls.window_work_done_progress_create_async(types.WorkDoneProgressCreateParams(token))
    except JsonRpcException:
        return  # the client does not want a bar; the job goes on without
    title = f"Patchwright: {job.title}"
    _send(ls, token, types.WorkDoneProgressBegin(title=title, cancellable=True, message=job.message, percentage=0))
    shown, highest = (job.message, 0), 0
    while not job.ended:
        await news.wait()
        news.clear()
        highest = max(highest, _percentage(job))
        if not job.ended and (job.message, highest) != shown:
            shown = (job.message, highest)
            _send(ls, token, types.WorkDoneProgressReport(message=job.message, percentage=highest, cancellable=True))
    _send(ls, token, types.WorkDoneProgressEnd(message=job.message))
    watched.pop(job.id, None)


def _percentage(job: Job) -> int:
    return min(100, 100 * job.rollouts // job.budget) if job.budget else 0


def _send(
    ls: PatchwrightServer,
    token: str,
    value: types.WorkDoneProgressBegin | types.WorkDoneProgressReport | types.WorkDoneProgressEnd,
) -> None:
    if not ls.protocol.shutting_down:
        ls.protocol.notify(types.PROGRESS, types.ProgressParams(token, ls.plain(value)))
