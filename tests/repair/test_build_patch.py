"""Answers as models write them, in cases/*.txt: what each becomes, or why it is refused.

A case is `=== what it shows`, the files before (`--- file`), the symbols shown, the finish reason, the answer, and
either the diff or `--- refused KIND | part of the reason | part of the hint`.
"""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchwright_engine.repair import python_source as python
from patchwright_engine.repair.apply import Refusal, build_patch
from patchwright_engine.types import FileEdit, Patch, RepoPath, Symbol

CASES = Path(__file__).with_name("cases")
REFUSED_FILE = """\
def one(n, *, flag=False):
    \"\"\"Words.\"\"\"
    return n


def two(a, b=1):
    return a + b

def three():
    first_value = compute(1)
    return 0

def four():
    first_value = compute(2)
    return 0

def hidden():
    return 3
"""


@dataclass
class Case:
    name: str
    files: dict[RepoPath, str] = field(default_factory=dict)
    shown: str = "one, two"
    finish: str = "stop"
    answer: str = ""
    diff: str = ""
    changed: str = ""
    refused: tuple[str, ...] = ()


def read_cases(name: str) -> list[Case]:
    text = (CASES / name).read_text(encoding="utf-8")
    return [read_case(part) for part in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]]


def read_case(part: str) -> Case:
    title, _, body = part.partition("\n")
    case = Case(title)
    for section in re.split(r"^--- (?=file|shown|finish|answer|diff|refused)", body, flags=re.MULTILINE)[1:]:
        head, _, text = section.partition("\n")
        word, _, rest = head.partition(" ")
        match word:
            case "file":
                case.files[RepoPath(rest)] = text
            case "shown":
                case.shown = rest
            case "finish":
                case.finish = rest
            case "answer":
                case.answer = text
            case "diff":
                case.diff, case.changed = text, rest
            case "refused":
                case.refused = tuple(word.strip() for word in rest.split("|"))
    case.files = case.files or {RepoPath("a.py"): REFUSED_FILE}
    return case


def symbols_of(case: Case) -> list[Symbol]:
    symbols = []
    for shown in case.shown.split(", "):
        name, _, span = shown.partition("@")
        for path, text in case.files.items():
            if span:
                first, last = map(int, span.split("-"))
                symbols.append(Symbol(path, name, "function", first, last))
            else:
                found = [d for d in python.definitions(ast.parse(text).body) if d.name == name]
                symbols += [Symbol(path, name, "function", d.start + 1, d.end) for d in found[:1]]
    return symbols


def build(case: Case, end: str = "\n") -> Patch | Refusal:
    texts = {path: text.replace("\n", end) for path, text in case.files.items()}
    return build_patch(case.answer, snapshot_text=texts.__getitem__, symbols=symbols_of(case), finish=case.finish)


def check(case: Case, result: Patch | Refusal) -> None:
    if case.refused:
        kind, reason, hint = case.refused
        assert isinstance(result, Refusal), result.diff
        assert (result.kind, reason in result.reason, hint in result.hint) == (kind, True, True), result
    else:
        assert isinstance(result, Patch), result
        assert result.diff.split("\n")[2:] == case.diff.split("\n")
        assert result.paths == (RepoPath(case.changed or next(iter(case.files))),)


