"""Open documents and workspace folders: what the user sees, unsaved text included."""

from lsprotocol import types
from pygls.uris import to_fs_path

from patchwright_server.convert import apply_change, file_path
from patchwright_server.features.resume import offer_left
from patchwright_server.language_server import PatchwrightServer


def register(server: PatchwrightServer) -> None:
    """Register the handlers of this area. All are microseconds, so all are plain functions."""

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(ls: PatchwrightServer, params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        ls.session.documents.open(item.uri, file_path(item.uri), item.version, str(item.language_id), item.text)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(ls: PatchwrightServer, params: types.DidChangeTextDocumentParams) -> None:
        document = ls.session.documents.get(params.text_document.uri)
        if document is None:
            return
        for change in params.content_changes:
            apply_change(document, change, ls.encoding)
        ls.session.documents.changed(document, params.text_document.version)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(ls: PatchwrightServer, params: types.DidCloseTextDocumentParams) -> None:
        ls.session.documents.close(params.text_document.uri)

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_files(ls: PatchwrightServer, _params: types.DidChangeWatchedFilesParams) -> None:
        ls.session.disk_revision += 1

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def did_change_folders(ls: PatchwrightServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
        for folder in params.event.removed:
            ls.session.remove_folder(folder.uri)
        for folder in params.event.added:
            path = to_fs_path(folder.uri)
            if path:
                ls.session.add_folder(folder.uri, path)
                ls.session.start_index(ls.session.folders[folder.uri], quiet=True)
                ls.session.spawn(offer_left(ls, ls.session.folders[folder.uri]))
