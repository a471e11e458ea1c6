"""initialize, initialized, shutdown, and the watch over the client's process."""

import asyncio
import logging

import psutil
from lsprotocol import types
from pygls.uris import to_fs_path

from patchwright_server import convert
from patchwright_server.features.configuration import pull_settings, take_options
from patchwright_server.features.resume import offer_left
from patchwright_server.language_server import PatchwrightServer

WATCH_SECONDS = 2.0

log = logging.getLogger(__name__)


def register(server: PatchwrightServer) -> None:
    """Register the handlers of this area."""

    @server.feature(types.INITIALIZE)
    def initialize(ls: PatchwrightServer, params: types.InitializeParams) -> None:
        """Only take notes: nothing heavy before `initialized`."""
        folders = params.workspace_folders
        if folders is None and params.root_uri:
            folders = [types.WorkspaceFolder(params.root_uri, "")]
        for folder in folders or ():
            path = to_fs_path(folder.uri)
            if path:
                ls.session.add_folder(folder.uri, path)
        take_options(ls, params.initialization_options)

    @server.feature(types.INITIALIZED)
    async def initialized(ls: PatchwrightServer, _params: types.InitializedParams) -> None:
        """Ask for what the client only tells on request, then warm each folder's index and offer what was left."""
        if ls.process_id is not None:
            ls.session.spawn(_watch_client(ls, ls.process_id))
        registrations = _registrations(ls)
        if registrations:
            ls.session.spawn(ls.client_register_capability_async(types.RegistrationParams(registrations)))
        try:
            await pull_settings(ls)
        finally:
            ls.session.configured.set()
        for folder in list(ls.session.folders.values()):
            ls.session.start_index(folder, quiet=True)
            ls.session.spawn(offer_left(ls, folder))

    @server.feature(types.SHUTDOWN)
    async def shutdown(ls: PatchwrightServer, _params: None) -> None:
        """End all jobs and engine hosts before answering."""
        await ls.session.close()


def _registrations(ls: PatchwrightServer) -> list[types.Registration]:
    workspace = ls.client_capabilities.workspace
    wanted = []
    if workspace and workspace.did_change_configuration and workspace.did_change_configuration.dynamic_registration:
        options = types.DidChangeConfigurationRegistrationOptions(section="patchwright")
        wanted.append(
            types.Registration("patchwright-settings", types.WORKSPACE_DID_CHANGE_CONFIGURATION, ls.plain(options))
        )
    if workspace and workspace.did_change_watched_files and workspace.did_change_watched_files.dynamic_registration:
        watchers = types.DidChangeWatchedFilesRegistrationOptions([types.FileSystemWatcher(convert.source_files())])
        wanted.append(
            types.Registration("patchwright-files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, ls.plain(watchers))
        )
    return wanted


async def _watch_client(ls: PatchwrightServer, pid: int) -> None:
    """End the server when the editor that started it is gone (LSP `InitializeParams.processId`)."""
    while await asyncio.to_thread(psutil.pid_exists, pid):
        await asyncio.sleep(WATCH_SECONDS)
    log.warning("the client process %s is gone; leaving", pid)
    exit_code = ls.protocol.exit_code
    if exit_code is not None and not exit_code.done():
        exit_code.set_result(1)
