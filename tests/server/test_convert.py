"""Positions in every unit, issues from what an editor marks, and what is said of a fix."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from patchwright_engine.host.messages import FoundFix
from patchwright_server import convert
from patchwright_server.documents import Document, Documents
from patchwright_server.jobs import Folder, JobFix

FOLDER = Folder("file:///work", Path("/work"))
LINE = "é😀x = a - b"


def document(text: str) -> Document:
    return Documents().open("file:///work/pkg/a.py", "/work/pkg/a.py", 1, "python", text)


@pytest.mark.parametrize(("encoding", "units"), [("utf-8", 6), ("utf-16", 3), ("utf-32", 2)])
def test_columns_count_in_the_negotiated_unit(encoding: str, units: int) -> None:
    assert convert.to_units(LINE[:2], encoding) == units
    assert convert.to_column(LINE, units, encoding) == 2
    assert convert.to_column(LINE, 999, encoding) == len(LINE)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_a_change_behind_wide_characters_hits_the_right_place(encoding: str) -> None:
    doc = document(f"# 😀\n{LINE}\n")
    at = convert.to_units(LINE.partition("-")[0], encoding)
    place = types.Range(types.Position(1, at), types.Position(1, at + 1))
    convert.apply_change(doc, types.TextDocumentContentChangePartial(range=place, text="+"), encoding)
    assert doc.text == "# 😀\né😀x = a + b\n"


def issue(values: dict[str, Any], text: str = "") -> Any:
    return convert.issue_from_argument(values, FOLDER, document(text), "utf-16")


def diagnostic(line: int, **more: Any) -> dict[str, Any]:
    place = {"line": line, "character": 0}
    return {"range": {"start": place, "end": place}, "message": "undefined name 'foo'", **more}


def test_a_diagnostic_becomes_its_message_code_and_surroundings() -> None:
    request = issue({"diagnostic": diagnostic(1, source="pyflakes", code="F821")}, "one\ntwo\nthree\n")
    assert request.text == (
        "pkg/a.py:2: undefined name 'foo' (pyflakes F821)\n\nAround that line:\n1: one\n2: two\n3: three"
    )
    assert (request.origin, request.path, request.line) == ("diagnostic", "/work/pkg/a.py", 2)


def test_a_todo_line_becomes_an_issue() -> None:
    place = {"line": 1, "character": 4}
    request = issue({"range": {"start": place, "end": place}}, "def f():\n    # TODO: wrong for zero\n    return 1\n")
    assert request.text.startswith("pkg/a.py:2: # TODO: wrong for zero\n")
    assert request.line == 2


def test_a_selection_becomes_an_issue_with_its_text() -> None:
    selection = {"start": {"line": 0, "character": 2}, "end": {"line": 1, "character": 2}}
    request = issue({"range": selection}, "😀bc\ndef\n")
    assert request.text == "Something is wrong in the selected lines, pkg/a.py:1-2:\n\nbc\nde"
    assert request.origin == "selection"


def test_a_traceback_under_the_cursor_is_taken_whole() -> None:
    text = '# Traceback (most recent call last):\n#   File "a.py", line 1\n#     x\n# NameError: x\nx = 1\n'
    place = {"line": 0, "character": 0}
    request = issue({"range": {"start": place, "end": place}}, text)
    assert request.text.splitlines()[0] == "Traceback (most recent call last):"
    assert request.text.splitlines()[-1] == "NameError: x"
    assert request.origin == "traceback"


def test_a_stack_trace_of_any_language_offers_its_action_and_becomes_the_issue() -> None:
    trace = "TypeError: no price\n    at Cart.total (/srv/cart.js:14:25)\n    at main (/srv/main.js:3:6)"
    text = f"first words\n\n\n{trace}\n\nlast words\n"
    for line, offered in ((0, False), (3, True), (4, True), (5, True), (7, False)):
        place = types.Range(types.Position(line, 0), types.Position(line, 0))
        actions = convert.issue_actions(document(text), place, [], lambda value: {"line": value.start.line})
        assert [action.title for action in actions] == ["Fix this issue…"] * offered
    place = {"line": 5, "character": 3}
    request = issue({"range": {"start": place, "end": place}}, text)
    assert (request.text, request.origin) == (trace, "traceback")
    chosen = issue({"range": {"start": {"line": 2, "character": 0}, "end": {"line": 6, "character": 0}}}, text)
    assert chosen.origin == "traceback"


def test_a_test_command_alone_is_an_issue() -> None:
    request = issue({"test": "pytest tests/test_a.py"})
    assert request.text == "The test command fails:\npytest tests/test_a.py"
    assert (request.origin, request.test_command) == ("test", "pytest tests/test_a.py")


@pytest.mark.parametrize("values", [{}, {"text": "  "}, {"range": {"start": 1}}, {"text": 7}])
def test_nothing_named_is_no_issue(values: dict[str, Any]) -> None:
    assert issue(values, "plain\n") is None


def fix(runs: list[dict[str, Any]], words: str = "proof words") -> JobFix:
    found = FoundFix(
        "id", 1, "reproduced", words, True, 1.0, "a.py +1 -1", "I fixed all!", ["a.py"], ["/a.py"], "", runs, ""
    )
    return JobFix("job.id", FOLDER, found)


def test_the_proof_shown_comes_from_runs_never_from_the_model() -> None:
    runs = [
        {"kind": "reproduction", "command": "c", "exit": 0, "before": "1 failed", "after": "1 passed", "seconds": 1},
        {"kind": "regression", "command": "c", "exit": 0, "before": "42 passed", "after": "42 passed", "seconds": 1},
    ]
    assert convert.proof_words(fix(runs)) == "reproduction passes, 42 tests pass"
    assert convert.proof_words(fix([])) == "proof words"
    assert "I fixed" not in convert.fix_action(fix(runs), 1, 1, 1, tagged=False).title


def test_a_fix_that_satisfies_only_some_reproductions_says_how_many() -> None:
    one = {"kind": "reproduction", "command": "c", "before": "1 failed", "after": "1 passed", "seconds": 1}
    runs = [{**one, "exit": 0}, {**one, "exit": 0}, {**one, "exit": 1}]
    assert convert.proof_words(fix(runs)) == "2 of 3 reproductions pass"


def test_a_run_that_failed_proves_nothing() -> None:
    failed = {
        "kind": "regression",
        "command": "c",
        "exit": 1,
        "before": "",
        "after": "1 failed, 41 passed",
        "seconds": 1,
    }
    assert convert.proof_words(fix([failed])) == "proof words"


def test_what_deserves_a_second_look_is_said_where_the_fix_is_offered() -> None:
    doubted = fix([])
    doubted = replace(doubted, found=replace(doubted.found, flags=("swallows every error: `x` in a.py",)))
    assert convert.fix_action(doubted, 1, 1, 1, tagged=False).title.endswith("; look closely")
    assert "# Look closely: the patch swallows every error: `x` in a.py\n" in convert.fix_document(doubted)
    assert convert.fix_json(doubted)["flags"] == ["swallows every error: `x` in a.py"]
    assert "look closely" not in convert.fix_action(fix([]), 1, 1, 1, tagged=False).title


def test_files_of_every_language_are_watched() -> None:
    glob = convert.source_files()
    assert glob.startswith("**/*.{")
    assert {"py", "js", "tsx", "go", "rs", "java", "c", "hpp", "rb", "php", "cs"} <= set(glob[6:-1].split(","))
