"""What of a fix is in packed context: read from the text itself, and nothing counts that is not there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from patchwright_engine.bench.instances import LocalizationInstance
from patchwright_engine.bench.packing import (
    Change,
    Packed,
    changes_of,
    lines_shown,
    pack_instance,
    packed_shares,
    packed_table,
)
from patchwright_engine.control import CancelToken
from patchwright_engine.index import Index, open_index
from patchwright_engine.localize import locate
from patchwright_engine.types import Issue, RepoPath, Snapshot
from patchwright_engine.workspace.snapshot import take_snapshot

A = RepoPath("shop/a.py")
PATCH = """\
diff --git a/shop/a.py b/shop/a.py
--- a/shop/a.py
+++ b/shop/a.py
@@ -3,7 +3,8 @@ def f():
 context
-removed
-
-removed too
+put in
 context
+added
 context
@@ -20 +21 @@
-twenty
+other
diff --git a/new.py b/new.py
--- /dev/null
+++ b/new.py
@@ -0,0 +1 @@
+one
"""
BODY = "".join(f"    filler_{n} = something_else(filler_{n - 1}, 'about nothing')\n" for n in range(40))
SOURCE = (
    f"def pay(voucher):\n{BODY}    amount = voucher.amount\n{BODY}    return amount\n\n\ndef other():\n    return 1\n"
)
FIX = """\
--- a/shop/a.py
+++ b/shop/a.py
@@ -42,1 +42,1 @@
-    amount = voucher.amount
+    amount = 0 if voucher.expired else voucher.amount
"""


def test_a_diff_tells_which_lines_it_takes_away_and_between_which_it_adds() -> None:
    changes = changes_of(PATCH)
    assert changes[A] == [
        Change((4, 6), added=False),
        Change((7, 8), added=True),
        Change((20,), added=False),
    ]


def test_lines_are_counted_through_headings_and_markers() -> None:
    code = (
        "### shop/a.py::f (lines 3-9)\ndef f():\n    ... # 3 lines left out\n\n    return 1\n"
        "    ... # 1 line left out\n"
        "\n### b.js::g (lines 10-12)\nfunction g() {\n  // ... 1 line left out\n}\n\n(3 more definitions left out)\n"
    )
    assert lines_shown(code) == {A: {3, 7, 8}, "b.js": {10, 12}}


@pytest.fixture
def view(tmp_path: Path) -> Iterator[tuple[Snapshot, Index]]:
    (tmp_path / "root" / "shop").mkdir(parents=True)
    (tmp_path / "root" / A).write_text(SOURCE)
    snapshot = take_snapshot(tmp_path / "root")
    with open_index(tmp_path / "root", tmp_path / "cache") as index:
        index.refresh(snapshot, CancelToken())
        yield snapshot, index


def packed(view: tuple[Snapshot, Index], budget: int, *gold: str, patch: str = FIX) -> Packed:
    problem = "An expired voucher has its full `amount`; `pay` should see it"
    instance = LocalizationInstance("a-1", "a/a", "0" * 40, problem, (A,), gold, patch)
    ranking = locate(Issue(problem), *view)
    [one] = pack_instance(instance, ranking, *view, count_tokens=lambda text: len(text) // 3, budgets=(budget,))
    return one


def test_a_change_within_an_excerpt_is_there_though_the_function_is_not_whole(view: tuple[Snapshot, Index]) -> None:
    part = packed(view, 200, "shop/a.py::pay", "shop/a.py::new")
    assert (part.functions, part.whole, part.changed, part.named) == (1, 0, 1, 1)
    assert (part.files, part.files_in_code, part.files_in_map) == (1, 1, 1)
    assert 0 < part.tokens <= 200
    whole = packed(view, 5_000, "shop/a.py::pay")
    assert (whole.whole, whole.changed) == (1, 1)


def test_a_change_that_is_left_out_is_not_there(view: tuple[Snapshot, Index]) -> None:
    elsewhere = FIX.replace("-42,1 +42,1", "-78,1 +78,1")
    part = packed(view, 200, "shop/a.py::pay", patch=elsewhere)
    assert (part.whole, part.changed, part.named) == (0, 0, 1)


def test_without_room_nothing_is_there(view: tuple[Snapshot, Index]) -> None:
    none = packed(view, 2, "shop/a.py::pay")
    assert (none.tokens, none.whole, none.changed, none.named, none.files_in_code) == (0, 0, 0, 0, 0)


def test_shares_are_of_all_gold_functions_and_files() -> None:
    first = Packed(2048, 2000, 2, functions=3, whole=1, changed=2, named=3, files=2, files_in_code=1, files_in_map=2)
    second = Packed(2048, 1000, 4, functions=1, whole=1, changed=1, named=1, files=1, files_in_code=1, files_in_map=1)
    shares = packed_shares([(first,), (second,), ()])
    assert shares["2048"] == {
        "functions": 4,
        "whole": 0.5,
        "changed": 0.75,
        "named": 1.0,
        "files_in_code": 0.6667,
        "files_in_map": 1.0,
        "tokens_median": 1500.0,
        "tokens_max": 2000,
        "counts_mean": 3.0,
    }
    assert any(
        line.split() == ["2048", "50.0", "75.0", "100.0", "66.7", "100.0", "3.0"] for line in packed_table(shares)
    )
    assert packed_table({}) == []
