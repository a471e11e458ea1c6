"""The page of a report: needs nothing else, and nothing of a trace acts in it."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.report.build import read_report
from patchwright_engine.report.page import DIFF_LINES, TEXT_CHARS, diff_lines, render_page, shortened
from recorded_search import HOSTILE, poisoned, whole_search, write_trace


class Page(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(path: Path, steps: list[dict[str, Any]]) -> str:
    return render_page(read_report(write_trace(path, steps)), str(path))


@pytest.fixture
def page(tmp_path: Path) -> str:
    return page_of(tmp_path / "t.jsonl", whole_search())


def test_the_page_tells_the_outcome_the_proof_the_tree_and_the_cost(page: str) -> None:
    text = re.sub(r"\s+", " ", " ".join(Page(page).pieces))
    for words in (
        "Verified fix found",
        "A reproduction test fails before and passes after; no test newly fails.",
        "Stopped because the best fix is proven and believed.",
        "Rollouts 4 of 4",
        "Tokens written 250",
        "Changes add in calc.py (+2 −2)",
        "add(2, 3) is -1",
        "Choose locations 3 considered, 2 kept",
        "add calc.py",
        "3 votes PRM 0.75 prior 1.00 score 2.75",
        "shows the issue",
        "1 test not used",
        "Belief that #2 is right: 0.93.",
        "same patch again",
        "no code in the answer",
        "1 failed → 1 passed",
        "Look closely: the patch looks odd.",
        "Something worth knowing.",
        "4 answers 80 tokens written",
        "This page holds your code",
    ):
        assert words in text, words


def test_the_page_asks_for_nothing_and_runs_nothing(page: str) -> None:
    found = Page(page)
    names = {tag for tag, _ in found.elements}
    assert names.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base", "audio", "video"})
    for tag, attributes in found.elements:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("src", "style", "srcset", "action")
        ]
        if "href" in attributes:
            assert re.fullmatch(r"#(c\d+|i-[a-z_]+)", attributes["href"] or ""), (tag, attributes)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert not re.search(r"url\(|@import|expression|https?:", style[1])
    allowed = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    [policy] = [meta["content"] for meta in found.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"


def test_every_jump_of_the_page_has_a_place(page: str) -> None:
    found = Page(page)
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    jumps = {attributes["href"] for tag in ("a", "use") for attributes in found.all(tag)}
    assert {"#c1", "#c2", "#c3", "#c4"} <= jumps
    assert jumps <= {f"#{one}" for one in ids}
    assert {f"r{one[2:]}" for one in jumps if one is not None and one.startswith("#c")} <= set(ids)


@pytest.mark.parametrize("poison", HOSTILE)
def test_no_text_of_a_trace_acts_on_the_page(page: str, poison: str, tmp_path: Path) -> None:
    steps = [poisoned(step, poison) for step in whole_search()]
    hostile = page_of(tmp_path / "t.jsonl", steps)
    clean, found = Page(page), Page(hostile)
    # Backquotes in a line set off code, which is the one thing a text may do to the structure.
    shape = [(tag, sorted(attributes)) for tag, attributes in found.elements if tag != "code"]
    assert shape == [(tag, sorted(attributes)) for tag, attributes in clean.elements if tag != "code"]
    hrefs = {attributes["href"] for _, attributes in found.elements if "href" in attributes}
    assert hrefs == {attributes["href"] for _, attributes in clean.elements if "href" in attributes}
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\ud800-\udfff]", hostile)
    hostile.encode()
    assert hostile.count("<script") == 0
    if "\x1b" in poison:
        assert r"\x1b[31mred" in found.text
        assert r"\u202egnp.exe" in found.text
    elif "`" not in poison:
        assert found.text.count(poison) > 60


def test_a_page_stays_small_however_large_the_texts(tmp_path: Path) -> None:
    steps = whole_search()
    huge = "--- a/x\n+++ b/x\n@@ -0,0 +1,99999 @@\n" + "+line\n" * 99_999
    for step in steps:
        if "diff" in step:
            step["diff"] = huge
        if step["kind"] == "start":
            step["issue"] = "word " * 99_999
    page = page_of(tmp_path / "t.jsonl", steps)
    assert len(page) < 1_000_000
    assert "more lines; the trace has them all" in page
    assert "characters left out" in page
    assert len(diff_lines(huge)) == DIFF_LINES
    assert shortened("x" * TEXT_CHARS) == "x" * TEXT_CHARS


def test_what_is_missing_stands_at_the_top(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t.jsonl", whole_search())
    path.write_text(path.read_text()[:9_000])
    page = render_page(read_report(path), str(path))
    assert "This trace is not whole" in page
    assert page.index("There is no end") < page.index("The search")
    assert "No end is recorded." in page
