"""An editor for tests: pytest-lsp's client with the capabilities of a real one, buffers, and edits that are applied."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_lsp
from lsprotocol import types
from pygls.uris import from_fs_path
from pytest_lsp.client import register_lsp_features

from patchwright_server.protocol import plain_converter

SCRIPTED = (sys.executable, str(Path(__file__).parent / "server" / "scripted_server.py"))
REAL = (sys.executable, "-P", "-m", "patchwright_server")


@contextmanager
def untouched_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, str]) -> Iterator[Path]:
    """A project which no test may change on disk (edits are the client's to make), and a home of its own."""
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    root = (tmp_path / "project").resolve()
    root.mkdir()
    for path, text in files.items():
        (root / path).write_text(text, encoding="utf-8")
    yield root
    assert {path.name: path.read_text(encoding="utf-8") for path in root.iterdir()} == files


class Editor:
    """A client with open buffers. Positions are in the units the server chose."""

    def __init__(self, client: pytest_lsp.LanguageClient, root: Path) -> None:
        self.client = client
        self.root = root
        self.buffers: dict[str, tuple[int, str]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.updates: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.edits: list[types.ApplyWorkspaceEditParams] = []
        self.asked: list[types.ShowMessageRequestParams] = []
        self._answer: str | None = None
        self._answered = asyncio.Event()
        self.encoding = "utf-16"
        # lsprotocol takes every action that carries a command for a bare Command.
        client.protocol._converter.register_structure_hook(
            types.Command | types.CodeAction,
            lambda value, _: client.protocol._converter.structure(value, types.CodeAction),
        )

        @client.feature("patchwright/jobUpdated")
        def job_updated(params: Any) -> None:
            self.jobs[params["job"]] = params
            self.updates.append(params)

        @client.feature("patchwright/status")
        def status(params: Any) -> None:
            self.statuses.append(params)

        @client.feature(types.WORKSPACE_APPLY_EDIT)
        def apply(params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
            self.edits.append(params)
            return types.ApplyWorkspaceEditResult(applied=self.take(params.edit))

        @client.feature(types.WINDOW_SHOW_MESSAGE_REQUEST)
        async def asked(params: types.ShowMessageRequestParams) -> types.MessageActionItem | None:
            self.asked.append(params)
            await self._answered.wait()
            return types.MessageActionItem(self._answer) if self._answer else None

        @client.feature(types.CLIENT_REGISTER_CAPABILITY)
        def registered(params: types.RegistrationParams) -> None:
            return None

    def answer(self, title: str | None) -> None:
        """What the user says to every question; they think it over until then. None: they close it."""
        self._answer = title
        self._answered.set()

    async def kill(self) -> None:
        """Kill the server, as the system does when memory runs out."""
        assert self.client._server is not None
        self.client._server.kill()
        self._answered.set()  # pygls cannot end while somebody thinks
        await self.client._server.wait()

    def uri(self, name: str) -> str:
        return from_fs_path(str(self.root / name)) or ""

    def open(self, name: str, text: str | None = None) -> str:
        """Open a file; `text` when the buffer differs from the disk."""
        uri = self.uri(name)
        text = (self.root / name).read_text(encoding="utf-8") if text is None else text
        self.buffers[uri] = (1, text)
        self.client.text_document_did_open(
            types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, "python", 1, text))
        )
        return uri

    def text(self, name: str) -> str:
        return self.buffers[self.uri(name)][1]

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace the first `old` by an incremental change, as typing does."""
        uri = self.uri(name)
        _, text = self.buffers[uri]
        at = text.index(old)
        self._change(uri, self.position(text, at), self.position(text, at + len(old)), new)

    def take(self, edit: types.WorkspaceEdit) -> bool:
        """Apply a workspace edit to the buffers the way an editor does; False when a version is stale."""
        assert edit.changes is None
        for change in edit.document_changes or ():
            if isinstance(change, types.TextDocumentEdit):
                version = change.text_document.version
                uri = change.text_document.uri
                if version is not None and (uri not in self.buffers or self.buffers[uri][0] != version):
                    return False
        for change in edit.document_changes or ():
            if isinstance(change, types.CreateFile):
                self.buffers[change.uri] = (0, "")
            elif isinstance(change, types.TextDocumentEdit):
                uri = change.text_document.uri
                if uri not in self.buffers:
                    self.open(Path(uri.removeprefix("file://")).relative_to(self.root).as_posix())
                for one in sorted(change.edits, key=lambda e: (e.range.start.line, e.range.start.character))[::-1]:
                    assert isinstance(one, types.TextEdit)
                    self._change(uri, one.range.start, one.range.end, one.new_text)
        return True

    def _change(self, uri: str, start: types.Position, end: types.Position, new: str) -> None:
        version, text = self.buffers[uri]
        changed = text[: self.offset(text, start)] + new + text[self.offset(text, end) :]
        self.buffers[uri] = (version + 1, changed)
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(uri=uri, version=version + 1),
                [types.TextDocumentContentChangePartial(range=types.Range(start, end), text=new)],
            )
        )

    def position(self, text: str, offset: int) -> types.Position:
        """Independent of the server's code on purpose: by encoding the line."""
        before = text[:offset]
        line = before.count("\n")
        column = before.rpartition("\n")[2]
        size = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[self.encoding]
        codec = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[self.encoding]
        return types.Position(line, len(column.encode(codec)) // size)

    def offset(self, text: str, position: types.Position) -> int:
        lines = text.split("\n")
        size = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[self.encoding]
        codec = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[self.encoding]
        start = sum(len(line) + 1 for line in lines[: position.line])
        line = lines[position.line] if position.line < len(lines) else ""
        return min(start + len(line.encode(codec)[: position.character * size].decode(codec)), len(text))

    async def command(self, name: str, *arguments: Any) -> Any:
        return await asyncio.wait_for(
            self.client.workspace_execute_command_async(
                types.ExecuteCommandParams(f"patchwright.{name}", arguments=list(arguments))
            ),
            30,
        )

    async def fix(self, text: str, **more: Any) -> str:
        """Start a fix and return the job's id."""
        return str((await self.command("fix", {"text": text, **more}))["job"])

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
        deadline = asyncio.get_running_loop().time() + seconds
        while not (value := condition()):
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"timeout: {what}; jobs: {self.jobs}; messages: {self.client.messages}")
            await asyncio.sleep(0.01)
        return value

    async def end_of(self, job: str, seconds: float = 30) -> dict[str, Any]:
        """Wait for a job's end and return its last update."""
        ended = ("done", "failed", "cancelled")
        await self.until(lambda: self.jobs.get(job, {}).get("state") in ended, f"the end of job {job}", seconds)
        return self.jobs[job]

    async def actions(self, name: str, line: int, *diagnostics: types.Diagnostic, only: Any = None) -> Any:
        """Code actions on a line."""
        where = types.Range(types.Position(line, 0), types.Position(line, 0))
        return await asyncio.wait_for(
            self.client.text_document_code_action_async(
                types.CodeActionParams(
                    types.TextDocumentIdentifier(self.uri(name)),
                    where,
                    types.CodeActionContext(diagnostics=list(diagnostics), only=only),
                )
            ),
            30,
        )

    async def resolve(self, action: types.CodeAction) -> types.CodeAction:
        return await asyncio.wait_for(self.client.code_action_resolve_async(action), 30)

    @property
    def server_pid(self) -> int:
        assert self.client._server is not None
        return self.client._server.pid


@asynccontextmanager
async def editor(
    root: Path,
    command: tuple[str, ...] = SCRIPTED,
    *,
    client_name: str = "visual-studio-code",
    env: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
    options: Any = None,
    change: Callable[[types.ClientCapabilities], None] | None = None,
    folders: list[Path] | None = None,
) -> AsyncIterator[Editor]:
    """A started and initialized session, shut down properly at the end."""
    client = pytest_lsp.LanguageClient(converter_factory=plain_converter, configuration={"": {"patchwright": settings}})
    register_lsp_features(client)
    session = Editor(client, root)
    await client.start_io(*command, env=env)
    try:
        capabilities = pytest_lsp.client_capabilities(client_name)
        if change is not None:
            change(capabilities)
        result = await asyncio.wait_for(
            client.initialize_session(
                types.InitializeParams(
                    capabilities=capabilities,
                    workspace_folders=[
                        types.WorkspaceFolder(from_fs_path(str(folder)) or "", folder.name)
                        for folder in ([root] if folders is None else folders)
                    ],
                    initialization_options=options,
                )
            ),
            60,
        )
        chosen = result.capabilities.position_encoding or "utf-16"
        session.encoding = str(getattr(chosen, "value", chosen))
        yield session
        session._answered.set()
        if client._server is not None and client._server.returncode is None:
            await asyncio.wait_for(client.shutdown_session(), 20)
    finally:
        await stop(client)


async def stop(client: pytest_lsp.LanguageClient) -> None:
    """End the server for certain: pygls's own `stop` waits for a server that was never told to leave."""
    if client._server is not None and client._server.returncode is None:
        client._server.kill()
    await client.stop()
