"""Excerpts of definitions: whole statements, those that the issue is about first, nothing left out in silence."""

import ast
import random
import textwrap
from pathlib import Path

import pytest

from patchwright_engine.localize.context import code_excerpts
from patchwright_engine.localize.excerpts import Sources
from patchwright_engine.localize.focus import Focus, read_focus
from patchwright_engine.repair.apply import build_patch
from patchwright_engine.repair.refusal import Refusal
from patchwright_engine.syntax.parse import parse_symbols
from patchwright_engine.types import Issue, RepoPath, Snapshot, Symbol
from patchwright_engine.workspace.snapshot import take_snapshot

PATH = RepoPath("shop/cart.py")
PLAIN = "".join(f"    value_{n} = compute_something(argument_{n}, {n})\n" for n in range(30))
LONG = (
    'def checkout(cart, account):\n    """Pay for the cart."""\n'
    + PLAIN
    + "    for voucher in account.vouchers:\n"
    + "        if voucher.expired:\n"
    + "            total = total - voucher.amount_when_bought\n"
    + "        remember(voucher)\n"
    + PLAIN
    + "    return total\n"
)
CLASS = (
    "class Cart(Base):\n    currency = 'EUR'\n\n"
    + "".join(
        f"    def method_{n}(self, argument):\n        first = {n}\n        return first + argument\n\n"
        for n in range(20)
    )
    + "    limit = 100\n"
)


def written(root: Path, source: str) -> tuple[Snapshot, Symbol]:
    (root / PATH).parent.mkdir(parents=True)
    (root / PATH).write_text(source)
    return take_snapshot(root), parse_symbols(PATH, source.encode()).symbols[0]


def chars(text: str) -> int:
    return len(text)


def shown(root: Path, source: str, issue: str, budget: int) -> tuple[str, tuple[str, ...]]:
    snapshot, symbol = written(root, source)
    fitted = code_excerpts([symbol], snapshot, chars, budget, read_focus(Issue(issue), snapshot.files))
    return fitted.text, fitted.dropped


@pytest.mark.parametrize(
    "issue",
    [
        "An expired voucher is still worth its `amount_when_bought`.",
        'Traceback (most recent call last):\n  File "shop/cart.py", line 35, in checkout\n'
        "    total = total - voucher.amount_when_bought\nTypeError: unsupported operand",
        'It fails in  File "/site/shop/cart.py", line 35, in checkout',
        "```\n>>>     total = total - voucher.amount_when_bought\n```\nis wrong",
    ],
    ids=["words", "traceback", "line", "quoted code"],
)
def test_of_a_long_function_the_statements_the_issue_is_about_are_shown(tmp_path: Path, issue: str) -> None:
    text, dropped = shown(tmp_path, LONG, issue, 900)
    assert text.startswith("### shop/cart.py::checkout (lines 1-67)\ndef checkout(cart, account):\n")
    assert "\n        if voucher.expired:\n            total = total - voucher.amount_when_bought\n" in text
    assert "lines left out\n" in text
    assert len(text) <= 900
    hidden = sum(int(line.split("# ")[1].split()[0]) for line in text.split("\n") if line.endswith("left out"))
    assert dropped == (f"shop/cart.py::checkout: {hidden} lines",)


def test_a_long_class_is_its_header_attributes_and_signatures(tmp_path: Path) -> None:
    text, dropped = shown(tmp_path, CLASS, "anything", 10_000)
    assert "class Cart(Base):\n    currency = 'EUR'\n" in text
    assert "    limit = 100\n" in text
    for n in range(20):
        assert f"    def method_{n}(self, argument):\n        ... # 2 lines left out\n" in text
    assert "first" not in text
    assert dropped == ("shop/cart.py::Cart: 40 lines",)


def test_a_short_class_is_shown_whole(tmp_path: Path) -> None:
    source = "class Cart:\n    limit = 1\n\n    def total(self):\n        return 0\n"
    text, dropped = shown(tmp_path, source, "anything", 10_000)
    assert text == f"### shop/cart.py::Cart (lines 1-5)\n{source}"
    assert dropped == ()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_shown_of_python_parses_and_is_the_files_own(tmp_path: Path, seed: int) -> None:
    source = Path(textwrap.__file__).read_text()
    snapshot, _ = written(tmp_path, source)
    drawing, lines = random.Random(seed), source.split("\n")
    symbols = [s for s in parse_symbols(PATH, source.encode()).symbols if s.kind != "variable"]
    drawing.shuffle(symbols)
    text = code_excerpts(symbols, snapshot, chars, drawing.randrange(2_000, 12_000)).text
    blocks = text.partition("\n(")[0].removeprefix("### ").split("\n### ")
    assert len(blocks) > 3
    for block in blocks:
        heading, _, code = block.partition("\n")
        at, last = (int(number) for number in heading.rpartition(" ")[2].strip(")").split("-"))
        ast.parse(textwrap.dedent(code))
        for line in code.rstrip("\n").split("\n"):
            if line.endswith("left out"):
                at += int(line.split("# ")[1].split()[0])
            else:
                assert line == lines[at - 1]
                at += 1
        assert at == last + 1


def test_the_worth_of_a_definition_is_shared_among_its_statements(tmp_path: Path) -> None:
    snapshot, symbol = written(tmp_path, LONG)
    units = Sources(snapshot).piece(symbol, Focus()).units
    assert sum(unit.worth for unit in units) == pytest.approx(1.0)
    docstring = next(unit for unit in units if unit.statement.prose)
    assert docstring.worth == min(unit.worth for unit in units)


@pytest.mark.parametrize(
    ("search", "replace"),
    [
        ("    for voucher in account.vouchers:\n    ... # 37 lines left out\n    return total", "    return 0"),
        ("    return total", "    ... # 37 lines left out\n    return 0"),
    ],
    ids=["searched for", "put in"],
)
def test_an_edit_with_a_line_for_code_left_out_is_refused(search: str, replace: str) -> None:
    answer = f"{PATH}\n```python\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n```"
    refusal = build_patch(
        answer, snapshot_text={PATH: LONG}.__getitem__, symbols=parse_symbols(PATH, LONG.encode()).symbols[:1]
    )
    assert isinstance(refusal, Refusal)
    assert "left out" in refusal.hint
