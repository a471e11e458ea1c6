"""The section "patchwright" of the client's configuration: pulled, pulled again on change, checked."""

import logging
from collections.abc import Mapping

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from patchwright_server.language_server import PatchwrightServer
from patchwright_server.settings import ServerSettings, read_settings

SECTION = "patchwright"

log = logging.getLogger(__name__)


def register(server: PatchwrightServer) -> None:
    """Register the handlers of this area."""

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change(ls: PatchwrightServer, params: types.DidChangeConfigurationParams) -> None:
        """Pull again; a client that cannot be asked sends the values along."""
        if _can_ask(ls):
            await pull_settings(ls)
        elif isinstance(params.settings, Mapping):
            _use(ls, params.settings.get(SECTION))


def take_options(ls: PatchwrightServer, options: object) -> None:
    """`initializationOptions`: the values themselves, or a "patchwright" section holding them."""
    values = options.get(SECTION, options) if isinstance(options, Mapping) else None
    ls.session.options, warnings = read_settings(values, ServerSettings())
    ls.session.settings = ls.session.options
    for warning in warnings:
        log.warning("%s", warning)


async def pull_settings(ls: PatchwrightServer) -> None:
    """Ask for the section (LSP `workspace/configuration`) and use it on top of the initialization options."""
    if not _can_ask(ls):
        return
    items = [types.ConfigurationItem(section=SECTION)]
    try:
        answer = await ls.workspace_configuration_async(types.ConfigurationParams(items))
    except JsonRpcException as error:
        log.warning("the client did not tell its configuration: %s", error)
        return
    _use(ls, answer[0] if answer else None)


def _use(ls: PatchwrightServer, values: object) -> None:
    ls.session.settings, warnings = read_settings(values, ls.session.options)
    for warning in warnings:
        ls.show(types.MessageType.Warning, f"Patchwright settings: {warning}")


def _can_ask(ls: PatchwrightServer) -> bool:
    workspace = ls.client_capabilities.workspace
    return bool(workspace and workspace.configuration)
