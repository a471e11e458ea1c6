"""pygls's protocol with the faults mended that a server with long jobs meets (measured against pygls 2.1.1).

It touches private names, so pygls is capped in pyproject.toml and each repair has its own contract test
(tests/contracts/test_server_protocol.py). What it mends:

1. finished notification handlers stay in `_request_futures` for ever (one entry a keystroke);
2. cancelling `workspace/executeCommand` leaves the command's coroutine running;
3. a reply to a request whose waiter was cancelled raises InvalidStateError, shown to the user as a server error;
4. the result type of an unanswered request is kept for ever;
5. shutdown cancels futures while iterating over the dictionary that the cure of 1 changes;
6. errors after shutdown are reported to a closed pipe, which is an error, which is reported ...;
7. documents are split at form feeds and other characters LSP does not count as line ends: ours live in `Session`;
8. parameters of custom methods become nested namedtuples that lose keys: here they stay plain dictionaries;
9. `exit` waits for a thread that blocks on stdin until the client closes it, and always exits 0.
"""

import asyncio
import inspect
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import Future
from functools import partial
from typing import Any

from cattrs import Converter
from lsprotocol import converters, types
from pygls.protocol import LanguageServerProtocol, lsp_method
from pygls.protocol.json_rpc import JsonRPCNotification, JsonRPCRequestMessage, JsonRPCResponseMessage

Handler = Callable[..., Any]
Step = Generator[tuple[Handler, tuple[Any, ...], dict[str, Any] | None], Any, Any]


class PatchwrightProtocol(LanguageServerProtocol):
    """The protocol class of our server. State stays in pygls's own fields."""

    exit_code: asyncio.Future[int] | None = None
    """Resolved by `exit`; set by whoever runs the loop."""

    @property
    def shutting_down(self) -> bool:
        return self._shutdown

    def _execute_handler(
        self,
        msg_id: str | int,
        handler: Handler,
        callback: Callable[[Any], None],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        super()._execute_handler(msg_id, handler, callback, args, kwargs)
        future = self._request_futures.get(msg_id)
        if future is None:
            return
        if future.done():
            self._request_futures.pop(msg_id, None)
        else:
            future.add_done_callback(lambda _: self._request_futures.pop(msg_id, None))
            outer = callback.keywords.get("result_future") if isinstance(callback, partial) else None
            if outer is not None:
                outer.add_done_callback(lambda done: future.cancel() if done.cancelled() else None)

    def _run_generator(self, future: Any, *, gen: Step, result_future: Any) -> None:
        if future is not None and future.cancelled():
            result_future.cancel()
            return
        super()._run_generator(future, gen=gen, result_future=result_future)

    def _handle_response(self, msg_id: str | int, result: Any = None, error: types.ResponseError | None = None) -> None:
        future = self._request_futures.get(msg_id)
        if future is not None and future.done():
            self._request_futures.pop(msg_id, None)
            return
        super()._handle_response(msg_id, result, error)

    def send_request(
        self,
        method: str,
        params: Any = None,
        callback: Callable[[Any], None] | None = None,
        msg_id: str | int | None = None,
    ) -> Future[Any]:
        sent_id = msg_id or str(uuid.uuid4())

        def forget(_: Future[Any]) -> None:
            self._result_types.pop(sent_id, None)
            self._request_futures.pop(sent_id, None)

        future = super().send_request(method, params, callback, sent_id)
        future.add_done_callback(forget)
        return future

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: Any) -> Step:
        """LSP `shutdown`: the user's handler ends the jobs, then every other request is cancelled."""
        current = self.msg_id
        if (handler := self.fm.features.get(types.SHUTDOWN)) is not None:
            yield handler, args, None
        for msg_id, future in list(self._request_futures.items()):
            if msg_id != current and not future.done():
                future.cancel()
        self._shutdown = True

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: Any) -> Step:
        """LSP `exit`: code 0 after `shutdown`, else 1. The loop's owner ends the process."""
        if (handler := self.fm.features.get(types.EXIT)) is not None:
            yield handler, args, None
        if self.exit_code is not None and not self.exit_code.done():
            self.exit_code.set_result(0 if self._shutdown else 1)

    def _to_feature(self, method: str, params: Any) -> Step:
        if (handler := self.fm.features.get(method)) is not None:
            yield handler, (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> Step:
        """The document goes to `Session`, not to pygls's workspace."""
        yield from self._to_feature(types.TEXT_DOCUMENT_DID_OPEN, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Step:
        """As above."""
        yield from self._to_feature(types.TEXT_DOCUMENT_DID_CHANGE, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> Step:
        """As above."""
        yield from self._to_feature(types.TEXT_DOCUMENT_DID_CLOSE, params)

    @lsp_method(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def lsp_work_done_progress_cancel(self, params: types.WorkDoneProgressCancelParams) -> Step:
        """Progress belongs to jobs; pygls's own token table is never cleaned, so it is not used."""
        yield from self._to_feature(types.WINDOW_WORK_DONE_PROGRESS_CANCEL, params)


def plain_converter() -> Converter:
    """lsprotocol's converter, with unknown methods' params and results left as plain JSON values."""
    converter = converters.get_converter()
    for generic in (JsonRPCRequestMessage, JsonRPCNotification, JsonRPCResponseMessage):
        converter.register_structure_hook(generic, _plain(generic))
    return converter


def _plain(kind: type[Any]) -> Callable[[dict[str, Any], Any], Any]:
    names = tuple(inspect.signature(kind).parameters)

    def structure(values: dict[str, Any], _: Any) -> Any:
        return kind(**{name: values.get(name) for name in names})

    return structure
