"""The commands (LSP `workspace/executeCommand`). A command that means work starts a job and answers with its id.

Every command takes one object as its argument; a plain string is read as the object's main field, for people who
type commands by hand.
"""

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from patchwright_server import convert
from patchwright_server.documents import Document
from patchwright_server.engine_client import EngineDownError
from patchwright_server.features.code_actions import edit_of
from patchwright_server.features.errors import bad_argument, refuse
from patchwright_server.jobs import Folder, IssueRequest, JobFix, NotPossibleError
from patchwright_server.language_server import PatchwrightServer
from patchwright_server.pages import NoPageError, write_page
from patchwright_server.settings import NO_DEEPER, budget_name, next_budget

APPLY_TRIES = 2
"""A client refuses an edit for a version it has left behind; the fix is placed again once."""
SYNC_SECONDS = 2.0
"""How long the client may take to tell that an applied edit changed its documents."""


def register(server: PatchwrightServer) -> None:
    """Register the commands."""
    for name, handler in (
        ("fix", fix),
        ("fixDeeper", fix_deeper),
        ("cancel", cancel),
        ("showFix", show_fix),
        ("applyFix", apply_fix),
        ("showTrace", show_trace),
        ("reindex", reindex),
    ):
        server.command(f"patchwright.{name}")(handler)


def fix(ls: PatchwrightServer, *arguments: Any) -> dict[str, Any]:
    """{text?, uri?, diagnostic?, range?, test?, budget?} → {"job": id}."""
    values = argument_of(arguments, "text")
    if isinstance(values.get("test"), bool):
        raise bad_argument("test must be a command that fails, or a test's id.")
    request = issue_of(ls, values)
    return {"job": ls.session.start_fix(request).id}


def fix_deeper(ls: PatchwrightServer, *arguments: Any) -> dict[str, Any]:
    """{job, budget?} → {"job": id of a new job that resumes the search}."""
    values = argument_of(arguments, "job")
    job = possible(lambda: ls.session.job(values.get("job")))
    if job.request is None:
        raise bad_argument("Only a fix can be deepened; this job is none.")
    if not job.ended:
        raise refuse("This job still runs. Cancel it, or wait for its end, then deepen it.")
    old, budget = job.request, _budget(values) or next_budget(job.budget_name)
    if budget is None:
        raise refuse(NO_DEEPER)
    request = replace(old, budget=budget, resume=job.trace)
    return {"job": ls.session.start_fix(request).id}


def cancel(ls: PatchwrightServer, *arguments: Any) -> dict[str, Any]:
    """{job?} → {"jobs": [ids being cancelled]}; without a job, all of them."""
    values = argument_of(arguments, "job")
    if values.get("job") is not None:
        jobs = [possible(lambda: ls.session.job(values["job"]))]
    else:
        jobs = list(ls.session.jobs.values())
    jobs = [job for job in jobs if not job.ended]
    for job in jobs:
        ls.session.cancel(job)
    return {"jobs": [job.id for job in jobs]}


async def show_fix(ls: PatchwrightServer, *arguments: Any) -> dict[str, Any]:
    """{fix, open?} → diff, proof and explanation; also opened as a document unless `open` is false."""
    values = argument_of(arguments, "fix")
    found = possible(lambda: ls.session.fix(values.get("fix")))
    if values.get("open", True):
        await _open_document(ls, await asyncio.to_thread(_diff_file, ls, found), "The fix as a diff")
    return convert.fix_report(found)


async def apply_fix(ls: PatchwrightServer, *arguments: Any) -> dict[str, Any]:
    """{fix, test?} → {"applied": bool, "reason": text or null}; the client makes the edit. `test` adds its test."""
    values = argument_of(arguments, "fix")
    found = possible(lambda: ls.session.fix(values.get("fix")))
    if values.get("test") and not found.found.test:
        raise refuse("This fix has no regression test to add. Apply it without.")
    try:
        reason = await _apply(ls, found, with_test=bool(values.get("test")))
    except EngineDownError as error:
        raise refuse(str(error)) from error
    return {"applied": reason is None, "reason": reason}


async def show_trace(ls: PatchwrightServer, *arguments: Any) -> dict[str, Any]:
    """{job, open?, page?} → {"path": of the job's trace, "page": of its report, which is opened in a browser}.

    `page` false: no report is written, and the trace itself is opened. `open` false: nothing is opened.
    """
    values = argument_of(arguments, "job")
    job = possible(lambda: ls.session.job(values.get("job")))
    if job.trace is None:
        raise refuse("This job has no trace: it never reached the engine, or is no fix.")
    page = None
    if values.get("page", True):
        try:
            page = await write_page(job.trace)
        except NoPageError as error:
            raise refuse(str(error)) from error
    if values.get("open", True):
        what = "The report of the search" if page else "The trace of the search"
        await _open_document(ls, Path(page or job.trace), what, external=page is not None)
    return {"path": job.trace, "page": page}


