"""The index: what it answers, that it follows the snapshot, and that a bad cache never matters."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken, Progress
from patchwright_engine.errors import Cancelled
from patchwright_engine.index import Index, IndexReport, open_index
from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.snapshot import take_snapshot

APP = RepoPath("src/shop/app.py")
CART = RepoPath("src/shop/cart.py")
FILES = {
    APP: "from shop.cart import Cart\nfrom . import money\n\ndef main():\n    return Cart().total()\n",
    CART: "from .money import add\n\nclass Cart:\n    def total(self):\n        return add(1, 2)\n",
    "src/shop/money.py": "def add(a, b):\n    return a + b\n",
    "src/shop/__init__.py": "",
    "README.md": "# Shop\n",
    "web/cart.js": "function total() {}\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def index(root: Path, cache: Path) -> Iterator[Index]:
    with open_index(root, cache) as index:
        refresh(index, root)
        yield index


def refresh(index: Index, root: Path, overlays: dict[RepoPath, str] | None = None) -> IndexReport:
    return index.refresh(take_snapshot(root, overlays), CancelToken())


def database(cache: Path) -> Path:
    [found] = cache.glob("*/index.sqlite")
    return found


def test_source_files_of_all_known_languages_are_indexed(index: Index) -> None:
    assert index.files() == (
        "src/shop/__init__.py",
        "src/shop/app.py",
        "src/shop/cart.py",
        "src/shop/money.py",
        "web/cart.js",
    )


def test_symbols_are_found_by_last_component_and_by_qualified_name(index: Index) -> None:
    found = [(s.path, s.name, s.start_line) for s in index.find_symbols("total")]
    assert found == [(CART, "Cart.total", 4), ("web/cart.js", "total", 1)]
    assert index.find_symbols("Cart.total") == index.find_symbols("total")[:1]
    assert index.find_symbols("Other.total") == ()
    assert [s.name for s in index.symbols(CART)] == ["Cart", "Cart.total"]


def test_imports_resolve_to_files_in_both_directions(index: Index) -> None:
    assert index.imported_files(APP) == (CART, "src/shop/__init__.py", "src/shop/money.py")
    assert index.importers(RepoPath("src/shop/money.py")) == (APP, CART)
    assert [item.module for item in index.imports(CART)] == [".money"]


def test_references_name_file_and_line(index: Index) -> None:
    assert index.references("add") == ((CART, 5),)
    assert index.references("Cart.total") == ((APP, 5),)
    assert index.references("ad") == ()


def test_unsaved_text_is_what_the_index_answers_about(index: Index, root: Path) -> None:
    refresh(index, root, {CART: "def discount(): pass\n"})
    assert [s.name for s in index.symbols(CART)] == ["discount"]
    refresh(index, root)
    assert [s.name for s in index.symbols(CART)] == ["Cart", "Cart.total"]


def test_two_windows_with_different_unsaved_text_do_not_disturb_each_other(
    index: Index, root: Path, cache: Path
) -> None:
    with open_index(root, cache) as other:
        refresh(other, root, {CART: "def discount(): pass\n"})
        assert [s.name for s in index.symbols(CART)] == ["Cart", "Cart.total"]
        assert [s.name for s in other.symbols(CART)] == ["discount"]


def test_a_second_refresh_parses_only_what_changed(index: Index, root: Path, cache: Path) -> None:
    (root / CART).write_text("class Cart:\n    pass\n")
    (root / "web" / "cart.js").unlink()
    with open_index(root, cache) as again:
        report = refresh(again, root)
        assert (report.files, report.cache_hits, report.skipped) == (4, 3, 0)
        assert "web/cart.js" not in again.files()
        assert [s.name for s in again.symbols(CART)] == ["Cart"]


def test_the_report_counts_files_symbols_and_bytes(root: Path, cache: Path) -> None:
    with open_index(root, cache) as index:
        report = refresh(index, root)
    size = sum(len(text) for name, text in FILES.items() if name != "README.md")
    assert (report.files, report.symbols, report.bytes, report.cache_hits) == (5, 5, size, 0)
    assert report.notes == ()


@pytest.mark.parametrize("damage", ["garbage", "old schema", "empty"])
def test_a_broken_or_old_database_is_rebuilt(index: Index, root: Path, cache: Path, damage: str) -> None:
    index.close()
    path = database(cache)
    if damage == "garbage":
        path.write_bytes(b"not a database at all" * 1000)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        connection = sqlite3.connect(path)
        connection.execute("UPDATE meta SET schema = 'old'")
        connection.commit()
        connection.close()
    with open_index(root, cache) as again:
        report = refresh(again, root)
        assert report.cache_hits == 0
        assert [s.name for s in again.symbols(CART)] == ["Cart", "Cart.total"]


def test_a_database_damaged_while_open_is_rebuilt_on_the_next_question(index: Index, root: Path, cache: Path) -> None:
    connection = sqlite3.connect(database(cache))
    connection.execute("DROP TABLE symbol")
    connection.commit()
    connection.close()
    assert [s.name for s in index.symbols(CART)] == ["Cart", "Cart.total"]


def test_without_a_usable_folder_the_index_lives_in_memory_and_says_so(root: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with open_index(root, cache) as index:
        report = refresh(index, root)
        assert index.files()
    assert "in memory" in report.notes[0]


def test_binary_and_huge_files_are_skipped_and_counted(root: Path, cache: Path) -> None:
    (root / "binary.py").write_bytes(b"x = 1\0")
    (root / "huge.py").write_bytes(b"x = 1\n" * 200_000)
    with open_index(root, cache) as index:
        report = refresh(index, root)
        assert report.skipped == 2
        assert [(one.path, one.reason) for one in report.skipped_files] == [
            ("binary.py", "binary"),
            ("huge.py", "larger than 1 MB: data or generated"),
        ]
        assert not {"binary.py", "huge.py"} & set(index.files())


def test_a_file_changed_after_the_snapshot_does_not_poison_the_cache(root: Path, cache: Path) -> None:
    snapshot = take_snapshot(root)
    before = (root / CART).read_text()
    (root / CART).write_text("def late(): pass\n")
    with open_index(root, cache) as index:
        index.refresh(snapshot, CancelToken())
        (root / CART).write_text(before)
        refresh(index, root)
        assert [s.name for s in index.symbols(CART)] == ["Cart", "Cart.total"]


def test_a_cancel_stops_the_refresh(root: Path, cache: Path) -> None:
    cancel = CancelToken()
    snapshot = take_snapshot(root)
    cancel.cancel()
    with open_index(root, cache) as index, pytest.raises(Cancelled):
        index.refresh(snapshot, cancel)


def test_progress_is_told_while_files_are_read(root: Path, cache: Path) -> None:
    seen: list[Progress] = []
    with open_index(root, cache) as index:
        index.refresh(take_snapshot(root), CancelToken(), seen.append)
    assert seen[-1].stage == "index"
    assert "5 of 5" in seen[-1].message


def test_default_location_is_below_the_cache_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    with open_index(root) as index:
        refresh(index, root)
    assert list((tmp_path / "home" / "cache" / "index").glob("*/index.sqlite"))
    assert not list(root.rglob("*.sqlite"))
