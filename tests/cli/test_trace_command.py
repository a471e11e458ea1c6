"""`patchwright trace show`: a recorded search as a readable tree or page, and a clear no to what is no trace."""

import json
from pathlib import Path

import pytest

from demo_project import ISSUE, RULES
from front_door import end_unread, make_repository, patchwright, start
from scripted_model import serve_scripted


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a search with a scripted model was made."""
    home = tmp_path_factory.mktemp("traced")
    root = make_repository(home / "project")
    with serve_scripted(*RULES) as server:
        arguments = ("fix", ISSUE, "--repo", root, "--model", server.url, "--budget", "quick")
        assert patchwright(*arguments, home=home).code == 0
    return home


@pytest.fixture(scope="module")
def trace(home: Path) -> Path:
    [trace] = (home / "patchwright").rglob("*.jsonl")
    return trace


def test_stages_rounds_locations_candidates_and_costs_are_shown_in_order(trace: Path, tmp_path: Path) -> None:
    shown = patchwright("trace", "show", trace, home=tmp_path)
    assert shown.code == 0, shown.err
    expected = (
        *(ISSUE, "Verified fix found. A reproduction test fails before", "Stopped because the best fix is proven"),
        *("budget quick, seed 0", "Issue", ISSUE, "Read the workspace: 2 files, 3 symbols"),
        *("Choose files: 1 considered, 1 kept", "calc.py  (4 votes, PRM –)", "Choose locations"),
        *("calc.py::add", "score ", "Run the tests as they are: 1 passed; pytest, sandbox ", "Round 1: 1 rollout, "),
        *("Test, 3 votes, shows the issue", "def test_issue", "calc.py::add", "#1 "),
        *(" reproduced and fixed (agreement 100%", "ok Reproduction: before 1 failed, after 1 passed"),
        *("ok Project's tests: before 1 passed, after 1 passed", "+    return a + b"),
        *("What it cost", "Write candidates", "all, 1 rollout"),
    )
    place = 0
    for words in expected:
        found = shown.out.find(words, place)
        assert found >= 0, f"{words!r} does not follow in\n{shown.out}"
        place = found


def test_a_trace_that_a_crash_cut_short_is_shown_as_far_as_it_goes(trace: Path, tmp_path: Path) -> None:
    whole = trace.read_bytes()
    (tmp_path / "cut.jsonl").write_bytes(whole[: len(whole) // 2])
    shown = patchwright("trace", "show", tmp_path / "cut.jsonl", home=tmp_path)
    assert shown.code == 0, shown.err
    assert "Choose files" in shown.out
    assert "Not whole: The last line is cut off in its middle." in shown.out
    assert "Not whole: There is no end" in shown.out
    assert "Stopped because" not in shown.out


@pytest.mark.parametrize(
    ("content", "cure"),
    [
        (None, "Give the path of a .jsonl trace."),
        (b"", "`patchwright fix` prints the path"),
        (b"hello\n", "`patchwright fix` prints the path"),
        (b"\x00\xff" * 500, "`patchwright fix` prints the path"),
        (b'{"schema": 99, "kind": "start"}\n', "`patchwright fix` prints the path"),
    ],
)
@pytest.mark.parametrize("html", [False, True])
def test_what_is_no_trace_is_refused_with_a_cure(content: bytes | None, cure: str, html: bool, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    if content is not None:
        path.write_bytes(content)
    shown = patchwright("trace", "show", path, *(["--html"] if html else []), home=tmp_path)
    assert (shown.code, shown.out) == (2, "")
    assert cure in shown.err
    assert "Traceback" not in shown.err
    assert not path.with_suffix(".html").exists()


def test_a_step_of_ours_with_missing_fields_does_not_crash(trace: Path, tmp_path: Path) -> None:
    odd = b'{"schema": 1, "kind": "index", "at": 1.0}\n{"schema": 1, "kind": "from the future", "at": 2.0}\n'
    start_of, rest = trace.read_bytes().split(b"\n", 1)
    (tmp_path / "odd.jsonl").write_bytes(start_of + b"\n" + odd + rest)
    shown = patchwright("trace", "show", tmp_path / "odd.jsonl", home=tmp_path)
    assert shown.code == 0, shown.err
    assert "Stopped because the best fix is proven" in shown.out
    assert "Not whole: Damaged and told in part at most: line 2 (index: no usable 'ranking')." in shown.out


def test_the_page_is_written_where_it_is_asked_for(home: Path, trace: Path, tmp_path: Path) -> None:
    for arguments, place in (
        (("--html",), trace.with_suffix(".html")),
        (("--html", tmp_path / "a.html"), tmp_path / "a.html"),
        (("--html", "-o", tmp_path / "b.html"), tmp_path / "b.html"),
    ):
        written = patchwright("trace", "show", trace, *arguments, home=home)
        assert (written.code, written.out, written.err) == (0, f"{place}\n", "")
        page = place.read_text(encoding="utf-8")
        assert page.startswith("<!doctype html>")
        assert page.endswith("</html>\n")
        assert "Verified fix found" in page
        assert place.stat().st_mode & 0o077 == 0  # It holds the user's code.
    assert patchwright("trace", "show", trace, "--html", "-", home=home).out == page


def test_a_trace_is_found_by_its_name_or_as_the_last_one(home: Path, trace: Path) -> None:
    by_path = patchwright("trace", "show", trace, home=home)
    for name in (trace.stem, trace.stem[-6:], "last"):
        assert patchwright("trace", "show", name, home=home).out == by_path.out
    lost = patchwright("trace", "show", "zzz", home=home)
    assert lost.code == 2
    assert str(trace.parent) in lost.err
    (trace.parent / f"{trace.stem}-again.jsonl").write_text('{"schema": 1, "kind": "start", "at": 0}\n')
    unclear = patchwright("trace", "show", trace.stem[-6:], home=home)
    assert unclear.code == 2
    assert "may mean 2 traces" in unclear.err
    (trace.parent / f"{trace.stem}-again.jsonl").unlink()


def test_no_file_that_is_no_page_is_overwritten(trace: Path, tmp_path: Path) -> None:
    source = tmp_path / "code.py"
    source.write_text("x = 1\n")
    before = trace.read_bytes()
    for place in (trace, source):
        refused = patchwright("trace", "show", trace, "--html", place, home=tmp_path)
        assert refused.code == 2
        assert "Choose another place" in refused.err
    assert (trace.read_bytes(), source.read_text()) == (before, "x = 1\n")
    nowhere = patchwright("trace", "show", trace, "--html", tmp_path / "no" / "a.html", home=tmp_path)
    assert nowhere.code == 3
    assert "Choose a writable place" in nowhere.err
    alone = patchwright("trace", "show", trace, "-o", tmp_path / "a.html", home=tmp_path)
    assert alone.code == 2
    assert "Add --html" in alone.err


def test_what_the_report_needs_is_recorded(trace: Path) -> None:
    steps = [json.loads(line) for line in trace.read_text().splitlines()]
    by_kind = {step["kind"]: step for step in reversed(steps)}
    first = by_kind["candidate"]
    assert first["location"] == ["calc.py::add"]
    assert {"tokens", "chance", "revised"} <= first.keys()
    assert [run["kind"] for run in first["runs"]] == ["reproduction", "regression"]
    assert all(run["seconds"] > 0 and "passed" in run["output"] for run in first["runs"])
    assert by_kind["baseline"]["tests"] == "1 passed"
    assert "assert" in by_kind["reproduction"]["failure"]
    assert by_kind["end"]["ranking"][0]["patch"] == first["patch"]
    assert by_kind["start"]["rollouts"] == 2


def test_a_reader_that_leaves_early_is_no_error(trace: Path, tmp_path: Path) -> None:
    ended = end_unread(start("trace", "show", trace, home=tmp_path))
    assert ended.code == 0, ended.err
    assert "Broken" not in ended.err
