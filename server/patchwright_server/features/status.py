"""What the client is told unasked: `patchwright/status`, `patchwright/jobUpdated`, and a message when a job ends."""

from typing import Any

from lsprotocol import types

from patchwright_server.convert import job_json
from patchwright_server.jobs import Job
from patchwright_server.language_server import PatchwrightServer


def register(server: PatchwrightServer) -> None:
    """Register the handlers of this area and listen to the session."""
    last: dict[str, Any] = {}

    def tell_status() -> None:
        if server.protocol.shutting_down:
            return
        status = _status(server)
        if status != last:
            last.clear()
            last.update(status)
            server.protocol.notify("patchwright/status", status)

    def tell_job(job: Job) -> None:
        if server.protocol.shutting_down:
            return
        server.protocol.notify("patchwright/jobUpdated", job_json(job))
        if job.ended and not job.told:
            job.told = True
            _tell_end(server, job)

    server.session.on_status.append(tell_status)
    server.session.on_job.append(tell_job)

    @server.feature("patchwright/jobs")
    def jobs(ls: PatchwrightServer, _params: Any) -> dict[str, Any]:
        """All jobs, oldest first."""
        return {"jobs": [job_json(job) for job in ls.session.jobs.values()]}

    @server.feature("patchwright/status")
    def status(ls: PatchwrightServer, _params: Any) -> dict[str, Any]:
        """The same object the notification carries, for a client that came late."""
        return _status(ls)


def _status(ls: PatchwrightServer) -> dict[str, Any]:
    running = [job for job in ls.session.jobs.values() if not job.ended]
    fixing = [job for job in running if job.kind == "fix"]
    phase = "fixing" if fixing else {"locate": "locating"}.get(running[0].kind, "indexing") if running else "idle"
    message = fixing[0].message if fixing else running[0].message if running else "Ready"
    return {
        "health": "warning" if ls.session.trouble else "ok",
        "phase": phase,
        "message": ls.session.trouble or message,
        "quiescent": not running,
    }


def _tell_end(ls: PatchwrightServer, job: Job) -> None:
    if job.state == "failed" and not job.quiet:
        ls.show(types.MessageType.Error, f"Patchwright: {job.message} {job.cure}".strip())
    elif job.state == "done" and job.kind == "fix":
        ls.show(types.MessageType.Info, f"Patchwright: {job.message}")
