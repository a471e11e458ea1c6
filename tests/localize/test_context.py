"""Prompt context: within the budget, whole symbols only, and nothing dropped in silence."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.index import Index, open_index
from patchwright_engine.localize.context import code_excerpts, repo_map
from patchwright_engine.types import RankedFile, RankedSymbol, Ranking, RepoPath, Snapshot, Symbol
from patchwright_engine.workspace.snapshot import take_snapshot

A = RepoPath("a.py")
B = RepoPath("b.py")
SOURCE = (
    "class Box:\r\n    @property\r\n    def size(self):\r\n        return 1\r\n\r\n"
    "    def other(self):\r\n        def inner(): pass\r\n"
)


def words(text: str) -> int:
    return len(text.split())


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[tuple[Snapshot, Index]]:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.py").write_bytes(SOURCE.encode())
    (root / "b.py").write_text("".join(f"def function_{number}(a, b):\n    return a\n\n" for number in range(50)))
    snapshot = take_snapshot(root)
    with open_index(root, tmp_path / "cache") as index:
        index.refresh(snapshot, CancelToken())
        yield snapshot, index


def ranked(index: Index, *names: str) -> Ranking:
    symbols = [symbol for name in names for symbol in index.find_symbols(name)]
    return Ranking((RankedFile(A, 1.0), RankedFile(B, 0.5)), tuple(RankedSymbol(s, 1.0) for s in symbols), 0.0)


def test_the_map_shows_paths_signatures_and_lines(workspace: tuple[Snapshot, Index]) -> None:
    shown = repo_map(ranked(workspace[1]), *workspace, words, 10_000)
    assert shown.dropped == ()
    assert shown.text.startswith(
        "a.py\n  class Box  [1-7]\n    def size(self)  [2-4]\n    def other(self)  [6-7]\n"
        "\nb.py\n  def function_0(a, b)"
    )
    assert "inner" not in shown.text


def test_a_file_too_large_for_the_map_shows_its_ranked_symbols_and_tells_the_rest(
    workspace: tuple[Snapshot, Index],
) -> None:
    shown = repo_map(ranked(workspace[1], "function_7", "function_31"), *workspace, words, 50)
    assert "def function_7(a, b)" in shown.text
    assert "def function_31(a, b)" in shown.text
    listed = shown.text.count("def function_")
    assert listed < 50
    assert shown.dropped == (f"b.py: {50 - listed} symbols",)
    assert f"  ... {50 - listed} more\n" in shown.text


def test_files_left_out_of_the_map_are_counted_in_it(workspace: tuple[Snapshot, Index]) -> None:
    shown = repo_map(ranked(workspace[1]), *workspace, words, 9)
    assert shown.text == "a.py\n  ... 3 more\n\n(1 more file left out)\n"
    assert shown.dropped == ("a.py: 3 symbols", "b.py")


def test_a_map_without_room_drops_files_by_name(workspace: tuple[Snapshot, Index]) -> None:
    shown = repo_map(ranked(workspace[1]), *workspace, words, 0)
    assert (shown.text, shown.dropped) == ("", ("a.py", "b.py"))


@pytest.mark.parametrize("budget", [0, 5, 12, 20, 60, 200, 1000])
def test_no_text_exceeds_its_budget_and_all_files_are_shown_or_listed(
    workspace: tuple[Snapshot, Index], budget: int
) -> None:
    snapshot, index = workspace
    shown = repo_map(ranked(index, "function_7"), snapshot, index, words, budget)
    assert words(shown.text) <= budget
    listed = {name.partition(":")[0] for name in shown.dropped}
    assert listed | {line for line in shown.text.splitlines() if line.endswith(".py")} == {A, B}
    code = code_excerpts(index.symbols(B), snapshot, words, budget)
    assert words(code.text) <= budget
    assert code.text.count("###") + sum(name.count(":") == 2 for name in code.dropped) == 50


def test_code_has_a_header_decorators_and_plain_line_ends(workspace: tuple[Snapshot, Index]) -> None:
    snapshot, index = workspace
    shown = code_excerpts(index.find_symbols("Box.size"), snapshot, words, 100)
    assert shown.text == "### a.py::Box.size (lines 2-4)\n    @property\n    def size(self):\n        return 1\n"


def test_a_symbol_inside_one_shown_is_not_repeated(workspace: tuple[Snapshot, Index]) -> None:
    snapshot, index = workspace
    shown = code_excerpts(index.symbols(A), snapshot, words, 100)
    assert shown.text.count("###") == 1
    assert shown.dropped == ()


def test_a_head_that_does_not_fit_is_dropped_whole_and_later_ones_still_fit(
    workspace: tuple[Snapshot, Index], tmp_path: Path
) -> None:
    (tmp_path / "root" / "c.py").write_text("def wide(\n" + "    parameter,\n" * 100 + "):\n    return 1\n")
    snapshot, index = take_snapshot(tmp_path / "root"), workspace[1]
    index.refresh(snapshot, CancelToken())
    [wide], [small] = index.find_symbols("wide"), index.find_symbols("function_1")
    shown = code_excerpts([wide, small], snapshot, words, 30)
    assert shown.dropped == ("c.py::wide",)
    assert shown.text == (
        "### b.py::function_1 (lines 4-5)\ndef function_1(a, b):\n    return a\n\n(1 more definition left out)\n"
    )


def test_a_file_that_is_gone_is_named(workspace: tuple[Snapshot, Index]) -> None:
    ghost = Symbol(RepoPath("gone.py"), "f", "function", 1, 2)
    assert code_excerpts([ghost], workspace[0], words, 100).dropped == ("gone.py::f (the file is gone)",)