def named(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", read_cases("rewrite.txt"), ids=named)
def test_a_definition_is_rewritten_in_place(case: Case) -> None:
    check(case, build(case))


@pytest.mark.parametrize("case", read_cases("search_replace.txt"), ids=named)
def test_a_search_replace_block_finds_its_place(case: Case) -> None:
    check(case, build(case))


@pytest.mark.parametrize("case", read_cases("refused.txt"), ids=named)
def test_a_refused_answer_says_why_and_what_to_do(case: Case) -> None:
    check(case, build(case))


@pytest.mark.parametrize("case", [*read_cases("rewrite.txt"), *read_cases("search_replace.txt")], ids=named)
def test_line_ends_of_the_file_are_kept(case: Case) -> None:
    plain, windows = build(case), build(case, "\r\n")
    assert isinstance(plain, Patch)
    assert isinstance(windows, Patch)
    for one, other in zip(plain.edits, windows.edits, strict=True):
        if one.before:
            assert other.after == one.after.replace("\n", "\r\n")


def test_only_allowed_files_may_change() -> None:
    case = read_cases("rewrite.txt")[0]
    result = build_patch(
        case.answer,
        snapshot_text=case.files.__getitem__,
        symbols=symbols_of(case),
        allowed=frozenset({RepoPath("b.py")}),
    )
    assert isinstance(result, Refusal)
    assert result.kind == "forbidden"


def test_symbols_of_a_test_file_are_refused() -> None:
    path = RepoPath("pkg/test_a.py")
    result = build_patch(
        "```python\ndef f():\n    return 2\n```",
        snapshot_text={path: "def f():\n    return 1\n"}.__getitem__,
        symbols=[Symbol(path, "f", "function", 1, 2)],
    )
    assert isinstance(result, Refusal)
    assert (result.kind, "is a test file" in result.reason) == ("forbidden", True)


def test_undecodable_bytes_and_a_byte_order_mark_survive() -> None:
    path = RepoPath("a.py")
    before = "\ufeff# caf\udce9\r\ndef f():\r\n    return 1\r\n"
    result = build_patch(
        "```python\ndef f():\n    return 2\n```",
        snapshot_text={path: before}.__getitem__,
        symbols=[Symbol(path, "f", "function", 2, 3)],
    )
    assert result == Patch((FileEdit(path, before, before.replace("1", "2")),))


@pytest.mark.parametrize("code", ["-" * 3000 + "1", "(" * 3000 + ")" * 3000, "1" + "+1" * 9000, "'\\0'\0"])
def test_hostile_code_is_refused_and_never_an_error(code: str) -> None:
    path = RepoPath("a.py")
    answer = f"```python\ndef two(a, b=1):\n    return {code}\n```"
    result = build_patch(
        answer, snapshot_text={path: REFUSED_FILE}.__getitem__, symbols=[Symbol(path, "two", "function", 6, 7)]
    )
    assert isinstance(result, Refusal)
    assert result.kind == "syntax"


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_any_constant_change_of_any_method_is_placed_exactly(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    comment = st.sampled_from(["", "        # why\n", "\n"])
    methods = [
        f"    def m{n}(self, x):\n{data.draw(comment)}        y = {n}\n{data.draw(comment)}        return x + y\n"
        for n in range(count)
    ]
    before = "class C:\n" + "\n".join(methods)
    chosen = data.draw(st.integers(0, count - 1))
    shift = data.draw(st.sampled_from(["", "    ", "\t"]))
    lines = [f"def m{chosen}(self, x):", f"    y = {chosen}", "    return x - y"]
    answer = "```python\n" + "".join(f"{shift}{line}\n" for line in lines) + "```\n"
    path = RepoPath("c.py")
    shown = [d for d in python.definitions(ast.parse(before).body) if "." in d.name]
    result = build_patch(
        answer,
        snapshot_text={path: before}.__getitem__,
        symbols=[Symbol(path, d.name, "method", d.start + 1, d.end) for d in shown],
    )
    expected = [m.replace("x + y", "x - y") if n == chosen else m for n, m in enumerate(methods)]
    assert isinstance(result, Patch)
    assert result.edits[0].after == "class C:\n" + "\n".join(expected)


@settings(deadline=None)
@given(st.text(alphabet="`~<>=#\n SEARCHREPLACEdf():x", max_size=200), st.sampled_from(["stop", "length", "loop"]))
def test_no_text_makes_it_raise_or_break_a_file(answer: str, finish: str) -> None:
    path = RepoPath("a.py")
    result = build_patch(
        answer,
        snapshot_text={path: REFUSED_FILE}.__getitem__,
        symbols=[Symbol(path, "two", "function", 6, 7)],
        finish=finish,
    )
    if isinstance(result, Patch):
        assert all(python.parse(edit.after) for edit in result.edits if edit.path.endswith(".py"))
    else:
        assert result.reason
        assert result.hint
