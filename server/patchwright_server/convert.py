"""Between the engine's values and LSP's: positions, edits, code actions, issues. The only file that knows both.

Invariant: engine values count lines and code points; LSP's units (`PositionEncodingKind`) exist here only.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lsprotocol import types
from pygls.uris import from_fs_path, to_fs_path

from patchwright_engine.host.placement import Placement, Point
from patchwright_engine.localize.stack_formats import prepare as prepare_patterns
from patchwright_engine.localize.trace_block import holds_trace, trace_block
from patchwright_engine.syntax.languages import languages
from patchwright_engine.text.lines import Encoding, column_from_units, column_in_units
from patchwright_server.documents import Document
from patchwright_server.jobs import Folder, IssueRequest, Job, JobFix, Placed

KIND = "quickfix.patchwright"
AROUND_LINES = 3
"""Context shown with a diagnostic and granted around a fix's hunks, as in a unified diff."""

_TODO = re.compile(r"\b(?:TODO|FIXME)\b")


def prepare() -> None:
    """Do at the start what would hold up the first request."""
    prepare_patterns()


def source_files() -> str:
    """The glob of all files in a language we know."""
    extensions = sorted(extension.removeprefix(".") for entry in languages() for extension in entry.extensions)
    return f"**/*.{{{','.join(extensions)}}}"


# Positions


def to_column(line: str, units: int, encoding: str) -> int:
    """The code point column for an LSP character offset in one line, clamped to it."""
    return min(units, len(line)) if line.isascii() else column_from_units(line, units, cast(Encoding, encoding))


def to_units(text: str, encoding: str) -> int:
    """The LSP length of a text within one line."""
    return len(text) if text.isascii() else column_in_units(text, len(text), cast(Encoding, encoding))


def apply_change(document: Document, change: types.TextDocumentContentChangeEvent, encoding: str) -> None:
    """Apply one content change of `textDocument/didChange`."""
    if isinstance(change, types.TextDocumentContentChangeWholeDocument):
        document.replace_all(change.text)
        return
    start, end = (
        (place.line, to_column(document.line(place.line), place.character, encoding))
        for place in (change.range.start, change.range.end)
    )
    document.replace(start, end, change.text)


def selected_text(document: Document, selection: types.Range, encoding: str) -> str:
    """The text within a range of a document."""
    start, end = selection.start, selection.end
    lines = [document.line(number) for number in range(start.line, min(end.line + 1, len(document.lines)))]
    if not lines:
        return ""
    if end.line - start.line + 1 == len(lines):
        lines[-1] = lines[-1][: to_column(lines[-1], end.character, encoding)]
    lines[0] = lines[0][to_column(document.line(start.line), start.character, encoding) :]
    return "\n".join(lines)


def _position(point: Point, encoding: str) -> types.Position:
    return types.Position(point.line, to_units(point.before, encoding))


# Edits


def workspace_edit(placed: Placed, encoding: str, *, versioned: bool = True) -> types.WorkspaceEdit:
    """A placed fix as versioned document changes; files that are not open have version null (LSP §3.17).

    Not `versioned`: as `changes`, for clients that know nothing else. New files cannot be said so.
    """
    changes: list[types.TextDocumentEdit | types.CreateFile | types.RenameFile | types.DeleteFile] = []
    for file in placed.placement.files:
        uri, version = placed.open.get(file.path) or (file_uri(file.path), None)
        if file.create:
            changes.append(types.CreateFile(uri=uri, options=types.CreateFileOptions(ignore_if_exists=True)))
        edits = [
            types.TextEdit(types.Range(_position(r.start, encoding), _position(r.end, encoding)), r.text)
            for r in file.replacements
        ]
        identifier = types.OptionalVersionedTextDocumentIdentifier(uri, version)
        changes.append(types.TextDocumentEdit(identifier, edits))
    if not versioned:
        kept = [change for change in changes if isinstance(change, types.TextDocumentEdit)]
        return types.WorkspaceEdit(changes={c.text_document.uri: c.edits for c in kept})  # type: ignore[misc]
    return types.WorkspaceEdit(document_changes=changes)


def file_uri(path: str) -> str:
    """The URI of an absolute path."""
    return from_fs_path(path) or ""


def file_path(uri: str) -> str | None:
    """The absolute path of a URI, links resolved; None for what is not a file."""
    path = to_fs_path(uri) if uri.startswith("file:") else None
    return os.path.realpath(path) if path else None


def touches(placement: Placement, path: str, wanted: types.Range) -> bool:
    """Whether a placed fix changes lines of `path` in or next to a range."""
    for file in placement.files:
        if file.path != path:
            continue
        for r in file.replacements:
            first, last = r.start.line - AROUND_LINES, r.end.line + AROUND_LINES
            if first <= wanted.end.line and wanted.start.line <= last:
                return True
    return False


# Issues


