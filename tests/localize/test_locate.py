"""Localization end to end on a small workspace: each kind of hint brings the right file and symbol up."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled
from patchwright_engine.index import Index, open_index
from patchwright_engine.localize import locate
from patchwright_engine.types import Issue, Ranking, RepoPath, Snapshot
from patchwright_engine.workspace.snapshot import take_snapshot

FILES = {
    "shop/__init__.py": "",
    "shop/cart.py": '''\
from shop.money import round_half_up


class Cart:
    """Holds items until they are paid."""

    def add_item(self, item):
        self.items.append(item)

    def total(self):
        return round_half_up(sum(item.price for item in self.items))
''',
    "shop/money.py": '''\
def round_half_up(amount):
    """Round an amount of money to whole cents."""
    return int(amount * 100 + 0.5) / 100


def parse_currency(text):
    """Read a currency such as EUR from text."""
    return text.strip().upper()
''',
    "shop/mail.py": '''\
def send_receipt(address):
    """Send a receipt by mail."""
    return connect(address)
''',
    "shop/other.py": "def unrelated():\n    return None\n",
    "tests/test_cart.py": "from shop.cart import Cart\n\ndef test_total():\n    assert Cart().total() == 0\n",
    "docs/conf.py": "project = 'shop cart money currency'\n",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[tuple[Snapshot, Index]]:
    root = tmp_path / "root"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    snapshot = take_snapshot(root)
    with open_index(root, tmp_path / "cache") as index:
        index.refresh(snapshot, CancelToken())
        yield snapshot, index


def ranking(workspace: tuple[Snapshot, Index], text: str, top: int = 20) -> Ranking:
    return locate(Issue(text), *workspace, top=top)


def first_symbol(found: Ranking) -> str:
    return f"{found.symbols[0].symbol.path}::{found.symbols[0].symbol.name}"


@pytest.mark.parametrize(
    ("text", "path", "symbol"),
    [
        ("`parse_currency` fails on lower case", "shop/money.py", "shop/money.py::parse_currency"),
        ("Amounts are rounded to wrong cents", "shop/money.py", "shop/money.py::round_half_up"),
        ("Cart.total is wrong for an empty cart", "shop/cart.py", "shop/cart.py::Cart.total"),
        ("The code in shop/mail.py hangs", "shop/mail.py", "shop/mail.py::send_receipt"),
        (
            'It crashes\nTraceback (most recent call last):\n  File "/usr/lib/shop/mail.py", line 3, in send_receipt\n'
            "ConnectionError: refused",
            "shop/mail.py",
            "shop/mail.py::send_receipt",
        ),
    ],
)
def test_a_hint_brings_its_file_and_symbol_first(
    workspace: tuple[Snapshot, Index], text: str, path: str, symbol: str
) -> None:
    found = ranking(workspace, text)
    assert found.files[0].path == path
    assert first_symbol(found) == symbol


def test_a_diagnostic_puts_the_symbol_at_its_line_first(workspace: tuple[Snapshot, Index]) -> None:
    found = locate(Issue("something is off", "diagnostic", RepoPath("shop/other.py"), 2), *workspace)
    assert found.files[0].path == "shop/other.py"
    assert first_symbol(found) == "shop/other.py::unrelated"


def test_tests_and_docs_come_after_the_code_they_speak_about(workspace: tuple[Snapshot, Index]) -> None:
    paths = [file.path for file in ranking(workspace, "cart total money currency").files]
    assert paths.index(RepoPath("shop/cart.py")) < paths.index(RepoPath("tests/test_cart.py"))
    assert paths.index(RepoPath("shop/money.py")) < paths.index(RepoPath("docs/conf.py"))


def test_scores_and_signals_stay_between_zero_and_one_and_descend(workspace: tuple[Snapshot, Index]) -> None:
    found = ranking(workspace, "Cart.total in shop/cart.py calls `round_half_up`, total is off by a cent")
    scores = [file.score for file in found.files]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= value <= 1 for file in found.files for value in (file.score, *file.signals.values()))
    assert all(0 <= item.score <= 1 for item in found.symbols)


def test_the_same_issue_gives_the_same_ranking(workspace: tuple[Snapshot, Index]) -> None:
    one, two = (ranking(workspace, "cart money receipt") for _ in range(2))
    assert (one.files, one.symbols) == (two.files, two.symbols)


def test_a_file_called_like_a_word_of_the_issue_comes_up(workspace: tuple[Snapshot, Index]) -> None:
    assert ranking(workspace, "Money looks odd\n\nSince today.").files[0].path == "shop/money.py"


def test_scores_are_shares_of_one(workspace: tuple[Snapshot, Index]) -> None:
    found = ranking(workspace, "Cart.total rounds amounts of money to wrong cents", top=100)
    assert sum(file.score for file in found.files) == pytest.approx(1)
    assert sum(item.score for item in found.symbols) == pytest.approx(1)


def test_top_bounds_both_rankings(workspace: tuple[Snapshot, Index]) -> None:
    found = ranking(workspace, "cart money receipt total currency", top=2)
    assert (len(found.files), len(found.symbols)) == (2, 2)


def test_unsaved_text_is_searched(workspace: tuple[Snapshot, Index]) -> None:
    snapshot, index = workspace
    edited = take_snapshot(snapshot.root, {RepoPath("shop/other.py"): "def zebra_stripes():\n    return 1\n"})
    index.refresh(edited, CancelToken())
    assert locate(Issue("zebra stripes are missing"), edited, index).files[0].path == "shop/other.py"


def test_a_cancelled_token_ends_the_search(workspace: tuple[Snapshot, Index]) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        locate(Issue("cart"), *workspace, cancel=cancel)


@pytest.mark.parametrize("text", ["qqq zzz", "x", "?!"])
def test_an_issue_that_matches_nothing_gives_an_empty_ranking(workspace: tuple[Snapshot, Index], text: str) -> None:
    found = ranking(workspace, text)
    assert (found.files, found.symbols) == ((), ())
