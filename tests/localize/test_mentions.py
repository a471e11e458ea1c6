"""What an issue names, and which file of the workspace a foreign path means."""

import time

import pytest

from patchwright_engine.localize.mentions import read_mentions
from patchwright_engine.localize.traceback import PathMatcher, find_frames, traceback_files
from patchwright_engine.types import Issue, RepoPath

MATCHER = PathMatcher(
    RepoPath(path) for path in ("src/app/core.py", "src/app/util.py", "lib/util.py", "src/app/__init__.py", "top.py")
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/home/me/.venv/lib/python3.9/site-packages/app/core.py", "src/app/core.py"),
        (r"C:\work\app\core.py", "src/app/core.py"),
        ("app/util.py", "src/app/util.py"),
        ("util.py", None),
        ("/usr/lib/python3.9/json/core.py", None),
        ("__init__.py", None),
        ("top.py", "top.py"),
        ("", None),
    ],
)
def test_a_foreign_path_means_a_file_only_when_unambiguous(text: str, path: str | None) -> None:
    assert MATCHER.match(text) == path


@pytest.mark.parametrize(
    "line",
    [
        '  File "/x/app/core.py", line 12, in run',
        "src/app/core.py:12: in run",
        "~/x/app/core.py in run(self, a)",
    ],
)
def test_frames_of_python_pytest_and_ipython_are_read(line: str) -> None:
    [frame] = find_frames(f"It fails:\n{line}\n    do()\n", MATCHER)
    assert (frame.path, frame.function) == ("src/app/core.py", "run")


def test_links_to_code_are_frames() -> None:
    [frame] = find_frames("see https://github.com/o/r/blob/abc123/src/app/core.py#L10-L20", MATCHER)
    assert (frame.path, frame.line) == ("src/app/core.py", 10)


def test_the_innermost_file_on_the_stack_counts_most() -> None:
    text = 'File "/x/top.py", line 1, in main\nFile "/x/app/core.py", line 2, in run\nFile "/usr/json.py", line 3'
    scores = traceback_files(find_frames(text, MATCHER))
    assert scores[RepoPath("src/app/core.py")] > scores[RepoPath("top.py")] > 0


def test_names_in_backticks_and_compound_names_are_code_and_prose_is_not() -> None:
    names = read_mentions(Issue("Broken\n\nThe `fit` of KBinsDiscretizer calls bin_edges sometimes")).names
    assert names["fit"] == 1.0
    assert {"KBinsDiscretizer", "bin_edges"} <= names.keys()
    assert not {"sometimes", "calls"} & names.keys()


def test_imports_in_code_blocks_and_dotted_names_are_modules() -> None:
    mentions = read_mentions(Issue("x\n```python\n>>> from app.core import run\nimport app.util\n```\n"))
    assert mentions.modules == {"app.core", "app.util"}


@pytest.mark.parametrize("text", ["Cart.total fails", "Cart::total fails", "Cart#total fails"])
def test_qualified_names_of_any_language_are_dotted_names(text: str) -> None:
    assert read_mentions(Issue(text)).dotted == {"Cart.total"}


def test_the_anchor_of_a_link_is_no_qualified_name() -> None:
    text = "see https://docs.example.org/ref/models.html#app.models.Field and tests/test_a.py::test_b"
    assert read_mentions(Issue(text)).dotted == {"docs.example.org", "models.html", "app.models.Field", "test_a.py"}


def test_hidden_template_comments_are_not_read() -> None:
    assert "template" not in read_mentions(Issue("bug\n<!-- fill in the template -->")).terms


@pytest.mark.parametrize(
    "piece", ["a", "a.", "/", "<!--", "\n", "```", "a/", "`", "-", 'File "', "from ", "x.py:", "a::", "a#"]
)
def test_hostile_repetition_is_read_in_bounded_time(piece: str) -> None:
    started = time.perf_counter()
    mentions = read_mentions(Issue(piece * (1_000_000 // len(piece))))
    assert mentions.names is not None
    assert mentions.dotted is not None
    assert mentions.modules is not None
    assert mentions.paths is not None
    assert mentions.terms is not None
    find_frames(mentions.text, MATCHER)
    assert time.perf_counter() - started < 5  # quadratic patterns take minutes here


def test_very_long_issues_keep_their_start_and_end() -> None:
    text = read_mentions(Issue("start_word " + "x y " * 50_000 + " end_word")).text
    assert len(text) < 100_000
    assert text.startswith("start_word")
    assert text.endswith("end_word")
