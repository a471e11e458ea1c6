"""Keys for merging equal patches, and their one-line summaries."""

import pytest

from patchwright_engine.repair.summary import explain, normalize_patch
from patchwright_engine.types import FileEdit, Patch, RepoPath

BEFORE = """\
class Box:
    def size(self):
        base = 1
        return base


def go():
    return 1
"""


def patch(after: str, before: str = BEFORE, path: str = "src/a.py") -> Patch:
    return Patch((FileEdit(RepoPath(path), before, after),))


def test_patches_that_differ_in_words_only_are_equal() -> None:
    one = patch(BEFORE.replace("base = 1", "base = (2)"))
    other = patch(BEFORE.replace("base = 1", '"""Doc."""\n        # now two\n        base   =   2'))
    assert normalize_patch(one) == normalize_patch(other)


def test_layout_elsewhere_does_not_make_a_patch_another_one() -> None:
    after = BEFORE.replace("base = 1", "base = 2")
    assert normalize_patch(patch(after)) == normalize_patch(patch(after.replace("return 1", "return (1)  # one")))


def test_deleting_one_statement_is_not_deleting_another() -> None:
    keys = {normalize_patch(patch(f"{left} = 1\n", "a = 1\nb = 1\n")) for left in "ab"}
    assert len(keys) == 2


@pytest.mark.parametrize(("one", "other"), [("return 2", "return 3"), ("return 'a'", "return 'b'")])
def test_patches_that_differ_in_meaning_are_not(one: str, other: str) -> None:
    keys = {normalize_patch(patch(BEFORE.replace("return 1", text))) for text in (one, other)}
    assert len(keys) == 2


def test_patches_to_other_files_are_not_equal() -> None:
    after = BEFORE.replace("return 1", "return 2")
    assert normalize_patch(patch(after)) != normalize_patch(patch(after, path="src/b.py"))


def test_what_does_not_parse_is_compared_by_its_diff() -> None:
    assert normalize_patch(patch("def (", path="a.py")) == normalize_patch(patch("def (", path="a.py"))
    assert normalize_patch(patch("a\n", "b\n", "a.txt")) != normalize_patch(patch("a \n", "b\n", "a.txt"))


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (BEFORE.replace("base = 1", "base = 2"), "changes Box.size in src/a.py (+1 −1)"),
        (
            BEFORE.replace("return 1", "return help()") + "\n\ndef help():\n    return 2\n",
            "changes go and adds help in src/a.py (+5 −1)",
        ),
        ("LIMIT = 3\n" + BEFORE, "adds LIMIT in src/a.py (+1 −0)"),
        ("import os\n" + BEFORE, "changes src/a.py (+1 −0)"),
    ],
)
def test_a_summary_names_what_changed(after: str, words: str) -> None:
    assert explain(patch(after)) == words


def test_a_summary_of_new_and_of_other_files() -> None:
    both = Patch((*patch("a\nb\n", "a\n", "notes.md").edits, *patch("x = 1\n", "", "b.py").edits))
    assert explain(both) == "changes notes.md (+1 −0); adds b.py (+1 −0)"
