"""The server class: pygls's `LanguageServer` with our protocol and our `Session`."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from patchwright_engine import __version__
from patchwright_server.protocol import PatchwrightProtocol, plain_converter
from patchwright_server.session import Session

log = logging.getLogger(__name__)


class PatchwrightServer(LanguageServer):
    """`session` is the state; features are registered by `app.create_server`."""

    protocol: PatchwrightProtocol

    def __init__(self, engine_command: Callable[[Path], Sequence[str]]) -> None:
        super().__init__(
            "patchwright", __version__, protocol_cls=PatchwrightProtocol, converter_factory=plain_converter
        )
        self.session = Session(engine_command)

    @property
    def encoding(self) -> str:
        """The negotiated position encoding: 'utf-8', 'utf-16' or 'utf-32'."""
        return str(getattr(value := self.workspace.position_encoding, "value", value))

    @property
    def shows_progress(self) -> bool:
        """The client has bars for work done progress. One without is told in messages and code actions."""
        window = self.client_capabilities.window
        return bool(window and window.work_done_progress)

    def plain(self, value: Any) -> Any:
        """An LSP value as plain JSON values."""
        return self.protocol._converter.unstructure(value)

    def show(self, kind: types.MessageType, text: str) -> None:
        """`window/showMessage`."""
        if not self.protocol.shutting_down:
            self.window_show_message(types.ShowMessageParams(type=kind, message=text))

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log what went wrong in a handler; tell the user only while someone is there to read it."""
        log.error("%s: %s", getattr(source, "__name__", source), error, exc_info=error)
        if not self.protocol.shutting_down:
            super().report_server_error(error, source)