def issue_from_argument(
    values: Mapping[str, Any], folder: Folder, document: Document | None, encoding: str
) -> IssueRequest | None:
    """The issue behind the argument of `patchwright.fix`; None when it names nothing to fix."""
    path = folder.relative(document.path) if document is not None and document.path else None
    text = values.get("text")
    diagnostic, selection = values.get("diagnostic"), values.get("range")
    where: types.Range | None = None
    origin, parts = "text", []
    if isinstance(text, str) and text.strip():
        parts.append(text.strip())
    if isinstance(diagnostic, Mapping):
        where, origin = _range(diagnostic.get("range")), "diagnostic"
        parts.append(_diagnostic_words(diagnostic, path, where))
    elif isinstance(selection, Mapping):
        where = _range(selection)
        if not parts and where is not None and document is not None:
            origin, words = _selection_words(document, where, path, encoding)
            parts.append(words)
    if values.get("test") is True:
        where = where or types.Range(types.Position(0, 0), types.Position(0, 0))
        if origin not in ("text", "diagnostic") or not any(parts):
            origin, parts = "test", [f"The test at {path or 'line'}:{where.start.line + 1} fails."]
    if not any(parts) and isinstance(values.get("test"), str):
        origin = "test"
        parts.append(f"The test command fails:\n{values['test']}")
    if not any(parts):
        return None
    if origin == "diagnostic" and document is not None and where is not None:
        parts.append(_around(document, where.start.line))
    return IssueRequest(
        folder=folder,
        text="\n\n".join(part for part in parts if part),
        origin=origin,
        path=document.path if document is not None else None,
        line=where.start.line + 1 if where else None,
        test_command=values["test"] if isinstance(values.get("test"), str) else None,
        test_here=values.get("test") is True,
    )


