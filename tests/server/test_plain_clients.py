"""Clients that can do little: no bars, no documents shown, no `codeAction/resolve`, as eglot 1.9 or less than that."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from lsprotocol import types

from lsp_editor import Editor, editor, untouched_project

CALC = "# 😀 é\ndef add(a, b):\n    return '😀é', a - b\n"
FIXED = CALC.replace("a - b", "a + b")

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with untouched_project(tmp_path, monkeypatch, {"calc.py": CALC}) as root:
        yield root


def as_eglot(capabilities: types.ClientCapabilities) -> None:
    """What eglot 1.9 says of itself in the matters that count here."""
    assert capabilities.workspace is not None
    assert capabilities.text_document is not None
    capabilities.window = None
    capabilities.workspace.workspace_edit = types.WorkspaceEditClientCapabilities(document_changes=True)
    kinds = types.ClientCodeActionKindOptions([types.CodeActionKind.QuickFix])
    capabilities.text_document.code_action = types.CodeActionClientCapabilities(
        code_action_literal_support=types.ClientCodeActionLiteralOptions(kinds), is_preferred_support=True
    )


def as_nothing(capabilities: types.ClientCapabilities) -> None:
    """A client of the first days: commands instead of actions, `changes` instead of document changes."""
    as_eglot(capabilities)
    assert capabilities.workspace is not None
    assert capabilities.text_document is not None
    capabilities.workspace.workspace_edit = None
    capabilities.text_document.code_action = None


def messages(session: Editor) -> list[str]:
    return [message.message for message in session.client.messages]


async def test_without_resolve_the_edit_comes_with_the_action(project: Path) -> None:
    async with editor(project, change=as_eglot) as session:
        session.open("calc.py")
        await session.end_of(await session.fix("fix"))
        session.edit("calc.py", "# 😀", "# 😀 moved\n# 😀")
        (action,) = await session.actions("calc.py", 3)
        assert action.title.startswith("Apply verified fix 1 of 1")
        assert (action.command, action.data) == (None, None)
        (change,) = action.edit.document_changes
        assert change.text_document.version == 2
        assert session.take(action.edit)
        assert session.text("calc.py") == FIXED.replace("# 😀", "# 😀 moved\n# 😀")


async def test_a_new_file_that_the_client_cannot_make_is_refused_with_the_cure(project: Path) -> None:
    async with editor(project, change=as_eglot) as session:
        session.open("calc.py")
        end = await session.end_of(await session.fix("new"))
        with pytest.raises(Exception, match=r"cannot take that from a server\. Use `patchwright fix`"):
            await session.command("applyFix", end["fixes"][0]["id"])


async def test_without_bars_the_stages_and_the_end_are_told_once_each(project: Path) -> None:
    async with editor(project, change=as_eglot) as session:
        await session.end_of(await session.fix("fix the sum"))
        await session.until(lambda: "Patchwright: 1 fix; the best:" in messages(session)[-1], "the end")
        told = messages(session)
        assert told[0] == "Patchwright: fix the sum"
        assert "Patchwright: working on fix" in told
        assert len(told) == len(set(told))
        assert session.client.progress_reports == {}


async def test_without_bars_a_running_fix_is_cancelled_by_a_code_action(project: Path) -> None:
    async with editor(project, change=as_eglot) as session:
        session.open("calc.py")
        assert list(await session.actions("calc.py", 0)) == []
        job = await session.fix("slow")
        await session.until(lambda: session.jobs.get(job, {}).get("stage") == "repair", "the job to run")
        (action,) = await session.actions("calc.py", 0)
        assert action.title == "Cancel the running fix: slow"
        assert action.command.command == "patchwright.cancel"
        assert await session.command("cancel", *action.command.arguments) == {"jobs": [job]}
        assert (await session.end_of(job))["state"] == "cancelled"
        await session.until(lambda: messages(session)[-1] == "Patchwright: Cancelled", "word of it")
        assert list(await session.actions("calc.py", 0)) == []


async def test_with_bars_there_are_neither_such_messages_nor_such_an_action(project: Path) -> None:
    async with editor(project) as session:
        session.open("calc.py")
        job = await session.fix("slow")
        await session.until(lambda: session.jobs.get(job, {}).get("stage") == "repair", "the job to run")
        assert list(await session.actions("calc.py", 0)) == []
        await session.command("cancel", {"job": job})
        await session.end_of(job)
        assert messages(session) == []


async def test_a_client_that_shows_no_documents_is_told_where_the_diff_lies(project: Path) -> None:
    async with editor(project, change=as_eglot) as session:
        end = await session.end_of(await session.fix("fix"))
        await session.command("showFix", {"fix": end["fixes"][0]["id"]})
        words = "The fix as a diff: "
        (told,) = await session.until(lambda: [m for m in messages(session) if m.startswith(words)], "the path")
        assert "a + b" in Path(told.removeprefix(words)).read_text(encoding="utf-8")


async def test_a_client_that_knows_commands_only_gets_commands_and_plain_changes(project: Path) -> None:
    async with editor(project, change=as_nothing) as session:
        uri = session.open("calc.py")
        end = await session.end_of(await session.fix("fix"))
        session.client.protocol._converter.register_structure_hook(
            types.Command | types.CodeAction,
            lambda value, _: session.client.protocol._converter.structure(value, types.Command),
        )
        (raw,) = await session.client.protocol.send_request_async(
            types.TEXT_DOCUMENT_CODE_ACTION,
            types.CodeActionParams(
                types.TextDocumentIdentifier(uri),
                types.Range(types.Position(2, 0), types.Position(2, 0)),
                types.CodeActionContext([]),
            ),
        )
        assert raw.command == "patchwright.applyFix"
        assert list(raw.arguments) == [{"fix": end["fixes"][0]["id"]}]
        given: list[types.WorkspaceEdit] = []
        session.take = lambda edit: not given.append(edit)  # type: ignore[func-returns-value,method-assign]
        task = asyncio.ensure_future(session.command("applyFix", *raw.arguments))
        (edit,) = await session.until(lambda: given, "the edit")
        assert edit.document_changes is None
        assert [(at, one.new_text) for at, edits in edit.changes.items() for one in edits] == [(uri, "+")]
        session.edit("calc.py", "a - b", "a + b")
        assert (await task)["applied"]


async def test_an_editor_whose_user_declines_is_asked_once(project: Path) -> None:
    async with editor(project, change=as_eglot) as session:
        session.open("calc.py")
        end = await session.end_of(await session.fix("fix"))

        def decline(edit: types.WorkspaceEdit) -> bool:
            raise RuntimeError("User cancelled server edit")

        session.take = decline  # type: ignore[method-assign]
        result = await session.command("applyFix", {"fix": end["fixes"][0]["id"]})
        assert result["applied"] is False
        assert "User cancelled server edit" in result["reason"]
        assert len(session.edits) == 1


async def test_an_editor_that_tells_late_of_its_change_is_not_sent_the_edit_twice(project: Path) -> None:
    async with editor(project, change=as_eglot) as session:
        session.open("calc.py")
        end = await session.end_of(await session.fix("fix"))
        session.take = lambda edit: True  # type: ignore[method-assign]
        result = await session.command("applyFix", {"fix": end["fixes"][0]["id"]})
        assert (result["applied"], len(session.edits)) == (False, 1)
        assert "or tells later. Look at the file" in result["reason"]
