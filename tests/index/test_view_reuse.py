"""What an index keeps from view to view is still right in the next one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.index import Index, open_index
from patchwright_engine.types import RepoPath
from patchwright_engine.workspace.snapshot import take_snapshot

APP, CART, MONEY = RepoPath("shop/app.py"), RepoPath("shop/cart.py"), RepoPath("shop/money.py")
FILES = {
    APP: "from shop.cart import Cart\n\ndef main():\n    return Cart().total()\n",
    CART: "from .money import add\n\nclass Cart:\n    def total(self):\n        return add(1, 2)\n",
    MONEY: "def add(a, b):\n    return a + b\n",
    "shop/list.rb": "class List\n  def empty?\n    true\n  end\n  def empty\n  end\nend\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        place = tmp_path / "root" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return tmp_path / "root"


@pytest.fixture
def index(root: Path, tmp_path: Path) -> Iterator[Index]:
    with open_index(root, tmp_path / "cache") as index:
        refresh(index, root)
        yield index


def refresh(index: Index, root: Path) -> None:
    index.refresh(take_snapshot(root), CancelToken())


class Counted:
    """Something made from paths."""

    made = 0

    def __init__(self, files: tuple[RepoPath, ...]) -> None:
        self.files = files
        Counted.made += 1


def test_what_depends_on_paths_is_made_again_only_when_files_come_or_go(index: Index, root: Path) -> None:
    Counted.made = 0
    first = index.of_files(Counted)
    (root / CART).write_text("")
    refresh(index, root)
    assert index.of_files(Counted) is first
    (root / "shop/new.py").write_text("")
    refresh(index, root)
    assert "shop/new.py" in index.of_files(Counted).files
    assert Counted.made == 2


def test_an_edit_changes_who_imports_what(index: Index, root: Path) -> None:
    assert index.importers(MONEY) == (CART,)
    assert index.imported_files(APP) == (CART,)
    (root / APP).write_text("import shop.money\n")
    refresh(index, root)
    assert index.importers(MONEY) == (APP, CART)
    assert index.imported_files(APP) == (MONEY,)
    (root / APP).unlink()
    refresh(index, root)
    assert index.importers(MONEY) == (CART,)
    assert index.imported_files(APP) == ()


def test_a_new_file_changes_what_an_old_import_means(index: Index, root: Path) -> None:
    (root / APP).write_text("import shop.later\n")
    refresh(index, root)
    assert index.imported_files(APP) == ()
    (root / "shop/later.py").write_text("")
    refresh(index, root)
    assert index.imported_files(APP) == ("shop/later.py",)


def test_an_edit_changes_who_uses_a_name(index: Index, root: Path) -> None:
    assert index.users("add") == (CART,)
    assert index.references("Cart.total") == ((APP, 4),)
    (root / APP).write_text("add(1, 2)\n")
    refresh(index, root)
    assert index.users("add") == (APP, CART)
    assert index.references("Cart.total") == ()


def test_symbols_follow_a_file_that_comes_back(index: Index, root: Path) -> None:
    before = index.symbols(CART)
    (root / CART).write_text("def other(): pass\n")
    refresh(index, root)
    assert [symbol.name for symbol in index.symbols(CART)] == ["other"]
    (root / CART).write_text(FILES[CART])
    refresh(index, root)
    assert index.symbols(CART) == before


def test_many_names_at_once_mean_what_each_means_alone(index: Index) -> None:
    names = [
        "total",
        "Cart.total",
        "empty",
        "empty?",
        "List.empty",
        "nothing",
        *(f"name{n}" for n in range(600)),
        "add",
    ]
    found = index.find_all_symbols(names)
    assert list(found) == names
    assert found == {name: index.find_symbols(name) for name in names}
    assert [symbol.name for symbol in found["empty"]] == ["List.empty?", "List.empty"]
    assert [symbol.name for symbol in found["empty?"]] == ["List.empty?"]
    assert [symbol.path for symbol in found["add"]] == [MONEY]


def test_equal_files_all_score_and_tell_their_symbols(index: Index, root: Path) -> None:
    copy = RepoPath("shop/copy.py")
    (root / copy).write_text(FILES[MONEY])
    refresh(index, root)
    whole, few = index.search_many([{"add": 1.0}, {"nothing": 1.0}], among=(copy, CART))
    assert whole.files[copy] == whole.files[MONEY] > 0
    assert {path for path, _ in whole.units} == {copy, CART}
    assert whole.units[copy, 0] == max(whole.units.values()), "the function that is called so"
    assert whole.by_field["name"].keys() == {copy, MONEY}
    assert len(whole.by_field["name"]) == 2
    assert whole.by_field["name"][copy] == whole.by_field["name"].best > 0
    assert CART not in whole.by_field["name"]
    assert RepoPath("nowhere.py") not in whole.by_field["name"]
    assert not few.files
    assert few.file_mass > 0
