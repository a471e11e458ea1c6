"""`patchwright/locate` and the command of that name: where an issue most likely comes from, without a model.

Both take {text?, uri?, diagnostic?, range?, top?, test?} and answer, when the ranking is there,
{"locations": [{uri, range, name, kind, score, reasons}], "files": [{uri, score, reasons}], "seconds", "problem"?}.
With `test` a failing test is run in the sandbox with the others of its file, and what it alone runs is suspected: its
id, or a command that names it, or `true` for the one at `range`. "problem" says why it was not followed, if so; the
ranking is then what it is without. Cancelling the request (`$/cancelRequest`) or its progress cancels the work.
"""

from typing import Any

from patchwright_server import convert
from patchwright_server.features.commands import argument_of, issue_of
from patchwright_server.features.errors import bad_argument, refuse
from patchwright_server.language_server import PatchwrightServer

TOP = 10
MAX_TOP = 200


def register(server: PatchwrightServer) -> None:
    """Register the request and the command."""
    server.feature("patchwright/locate")(locate)
    server.command("patchwright.locate")(locate)


async def locate(ls: PatchwrightServer, *arguments: Any) -> dict[str, Any]:
    """Rank and answer; fails with the reason when the workspace cannot be read, or no test is where one was meant."""
    values = argument_of(arguments, "text")
    top = values.get("top", TOP)
    if not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= MAX_TOP:
        raise bad_argument(f"top must be a number from 1 to {MAX_TOP}, not {top!r}.")
    job = ls.session.start_locate(issue_of(ls, values), top)
    await ls.session.end_of(job)
    if job.state != "done":
        raise refuse(f"{job.message} {job.cure}".strip())
    return convert.located_json(job)