def _range(values: object) -> types.Range | None:
    try:
        start, end = values["start"], values["end"]  # type: ignore[index]
        return types.Range(
            types.Position(int(start["line"]), int(start["character"])),
            types.Position(int(end["line"]), int(end["character"])),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _diagnostic_words(diagnostic: Mapping[str, Any], path: str | None, where: types.Range | None) -> str:
    source = " ".join(str(diagnostic[key]) for key in ("source", "code") if diagnostic.get(key) is not None)
    place = f"{path}:{where.start.line + 1}: " if path and where else ""
    return f"{place}{diagnostic.get('message', '')}{f' ({source})' if source else ''}"


def _around(document: Document, line: int) -> str:
    first, last = max(0, line - AROUND_LINES), min(len(document.lines), line + AROUND_LINES + 1)
    shown = "\n".join(f"{number + 1}: {document.line(number)}" for number in range(first, last))
    return f"Around that line:\n{shown}"


def _selection_words(document: Document, where: types.Range, path: str | None, encoding: str) -> tuple[str, str]:
    line = document.line(where.start.line)
    if where.start == where.end or (where.start.line == where.end.line and _TODO.search(line)):
        block = traceback_block(document, where.start.line)
        if block:
            return "traceback", block
        if _TODO.search(line):
            return (
                "selection",
                f"{path}:{where.start.line + 1}: {line.strip()}\n\n{_around(document, where.start.line)}",
            )
        return "selection", ""
    chosen = selected_text(document, where, encoding)
    if not chosen.strip():
        return "selection", ""
    if holds_trace(chosen):
        return "traceback", chosen
    lines = f"{where.start.line + 1}-{where.end.line + 1}"
    return "selection", f"Something is wrong in the selected lines, {path}:{lines}:\n\n{chosen}"


def traceback_block(document: Document, line: int) -> str:
    """The stack trace around this line, in any language we know, without what stands left of it; '' for none."""
    return trace_block(document.line, len(document.lines), line)


# Code actions


def issue_actions(
    document: Document, wanted: types.Range, diagnostics: Sequence[types.Diagnostic], plain: Any
) -> list[types.CodeAction]:
    """The "Fix this issue…" actions for a range: one a diagnostic, else one for what the range marks.

    Args:
        document: the document.
        wanted: the requested range.
        diagnostics: what the client shows there.
        plain: turns an LSP value into plain JSON values, for command arguments.
    """
    if diagnostics:
        return [_issue_action({"uri": document.uri, "diagnostic": plain(one)}, [one]) for one in diagnostics[:5]]
    line = document.line(wanted.start.line)
    if wanted.start != wanted.end or _TODO.search(line) or traceback_block(document, wanted.start.line):
        return [_issue_action({"uri": document.uri, "range": plain(wanted)}, None)]
    return []


def _issue_action(argument: dict[str, Any], diagnostics: list[types.Diagnostic] | None) -> types.CodeAction:
    title = "Fix this issue…"
    command = types.Command(title, "patchwright.fix", arguments=[argument])
    return types.CodeAction(title, kind=KIND, diagnostics=diagnostics, command=command)


def fix_action(
    fix: JobFix, number: int, of: int, revision: int, *, tagged: bool, with_test: bool = False
) -> types.CodeAction:
    """The action that applies one verified fix; its edit comes with `codeAction/resolve`.

    Args:
        fix: the fix.
        number: its place among the verified ones.
        of: how many there are.
        revision: the documents' revision it was listed for.
        tagged: the client knows `CodeActionTag.LlmGenerated`.
        with_test: the one that also adds the fix's regression test.
    """
    more = " and add its regression test" if with_test else ""
    doubt = "; look closely" if fix.found.flags else ""
    return types.CodeAction(
        f"Apply verified fix {number} of {of}{more}: {proof_words(fix)}{doubt}",
        kind=KIND,
        disabled=types.CodeActionDisabled(fix.withdrawn) if fix.withdrawn else None,
        data={"fix": fix.key, "revision": revision, **({"test": True} if with_test else {})},
        tags=[types.CodeActionTag.LlmGenerated] if tagged else None,
    )


def complete(action: types.CodeAction, fix: JobFix, edit: types.WorkspaceEdit | None, *, with_test: bool) -> None:
    """Give a fix's action what `codeAction/resolve` would: the edit, or without one the command that applies it."""
    action.data, action.edit = None, edit
    if edit is None:
        argument = {"fix": fix.key, **({"test": True} if with_test else {})}
        action.command = types.Command(action.title, "patchwright.applyFix", arguments=[argument])


def cancel_action(job: Job) -> types.CodeAction:
    """The action that cancels a running job, for clients that show no progress to cancel it from."""
    title = f"Cancel the running fix: {job.title}"
    command = types.Command(title, "patchwright.cancel", arguments=[{"job": job.id}])
    return types.CodeAction(title, kind=KIND, command=command)


def proof_words(fix: JobFix) -> str:
    """The proof in a few words, from run records only."""
    words = []
    claims = [run["exit"] == 0 for run in fix.found.runs if run["kind"] == "reproduction"]
    for run in fix.found.runs:
        passed = re.search(r"\b(\d+) passed", str(run["after"]))
        if run["exit"] != 0:
            continue
        if run["kind"] == "reproduction":
            some = f"{sum(claims)} of {len(claims)} reproductions pass"
            words.append("reproduction passes" if all(claims) else some)
        elif run["kind"] == "user_test":
            words.append("your test passes")
        elif passed:
            words.append("1 test passes" if passed[1] == "1" else f"{passed[1]} tests pass")
    return ", ".join(dict.fromkeys(words)) or fix.found.words


# What clients are told


def fix_json(fix: JobFix) -> dict[str, Any]:
    """A fix in `patchwright/jobUpdated`."""
    found = fix.found
    return {
        "id": fix.key,
        "rank": found.rank,
        "evidence": found.evidence,
        "verified": found.verified,
        "words": found.words,
        "proof": proof_words(fix),
        "title": found.title,
        "files": list(found.files),
        "flags": list(found.flags),
        "withdrawn": fix.withdrawn,
        "applied": fix.applied,
    }


def job_json(job: Job) -> dict[str, Any]:
    """A job in `patchwright/jobUpdated` and `patchwright/jobs`."""
    return {
        "job": job.id,
        "kind": job.kind,
        "title": job.title,
        "folder": job.folder.uri,
        "stage": job.stage,
        "message": job.message,
        "cure": job.cure,
        "rollouts": job.rollouts,
        "budget": job.budget,
        "bestEvidence": job.best_evidence,
        "state": job.state,
        "stopped": job.stopped,
        "notes": list(job.notes),
        "fixes": [fix_json(fix) for fix in job.fixes],
    }


def located_json(job: Job) -> dict[str, Any]:
    """The answer of `patchwright/locate`: places with LSP ranges, best first."""
    located = job.located or {"files": (), "symbols": (), "seconds": 0.0}
    return {
        "locations": [
            {
                "uri": file_uri(one["path"]),
                "range": {
                    "start": {"line": one["start_line"] - 1, "character": 0},
                    "end": {"line": one["end_line"], "character": 0},
                },
                **{key: one[key] for key in ("name", "kind", "score", "reasons")},
            }
            for one in located["symbols"]
        ],
        "files": [
            {"uri": file_uri(one["path"]), "score": one["score"], "reasons": one["reasons"]} for one in located["files"]
        ],
        "seconds": located["seconds"],
        **({"problem": located["problem"]} if located.get("problem") else {}),
    }


def fix_report(fix: JobFix) -> dict[str, Any]:
    """The answer of `patchwright.showFix`."""
    return {
        **fix_json(fix),
        "diff": fix.found.diff,
        "explanation": fix.found.explanation,
        "runs": [dict(run) for run in fix.found.runs],
        "differences": list(fix.found.differences),
        "test": dict(fix.found.test) if fix.found.test else None,
        "uris": [file_uri(path) for path in fix.found.paths],
    }


def fix_document(fix: JobFix) -> str:
    """A fix as a diff file a person reads: the proof as a comment above the diff."""
    lines = [f"# {fix.found.title}", f"# {fix.found.words}"]
    lines += [f"# Look closely: the patch {flag}" for flag in fix.found.flags]
    lines += [f"# {run['kind']}: {run['command']}: {run['before']} -> {run['after']}" for run in fix.found.runs]
    lines += [f"# differs: {line}" for line in fix.found.differences]
    lines += [f"# regression test: {fix.found.test['path']}"] if fix.found.test else []
    return "\n".join(line.replace("\r", " ").replace("\n", " ") for line in lines) + "\n\n" + fix.found.diff
