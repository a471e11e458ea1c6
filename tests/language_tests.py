"""The tests that every language of the table passes; the file of a language gives the data.

A subclass whose name begins with Test, in tests/syntax/languages/test_NAME.py, runs them all.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from patchwright_engine.control import CancelToken
from patchwright_engine.index import open_index
from patchwright_engine.index.graph import ModuleMap
from patchwright_engine.localize import locate
from patchwright_engine.localize.excerpts import Piece, Sources
from patchwright_engine.localize.file_signals import is_aside
from patchwright_engine.localize.focus import Focus
from patchwright_engine.repair.apply import build_patch, is_judging_file
from patchwright_engine.repair.refusal import Refusal
from patchwright_engine.syntax.parse import FileSyntax, Import, has_syntax_error, parse_symbols
from patchwright_engine.syntax.statements import is_left_out
from patchwright_engine.types import Issue, Patch, RepoPath, Symbol
from patchwright_engine.workspace.snapshot import take_snapshot


class LanguageTests:
    """What is checked of one language. All texts may begin with a line end, which is not part of them."""

    path: ClassVar[str]
    source: ClassVar[str]
    """A realistic file without errors."""
    outline: ClassVar[str]
    """Its symbols, one a line: `first-last kind qualified.name | signature`."""
    uses: ClassVar[str]
    """The names that each line uses, in order: `3: Item total`."""
    imports: ClassVar[str]
    """Its imports, one a line: `1 module: name name`."""
    quoted: ClassVar[str]
    """What one of its strings holds."""
    broken: ClassVar[str]
    """A file with an error in its middle."""
    seen: ClassVar[tuple[str, ...]]
    """Symbols of it that are seen all the same."""
    files: ClassVar[str] = ""
    targets: ClassVar[Sequence[tuple[str, str, str, str]]] = ()
    """Importer, module, names taken, and which of `files` they mean."""
    tests: ClassVar[Sequence[str]]
    code: ClassVar[Sequence[str]]
    """Paths that the habits of the language make tests, and paths that only look so."""
    project: ClassVar[Sequence[tuple[str, str]]]
    """Paths and texts of a small project."""
    issues: ClassVar[Sequence[tuple[str, str]]]
    """Issues of it and the symbol that each is about; the last one shows a stack trace or message."""
    faulty: ClassVar[str]
    """A file with one wrong definition, the only symbol shown."""
    shown: ClassVar[str]
    answer: ClassVar[str]
    mended: ClassVar[str]
    refused: ClassVar[Sequence[tuple[str, str]]]
    """Kinds of refusals with an answer that gets it."""

    def test_symbols_have_their_lines_qualified_names_and_signatures(self) -> None:
        assert not self._read().has_error
        assert _outline(self._read().symbols) == _text(self.outline)

    def test_calls_types_and_annotations_are_references(self) -> None:
        lines: dict[int, list[str]] = {}
        for reference in self._read().references:
            lines.setdefault(reference.line, []).append(reference.name)
        assert "".join(f"{line}: {' '.join(found)}\n" for line, found in sorted(lines.items())) == _text(self.uses)

    def test_imports_are_read_as_written(self) -> None:
        found = [f"{item.line} {item.module}: {' '.join(item.names)}".rstrip(": ") for item in self._read().imports]
        assert found == _text(self.imports).splitlines()

    def test_comments_and_strings_are_told_from_code(self) -> None:
        content = _text(self.source).encode()
        texts = [content[start:end].decode() for start, end in self._read().texts]
        assert any("holds items until they are paid." in text.lower() for text in texts)
        assert any(text.strip("\"'") in self.quoted for text in texts)
        assert sum(map(len, texts)) < len(content) / 2

    def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing(self) -> None:
        text = "\ufeff" + _text(self.source).replace("\n", "\r\n")
        symbols = parse_symbols(RepoPath(self.path), text.encode()).symbols
        assert [(s.name, s.start_line, s.end_line) for s in symbols] == [
            (s.name, s.start_line, s.end_line) for s in self._read().symbols
        ]

    def test_broken_code_still_shows_what_can_be_seen(self) -> None:
        content = _text(self.broken).encode()
        assert has_syntax_error(RepoPath(self.path), content)
        assert set(self.seen) <= {symbol.name for symbol in parse_symbols(RepoPath(self.path), content).symbols}

    def test_a_file_cut_anywhere_is_still_read(self) -> None:
        content = _text(self.source).encode()
        for end in range(0, len(content), 97):
            lines = content[:end].count(b"\n") + 1
            for symbol in parse_symbols(RepoPath(self.path), content[:end]).symbols:
                assert 1 <= symbol.start_line <= symbol.end_line <= lines

    def test_imports_mean_files_of_the_workspace(self) -> None:
        modules = ModuleMap(RepoPath(path) for path in self.files.split())
        for importer, module, taken, wanted in self.targets:
            found = modules.targets(RepoPath(importer), Import(module, tuple(taken.split()), 1))
            assert " ".join(found) == wanted, (importer, module, taken)

    def test_any_choice_of_statements_leaves_code_that_parses(self, tmp_path: Path) -> None:
        path, text = RepoPath(self.path), _text(self.source)
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        sources, drawing, hidden = Sources(take_snapshot(tmp_path)), random.Random(0), 0
        lines = text.split("\n")
        for symbol in self._read().symbols:
            piece = sources.piece(symbol, Focus())
            for size in range(len(piece.units)):
                chosen = {0, *drawing.sample(range(len(piece.units)), size)}
                chosen = {at for at in chosen if _ancestors(piece, at) <= chosen}
                code, missing = piece.show(chosen)
                hidden += missing
                kept = [line for line in code.split("\n") if not is_left_out(line)]
                whole = iter(lines[symbol.start_line - 1 : symbol.end_line])
                assert all(line in whole for line in kept), "a line that is not the file's, or not in its order"
                shown = [*lines[: symbol.start_line - 1], code, *lines[symbol.end_line :]]
                assert not has_syntax_error(path, "\n".join(shown).encode()), code
        assert hidden > 0, "nothing can be left out: are `blocks` right?"

    def test_tests_are_known_by_the_habits_of_the_language(self) -> None:
        assert [path for path in self.tests if not is_aside(RepoPath(path))] == []
        assert [path for path in self.tests if is_judging_file(path) is None] == []
        assert [path for path in (*self.code, self.path) if is_aside(RepoPath(path)) or is_judging_file(path)] == []

    def test_an_issue_finds_its_symbol(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        for name, text in self.project:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(_text(text))
        snapshot = take_snapshot(root)
        with open_index(root, tmp_path / "cache") as index:
            index.refresh(snapshot, CancelToken())
            for issue, wanted in self.issues:
                ranking = locate(Issue(_text(issue)), snapshot, index)
                best = ranking.symbols[0].symbol
                assert f"{best.path}::{best.name}" == wanted, issue
                assert ranking.files[0].path == best.path, issue
        assert "traceback" in ranking.files[0].signals, "the frame or message itself was not read"

    def test_a_fenced_definition_replaces_its_namesake(self) -> None:
        patch = self._repair(self.answer)
        assert isinstance(patch, Patch), patch
        assert patch.edits[0].after == _text(self.mended)

    def test_an_answer_that_breaks_or_leaves_out_code_is_refused(self) -> None:
        for kind, answer in self.refused:
            refusal = self._repair(answer)
            assert isinstance(refusal, Refusal), kind
            assert refusal.kind == kind
            assert refusal.hint

    def test_an_edit_that_would_not_parse_is_refused(self) -> None:
        lines = [line for line in _text(self.mended).splitlines() if line not in _text(self.faulty).splitlines()]
        old = [line for line in _text(self.faulty).splitlines() if line not in _text(self.mended).splitlines()]
        block = "\n".join(["<<<<<<< SEARCH", *old, "=======", "%s", ">>>>>>> REPLACE"])
        mended = self._repair(f"{self.path}\n{block % chr(10).join(lines)}")
        assert isinstance(mended, Patch)
        assert mended.edits[0].after == _text(self.mended)
        broken = self._repair(f"{self.path}\n{block % (lines[0] + ' ) (')}")
        assert isinstance(broken, Refusal)
        assert broken.kind == "syntax"

    def _read(self) -> FileSyntax:
        return parse_symbols(RepoPath(self.path), _text(self.source).encode())

    def _repair(self, answer: str) -> Patch | Refusal:
        path, text = RepoPath(self.path), _text(self.faulty)
        symbols = [s for s in parse_symbols(path, text.encode()).symbols if s.name == self.shown]
        assert len(symbols) == 1
        return build_patch(_text(answer), snapshot_text={path: text}.__getitem__, symbols=symbols)


def _ancestors(piece: Piece, at: int | None) -> set[int]:
    found: set[int] = set()
    while at is not None:
        found.add(at)
        at = piece.units[at].above
    return found


def _outline(symbols: Sequence[Symbol]) -> str:
    return "".join(f"{s.start_line}-{s.end_line} {s.kind} {s.name} | {s.signature}\n" for s in symbols)


def _text(text: str) -> str:
    return text.removeprefix("\n")
