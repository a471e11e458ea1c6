"""Statements are whole lines: nested, with what leads in to them, and never a piece of another."""

from collections.abc import Sequence

import pytest

from patchwright_engine.syntax.statements import (
    MAX_DEPTH,
    Statement,
    is_left_out,
    left_out,
    read_statements,
    statement_at,
)
from patchwright_engine.types import RepoPath

PYTHON = '''\
import os


class Box:
    """A box."""

    side = 1

    # how large it is
    @property
    def size(
        self,
    ):
        """Its size.

        Never negative."""
        if self.side: return 1
        elif self.other:
            first(); second()
        else:
            # every one
            for item in self:
                item.close()
        text = f("""
not indented
        """)
        return text
        # the end
'''
JAVASCRIPT = """\
export class Box {
  size(x) {
    if (x) { return 1; } else if (this.y) {
      one();
      two(); three();
    }
    each(function () {
      four();
      five();
    });
    switch (x) {
      case 1:
        six();
        break;
      default: seven();
    }
  }
}
const area = () => {
  return 1; };
"""


def outline(statements: Sequence[Statement], depth: int = 0) -> str:
    return "".join(
        f"{'  ' * depth}{one.start_line}-{one.end_line}{' prose' if one.prose else ''}\n{outline(one.parts, depth + 1)}"
        for one in statements
    )


def test_python_is_read_with_decorators_comments_and_docstrings() -> None:
    assert outline(read_statements(RepoPath("a.py"), PYTHON.encode())) == (
        "1-1\n"
        "4-28\n"
        "  5-5 prose\n"
        "  7-7\n"
        "  9-28\n"
        "    14-16 prose\n"
        "    17-23\n"
        "      19-19\n"
        "      22-23\n"
        "        23-23\n"
        "    24-26\n"
        "    27-28\n"
    )


def test_code_that_shares_lines_with_other_code_is_no_statement_of_its_own() -> None:
    assert outline(read_statements(RepoPath("a.js"), JAVASCRIPT.encode())) == (
        "1-18\n"
        "  2-17\n"
        "    3-6\n"
        "      4-4\n"
        "      5-5\n"
        "    7-10\n"
        "      8-8\n"
        "      9-9\n"
        "    11-16\n"
        "      12-14\n"
        "        13-13\n"
        "        14-14\n"
        "      15-15\n"
        "19-20\n"
    )


def test_line_ends_of_windows_change_nothing() -> None:
    plain = read_statements(RepoPath("a.py"), PYTHON.encode())
    assert read_statements(RepoPath("a.py"), PYTHON.replace("\n", "\r\n").encode()) == plain


def test_a_definition_is_found_by_its_lines_without_the_comment_above() -> None:
    found = statement_at(read_statements(RepoPath("a.py"), PYTHON.encode()), 10, 28)
    assert (found.start_line, found.end_line) == (10, 28)
    assert [part.start_line for part in found.parts] == [14, 17, 24, 27]


def test_a_definition_that_cannot_be_read_is_one_statement() -> None:
    source = "def whole(x):\n    a = 1\n    b = 2\n\n\ndef broken(x):\n    a = (1\n    b = ]2\n    return a\n"
    statements = read_statements(RepoPath("a.py"), source.encode())
    assert statement_at(statements, 1, 3).parts
    assert statement_at(statements, 6, 9).parts == ()


def test_blocks_in_blocks_without_end_are_read_all_the_same() -> None:
    deep = "function f() {\n" + "{\n" * 3_000 + "g();\n" + "}\n" * 3_000 + "}\n"
    [found] = read_statements(RepoPath("a.js"), deep.encode())
    depth = 0
    while found.parts:
        [found] = found.parts
        depth += 1
    assert depth == MAX_DEPTH


def test_a_file_in_no_known_language_has_none() -> None:
    assert read_statements(RepoPath("a.txt"), b"one\ntwo\n") == ()
    assert statement_at((), 1, 2) == Statement(1, 2)


@pytest.mark.parametrize("path", ["a.py", "a.rb", "a.go", "a.txt"])
@pytest.mark.parametrize("lines", [1, 37])
def test_the_line_for_code_left_out_is_known_again(path: str, lines: int) -> None:
    marker = left_out(RepoPath(path), lines)
    assert f"{lines} line" in marker
    assert is_left_out(f"    {marker}\r")
    assert not is_left_out("    x = '...'  # two lines left out here")
    assert not is_left_out("    count(37)  # 37 lines left out")
