"""How code and paths are pulled out of an answer."""

import pytest

from patchwright_engine.repair.answers import Replacement, read_answer, strip_think

CODE = "x = 1\n"


@pytest.mark.parametrize(
    ("answer", "language", "path"),
    [
        ("```python\nx = 1\n```", "python", None),
        ("~~~\nx = 1\n~~~", "", None),
        ("````py\nx = 1\n````", "py", None),
        ("  ```python\n  x = 1\n  ```", "python", None),
        ("```python src/a.py\nx = 1\n```", "python", "src/a.py"),
        ("```python:src/a.py\nx = 1\n```", "python", "src/a.py"),
        ("```src/a.py\nx = 1\n```", "", "src/a.py"),
        ('```python title="src/a.py"\nx = 1\n```', "python", "src/a.py"),
        ("src/a.py\n```python\nx = 1\n```", "python", "src/a.py"),
        ("**File: `./src/a.py`**\n\n```python\nx = 1\n```", "python", "src/a.py"),
        ("#### src/a.py:\n```python\nx = 1\n```", "python", "src/a.py"),
        ("I changed this in `src/a.py`:\n```python\nx = 1\n```", "python", "src/a.py"),
        ("Use it e.g. here.\n```python\nx = 1\n```", "python", None),
    ],
)
def test_a_fence_is_read_with_its_language_and_path(answer: str, language: str, path: str | None) -> None:
    (fence,) = read_answer(answer).fences
    assert (fence.language, fence.path, fence.code, fence.closed) == (language, path, CODE, True)


def test_a_path_comment_on_the_first_line_names_the_file() -> None:
    (fence,) = read_answer("```python\n# src/a.py\nx = 1\n```").fences
    assert fence.path == "src/a.py"


def test_an_unclosed_fence_says_so() -> None:
    assert [fence.closed for fence in read_answer("```python\nx = 1\n").fences] == [False]


def test_a_shorter_mark_does_not_close_a_fence() -> None:
    (fence,) = read_answer("````\n```\nx = 1\n```\n````\n").fences
    assert fence.code == "```\nx = 1\n```\n"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>a\n```\nb\n```</think>rest", "rest"),
        ("  <think>never ends ```python", "  "),
        ("opened by the prompt</think>rest", "rest"),
        ("no reasoning", "no reasoning"),
        ("```\ntag = '</think>'\n```", "```\ntag = '</think>'\n```"),
        ("see\n```\ntag = '<think>'\n```", "see\n```\ntag = '<think>'\n```"),
    ],
)
def test_reasoning_is_taken_out_and_code_is_not(text: str, left: str) -> None:
    assert strip_think(text).strip() == left.strip()


def test_the_path_may_stand_in_the_search_line_and_holds_for_the_next_block() -> None:
    answer = "<<<<<<< SEARCH src/a.py\na\n=======\nb\n>>>>>>> REPLACE\n<<<<<<< SEARCH\nc\n=======\n>>>>>>> REPLACE\n"
    assert read_answer(answer).replacements == (
        Replacement("src/a.py", ("a",), ("b",)),
        Replacement("src/a.py", ("c",), ()),
    )


def test_a_heading_rule_inside_a_block_is_not_the_divider() -> None:
    answer = "<<<<<<< SEARCH\nTitle\n=====\n=======\nName\n=====\n>>>>>>> REPLACE\n"
    assert read_answer(answer).replacements == (Replacement(None, ("Title", "====="), ("Name", "=====")),)