def reindex(ls: PatchwrightServer, *arguments: Any) -> dict[str, Any]:
    """{uri?} → {"job": id}, or {"job", "jobs"} when several folders are open."""
    document = document_of(ls, argument_of(arguments, "uri"))
    inner = ls.session.folder_of(document.path) if document and document.path else None
    folders = [inner] if inner else list(ls.session.folders.values())
    if not folders:
        possible(ls.session.only_folder)
    jobs = [ls.session.start_index(folder).id for folder in folders]
    return {"job": jobs[0], "jobs": jobs}


def argument_of(arguments: tuple[Any, ...], main: str) -> dict[str, Any]:
    """The one object a command takes; a plain string is its field `main`."""
    if not arguments or arguments[0] is None:
        return {}
    if len(arguments) == 1 and isinstance(arguments[0], str):
        return {main: arguments[0]}
    if len(arguments) == 1 and isinstance(arguments[0], dict):
        return arguments[0]
    raise bad_argument(f"The command takes one object, or its '{main}' as a string.")


def possible(get: Any) -> Any:
    try:
        return get()
    except NotPossibleError as error:
        raise refuse(str(error)) from error


def document_of(ls: PatchwrightServer, values: dict[str, Any]) -> Document | None:
    uri = values.get("uri")
    return ls.session.documents.get(uri) if isinstance(uri, str) else None


def _budget(values: dict[str, Any]) -> str | None:
    if values.get("budget") is None:
        return None
    name = budget_name(values["budget"])
    if name is None:
        raise bad_argument(f"budget must be quick, standard, deep or a number of rollouts, not {values['budget']!r}.")
    return name


def issue_of(ls: PatchwrightServer, values: dict[str, Any]) -> IssueRequest:
    """The issue that a command's argument names, in the folder of its `uri` or in the only one.

    `uri` is an open document, or just says which folder is meant: a file in it, or the folder itself.
    """
    document, uri = document_of(ls, values), values.get("uri")
    path = document.path if document else convert.file_path(uri) if isinstance(uri, str) else None
    folder: Folder | None = ls.session.folder_of(path) if path else None
    if folder is None:
        folder = possible(ls.session.only_folder)
        document = None
    request = convert.issue_from_argument(values, folder, document, ls.encoding)
    if request is None:
        raise bad_argument("Nothing to fix was named. Give a text, a diagnostic, a selection or a test command.")
    if request.test_here:
        request = replace(request, path=path)  # known without being open
    return replace(request, budget=_budget(values))


async def _apply(ls: PatchwrightServer, fix: JobFix, *, with_test: bool) -> str | None:
    """Have the client apply a fix. Returns None when it did, else why not."""
    reason: str | None = None
    for _ in range(APPLY_TRIES):
        edit, wanted = await edit_of(ls, fix, with_test=with_test)
        params = types.ApplyWorkspaceEditParams(edit, label=f"Patchwright: {fix.found.title}")
        try:
            result = await ls.workspace_apply_edit_async(params)
        except JsonRpcException as error:  # eglot says so when the user declines, and when the text has moved on
            reason = f"the editor refused the edit ({error.message})"
            if _moved(ls, wanted.open):
                continue
            return reason
        if not result.applied:
            reason = result.failure_reason or "the editor refused the edit"
            continue
        if await _arrived(ls, wanted.open):
            fix.applied = True
            ls.session.tell_fix(fix)
            return None
        # Never sent again: an editor that only tells late would make the edit twice.
        return "the editor said yes but told of no change: it left the edit out, or tells later. Look at the file"
    return reason


def _moved(ls: PatchwrightServer, versions: Any) -> bool:
    documents = [(ls.session.documents.get(uri), version) for uri, version in versions.values()]
    return any(document is None or document.version != version for document, version in documents)


async def _arrived(ls: PatchwrightServer, versions: Any) -> bool:
    """Whether the open documents moved on. Neovim says 'applied' even when it skips an edit for an old version."""
    waited = 0.0
    while waited < SYNC_SECONDS:
        documents = [(ls.session.documents.get(uri), version) for uri, version in versions.values()]
        if all(document is None or document.version > version for document, version in documents):
            return True
        await asyncio.sleep(0.02)
        waited += 0.02
    return False


def _diff_file(ls: PatchwrightServer, fix: JobFix) -> Path:
    if ls.session.temporary is None:
        ls.session.temporary = tempfile.TemporaryDirectory(prefix="patchwright-")
    path = Path(ls.session.temporary.name) / f"{fix.key}.diff"
    path.write_text(convert.fix_document(fix), encoding="utf-8", errors="surrogateescape")
    return path


async def _open_document(ls: PatchwrightServer, path: Path, what: str, *, external: bool = False) -> None:
    """Show a document, `external` outside the editor; a client that shows none is told where `what` lies."""
    window = ls.client_capabilities.window
    if window and window.show_document and window.show_document.support:
        where = types.ShowDocumentParams(convert.file_uri(str(path)), external=external, take_focus=True)
        if (await ls.window_show_document_async(where)).success or not external:
            return
    ls.show(types.MessageType.Info, f"{what}: {path}")
