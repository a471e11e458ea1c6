"""Code actions: start a fix where something is wrong, apply a verified fix where it lands.

The edit is made in `codeAction/resolve` from `data` alone, so a list the client kept for a while does no harm. A client
that never resolves gets the edit with the action, or a command that asks it to make the edit; one without progress bars
gets an action that cancels.
"""

import logging
from collections.abc import Sequence

from lsprotocol import types

from patchwright_server import convert
from patchwright_server.engine_client import EngineDownError
from patchwright_server.features.errors import refuse
from patchwright_server.jobs import JobFix, NotPossibleError, Placed
from patchwright_server.language_server import PatchwrightServer

log = logging.getLogger(__name__)


def register(server: PatchwrightServer) -> None:
    """Register the handlers of this area."""
    options = types.CodeActionOptions(code_action_kinds=[convert.KIND], resolve_provider=True)

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)
    async def code_actions(
        ls: PatchwrightServer, params: types.CodeActionParams
    ) -> Sequence[types.CodeAction | types.Command]:
        document = ls.session.documents.get(params.text_document.uri)
        if document is None or document.path is None or not _asked_for(params.context.only):
            return []
        if ls.session.folder_of(document.path) is None:
            return []
        actions = await _fix_actions(ls, document.path, params.range)
        actions += convert.issue_actions(document, params.range, params.context.diagnostics, ls.plain)
        if not ls.shows_progress:
            running = [job for job in ls.session.jobs.values() if job.kind == "fix" and not job.ended]
            actions += [convert.cancel_action(job) for job in running]
        return actions if _knows_literals(ls) else [action.command for action in actions if action.command]

    @server.feature(types.CODE_ACTION_RESOLVE)
    async def resolve(ls: PatchwrightServer, action: types.CodeAction) -> types.CodeAction:
        data = action.data if isinstance(action.data, dict) else {}
        if "fix" not in data:
            return action
        try:
            fix = ls.session.fix(data["fix"])
            action.edit, _ = await edit_of(ls, fix, with_test=bool(data.get("test")))
        except (NotPossibleError, EngineDownError) as error:
            raise refuse(str(error)) from error
        return action


async def edit_of(ls: PatchwrightServer, fix: JobFix, *, with_test: bool = False) -> tuple[types.WorkspaceEdit, Placed]:
    """The edit that applies a fix, and its test if wanted, to what the user sees now; and where it lands.

    Raises:
        JsonRpcException: the fix no longer fits; the message says why.
        EngineDownError: the engine cannot tell now.
    """
    placed = await ls.session.place(fix, fresh=True, with_test=with_test)
    placement = placed.placement
    if placement.conflict is not None:
        raise refuse(f"This fix was withdrawn: {placement.conflict}. Start the fix again to get one that fits.")
    if any(file.create for file in placement.files) and not _can_create(ls):
        raise refuse("This fix makes a new file, and the editor cannot take that from a server. Use `patchwright fix`.")
    return _edit(ls, placed), placed


async def _fix_actions(ls: PatchwrightServer, path: str, wanted: types.Range) -> list[types.CodeAction]:
    actions = []
    for job in reversed(list(ls.session.jobs.values())):
        verified = [fix for fix in job.fixes if fix.found.verified]
        for number, fix in enumerate(verified, 1):
            if fix.applied or path not in fix.found.paths:
                continue
            try:
                placed = await ls.session.place(fix, fresh=not _resolves(ls))
                placement = placed.placement
            except EngineDownError as error:
                log.warning("a fix cannot be offered now: %s", error)
                continue
            offered = convert.touches(placement, path, wanted)
            withdrawn = placement.conflict is not None and _knows_disabled(ls)
            if offered or withdrawn:
                revision = ls.session.documents.revision
                forms = (False, True) if fix.found.test and offered and _can_create(ls) else (False,)
                for form in forms:
                    action = convert.fix_action(
                        fix, number, len(verified), revision, tagged=_knows_tag(ls), with_test=form
                    )
                    if offered and not _resolves(ls):
                        edit = _edit(ls, placed) if _at_once(ls, placed) and not form else None
                        convert.complete(action, fix, edit, with_test=form)
                    actions.append(action)
    return actions


def _edit(ls: PatchwrightServer, placed: Placed) -> types.WorkspaceEdit:
    workspace = ls.client_capabilities.workspace
    known = workspace.workspace_edit if workspace else None
    # Neovim says nothing of document changes, but takes new files, which only they can hold.
    versioned = bool(known and (known.document_changes or known.resource_operations))
    return convert.workspace_edit(placed, ls.encoding, versioned=versioned)


def _at_once(ls: PatchwrightServer, placed: Placed) -> bool:
    """Whether the edit may come with the action: else a command says why it cannot be made, or makes what it takes."""
    return _knows_literals(ls) and (_can_create(ls) or not any(file.create for file in placed.placement.files))


def _asked_for(only: object) -> bool:
    kinds = [str(getattr(kind, "value", kind)) for kind in only] if isinstance(only, list | tuple) else None
    return kinds is None or any(not kind or f"{convert.KIND}.".startswith(f"{kind}.") for kind in kinds)


def _capabilities(ls: PatchwrightServer) -> types.CodeActionClientCapabilities | None:
    document = ls.client_capabilities.text_document
    return document.code_action if document else None


def _knows_literals(ls: PatchwrightServer) -> bool:
    known = _capabilities(ls)
    return bool(known and known.code_action_literal_support)


def _resolves(ls: PatchwrightServer) -> bool:
    known = _capabilities(ls)
    resolved = known.resolve_support if known and known.data_support else None
    return bool(resolved and "edit" in resolved.properties)


def _knows_tag(ls: PatchwrightServer) -> bool:
    known = _capabilities(ls)
    return bool(known and known.tag_support and types.CodeActionTag.LlmGenerated in known.tag_support.value_set)


def _knows_disabled(ls: PatchwrightServer) -> bool:
    known = _capabilities(ls)
    return bool(known and known.disabled_support)


def _can_create(ls: PatchwrightServer) -> bool:
    workspace = ls.client_capabilities.workspace
    edit = workspace.workspace_edit if workspace else None
    return bool(edit and types.ResourceOperationKind.Create in (edit.resource_operations or ()))
