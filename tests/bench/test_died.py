"""Where a search died: told from what it tried to change and what the hidden tests call right."""

from pathlib import Path

import pytest

from patchwright_engine.bench.died import died_at, places_of, wanted_places

SOURCE = """\
LIMIT = 3


class Box:
    def open(self):
        def inner():
            return 1
        return inner()

    def close(self):
        return 2
"""


def diff(path: str, line: int, old: str, new: str) -> str:
    return f"--- a/{path}\n+++ b/{path}\n@@ -{line},1 +{line},1 @@\n-{old}\n+{new}\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "box.py").write_text(SOURCE)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "place"),
    [(1, "box.py"), (7, "box.py::Box.open.inner"), (8, "box.py::Box.open"), (11, "box.py::Box.close")],
)
def test_a_place_is_the_innermost_function_or_the_file(tree: Path, line: int, place: str) -> None:
    old = SOURCE.splitlines()[line - 1]
    assert places_of(diff("box.py", line, old, old + "  # x"), tree) == {place}


def test_added_lines_have_a_place_and_new_files_have_none(tree: Path) -> None:
    added = (
        "--- a/box.py\n+++ b/box.py\n@@ -10,2 +10,3 @@\n     def close(self):\n+        print()\n         return 2\n"
    )
    assert places_of(added, tree) == {"box.py::Box.close"}
    assert places_of("--- /dev/null\n+++ b/new.py\n@@ -0,0 +1,1 @@\n+x = 1\n", tree) == frozenset()


@pytest.mark.parametrize(
    ("tried", "found_right", "all_judged", "stage"),
    [
        ({"box.py::Box.close"}, False, True, "localization"),
        (set(), False, True, "localization"),
        ({"box.py::Box.open", "box.py::Box.close"}, False, True, "edit"),
        ({"box.py::Box.open"}, False, False, "edit or verification"),
        ({"box.py::Box.close"}, True, True, "verification"),
    ],
)
def test_the_stage(tried: set[str], found_right: bool, all_judged: bool, stage: str) -> None:
    wanted = wanted_places(frozenset({"box.py", "box.py::Box.open"}))
    assert wanted == {"box.py::Box.open"}
    assert died_at(wanted, tried, found_right=found_right, all_judged=all_judged) == stage


def test_where_the_fix_changes_no_function_its_files_tell() -> None:
    wanted = wanted_places(frozenset({"box.py"}))
    assert died_at(wanted, {"box.py"}, found_right=False, all_judged=True) == "edit"
    assert died_at(frozenset(), {"box.py"}, found_right=False, all_judged=True) == "edit"
